"""Open the lake of an environment, in one way for commands, assets and sensors."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from threading import Lock, Thread
from types import ModuleType

from pyspark.sql import SparkSession

from lake.declare.broken_files import BrokenFile, find_sinks, find_tables
from lake.declare.sink import Sink
from lake.declare.table import Table
from lake.engine.compiling import Work
from lake.project.settings import Settings
from lake.storage.s3 import JAR_SET, S3, options_of
from lake.storage.store_path import AnyPath, open_path
from lake.write.store import DeltaStore

__all__ = [
    "open_checkpoints",
    "open_session",
    "open_sinks",
    "open_store",
    "open_tables",
    "prefer_own_packages",
    "start_session_beside",
]


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


def prefer_own_packages(settings: Settings) -> None:
    """Let packages of the project's folder be imported before others.

    Another distribution may bring a package of the same name, and the project need not be installed.
    """
    if str(settings.root) not in sys.path:
        sys.path.insert(0, str(settings.root))


def _package(settings: Settings) -> ModuleType:
    """Import the package of the project.

    Raises:
        BadSetting: there is no package of this name.
    """
    prefer_own_packages(settings)
    try:
        return importlib.import_module(settings.package)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{settings.package}.".startswith(f"{error.name}."):
            raise
        expected = f"a package that can be imported, as from {settings.root}"
        raise settings.refuse("package", settings.package, expected) from error


_ONE_AT_A_TIME = Lock()


def open_session(settings: Settings, work: Work = Work.MUCH) -> SparkSession:
    """Start Spark as these settings say, once in a process.

    Who asks while another thread starts it waits for that.

    Args:
        settings: of the environment.
        work: of the process; where Spark runs already, this changes nothing.

    Raises:
        JarMissing, JarDamaged, JavaMissing, JavaWrong: the machine is not set up; each names the remedy.
        Offline: the jars of Spark's Kafka source, or of S3, are not here and cannot be fetched.
    """
    with _ONE_AT_A_TIME:
        return _start_session(settings, work)


def start_session_beside(settings: Settings, work: Work) -> None:
    """Start Spark in a thread, before anybody else can.

    Code that needs the session waits for it, or meets its error.
    """
    _ONE_AT_A_TIME.acquire()

    def start() -> None:
        try:
            with suppress(Exception):
                _start_session(settings, work)
        finally:
            _ONE_AT_A_TIME.release()

    Thread(target=start, name="start Spark", daemon=True).start()
    Thread(target=_import_used_first, name="import what is used first", daemon=True).start()


def _import_used_first() -> None:
    """Import what is used first, while the JVM starts.

    The first contract imports pandera, and the first call to the JVM PySpark's helpers for tests.
    """
    import pandera.pyspark  # noqa: F401
    import pyspark.testing.utils  # noqa: F401


def _start_session(settings: Settings, work: Work) -> SparkSession:
    from lake.engine.jars import fetch  # which no look at a lake needs
    from lake.engine.session import build_session

    places = (settings.tables, settings.checkpoints, str(settings.landing.location))
    store = next((found for place in places if (found := s3_of(settings, place))), None)
    on_request = [
        name for name, is_needed in {"spark-kafka": settings.feed == "kafka", JAR_SET: store}.items() if is_needed
    ]
    for name in on_request:
        fetch(name, print)
    os.environ.update(store.keys if store else {})
    return build_session(
        app_name="lakehouse",
        master=settings.spark_master,
        remote=settings.spark_remote,
        extra_conf={**(store.spark if store else {}), **settings.spark},
        jar_sets=["delta", *on_request],
        work=work,
    )


def s3_of(settings: Settings, location: str) -> S3 | None:
    """Return the options of a place on S3, None of any other."""
    return S3.of(location, settings.storage_options, os.environ)


def open_checkpoints(settings: Settings) -> AnyPath:
    """Open the folder of the streams' checkpoints.

    Raises:
        StorageUnreachable, StorageRefused, BucketMissing: it lies in an object store that cannot be used.
    """
    return open_path(settings.checkpoints, options_of(settings.checkpoints, settings.storage_options))


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
        storage_options=options_of(settings.tables, settings.storage_options),
        lock_timeout_seconds=settings.lock_timeout_seconds,
    )
    if on_wait is not None:
        store.on_wait = on_wait
    return store
