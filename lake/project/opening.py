"""Open the lake of an environment, in one way for commands, assets and sensors."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence
from types import ModuleType

from pyspark.sql import SparkSession

from lake.declare.broken_files import BrokenFile, find_sinks, find_tables
from lake.declare.sink import Sink
from lake.declare.table import Table
from lake.engine.jars import fetch
from lake.engine.session import build_session
from lake.project.settings import Settings
from lake.write.store import DeltaStore

__all__ = ["open_session", "open_sinks", "open_store", "open_tables"]


def open_tables(settings: Settings) -> tuple[dict[str, Table], Sequence[BrokenFile]]:
    """Import the project's tables, upstream first, and find its broken files.

    Raises:
        BadSetting: there is no package of this name.
    """
    return find_tables(_package(settings))


def open_sinks(settings: Settings) -> tuple[dict[str, Sink], Sequence[BrokenFile]]:
    """Import the project's sinks, and find its broken files.

    Raises:
        BadSetting: there is no package of this name.
    """
    return find_sinks(_package(settings))


def _package(settings: Settings) -> ModuleType:
    """Import the package of the project.

    The project's own folder comes first, because another distribution may bring a package of the same name.

    Raises:
        BadSetting: there is no package of this name.
    """
    if str(settings.root) not in sys.path:
        sys.path.insert(0, str(settings.root))
    try:
        return importlib.import_module(settings.package)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{settings.package}.".startswith(f"{error.name}."):
            raise
        expected = f"a package that can be imported, as from {settings.root}"
        raise settings.refuse("package", settings.package, expected) from error


def open_session(settings: Settings) -> SparkSession:
    """Start Spark as these settings say, once in a process.

    Raises:
        JarMissing, JarDamaged, JavaMissing, JavaWrong: the machine is not set up; each names the remedy.
        Offline: the jars of Spark's Kafka source are not here and cannot be fetched.
    """
    jar_sets = ["delta"]
    if settings.feed == "kafka":
        fetch("spark-kafka", print)
        jar_sets.append("spark-kafka")
    return build_session(
        app_name="lakehouse",
        master=settings.spark_master,
        remote=settings.spark_remote,
        extra_conf=settings.spark,
        jar_sets=jar_sets,
    )


def open_store(
    settings: Settings,
    session: Callable[[], SparkSession] | None = None,
    on_wait: Callable[[str], None] | None = None,
) -> DeltaStore:
    """Open the tables of these settings without starting Spark.

    Spark starts when rows are first read or written through it.

    Args:
        settings: where tables and landing files lie, and which Spark computes.
        session: gives the session; the one of these settings by default.
        on_wait: told when a wait for another writer of a table begins; standard error by default.
    """
    store = DeltaStore(
        tables=settings.tables,
        landing=settings.landing,
        locks=settings.locks,
        session=session or (lambda: open_session(settings)),
        storage_options=settings.storage_options,
        lock_timeout_seconds=settings.lock_timeout_seconds,
    )
    if on_wait is not None:
        store.on_wait = on_wait
    return store
