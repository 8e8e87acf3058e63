"""Read the JSON that bronze kept: strictly, without ever failing on it.

Numbers are read with their JSON type, text as text. What cannot be read is null and flagged by `json_errors`, so that
the contract rejects the row; an exception would stop every row of the batch. Only pure column and frame functions.
"""

from __future__ import annotations

import pyspark.sql.functions as F
import pyspark.sql.types as T
from pandera.pyspark import Field
from pyspark.sql import Column, DataFrame

from lake.declare.contract import Contract

__all__ = [
    "ReadableJson",
    "json_errors",
    "read_lines",
    "read_messages",
]

_UNREADABLE = "_unreadable"
_OPTIONS = {
    "mode": "PERMISSIVE",
    "columnNameOfCorruptRecord": _UNREADABLE,
    "allowSingleQuotes": "false",
    "allowNonNumericNumbers": "false",
}
# Spark's parser stops at the end of the first object and ignores the rest; this does not let it.
_ONE_FLAT_OBJECT = r"^\s*\{[^{}]*\}\s*$"


class ReadableJson(Contract):
    """A row that was read from JSON."""

    json_errors: T.IntegerType = Field(
        description="1 if it was not one flat JSON object whose numbers are numbers", eq=0, metadata={"stored": False}
    )


def read_messages(events: DataFrame, fields: str) -> DataFrame:
    """Parse the body of topic messages.

    Args:
        events: rows of a bronze topic table; may be unbounded.
        fields: the body's fields as Spark DDL, "order INT, customer STRING".

    Returns:
        `said` (a struct of these fields; see `json_errors`) and the lineage columns `_event_date`, `_raw`, `_topic`,
        `_partition`, `_offset`, `_timestamp`.
    """
    return events.select(
        _parse(F.col("value"), fields).alias("said"),
        F.col("event_date").alias("_event_date"),
        F.col("value").alias("_raw"),
        *(F.col(name).alias(f"_{name}") for name in ("topic", "partition", "offset", "timestamp")),
    )


def read_lines(lines: DataFrame, fields: str) -> DataFrame:
    """Parse the lines of files.

    Args:
        lines: rows of a bronze file table.
        fields: the line's fields as Spark DDL.

    Returns:
        `said` (a struct of these fields; see `json_errors`) and the lineage columns `_event_date`, `_raw`, `_file`,
        `_line_number`, `_landed_on`.
    """
    return lines.select(
        _parse(F.col("line"), fields).alias("said"),
        F.col("event_date").alias("_event_date"),
        F.col("line").alias("_raw"),
        *(F.col(name).alias(f"_{name}") for name in ("file", "line_number", "landed_on")),
    )


def json_errors() -> Column:
    """1 where `said` is not one flat JSON object whose numbers are numbers of the right kind, else 0."""
    is_broken = F.col("said").isNull() | F.col(f"said.{_UNREADABLE}").isNotNull()
    return F.when(is_broken, 1).otherwise(0)


def _parse(text: Column, fields: str) -> Column:
    flat = F.when(text.rlike(_ONE_FLAT_OBJECT), text)
    return F.from_json(flat, f"{fields}, {_UNREADABLE} STRING", _OPTIONS)
