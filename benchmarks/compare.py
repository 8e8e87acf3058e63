"""Compare every table of two sides row by row, before any time counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError

from benchmarks.errors import SidesDiffer
from benchmarks.tables import PARTITIONED_BY

__all__ = ["TableSize", "compare_tables", "table_sizes"]

SHOWN_ROWS = 3


@dataclass(frozen=True)
class TableSize:
    """Rows and data files of one table, and its partition columns."""

    rows: int
    files: int
    partitioned_by: tuple[str, ...]


def table_sizes(home: Path, tables: Sequence[str]) -> dict[str, TableSize]:
    """Return the sizes of a side's tables, as their logs say.

    Raises:
        SidesDiffer: a table is missing, or is not partitioned as agreed.
    """
    return {name: _size(home, name) for name in tables}


def compare_tables(first: tuple[str, Path], second: tuple[str, Path], tables: Sequence[str]) -> None:
    """Compare the tables of two homes: columns, types and rows.

    The rows are compared as a multiset, numbers exactly.

    Args:
        first: a side and its home.
        second: another run, perhaps of the same side.
        tables: what to compare.

    Raises:
        SidesDiffer: naming the first table that differs, with rows of each side that the other lacks.
    """
    (one, one_home), (other, other_home) = first, second
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for table in tables:
            connection.register("one", _dataset(one_home, table))
            connection.register("other", _dataset(other_home, table))
            problem = _difference(connection, one, other)
            if problem:
                raise SidesDiffer(table, f"{one} and {other}", problem)


def _size(home: Path, table: str) -> TableSize:
    try:
        stored = DeltaTable(str(_path(home, table)))
    except TableNotFoundError as error:
        raise SidesDiffer(table, str(home), "the table was not written") from error
    columns = tuple(stored.metadata().partition_columns)
    if columns != PARTITIONED_BY[table]:
        raise SidesDiffer(table, str(home), f"partitioned by {columns}, agreed are {PARTITIONED_BY[table]}")
    return TableSize(stored.to_pyarrow_dataset().count_rows(), len(stored.file_uris()), columns)


def _difference(connection: duckdb.DuckDBPyConnection, one: str, other: str) -> str:
    described = {side: dict(_columns(connection, side)) for side in ("one", "other")}
    if described["one"] != described["other"]:
        return f"columns {described['one']} and {described['other']}"
    columns = ", ".join(f'"{name}"' for name in described["one"])
    parts = []
    for side, other_side, name in (("one", "other", one), ("other", "one", other)):
        extra = f"(SELECT {columns} FROM {side} EXCEPT ALL SELECT {columns} FROM {other_side})"
        (count,) = connection.execute(f"SELECT count(*) FROM {extra}").fetchone() or (0,)
        if count:
            rows = connection.execute(f"SELECT * FROM {extra} ORDER BY ALL LIMIT {SHOWN_ROWS}").fetchall()
            parts.append(f"{count:,} rows only in {name}, such as {'; '.join(map(str, rows))}")
    return "; ".join(parts)


def _columns(connection: duckdb.DuckDBPyConnection, side: str) -> list[tuple[str, str]]:
    return [(row[0], row[1]) for row in connection.execute(f"DESCRIBE {side}").fetchall()]


def _path(home: Path, table: str) -> Path:
    return home / "tables" / table.replace(".", "/")


def _dataset(home: Path, table: str) -> object:
    return DeltaTable(str(_path(home, table))).to_pyarrow_dataset()
