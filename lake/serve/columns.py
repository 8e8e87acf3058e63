"""Make, compare and describe the tables of a warehouse, and note loads beside them.

All warehouses have this in common.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

import pyarrow as pa

from lake.declare.days import Day
from lake.declare.sink import Sink
from lake.declare.sql_text import literal, quoted
from lake.declare.table import Table
from lake.errors import DestinationDrift
from lake.serve.sums import Sum
from lake.serve.target import Load

__all__ = ["LOADS", "MAKE_LOADS", "comments_on", "creation_of", "lacking_columns", "notes_of", "sums_noted"]

LOADS = "lakehouse.loads"
MAKE_LOADS = (
    "CREATE SCHEMA IF NOT EXISTS lakehouse",
    f"CREATE TABLE IF NOT EXISTS {LOADS} (sink text NOT NULL, day date, table_id text NOT NULL, "
    'version bigint NOT NULL, "commit" text NOT NULL, "rows" bigint NOT NULL, checksum text NOT NULL, '
    "loaded_at timestamptz NOT NULL DEFAULT now())",
)

_NOTES = pa.schema(
    [
        ("sink", pa.string()),
        ("day", pa.date32()),
        ("table_id", pa.string()),
        ("version", pa.int64()),
        ("commit", pa.string()),
        ("rows", pa.int64()),
        ("checksum", pa.string()),
    ]
)
"""Columns of the table `lakehouse.loads`."""


def notes_of(name: str, loaded: Mapping[Day, Load]) -> pa.Table:
    """Write what was loaded as rows of `lakehouse.loads`."""
    rows = [{"sink": name, "day": day, **load.as_dict()} for day, load in loaded.items()]
    return pa.Table.from_pylist(rows, schema=_NOTES)


def sums_noted(loaded: Mapping[Day, Load], days: Collection[Day]) -> dict[Day, Sum]:
    """Return what was noted of some days, to compare.

    Days without rows are left out.
    """
    return {day: Sum(loaded[day].rows, int(loaded[day].checksum)) for day in days if loaded[day].rows}


def creation_of(name: str, table: Table, kinds: Mapping[str, object]) -> str:
    """Write the statement that makes a table as its contract says.

    Args:
        name: quoted.
        table: with the contract and the key.
        kinds: column -> type of the warehouse.
    """
    stored = table.contract.stored
    columns = [f"{quoted(c.name)} {kinds[c.name]}{'' if c.nullable else ' NOT NULL'}" for c in stored]
    return f"CREATE TABLE {name} ({', '.join(columns)}, PRIMARY KEY ({', '.join(map(quoted, table.key))}))"


def comments_on(name: str, table: Table) -> Iterator[str]:
    """Write the statements that describe a table and its columns as the contract does."""
    what = table.description.partition("\n")[0]
    yield f"COMMENT ON TABLE {name} IS {literal(what)}"
    for column in table.contract.stored:
        yield f"COMMENT ON COLUMN {name}.{quoted(column.name)} IS {literal(column.description)}"


def lacking_columns(
    sink: Sink, stored: Mapping[str, str], wanted: Mapping[str, str], where: str = "", grown: Collection[str] = ()
) -> list[str]:
    """Find the nullable columns that a destination lacks.

    Args:
        sink: whose destination it is.
        stored: column -> type, as it is.
        wanted: column -> type, as the contract says.
        where: put before each difference.
        grown: columns whose type may differ, because structs in them get fields.

    Raises:
        DestinationDrift: the columns differ otherwise.
    """
    nullable = {column.name for column in sink.shown.contract.stored if column.nullable}
    taken = {name: wanted.get(name, kind) if name in grown else kind for name, kind in stored.items()}
    if differences := _find_differences(taken, wanted, nullable):
        raise DestinationDrift(sink.full_name, [f"{where}{one}" for one in differences])
    return [name for name in wanted if name not in stored]


def _find_differences(stored: Mapping[str, str], wanted: Mapping[str, str], nullable: Collection[str]) -> list[str]:
    """Say how columns differ beyond nullable ones that are lacking.

    Args:
        stored: column -> type, as it is.
        wanted: column -> type, as the contract says.
        nullable: columns that the contract lets be null.
    """
    other = [
        f"{name} is {kind} there and {wanted[name]} in the contract"
        for name, kind in stored.items()
        if wanted.get(name, kind) != kind
    ]
    extra = [f"{name} is not in the contract" for name in stored if name not in wanted]
    lacking = [f"{name} is missing and not nullable" for name in wanted if name not in stored and name not in nullable]
    return [*other, *extra, *lacking]
