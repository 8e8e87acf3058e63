"""Run SQL over the tables with DuckDB, without a JVM."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Sequence, Set
from pathlib import Path

import duckdb
import pyarrow as pa
from rich.console import Console

from lake.commands.delta_extension import open_with_delta
from lake.commands.query_output import Show
from lake.declare.sql_text import literal
from lake.declare.table import LAYERS, Table
from lake.errors import LogDamaged
from lake.project.environment import Environment
from lake.write.store import DeltaStore

__all__ = ["confine", "connect", "find_query", "print_query", "read_query", "run_query"]

_EXPLAIN = re.compile(r"^\s*EXPLAIN(\s+ANALYZE)?\s", re.IGNORECASE)
_NO_TEXT = re.compile("[\0\ud800-\udfff]")
"""DuckDB reads up to the first NUL; bytes of an argument that are not UTF-8 come as lone surrogates."""
_LISTS = re.compile(r"show|duckdb_|pragma|information_schema|pg_|sqlite_|query", re.IGNORECASE)
"""A text without these asks for no list of views, and makes no name of one as it runs."""


def read_query(query: str | None, file: Path | None) -> str:
    """Take the query from the argument, a file, or else standard input.

    Standard input is meant also where either is `-`.

    Raises:
        ValueError: there is none, there are two, or it is no text.
        OSError: the file cannot be read.
    """
    if query is not None and file is not None:
        raise ValueError("there are two queries, one in the file; leave one out")
    if query not in (None, "-"):
        return str(query)
    if file is not None and str(file) != "-":
        return file.read_text(encoding="utf-8-sig")
    if query is None and file is None and sys.stdin.isatty():
        raise ValueError('there is no query; lakehouse sql "show all tables" lists what can be queried')
    return sys.stdin.buffer.read().decode("utf-8-sig")


def connect(
    store: DeltaStore,
    tables: Iterable[Table],
    on_damage: Callable[[LogDamaged], None] | None = None,
    query: str | None = None,
) -> duckdb.DuckDBPyConnection:
    """Open an in-memory DuckDB in which every written table is a view.

    With `query` only those are that it asks for, because DuckDB reads the log of each view that it makes.

    `bronze.x`, `silver.x` and `gold.x` are the tables, `quarantine.silver_x` the rows that broke a contract, and
    `lake.ledger` the receipts, `lake.passed_over` and `lake.accepted_losses` what people let go. The session's time
    zone is UTC. One whose log is damaged is left out where `on_damage` is told of it.
    """
    connection = open_with_delta()
    connection.execute("SET TimeZone = 'UTC'")
    for schema in (*LAYERS, "quarantine", "lake"):
        connection.execute(f"CREATE SCHEMA {schema}")
    views = {f"lake.{name}": f"{store.tables}/lake/{name}" for name in ("ledger", "passed_over", "accepted_losses")}
    for table in tables:
        views[table.full_name] = store.path(table)
        views[f"quarantine.{table.layer}_{table.name}"] = store.quarantine_path(table)
    asked = views.keys() if query is None else _asked(query, views.keys())
    for name, path in views.items():
        try:
            if store.log(path).version() is not None and name in asked:
                _add_view(connection, store, name, path)
        except LogDamaged as damage:
            if on_damage is None:
                raise
            on_damage(damage)
    return connection


def confine(connection: duckdb.DuckDBPyConnection, store: DeltaStore) -> None:
    """Let a connection read files of the lake only.

    No query can change that.
    """
    connection.execute(f"SET allowed_directories = [{literal(store.log(store.tables).location)}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


def find_query(connection: duckdb.DuckDBPyConnection, text: str) -> duckdb.Statement | str:
    """Return the one query that a text holds, or why it is not run.

    COPY and ATTACH could write beside the tables.

    Raises:
        duckdb.Error: it is not SQL.
    """
    if _NO_TEXT.search(text):
        return "the query is no text: it holds a NUL, or bytes that are not UTF-8"
    statements, asked = (connection.extract_statements(said) for said in (text, _EXPLAIN.sub("", text)))
    if not all(statement.type == duckdb.StatementType.SELECT for statement in asked):
        return "only queries are run here: SELECT, FROM, SHOW, DESCRIBE, EXPLAIN"
    if len(statements) != 1 or len(asked) != 1:
        return f"one query is run at a time, and here are {len(statements)}"
    return statements[0]


def _asked(query: str, views: Set[str]) -> Set[str]:
    """Find the views that a query names.

    All, where it may ask for more than it names.
    """
    if _LISTS.search(query) or _NO_TEXT.search(query):
        return views
    try:
        with duckdb.connect(config={"enable_external_access": "false"}) as connection:
            named = connection.get_table_names(query, qualified=True)
    except duckdb.Error:
        return views
    found = {name.lower() for name in named}
    return found if found and found <= views else views


def _add_view(connection: duckdb.DuckDBPyConnection, store: DeltaStore, name: str, path: str) -> None:
    log = store.log(path)
    if log.is_local:
        read = f"delta_scan({literal(log.location)})"
    else:  # DuckDB would need an extension for each store, and its keys
        read = f'"{name} as files"'
        connection.register(read.strip('"'), log.require().to_pyarrow_dataset())
    connection.execute(f"CREATE VIEW {name} AS SELECT * FROM {read}")


def print_query(errors: Console, environment: Environment, query: str, show: Show) -> bool:
    """Run one query, show its rows and tell whether it ran.

    A wrong query is explained on `errors`.

    Raises:
        LogDamaged: a table cannot be read; what the query asked of the others was printed.
    """
    damages: list[LogDamaged] = []
    connection = connect(environment.store, environment.tables.values(), damages.append, query)
    confine(connection, environment.store)
    ran = run_query(connection, errors, query, show)
    _tell(errors, damages)
    return ran


def run_query(connection: duckdb.DuckDBPyConnection, errors: Console, query: str, show: Show) -> bool:
    """As `print_query`, on an open connection."""
    try:
        found = find_query(connection, query)
        if isinstance(found, str):
            errors.print(found, markup=False, soft_wrap=True)
            return False
        relation: duckdb.DuckDBPyRelation | None = connection.sql(found)  # None for a statement without rows
        if relation is not None:
            show(relation)
    except duckdb.Error as error:
        hint = '\n  next: lakehouse sql "show all tables" lists what can be queried'
        errors.print(f"{error}{hint}", markup=False, soft_wrap=True)
        return False
    except BrokenPipeError:  # the reader of the rows has gone, no file is meant
        raise
    except (pa.ArrowException, OSError) as error:
        errors.print(f"not written: {error}", markup=False, soft_wrap=True)
        return False
    return True


def _tell(errors: Console, damages: Sequence[LogDamaged]) -> None:
    """Name the tables that no query can read, and raise the last."""
    for damage in damages[:-1]:
        errors.print(str(damage), markup=False, soft_wrap=True)
    for damage in damages[-1:]:
        raise damage
