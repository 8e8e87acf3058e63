"""Change settings of a session for a while."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from pyspark.sql import SparkSession

__all__ = ["set_all", "settings_meanwhile"]


@contextmanager
def settings_meanwhile(spark: SparkSession, settings: Mapping[str, str]) -> Iterator[None]:
    """Set what a session does, and give it back as it was."""
    before = {name: spark.conf.get(name, None) for name in settings}
    set_all(spark, settings)
    try:
        yield
    finally:
        set_all(spark, before)


def set_all(spark: SparkSession, settings: Mapping[str, str | None]) -> None:
    """Set settings of a session, and take back those that are None."""
    for name, value in settings.items():
        if value is None:
            spark.conf.unset(name)
        else:
            spark.conf.set(name, value)
