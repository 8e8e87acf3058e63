"""Measure the time between two columns."""

import pyspark.sql.functions as F
from pyspark.sql import Column

__all__ = ["seconds_between", "whole_minutes_between"]


def seconds_between(start: str, end: str) -> Column:
    """Return whole seconds from one timestamp column to another.

    BIGINT, rounded down; negative if `end` is earlier.
    """
    return F.floor((F.unix_micros(F.col(end)) - F.unix_micros(F.col(start))) / 1_000_000)


def whole_minutes_between(start: str, end: str) -> Column:
    """Return whole minutes from one timestamp column to another.

    INT, rounded down; negative if `end` is earlier.
    """
    return F.floor((F.unix_micros(F.col(end)) - F.unix_micros(F.col(start))) / 60_000_000).cast("int")
