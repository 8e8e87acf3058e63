"""Read files of a feed, and say when they landed.

A copy or a restore changes the times of files, and no row. So of a file that was read before, and is still the same,
the time counts that the ledger noted first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta

import pyspark.sql.functions as F
import pyspark.sql.types as T
from pyspark.sql import DataFrame, SparkSession

from lake.declare.feed import Feed
from lake.declare.formats import decoded
from lake.storage.landed_files import LandedFile, Mark
from lake.storage.store_path import AnyPath, StorePath

__all__ = ["Marks", "read_files"]

Marks = Mapping[str, Mapping[str, Mark]]
"""The marks of files by landing day and name."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NOTED = T.StructType(
    [
        T.StructField("landed_on", T.DateType()),
        T.StructField("_name", T.StringType()),
        T.StructField("_noted_at", T.TimestampType()),
    ]
)


def read_files(
    spark: SparkSession,
    feed: Feed,
    files: Mapping[date, Mapping[str, LandedFile]],
    marks: Marks | None,
) -> DataFrame:
    """Read files with the times at which they landed.

    With marks only those that have one, because another file may have landed after all were noted.
    """
    if marks is not None:
        files = {day: {n: f for n, f in found.items() if n in marks[str(day)]} for day, found in files.items()}
    paths = [file.path for by_name in files.values() for file in by_name.values()]
    if not paths:
        return spark.createDataFrame([], feed.schema)
    return _as_first_read(feed.read(spark, paths), feed, files, marks or {})


def _as_first_read(
    rows: DataFrame,
    feed: Feed,
    files: Mapping[date, Mapping[str, LandedFile]],
    marks: Marks,
) -> DataFrame:
    """Give rows of files with the times at which these landed.

    Costs a job of its own only where a file has another time than was noted.

    Args:
        rows: what the feed read.
        feed: whose files.
        files: those that were read, by day and name.
        marks: what was noted of them, by day and name.
    """
    if "_landed_at" not in rows.columns:
        return rows
    if any(isinstance(file.path, StorePath) for by_name in files.values() for file in by_name.values()):
        rows = rows.withColumn("_landed_at", F.date_trunc("second", "_landed_at"))
    noted = [
        (day, name, _EPOCH + timedelta(milliseconds=at))
        for day, by_name in files.items()
        for name, at in _other_times(by_name, marks.get(str(day)) or {})
    ]
    if not noted:
        return rows
    named = rows.withColumn("_name", decoded(F.col("file")) if feed.pattern is None else F.col("file"))
    times = F.broadcast(rows.sparkSession.createDataFrame(noted, _NOTED))
    both = named.join(times, on=["landed_on", "_name"], how="left")
    return both.withColumn("_landed_at", F.coalesce("_noted_at", "_landed_at")).select(*rows.columns)


def _other_times(files: Mapping[str, LandedFile], marks: Mapping[str, Mark]) -> Iterator[tuple[str, int]]:
    """Give the noted times of files that have another one now."""
    for name, file in files.items():
        noted = _landed_ms(file.path, marks[name][1]) if name in marks else None
        if noted is not None and noted != _landed_ms(file.path, file.modified_ns):
            yield name, noted


def _landed_ms(path: AnyPath, modified_ns: int) -> int:
    """Return a time as finely as Spark tells it too, in milliseconds.

    An object store tells seconds; a fraction is what `lake.storage.object_folder` adds.
    """
    return modified_ns // 10**9 * 1000 if isinstance(path, StorePath) else modified_ns // 10**6
