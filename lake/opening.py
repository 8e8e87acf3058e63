"""Open the lake of an environment, in one way for commands, assets and sensors."""

from __future__ import annotations

from collections.abc import Callable

from pyspark.sql import SparkSession

from lake.jars import fetch
from lake.session import build_session
from lake.settings import Settings
from lake.store import DeltaStore

__all__ = ["open_session", "open_store"]


def open_session(settings: Settings) -> SparkSession:
    """Start the Spark session of these settings, or return the one that this process has.

    Raises:
        JarMissing, JarDamaged, JavaMissing, JavaWrong: the machine is not set up; each names the remedy.
        Offline: the jars of Spark's Kafka source are not here and cannot be fetched.
    """
    jar_sets = ["delta"]
    if settings.feed == "kafka":
        fetch("spark-kafka", print)
        jar_sets.append("spark-kafka")
    return build_session(
        app_name="lakehouse", master=settings.spark_master, remote=settings.spark_remote, jar_sets=jar_sets
    )


def open_store(
    settings: Settings,
    session: Callable[[], SparkSession] | None = None,
    on_wait: Callable[[str], None] | None = None,
) -> DeltaStore:
    """Open the tables of these settings; Spark starts when rows are first read or written.

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
