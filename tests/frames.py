"""Streams of frames."""

from __future__ import annotations

from pathlib import Path

from pyspark.sql import DataFrame

__all__ = ["drained", "unbounded"]


def unbounded(rows: DataFrame, folder: Path, event_time: str | None = None, lateness: str = "3 hours") -> DataFrame:
    """The same rows as a stream, with a watermark on `event_time`."""
    rows.write.parquet(str(folder))
    stream = rows.sparkSession.readStream.schema(rows.schema).parquet(str(folder))
    return stream if event_time is None else stream.withWatermark(event_time, lateness)


def drained(stream: DataFrame, folder: Path, *, mode: str) -> DataFrame:
    """Everything that a stream gives until it has nothing more to read."""
    name = f"drained_{abs(hash(folder))}"
    writer = stream.writeStream.format("memory").queryName(name).outputMode(mode)
    writer.option("checkpointLocation", str(folder)).trigger(availableNow=True).start().awaitTermination()
    return stream.sparkSession.table(name)
