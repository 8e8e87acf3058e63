"""Write the tables into a DuckDB file that other tools open.

DBeaver, Metabase, Superset, Evidence and notebooks do.

A view reads the Parquet files of the version that its table had then, so that no extension of DuckDB is needed and
nothing is fetched; a copy holds the rows. Both stay as they are until the next export.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote
from uuid import uuid4

import duckdb
from rich.console import Console

from lake.commands.query import connect
from lake.declare.sql_text import literal, quoted
from lake.declare.table import Table
from lake.declare.words import counted
from lake.errors import CannotExport
from lake.project.environment import Environment
from lake.write.store import DeltaStore

__all__ = ["export_duckdb"]


def export_duckdb(out: Console, environment: Environment, names: Sequence[str], file: Path, *, copies: bool) -> None:
    """Write a view, or a copy, of each table that was ever written.

    The file appears whole, in place of an older one.

    Raises:
        CannotExport: views were asked for and the tables lie on an object store, or the file cannot be written.
        LogDamaged: a table cannot be read.
    """
    store = environment.store
    if store.is_shared and not copies:
        raise CannotExport(
            str(file), "views read the files of the tables, and these lie on an object store", "add --copy"
        )
    if not file.parent.is_dir():
        raise CannotExport(str(file), f"there is no folder {file.parent}", "make it, or name another file")
    tables = [table for table in environment.choose(names) if store.version(table) is not None]
    begun = file.with_name(f".{file.name}.{uuid4().hex}")
    try:
        with connect(store, tables) as connection:
            connection.execute(f"ATTACH {literal(str(begun))} AS exported")
            for table in tables:
                _add(connection, store, table, copies=copies)
            _add_versions(connection, store, tables)
            connection.execute("DETACH exported")
        begun.replace(file)
    except (duckdb.Error, OSError) as error:
        raise CannotExport(
            str(file), str(error), "free space, or name a file in a folder that can be written"
        ) from error
    finally:
        for left in (begun, Path(f"{begun}.wal")):
            left.unlink(missing_ok=True)
    written = f"{len(tables):,} copies" if copies else counted(len(tables), "view")
    out.print(f"wrote {written} to {file}", markup=False, soft_wrap=True)


def _add(connection: duckdb.DuckDBPyConnection, store: DeltaStore, table: Table, *, copies: bool) -> None:
    name, kind = f"exported.{table.layer}.{quoted(table.name)}", "TABLE" if copies else "VIEW"
    connection.execute(f"CREATE SCHEMA IF NOT EXISTS exported.{table.layer}")
    stored = f"SELECT * FROM {table.layer}.{quoted(table.name)}"
    connection.execute(f"CREATE {kind} {name} AS {stored if copies else _over_files(connection, store, table, stored)}")
    connection.execute(f"COMMENT ON {kind} {name} IS {literal(table.description)}")
    for column in table.contract.columns:
        if column.stored:
            connection.execute(f"COMMENT ON COLUMN {name}.{quoted(column.name)} IS {literal(column.description)}")


def _over_files(connection: duckdb.DuckDBPyConnection, store: DeltaStore, table: Table, stored: str) -> str:
    """Return a query over the files of a table's version.

    It has the columns and types that the table has now.
    """
    types = {column: str(kind) for column, kind, *_ in connection.execute(f"DESCRIBE {stored}").fetchall()}
    files = sorted(unquote(uri) for uri in store.table_log(table).require().file_uris())
    if not files:
        empty = ", ".join(f"CAST(NULL AS {kind}) AS {quoted(column)}" for column, kind in types.items())
        return f"SELECT {empty} WHERE false"
    listed = ", ".join(literal(file) for file in files)
    source = f"read_parquet([{listed}], hive_partitioning = true, union_by_name = true)"
    known = {column for column, *_ in connection.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()}
    cells = (
        f"CAST({quoted(column) if column in known else 'NULL'} AS {kind}) AS {quoted(column)}"
        for column, kind in types.items()
    )
    return f"SELECT {', '.join(cells)} FROM {source}"


def _add_versions(connection: duckdb.DuckDBPyConnection, store: DeltaStore, tables: Sequence[Table]) -> None:
    """Write down which version of each table was exported, and when."""
    connection.execute("CREATE SCHEMA IF NOT EXISTS exported.lake")
    connection.execute(
        "CREATE TABLE exported.lake.exported (name VARCHAR, version BIGINT, exported_at TIMESTAMP WITH TIME ZONE)"
    )
    now = datetime.now(UTC)
    for name, version in _versions(store, tables):
        connection.execute("INSERT INTO exported.lake.exported VALUES (?, ?, ?)", [name, version, now])


def _versions(store: DeltaStore, tables: Sequence[Table]) -> Iterator[tuple[str, int | None]]:
    return ((table.full_name, store.version(table)) for table in tables)
