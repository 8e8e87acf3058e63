"""As-of joins for features: what was known about an airport at a moment.

A union of moments and events, sorted once per airport and day: no row is compared with every other. An event is
repeated in each day in which a later moment can still look back on it, so that airport-days run in parallel.
"""

from datetime import timedelta

import pyspark.sql.functions as F
from pyspark.sql import Column, DataFrame, Window, WindowSpec

__all__ = ["looking_back", "merge_events"]

_MOMENT = "moment"


def merge_events(moments: DataFrame, *events: DataFrame, reach: timedelta) -> DataFrame:
    """Bring moments and events of airports into one frame, on which `looking_back` can compute.

    Args:
        moments: `airport`, `at`, and any other columns; these come back as the struct `moment`.
        events: each with `airport`, `at`, and columns of its own, which are null in all other rows.
        reach: how far back a moment looks; less than a day.

    Returns:
        `airport`, `at`, `at_micros`, `bucket_on`, `moment` (null in rows that are events) and the events' columns.
    """
    asked = moments.select("airport", "at", F.struct("*").alias(_MOMENT), F.to_date("at").alias("bucket_on"))
    for happened in events:
        asked = asked.unionByName(_in_reachable_days(happened, reach), allowMissingColumns=True)
    return asked.withColumn("at_micros", F.unix_micros("at"))


def looking_back(reach: timedelta) -> WindowSpec:
    """Rows of the same airport from `reach` before a row's own time to that time, both ends included."""
    reach_micros = reach // timedelta(microseconds=1)
    by_time = Window.partitionBy("airport", "bucket_on").orderBy("at_micros")
    return by_time.rangeBetween(-reach_micros, Window.currentRow)


def _in_reachable_days(events: DataFrame, reach: timedelta) -> DataFrame:
    return events.withColumn("bucket_on", F.explode(_days_seen(F.col("at"), reach)))


def _days_seen(at: Column, reach: timedelta) -> Column:
    until = F.timestamp_micros(F.unix_micros(at) + reach // timedelta(microseconds=1))
    return F.array_distinct(F.array(F.to_date(at), F.to_date(until)))
