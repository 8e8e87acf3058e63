"""Make frames of literals, and literals of frames.

Tests of transforms are written with them. Times and dates are ISO text on both sides ("2024-03-01T10:15:00Z",
"2024-03-01"), so that an expected row reads like the row it came from and no host time zone gets in between.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import Any

import pyspark.sql.functions as F
import pyspark.sql.types as T
from pyspark.sql import DataFrame, SparkSession

from lake.declare.feed import Feed
from lake.declare.table import Table
from lake.write.enforce import enforce

__all__ = ["Row", "broken_rules", "frame", "rows_of", "stored", "verdicts"]

Shape = Table | Feed | T.StructType
Row = Mapping[str, Any]


def frame(spark: SparkSession, shape: Shape, rows: Iterable[Row] = ()) -> DataFrame:
    """Make a frame of literal rows.

    Args:
        spark: any session.
        shape: a table (its stored columns), a feed (the columns that bronze receives) or a schema.
        rows: values by column; a column that a row does not name is null. Times and dates may be ISO text.
    """
    schema = _schema(shape)
    known = set(schema.names)
    values = []
    for row in rows:
        assert set(row) <= known, f"no such columns: {sorted(set(row) - known)}; there are {sorted(known)}"
        values.append(tuple(_value(row.get(field.name), field.dataType) for field in schema.fields))
    return spark.createDataFrame(values, schema)


def rows_of(rows: DataFrame, *columns: str) -> list[dict[str, Any]]:
    """Give the rows as dictionaries in a stable order.

    Of these columns, or of all but lineage (`_...`).
    """
    names = list(columns) or [name for name in rows.columns if not name.startswith("_")]
    found = rows.select(*(_as_text(rows, name) for name in names)).collect()
    return sorted((row.asDict(recursive=True) for row in found), key=_in_order)


def broken_rules(table: Table, rows: DataFrame) -> list[str]:
    """List the rules that any of the rows breaks, each once, sorted."""
    table.contract.check_schema(rows, table.full_name)
    broken = rows.select(F.explode(table.contract.broken_rules()).alias("rule")).distinct().collect()
    return sorted(row["rule"] for row in broken)


def verdicts(table: Table, rows: DataFrame, *, by: str) -> dict[Any, list[str]]:
    """List the rules that each row breaks, by the value of one column."""
    table.contract.check_schema(rows, table.full_name)
    found = rows.select(F.col(by).alias("row"), table.contract.broken_rules().alias("rules")).orderBy(by).collect()
    return {row["row"]: list(row["rules"]) for row in found}


def stored(table: Table, rows: DataFrame) -> DataFrame:
    """Give the rows that the table would store.

    They are those that satisfy the contract, the first of each key.
    """
    return enforce(table, rows, None, partitions=1).accepted()


def _in_order(row: Row) -> list[tuple[bool, Any]]:
    return [(value is None, value if isinstance(value, int | float | str) else str(value)) for value in row.values()]


def _schema(shape: Shape) -> T.StructType:
    schema = shape.schema if isinstance(shape, Table | Feed) else shape
    return T.StructType([T.StructField(field.name, field.dataType) for field in schema.fields])


def _value(value: Any, dtype: T.DataType) -> Any:
    if isinstance(value, str) and isinstance(dtype, T.TimestampType):
        return datetime.fromisoformat(value)
    if isinstance(value, str) and isinstance(dtype, T.DateType):
        return date.fromisoformat(value)
    return value


def _as_text(rows: DataFrame, name: str) -> Any:
    dtype = rows.schema[name].dataType
    if isinstance(dtype, T.TimestampType):
        return F.date_format(name, "yyyy-MM-dd'T'HH:mm:ssX").alias(name)
    return F.col(name).cast("string").alias(name) if isinstance(dtype, T.DateType) else F.col(name)
