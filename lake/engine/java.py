"""Find the Java that runs Spark, or fetch one.

Pip can install everything that this project needs except Java. `find_java` takes the first Java of this machine that
is new enough: `JAVA_HOME`, the one on the `PATH`, one that `lakehouse setup` fetched before, then the usual folders.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from lake.errors import JavaMissing, JavaWrong, LakeError

__all__ = ["OLDEST", "Java", "fetch_java", "find_java"]

OLDEST = 17
"""Spark 4 runs on Java 17, 21 and 25, and on no older one."""

SPARK_MODULE = "jdk.incubator.vector"
"""Spark starts its JVM with this module; a jlinked Java that lacks it ends before it says why."""

FETCHED = "17"
"""The release that set-up fetches where there is none."""

_INSTALL_FOLDERS = (
    "/usr/lib/jvm/*",
    "/opt/java/*",
    "/opt/homebrew/opt/openjdk*/libexec/openjdk.jdk/Contents/Home",
    "/usr/local/opt/openjdk*/libexec/openjdk.jdk/Contents/Home",
    "/Library/Java/JavaVirtualMachines/*/Contents/Home",
    str(Path.home() / ".sdkman/candidates/java/*"),
)


@dataclass(frozen=True)
class Java:
    """A Java installation.

    Attributes:
        version: as it names itself, "17.0.15".
        home: what `JAVA_HOME` has to be for it.
        modules: the modules that it lists; empty where it does not list them.
    """

    version: str
    home: Path
    modules: frozenset[str] = frozenset()

    @property
    def release(self) -> int:
        """The feature release: 17 of "17.0.15", 8 of "1.8.0_402".

        0 where it cannot be told.
        """
        numbers = [int(number) for number in re.findall(r"\d+", self.version)] or [0]
        return numbers[1] if numbers[0] == 1 and len(numbers) > 1 else numbers[0]

    @property
    def flaw(self) -> str | None:
        """Why Spark does not run on this Java, or None if it does."""
        if self.release < OLDEST:
            return f"Java {self.version}"
        if self.modules and SPARK_MODULE not in self.modules:
            return f"a cut-down Java {self.version} without the module {SPARK_MODULE}"
        return None


def find_java() -> Java:
    """Return the first Java of this machine that Spark accepts.

    Starts a JVM only where a folder does not tell its version.

    Raises:
        JavaMissing: there is no Java at all.
        JavaWrong: there are some, but each is too old or cut down too far.
    """
    flaws: dict[Path, str] = {}
    for java in filter(None, map(_inspect, _homes())):
        if java.flaw is None:
            return java
        flaws[java.home] = java.flaw
    for home, flaw in flaws.items():
        raise JavaWrong(home, flaw)
    raise JavaMissing(["JAVA_HOME", "PATH", str(_fetched_home()), *(str(_split(p)[0]) for p in _INSTALL_FOLDERS)])


def fetch_java(progress: Callable[[str], object] = str) -> Java:
    """Find a Java, or else fetch one with cjdk into its cache.

    A fetched one is remembered beside this Python environment.

    Raises:
        JavaMissing: there is none and the network does not give one; names the command that installs it.
    """
    try:
        return find_java()
    except (JavaMissing, JavaWrong):
        progress(f"no Java {OLDEST} or newer on this machine; fetching Temurin {FETCHED}")
    try:
        _remember(_download())
    except Exception as problem:  # cjdk lets errors of urllib, tarfile and the file system through as they are
        raise JavaMissing(fetch_problem=_one_line(problem)) from problem
    return find_java()


def _homes() -> Iterator[Path]:
    """Candidates for `JAVA_HOME`, the user's own choice first."""
    if chosen := os.environ.get("JAVA_HOME"):
        yield Path(chosen)
    if program := shutil.which("java"):
        yield Path(program).resolve().parent.parent
    yield _fetched_home()
    for pattern in _INSTALL_FOLDERS:
        anchor, rest = _split(pattern)
        yield from sorted(anchor.glob(rest))


def _inspect(home: Path) -> Java | None:
    """Return the Java in a folder, if one there can say its version."""
    if not os.access(home / "bin" / "java", os.X_OK):
        return None
    try:
        release = dict(re.findall(r'^(\w+)="(.*)"$', (home / "release").read_text(), re.MULTILINE))
    except OSError:
        release = {}
    if "JAVA_VERSION" not in release:
        return _ask(home / "bin" / "java")
    return Java(release["JAVA_VERSION"], home, frozenset(release.get("MODULES", "").split()))


def _ask(program: Path) -> Java | None:
    """Ask a `java` program without a release file where its home is.

    Such a program is a shim or a wrapper.
    """
    command = [str(program), "-XshowSettings:properties", "-version"]
    try:
        shown = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stderr
    except (OSError, subprocess.SubprocessError):
        return None
    found = dict(re.findall(r"^\s*(java\.home|java\.version) = (.+)$", shown, re.MULTILINE))
    return Java(found["java.version"], Path(found["java.home"])) if len(found) == 2 else None


def _fetched_home() -> Path:
    return Path(sys.prefix) / "java"


def _download() -> Path:
    import cjdk  # comes with jgo, needed by set-up only

    return cjdk.java_home(vendor="temurin", version=FETCHED)


def _remember(home: Path) -> None:
    link = _fetched_home()
    link.unlink(missing_ok=True)
    link.symlink_to(home, target_is_directory=True)


def _one_line(problem: BaseException) -> str:
    return f"{type(problem).__name__}: {problem}".splitlines()[0]


def _split(pattern: str) -> tuple[Path, str]:
    """Split a pattern of folders at the last one without a wildcard.

    Returns that folder and the rest of the pattern.
    """
    fixed, _, _ = pattern.partition("*")
    anchor = Path(fixed + "x").parent
    return anchor, str(Path(pattern).relative_to(anchor))


def main() -> int:
    """Find or fetch a Java and say which: `python -m lake.engine.java`."""
    try:
        java = fetch_java(lambda line: print(f"  {line}", flush=True))
    except LakeError as problem:
        print(f"\n{problem}", file=sys.stderr)
        return 1
    print(f"Java: {java.version} in {java.home}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
