"""SQL over the tables with DuckDB: no JVM, nothing to start."""

from __future__ import annotations

import csv
import importlib.util
import io
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import duckdb
from rich.console import Console

from lake.commands.terminal import plain
from lake.declare.table import LAYERS, Table
from lake.errors import LogDamaged
from lake.project.environment import Environment
from lake.write.store import DeltaStore

__all__ = ["confine", "connect", "only_reads", "print_query", "run_query"]

_EXPLAIN = re.compile(r"^\s*EXPLAIN(\s+ANALYZE)?\s", re.IGNORECASE)


def connect(
    store: DeltaStore, tables: Iterable[Table], on_damage: Callable[[LogDamaged], None] | None = None
) -> duckdb.DuckDBPyConnection:
    """Open an in-memory DuckDB in which every table that was ever written is a view.

    `bronze.x`, `silver.x` and `gold.x` are the tables, `quarantine.silver_x` the rows that broke a contract, and
    `lake.ledger` the receipts, `lake.passed_over` and `lake.accepted_losses` what people let go. The session's time
    zone is UTC. One whose log is damaged is left out where `on_damage` is told of it.
    """
    connection = duckdb.connect(config={"allow_unsigned_extensions": "false", "python_enable_replacements": "false"})
    connection.execute("SET TimeZone = 'UTC'")
    connection.load_extension(str(_delta_extension()))
    if store.is_shared:
        with suppress(duckdb.Error):  # without it DuckDB reads no object store, and says so
            connection.load_extension("httpfs")
    for schema in (*LAYERS, "quarantine", "lake"):
        connection.execute(f"CREATE SCHEMA {schema}")
    views = {f"lake.{name}": f"{store.tables}/lake/{name}" for name in ("ledger", "passed_over", "accepted_losses")}
    for table in tables:
        views[table.full_name] = store.path(table)
        views[f"quarantine.{table.layer}_{table.name}"] = store.quarantine_path(table)
    for name, path in views.items():
        try:
            _add_view(connection, store, name, path)
        except LogDamaged as damage:
            if on_damage is None:
                raise
            on_damage(damage)
    return connection


def confine(connection: duckdb.DuckDBPyConnection, store: DeltaStore) -> None:
    """Let a connection read files of the lake only; no query can change that."""
    lake = store.log(store.tables).location.replace("'", "''")
    connection.execute(f"SET allowed_directories = ['{lake}']")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


def only_reads(connection: duckdb.DuckDBPyConnection, query: str) -> bool:
    """Return whether a text holds nothing but queries, because COPY and ATTACH could write beside the tables.

    Raises:
        duckdb.Error: it is not SQL.
    """
    asked = connection.extract_statements(_EXPLAIN.sub("", query))
    return all(statement.type == duckdb.StatementType.SELECT for statement in asked)


def _add_view(connection: duckdb.DuckDBPyConnection, store: DeltaStore, name: str, path: str) -> None:
    log = store.log(path)
    if log.version() is not None:
        location = log.location.replace("'", "''")
        connection.execute(f"CREATE VIEW {name} AS SELECT * FROM delta_scan('{location}')")


def _delta_extension() -> Path:
    """The extension that the package duckdb-extension-delta ships for the installed DuckDB."""
    spec = importlib.util.find_spec("duckdb_extension_delta")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("duckdb-extension-delta is not installed; install the package lakehouse again")
    return next(Path(spec.origin).parent.glob(f"extensions/v{duckdb.__version__}/delta.duckdb_extension"))


def print_query(console: Console, errors: Console, environment: Environment, query: str, *, as_csv: bool) -> bool:
    """Run one query and print its rows; returns whether it ran. A wrong query is explained on `errors`.

    Raises:
        LogDamaged: a table cannot be read; what the query asked of the others was printed.
    """
    damages: list[LogDamaged] = []
    connection = connect(environment.store, environment.tables.values(), damages.append)
    confine(connection, environment.store)
    ran = run_query(connection, console, errors, query, as_csv=as_csv)
    _tell(errors, damages)
    return ran


def run_query(
    connection: duckdb.DuckDBPyConnection, console: Console, errors: Console, query: str, *, as_csv: bool
) -> bool:
    """As `print_query`, on an open connection."""
    try:
        if not only_reads(connection, query):
            errors.print("only queries are run here: SELECT, FROM, SHOW, DESCRIBE, EXPLAIN", markup=False)
            return False
        relation: duckdb.DuckDBPyRelation | None = connection.sql(query)  # None for a statement without rows
        if relation is not None and as_csv:
            text = _as_csv(relation)
            sys.stdout.write(plain(text) if sys.stdout.isatty() else text)
        elif relation is not None:
            console.print(str(relation).rstrip(), soft_wrap=True, markup=False)
    except duckdb.Error as error:
        errors.print(f'{error}\n  next: lakehouse sql "show all tables" lists what can be queried', markup=False)
        return False
    return True


def _as_csv(relation: duckdb.DuckDBPyRelation) -> str:
    """Write rows as DuckDB gives them.

    Not by a data frame, which makes doubles of decimals, and of whole numbers with nulls.
    """
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([relation.columns, *relation.fetchall()])
    return text.getvalue()


def _tell(errors: Console, damages: Sequence[LogDamaged]) -> None:
    """Name the tables that no query can read, and raise the last."""
    for damage in damages[:-1]:
        errors.print(str(damage), markup=False, soft_wrap=True)
    for damage in damages[-1:]:
        raise damage
