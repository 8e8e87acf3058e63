"""Say in SQL which rows files of a table hold, for DuckDB to read them where they lie."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

from lake.declare.sql_text import quoted
from lake.serve.arrow_schema import names_and_types

if TYPE_CHECKING:
    import duckdb

__all__ = ["column_types", "read_files", "rows_of_file", "rows_of_files"]


def column_types(connection: duckdb.DuckDBPyConnection, schema: pa.Schema) -> dict[str, str]:
    """Return what DuckDB calls the types of columns."""
    kinds = connection.from_arrow(schema.empty_table()).types
    return {name: str(kind) for name, kind in zip(schema.names, kinds, strict=True)}


def rows_of_file(types: Mapping[str, str], partition: Iterable[str]) -> str:
    """Write the relation of one file, which may lack columns.

    The list with its path is the one parameter.

    Args:
        types: column -> type.
        partition: the columns that name folders.
    """
    return f"read_parquet(?, {_folders(types, partition)})"


def rows_of_files(types: Mapping[str, str], partition: Iterable[str]) -> str:
    """Write the relation of files, which has all columns: those that were added after a file are null there.

    The list of their paths is the one parameter.
    """
    read = f"SELECT * FROM read_parquet(?, union_by_name = true, {_folders(types, partition)})"
    columns = ", ".join(f"NULL::{kind} AS {quoted(name)}" for name, kind in types.items())
    return f"({read} UNION ALL BY NAME SELECT {columns} WHERE false)"


def _folders(types: Mapping[str, str], partition: Iterable[str]) -> str:
    by = ", ".join(f"'{name}': {types[name]}" for name in partition)
    return f"hive_partitioning = true, hive_types = {{{by}}}" if by else "hive_partitioning = false"


def read_files(paths: Sequence[str], schema: pa.Schema, partition: Sequence[str]) -> pa.Table:
    """Read the rows of local files, in the columns of a schema and in no order."""
    import duckdb  # a command that only looks reads no rows

    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        # The columns that name folders are read even where they are not wanted.
        types = {**dict.fromkeys(partition, "VARCHAR"), **column_types(connection, schema)}
        names = ", ".join(map(quoted, schema.names))
        found = connection.execute(f"SELECT {names} FROM {rows_of_files(types, partition)}", [list(paths)])
        return found.to_arrow_table().cast(names_and_types(schema)).cast(schema)
