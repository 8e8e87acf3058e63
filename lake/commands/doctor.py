"""Check whether this machine is ready.

Every check says what it found and, where that is not good, the remedy. No check starts a JVM or touches the network;
all of them together take about half a second.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import platform
import re
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from lake.commands.extras import extras
from lake.engine.jars import LOCK, jars, jars_of, maven_cache
from lake.engine.java import find_java
from lake.engine.packages import ExtraNotInstalledError, has_extra
from lake.errors import LakeError
from lake.project.opening import open_tables, prefer_own_packages
from lake.project.project_file import refuse_folder
from lake.project.settings import Settings

__all__ = ["Check", "DoctorReport", "guarded", "run_checks"]

OLDEST_PYTHON = (3, 11)
LEAST_MEMORY_GIB = 4
UI_PORT = 3000

_PACKAGES_THAT_MUST_AGREE = re.compile(r"(pyspark|delta-spark|deltalake|pandas|pandera|duckdb.*|dagster.*)")
_JARS_OF_PACKAGES = {"delta-spark": ("delta", "delta-spark_"), "pyspark": ("spark-kafka", "spark-sql-kafka-0-10_")}
"""The jar that has the version of a package: its set, and its name up to the versions of Spark and Scala."""
_GIB = 2**30


@dataclass(frozen=True)
class Check:
    """The finding of one check.

    Attributes:
        name: what was looked at, "Java".
        ok: whether it is good enough.
        found: what was seen.
        remedy: what to do about it; empty where nothing is to be done.
    """

    name: str
    ok: bool
    found: str
    remedy: str = ""


@dataclass(frozen=True)
class DoctorReport:
    """The object that `lakehouse doctor --json` prints.

    Attributes:
        version: of all reports in JSON.
        is_ready: whether every check is ok.
        checks: of the machine, the lake and the project.
    """

    version: int
    is_ready: bool
    checks: Sequence[Check]


def run_checks(settings: Settings) -> list[Check]:
    """Look at everything that the lakehouse needs of this machine.

    Args:
        settings: of the environment; its home need not exist yet.

    Returns:
        One check per thing, in the order in which they should be mended. A check that itself breaks counts as failed.
    """
    checks: list[tuple[str, Callable[[], Check]]] = [
        ("Python", check_python),
        ("packages", lambda: check_packages(settings.root / "requirements.lock")),
        ("Dagster", check_dagster),
        ("Java", check_java),
        ("jars", check_jars),
        ("Spark", check_spark_home),
        ("memory", check_memory),
        ("project", lambda: check_project_modules(settings)),
        ("tables", lambda: check_table_files(settings)),
        *extras("checks"),
        ("LAKEHOUSE_HOME", lambda: check_home(settings)),
        ("temporary folder", lambda: check_writable("temporary folder", Path(tempfile.gettempdir()))),
        *([("port", check_port)] if has_extra("dagster") else []),
    ]
    return [guarded(name, check) for name, check in checks]


def guarded(name: str, check: Callable[[], Check]) -> Check:
    """Return what a check finds, or that the check itself is broken."""
    try:
        found = check()
        return replace(found, remedy="") if found.ok else found
    except LakeError as problem:
        message = problem.message()
        return Check(name, ok=False, found=f"{message.where}: {message.what}", remedy=message.next_step)
    except Exception as problem:  # a doctor that falls ill hides all the other findings
        return Check(name, ok=False, found=f"{type(problem).__name__}: {problem}", remedy="make clean setup")


def check_python(version: tuple[int, ...] = sys.version_info[:3]) -> Check:
    """Check that Python is new enough."""
    oldest = ".".join(map(str, OLDEST_PYTHON))
    found = f"{'.'.join(map(str, version))} in {sys.prefix}"
    return Check("Python", version >= OLDEST_PYTHON, found, f"install Python {oldest} or newer, then make clean setup")


def check_packages(lock: Path) -> Check:
    """Check that packages that must agree are the pinned ones.

    They must agree with each other.
    """
    if not lock.is_file():
        return Check("packages", ok=True, found=f"no {lock} to compare with")
    wrong = list(_unlike_the_lock(lock))
    found = "; ".join(wrong) or "as pinned in requirements.lock"
    return Check("packages", not wrong, found, "make setup (it installs what requirements.lock pins)")


def _unlike_the_lock(lock: Path) -> Iterator[str]:
    pins = dict(re.findall(r"^([\w.-]+)(?:\[[^\]]*\])?==([^\s;\\]+)", lock.read_text(encoding="utf-8"), re.MULTILINE))
    for name, pinned in pins.items():
        if not _PACKAGES_THAT_MUST_AGREE.fullmatch(name):
            continue
        if (installed := _installed(name)) != pinned:
            yield f"{name} expected {pinned}, found {installed}"


def _installed(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "missing"


def check_dagster() -> Check:
    """Tell whether Dagster is installed, without which only some commands end.

    That is no failure, because tables run in batch and as streams without it.
    """
    if has_extra("dagster"):
        return Check("Dagster", ok=True, found=_installed("dagster"))
    how = ExtraNotInstalledError("dagster").message().next_step
    needs = "lakehouse refresh, lakehouse up, checks and schedules"
    return Check("Dagster", ok=True, found=f"not installed; it is for {needs}: {how}")


def check_java() -> Check:
    """Check that there is a Java that Spark runs on."""
    java = find_java()
    chosen = os.environ.get("JAVA_HOME")
    is_passed_over = bool(chosen) and Path(chosen or "").resolve() != java.home.resolve()
    note = f"; not JAVA_HOME={chosen}: Spark does not run on what is there" if is_passed_over else ""
    return Check("Java", ok=True, found=f"{java.version} in {java.home}{note}")


def check_jars(repository: Path | None = None, lock: Path = LOCK) -> Check:
    """Check that the Delta jars are there as pinned.

    They must be so byte for byte, and the pinned ones must be those of the installed packages.
    """
    if wrong := list(_unlike_their_packages(lock)):
        remedy = "make setup; if it does not help, write the package's version into lake/engine/jars.lock, then again"
        return Check("jars", ok=False, found="; ".join(wrong), remedy=remedy)
    verified = jars("delta", repository=repository, lock=lock)
    return Check("jars", ok=True, found=f"{len(verified)} verified in {repository or maven_cache()}")


def _unlike_their_packages(lock: Path) -> Iterator[str]:
    for package, (set_name, artifact) in _JARS_OF_PACKAGES.items():
        pinned = [jar.version for jar in jars_of(set_name, lock=lock) if jar.artifact.startswith(artifact)]
        if pinned != [installed := _installed(package)]:
            yield f"{package} is {installed}, its jar in jars.lock {', '.join(pinned) or 'missing'}"


def check_spark_home() -> Check:
    """Check that no other Spark gets between us and ours.

    No Spark, nor a configuration of one, that this machine has.
    """
    ours = importlib.metadata.version("pyspark")
    foreign = os.environ.get("SPARK_CONF_DIR")
    found = f"SPARK_CONF_DIR={foreign} changes every session" if foreign else f"pyspark {ours}"
    return Check("Spark", not foreign, found, "unset SPARK_CONF_DIR")


def check_memory() -> Check:
    """Check that there is enough memory for the driver and Dagster.

    Dagster runs beside the driver.
    """
    total = psutil.virtual_memory().total / _GIB
    remedy = f"{LEAST_MEMORY_GIB} GiB are needed; on less, refresh fewer days at once"
    return Check("memory", total >= LEAST_MEMORY_GIB, f"{total:.1f} GiB", remedy)


def check_project_modules(settings: Settings) -> Check:
    """Check that `import resources` gives the project's own package.

    Another wheel may bring one of that name.
    """
    prefer_own_packages(settings)
    own = [name for name in ("lake", settings.package, "resources", "sensors") if (settings.root / name).is_dir()]
    strangers = [
        f"{name} comes from {origin}" for name in own if not (origin := _origin(name)).is_relative_to(settings.root)
    ]
    remedy = "uninstall the package that brings it, or make clean setup"
    return Check("project", not strangers, "; ".join(strangers) or f"runs from {settings.root}", remedy)


def check_table_files(settings: Settings) -> Check:
    """Import every table file, because other commands leave out those that are broken."""
    tables, broken = open_tables(settings)
    to_mend = list({(one.file, one.line): one for one in reversed(broken)}.values())
    with_them = ", ".join(one.table for one in broken if one not in to_mend)
    named = [*map(str, to_mend), *([f"with them: {with_them}"] if with_them else [])]
    found = "; ".join(named) or f"{len(tables)} tables declared"
    return Check("tables", not broken, found, "mend that line; the other tables go on without it")


def _origin(module: str) -> Path:
    return Path(importlib.import_module(module).__file__ or "a folder without __init__.py").resolve()


def check_home(settings: Settings) -> Check:
    """Check that files can be made in the home.

    Where the project's file names it, the remedy is to make it, because a variable of a shell reaches no service.
    """
    found = check_writable("LAKEHOUSE_HOME", settings.home)
    refused = refuse_folder(settings.given, "home", settings.home, found.found)
    return found if found.ok or not refused.place else replace(found, remedy=refused.message().next_step)


def check_writable(name: str, folder: Path) -> Check:
    """Check that files can be made in a folder.

    Where the folder does not exist, in the nearest existing one above it.
    """
    folder = folder.absolute()
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    try:
        with tempfile.NamedTemporaryFile(dir=existing, prefix=".doctor-"):
            return Check(name, ok=True, found=str(folder))
    except OSError as problem:
        found = f"{folder} cannot be written: {problem.strerror or problem}"
        setting = "TMPDIR" if name == "temporary folder" else name
        return Check(name, ok=False, found=found, remedy=f"export {setting}=/a/folder/you/own")


def check_port(port: int = UI_PORT) -> Check:
    """Check that the port of the web UI is free on 127.0.0.1."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        if platform.system() != "Windows":  # there the option would let two servers share a port
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            remedy = f"stop what listens there, or choose another: lakehouse up --port {port + 1}"
            return Check("port", ok=False, found=f"127.0.0.1:{port} is in use", remedy=remedy)
    return Check("port", ok=True, found=f"127.0.0.1:{port} is free")
