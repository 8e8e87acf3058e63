"""Count rows and sum their hashes, to compare both ends of a sink.

Rows of both ends are read in the columns of the contract and hashed here, a column at a time, by DuckDB. The hash of a
row mixes those of its values in the order of the contract. The sum over the rows of a day does not depend on their
order. All NaN are one value, as are both zeros (DuckDB may store -0 as 0); what is nested is hashed as its JSON text,
which is what a destination without nested types holds. Sums of different versions of DuckDB are not comparable.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa
from pyarrow import compute as pc

from lake.declare.days import Day
from lake.declare.nested import is_nested
from lake.declare.sql_text import quoted
from lake.declare.table import Table

if TYPE_CHECKING:
    import duckdb

__all__ = ["Sum", "json_text", "sums_in", "sums_of", "without_nulls"]

_NULL_FIELD = r',"([^"\\]|\\.)*":null'


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
    import duckdb  # a look at a lake sums nothing

    with duckdb.connect() as connection:
        connection.register("loaded", rows)
        return sums_in(connection, "loaded", rows.schema, table)


def sums_in(
    connection: duckdb.DuckDBPyConnection, name: str, schema: pa.Schema, table: Table, given: Sequence[object] = ()
) -> dict[Day, Sum]:
    """Sum the rows of a relation of DuckDB, as `sums_of` does.

    Args:
        connection: has it.
        name: of it, or of its rows `(SELECT ...)`.
        schema: the columns that count, in order.
        table: whose day they are summed by.
        given: the parameters of that relation.
    """
    values = ", ".join(_value(quoted(one.name), one.type) for one in schema)
    day = quoted(table.day) if table.day else "CAST(NULL AS DATE)"
    query = f"SELECT {day}, count(*), sum(hash({values})) FROM {name} GROUP BY ALL"
    connection.execute("SET TimeZone = 'UTC'")  # in which the JSON text of nested times is written
    found = connection.execute(query, list(given)).fetchall()
    return {day: Sum(int(count), int(total)) for day, count, total in found}


def json_text(rows: pa.Table, table: Table) -> pa.Table:
    """Write nested columns as JSON text, as the sum sees them."""
    nested = [one.name for one in table.contract.stored if is_nested(one.dtype)]
    if not nested:
        return rows
    import duckdb

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


def without_nulls(texts: pa.Table, table: Table) -> pa.Table:
    """Leave null fields out of nested columns that are JSON text.

    The first field of an object stays. So a text of before its struct got a field is equal to one that has null there.
    """
    for place, column in enumerate(table.contract.stored):
        if is_nested(column.dtype):
            said = pc.replace_substring_regex(texts[column.name], _NULL_FIELD, "")
            texts = texts.set_column(place, column.name, said)
    return texts


def _value(name: str, kind: pa.DataType) -> str:
    return f"CAST(to_json({name}) AS VARCHAR)" if pa.types.is_nested(kind) else name
