"""As-of joins for features: what was known about an airport at a moment.

A union of moments and events, sorted once per airport and day: no row is compared with every other. An event is
repeated in each day in which a later moment can still look back on it, so that airport-days run in parallel.
"""

from datetime import timedelta

import pyspark.sql.functions as F
from pyspark.sql import Column, DataFrame, Window, WindowSpec

__all__ = ["latest", "merge_events", "total_within"]

_MICROSECOND = timedelta(microseconds=1)


def merge_events(moments: DataFrame, *events: DataFrame, reach: timedelta) -> DataFrame:
    """Bring moments and events of airports into one frame.

    `total_within` and `latest` look back on it.

    Args:
        moments: `airport`, `at`, and any other columns; these come back as the struct `moment`.
        events: each with `airport`, `at`, and columns of its own, which are null in all other rows.
        reach: how far back a moment looks; less than a day.

    Returns:
        `airport`, `at`, `bucket_on`, `moment` (null in rows that are events) and the events' columns.
    """
    merged = moments.select("airport", "at", F.struct("*").alias("moment"), F.to_date("at").alias("bucket_on"))
    for happened in events:
        seen = happened.withColumn("bucket_on", F.explode(_days_seen(F.col("at"), reach)))
        merged = merged.unionByName(seen, allowMissingColumns=True)
    return merged


def total_within(total: Column, reach: timedelta) -> Column:
    """Return a count or a sum over an airport's rows of the last `reach`.

    It is one of integers, from `reach` before a row to the row's own time, both included. The difference of two running
    totals: linear, where Spark would add up a sliding frame anew for each row.
    """
    until_now = total.over(_history())
    until_reach = total.over(_history(until=reach + _MICROSECOND))
    return F.coalesce(until_now, F.lit(0)) - F.coalesce(until_reach, F.lit(0))


def latest(value: Column) -> Column:
    """Return the value of the airport's last row that has one.

    Up to a row's own time; the value may be older than `reach`.
    """
    return F.last(value, ignorenulls=True).over(_history())


def _history(until: timedelta = timedelta(0)) -> WindowSpec:
    by_time = Window.partitionBy("airport", "bucket_on").orderBy(F.unix_micros("at"))
    return by_time.rangeBetween(Window.unboundedPreceding, -(until // _MICROSECOND))


def _days_seen(at: Column, reach: timedelta) -> Column:
    until = F.timestamp_micros(F.unix_micros(at) + reach // _MICROSECOND)
    return F.array_distinct(F.array(F.to_date(at), F.to_date(until)))
