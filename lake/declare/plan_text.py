"""Read the analyzed plan of a frame as text.

Spark shows a plan to Python in no other way than to print it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from threading import Lock

from pyspark.sql import DataFrame, SparkSession

__all__ = ["analyzed_plan"]

_HEADING, _NEXT_HEADING = "== Analyzed Logical Plan ==", "== Optimized Logical Plan =="
_FIELDS_SHOWN = "spark.sql.debug.maxToStringFields"
_ALL = "100000"
_ONE_AT_A_TIME = Lock()
"""What is printed is caught for the whole process: two threads would get the plans of each other."""


def analyzed_plan(rows: DataFrame) -> str:
    """Return the analyzed plan in full, without running a job."""
    printed = StringIO()
    with _ONE_AT_A_TIME, _shown_in_full(rows.sparkSession), redirect_stdout(printed):
        rows.explain(mode="extended")
    return printed.getvalue().split(_HEADING)[1].split(_NEXT_HEADING)[0]


@contextmanager
def _shown_in_full(spark: SparkSession) -> Iterator[None]:
    """Let Spark print lists to their ends.

    Otherwise it leaves out what comes after 25 columns, and their expressions.
    """
    before = spark.conf.get(_FIELDS_SHOWN)
    spark.conf.set(_FIELDS_SHOWN, _ALL)
    try:
        yield
    finally:
        spark.conf.set(_FIELDS_SHOWN, str(before))
