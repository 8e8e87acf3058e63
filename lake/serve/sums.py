"""Count rows and sum their hashes, to compare both ends of a sink.

Every destination can follow the rules.

A row is written as one text: its values in the order of the contract, texts behind their lengths and others before a
comma, so that no two rows share a text. Its hash is the first 60 bits of the text's MD5. The sum over the rows of a day
does not depend on their order.

    null                    - for texts, else nothing
    boolean                 0 or 1
    whole number, decimal   its digits; a decimal with all of its scale
    double, float           the bits of the double as a whole number; one NaN for all, and one zero (DuckDB may
                            store -0 as 0)
    date, timestamp         days and microseconds since 1970, UTC
    text                    as it is
    bytes                   in hexadecimal digits
    array, map, struct      as JSON, as DuckDB writes it
"""

from __future__ import annotations

from typing import NamedTuple

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lake.declare.days import Day
from lake.declare.nested import is_nested
from lake.declare.sql_text import quoted
from lake.declare.table import Table

__all__ = ["NAN", "Sum", "json_text", "sums_of", "text_of"]

NAN = 0x7FF8000000000000
"""The bits of every NaN."""


class Sum(NamedTuple):
    """The rows of a day and the sum of their hashes, to compare."""

    rows: int
    checksum: int

    def __str__(self) -> str:
        return f"{self.rows:,} rows, checksum {self.checksum:x}"


def sums_of(rows: pa.Table, table: Table) -> dict[Day, Sum]:
    """Sum rows in the columns of the contract, by day.

    None stands for a table without days. Days without rows are left out.
    """
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.register("loaded", _with_bits(rows))
    text = " || ".join(_text(one.name, one.type) for one in rows.schema)
    digits = f"CAST('0x' || substr(md5({text}), 1, 15) AS BIGINT)"
    day = quoted(table.day) if table.day else "CAST(NULL AS DATE)"
    found = connection.execute(f"SELECT {day}, count(*), sum({digits}) FROM loaded GROUP BY ALL").fetchall()
    connection.close()
    return {day: Sum(int(count), int(total)) for day, count, total in found}


def json_text(rows: pa.Table, table: Table) -> pa.Table:
    """Write nested columns as JSON text, as the sum sees them."""
    nested = [one.name for one in table.contract.stored if is_nested(one.dtype)]
    if not nested:
        return rows
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.register("loaded", rows)
    names = ", ".join(
        f"CAST(to_json({quoted(name)}) AS VARCHAR) AS {quoted(name)}" if name in nested else quoted(name)
        for name in rows.schema.names
    )
    found = connection.execute(f"SELECT {names} FROM loaded").to_arrow_table()
    connection.close()
    wanted = [pa.field(one.name, pa.string() if one.name in nested else one.type, one.nullable) for one in rows.schema]
    return found.cast(pa.schema(wanted))


def _with_bits(rows: pa.Table) -> pa.Table:
    """Put the bits of doubles in their place."""
    for place, one in enumerate(rows.schema):
        if pa.types.is_floating(one.type):
            rows = rows.set_column(place, one.name, _bits(rows[one.name]))
    return rows


def _bits(column: pa.ChunkedArray) -> pa.Array:
    doubles = pa.chunked_array(column).cast(pa.float64()).combine_chunks()
    bits = 0.0 + np.nan_to_num(
        pc.fill_null(doubles, 0.0).to_numpy(zero_copy_only=False), nan=0.0, posinf=np.inf, neginf=-np.inf
    )
    found = pa.array(bits.view(np.int64), pa.int64())
    return pc.if_else(pc.is_null(doubles), pa.scalar(None, pa.int64()), pc.if_else(pc.is_nan(doubles), NAN, found))


def _text(name: str, kind: pa.DataType) -> str:
    return text_of(_value(quoted(name), kind), kind)


def text_of(value: str, kind: pa.DataType) -> str:
    """Write in SQL what a value adds to the text of its row.

    The value of a text may hold any character, so that its length has to say where it ends.

    Args:
        value: an expression that gives it as text.
        kind: its type.
    """
    if pa.types.is_string(kind) or pa.types.is_nested(kind):
        return f"coalesce(length({value}) || ':' || {value}, '-')"
    return f"coalesce({value}, '') || ','"


def _value(name: str, kind: pa.DataType) -> str:
    if pa.types.is_boolean(kind):
        return f"CAST(CAST({name} AS INTEGER) AS VARCHAR)"
    if pa.types.is_date(kind):
        return f"CAST(({name} - DATE '1970-01-01') AS VARCHAR)"
    if pa.types.is_timestamp(kind):
        return f"CAST(epoch_us({name}) AS VARCHAR)"
    if pa.types.is_binary(kind):
        return f"lower(hex({name}))"
    if pa.types.is_nested(kind):
        return f"CAST(to_json({name}) AS VARCHAR)"
    return f"CAST({name} AS VARCHAR)"
