"""Read the JSON that bronze kept, strictly and without ever failing.

Numbers are read with their JSON type, text as text, objects and lists as nested columns. What cannot be read is null
and flagged by `json_errors`, so that the contract rejects the row; an exception would stop every row of the batch.
Fields that the table does not know are kept by `with_rescued`. Only pure column and frame functions.
"""

from __future__ import annotations

from collections.abc import Iterator

import pyspark.sql.functions as F
import pyspark.sql.types as T
from pyspark.sql import Column, DataFrame

from lake.declare.contract import Contract, Field

__all__ = ["ReadableJson", "Rescued", "json_errors", "read_lines", "read_messages", "with_rescued"]

_UNREADABLE = "_unreadable"
_OPTIONS = {
    "mode": "PERMISSIVE",
    "columnNameOfCorruptRecord": _UNREADABLE,
    "allowSingleQuotes": "false",
    "allowNonNumericNumbers": "false",
}
_FLAT_OBJECT = r"^\s*\{[^{}]*\}\s*$"
"""One object without another: most messages, and quick to see."""
_ANY_FIELDS = "map<string,variant>"


class ReadableJson(Contract):
    """A row that was read from JSON."""

    json_errors: T.IntegerType = Field(
        description="1 if it was not one JSON object whose values are of the right kind",
        eq=0,
        metadata={"stored": False},
    )


class Rescued(Contract):
    """A row that keeps the fields which its table does not know."""

    rescued: T.StringType = Field(
        alias="_rescued",
        nullable=True,
        description="JSON object of the fields that the table does not know, a nested one by its path; null: none",
    )


def read_messages(events: DataFrame, fields: str) -> DataFrame:
    """Parse the body of topic messages.

    Args:
        events: rows of a bronze topic table; may be unbounded.
        fields: the body's fields as Spark DDL, "number INT, customer STRUCT<name: STRING>, lines ARRAY<INT>".

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
    """Parse the records of files, whatever their format.

    Args:
        lines: rows of a bronze file table.
        fields: the record's fields as Spark DDL; of CSV all are STRING.

    Returns:
        `said` (a struct of these fields; see `json_errors`) and the lineage columns `_event_date`, `_raw`, `_file`,
        `_line_number`, `_landed_on`, `_landed_at`. An unknown time of landing comes before all that are known.
    """
    return lines.select(
        _parse(F.col("line"), fields).alias("said"),
        F.col("event_date").alias("_event_date"),
        F.col("line").alias("_raw"),
        *(F.col(name).alias(f"_{name}") for name in ("file", "line_number", "landed_on")),
        _known_landing(lines).alias("_landed_at"),
    )


def _known_landing(lines: DataFrame) -> Column:
    """Give when a line's file landed, which is 1970 where nothing says it.

    A table that was written before bronze kept the time, or that was declared by hand, does not say it.
    """
    unknown = F.timestamp_seconds(F.lit(0))
    return F.coalesce("landed_at", unknown) if "landed_at" in lines.columns else unknown


def json_errors() -> Column:
    """Give 1 where `said` is not one well-formed JSON object, else 0."""
    is_broken = F.col("said").isNull() | F.col(f"said.{_UNREADABLE}").isNotNull()
    return F.when(is_broken, 1).otherwise(0)


def with_rescued(rows: DataFrame) -> DataFrame:
    """Add `_rescued`, the fields of `_raw` that `said` lacks, as JSON.

    Null where there are none. A field of an object within is named by its path, `customer.birthday`. Objects within
    lists are not looked into: bronze has them. An object that names a field twice is kept whole.

    Args:
        rows: what `read_messages` or `read_lines` gave.
    """
    known = rows.schema["said"].dataType
    assert isinstance(known, T.StructType)
    text = F.try_parse_json("_raw")
    unknown = F.map_concat(*_unknown(text, known, ""))
    kept = F.when(F.size(unknown) > 0, F.to_json(unknown))
    return rows.withColumn("_rescued", F.when(text.isNull(), F.col("_raw")).otherwise(kept))


def _unknown(value: Column, known: T.StructType, path: str) -> Iterator[Column]:
    """Give the fields that a struct lacks, as maps by path."""
    names = [field.name for field in known.fields]
    fields = F.try_variant_get(value, "$", _ANY_FIELDS)
    found = F.map_filter(fields, lambda name, _: ~name.isin(names))
    named = F.transform_keys(found, lambda name, _: F.concat(F.lit(path), name)) if path else found
    yield F.coalesce(named, F.create_map().cast(_ANY_FIELDS))
    for field in known.fields:
        if isinstance(field.dataType, T.StructType):
            yield from _unknown(fields.getItem(field.name), field.dataType, f"{path}{field.name}.")


def _parse(text: Column, fields: str) -> Column:
    is_object = text.rlike(_FLAT_OBJECT) | (text.rlike(r"^\s*\{") & _is_one_value(text))
    return F.from_json(F.when(is_object, text), f"{fields}, {_UNREADABLE} STRING", _OPTIONS)


def _is_one_value(text: Column) -> Column:
    """Tell whether a text is one JSON value, and no more.

    Spark's parser stops at the end of the first and ignores the rest. So the text is put into an object before a field
    whose name no text can hold: a hash of it. The object has these two fields if the text neither ends the object nor
    adds a field to it.
    """
    name = F.xxhash64(text).cast("string")
    whole = F.concat(F.lit('{"value":'), text, F.lit(',"'), name, F.lit('":0}'))
    return F.coalesce(F.json_object_keys(whole) == F.array(F.lit("value"), name), F.lit(False))
