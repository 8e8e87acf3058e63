"""The jars that Spark and Kafka need, pinned in `jars.lock` by coordinate and sha256.

`fetch` brings a set of jars into the local Maven cache (`lakehouse setup` calls it); `jars` gives their paths to a JVM
and never touches the network. Both compare every file with its sha256: the two Delta jars cost 25 ms, which is less
than a stamp that could go stale would be worth.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from hashlib import file_digest
from pathlib import Path

from lake.errors import FolderNotWritable, JarDamaged, JarMissing, LakeError, Offline

__all__ = ["LOCK", "Jar", "fetch", "jars", "jars_of", "maven_cache", "read_lock"]

LOCK = Path(__file__).resolve().with_name("jars.lock")
"""The committed list of jars, which the wheel carries."""

_LINE = re.compile(r"([\w.\-]+):([\w.\-]+):([\w.\-]+) sha256:([0-9a-f]{64})")
_DOWNLOADS_AT_ONCE = 8


@dataclass(frozen=True)
class Jar:
    """One line of jars.lock.

    Attributes:
        group: Maven group, "io.delta".
        artifact: Maven artifact, "delta-storage".
        version: its version.
        sha256: digest of the file, in hexadecimal.
    """

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def coordinate(self) -> str:
        """`group:artifact:version`."""
        return f"{self.group}:{self.artifact}:{self.version}"

    def path(self, repository: Path) -> Path:
        """Return the place of this jar in a Maven repository folder."""
        folder = repository.joinpath(*self.group.split("."), self.artifact, self.version)
        return folder / f"{self.artifact}-{self.version}.jar"

    def verify(self, path: Path) -> Path:
        """Return `path` if it holds exactly the pinned bytes.

        Raises:
            JarMissing: there is no such file.
            JarDamaged: its sha256 is another.
        """
        try:
            with path.open("rb") as file:
                found = file_digest(file, "sha256").hexdigest()
        except (FileNotFoundError, NotADirectoryError):
            raise JarMissing(self.coordinate, path) from None
        if found != self.sha256:
            raise JarDamaged(self.coordinate, path, expected=f"sha256 {self.sha256}", found=f"sha256 {found}")
        return path


def maven_cache() -> Path:
    """Return the local Maven cache, as Maven and jgo have it.

    It is `M2_REPO`, else `~/.m2/repository`.
    """
    return Path(os.environ.get("M2_REPO") or Path.home() / ".m2" / "repository")


@cache
def read_lock(lock: Path = LOCK) -> dict[str, tuple[Jar, ...]]:
    """Read jars.lock: set name -> its jars, in the order of the file.

    Raises:
        JarMissing: the file is not there.
        JarDamaged: a line is neither a `[set]`, a `# comment` nor `group:artifact:version sha256:digest`.
    """
    try:
        lines = lock.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise JarMissing(
            "jars.lock", lock, "the list of jars is missing; install the package lakehouse again"
        ) from None
    sets: dict[str, list[Jar]] = {}
    for number, line in enumerate(lines, start=1):
        if heading := re.fullmatch(r"\[([\w-]+)\]", line):
            sets[heading[1]] = []
        elif (match := _LINE.fullmatch(line)) and sets:
            sets[next(reversed(sets))].append(Jar(*match.groups()))
        elif line and not line.startswith("#"):
            raise JarDamaged(f"jars.lock line {number}", lock, "group:artifact:version sha256:digest", repr(line))
    return {name: tuple(members) for name, members in sets.items()}


def jars_of(set_name: str, *, lock: Path = LOCK) -> tuple[Jar, ...]:
    """Return the jars of one set of jars.lock.

    Raises:
        JarMissing: jars.lock has no such set.
    """
    sets = read_lock(lock)
    if set_name not in sets:
        raise JarMissing(f"set {set_name!r}", lock, f"jars.lock has the sets {', '.join(sets)} only")
    return sets[set_name]


def jars(set_name: str, *, repository: Path | None = None, lock: Path = LOCK) -> list[Path]:
    """Return the verified paths of a set of jars, for a classpath.

    Never touches the network.

    Args:
        set_name: "delta", "spark-kafka", "s3" or "kafka-broker".
        repository: the Maven cache to look in; the machine's own by default.
        lock: the list of jars.

    Raises:
        JarMissing: a jar was never fetched.
        JarDamaged: a jar's bytes are not the pinned ones.
    """
    folder = repository or maven_cache()
    return [jar.verify(jar.path(folder)) for jar in jars_of(set_name, lock=lock)]


def fetch(
    set_name: str,
    progress: Callable[[str], object] = str,
    *,
    repository: Path | None = None,
    lock: Path = LOCK,
) -> list[Path]:
    """Bring every jar of a set into the Maven cache and verify it.

    A jar that is already there and sound stays untouched. Any other is downloaded aside, verified and then moved into
    place in one step, so a killed download leaves nothing behind that looks like a jar, and two set-ups may run at
    once.

    Args:
        set_name: "delta", "spark-kafka", "s3" or "kafka-broker".
        progress: called with one line per jar that is downloaded, from several threads.
        repository: the Maven cache to fill; the machine's own by default.
        lock: the list of jars.

    Raises:
        Offline: a jar has to be downloaded and the network does not give it.
        JarDamaged: what was downloaded is not what jars.lock pins.
        FolderNotWritable: the Maven cache cannot be written.
    """
    folder = repository or maven_cache()

    def provide(jar: Jar) -> Path:
        flaw = _flaw(jar, folder)
        if flaw:
            progress(f"{jar.coordinate} ({flaw})")
            _download(jar, folder)
        return jar.path(folder)

    with ThreadPoolExecutor(_DOWNLOADS_AT_ONCE) as pool:
        return list(pool.map(provide, jars_of(set_name, lock=lock)))


def _flaw(jar: Jar, repository: Path) -> str | None:
    """Return why a jar has to be downloaded, or None for a sound one."""
    try:
        jar.verify(jar.path(repository))
    except JarMissing:
        return "new"
    except JarDamaged:
        return "damaged, again"
    return None


def _download(jar: Jar, repository: Path) -> None:
    target = jar.path(repository)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".fetching-", dir=target.parent) as aside:
            jar.verify(_resolve(jar, Path(aside))).replace(target)
    except OSError as problem:
        raise FolderNotWritable(repository, str(problem), setting="M2_REPO") from problem


def _resolve(jar: Jar, repository: Path) -> Path:
    """Download one jar with jgo into an empty Maven repository folder."""
    from jgo.maven import MavenContext  # imported here: sessions need the paths, not the downloader
    from requests import RequestException

    context = MavenContext(repo_cache=repository)
    try:
        found = context.project(jar.group, jar.artifact).at_version(jar.version).artifact().resolve()
    except (RequestException, RuntimeError) as problem:
        raise Offline(f"jar {jar.coordinate}", _short(problem)) from problem
    return Path(found)


def _short(problem: BaseException) -> str:
    """Return the innermost cause, without the library layers around it."""
    while problem.__context__ is not None:
        problem = problem.__context__
    return f"{type(problem).__name__}: {problem}"


def main(set_names: list[str]) -> int:
    """Fetch the named sets: `python -m lake.engine.jars delta`."""
    try:
        for name in set_names:
            paths = fetch(name, lambda line: print(f"  fetching {line}\n", end="", flush=True))
            print(f"jars: {len(paths)} of set {name} verified")
    except LakeError as problem:
        print(f"\n{problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
