"""Read one page of a table, in the order of day and key.

It reads as few files as hold the rows.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from threading import Timer
from typing import Any, TypeVar

import duckdb
import pyarrow as pa

from lake.declare.days import Day, Days
from lake.declare.sql_text import quoted
from lake.declare.table import Table
from lake.serve.api.columns import column_types, exposed, json_expression, sort_columns
from lake.serve.api.problems import ProblemError
from lake.serve.api.snapshot import Snapshot, gone
from lake.storage.stored_files import StoredFile
from lake.write.data_files import read_file

__all__ = ["Ask", "Bookmark", "Reader", "interrupted_after", "key_of"]

Part = TypeVar("Part", list[tuple[Any, ...]], pa.Table)
BOOKMARK = "^[A-Za-z0-9_-]*$"


def _no_such_page() -> ProblemError:
    return ProblemError(404, "after: there is no such page; pass what the page before said under next")


@dataclass(frozen=True)
class Bookmark:
    """Say where a page ended, so that the next begins there.

    Attributes:
        version: of the table; all pages are of one.
        key: day and key of the last row, as JSON shows them.
    """

    version: int
    key: Sequence[Any]

    def to_text(self) -> str:
        """Return it as text for a URL."""
        return base64.urlsafe_b64encode(json.dumps([self.version, *self.key]).encode()).decode().rstrip("=")

    @classmethod
    def from_text(cls, text: str, table: Table) -> Bookmark:
        """Read what `to_text` gave.

        Raises:
            ProblemError: it is no bookmark of this table.
        """
        try:
            padded = (text + "=" * (-len(text) % 4)).encode("ascii")
            version, *key = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
            fits = type(version) is int and 0 <= version < 2**63 and len(key) == len(sort_columns(table))
            if fits and all(isinstance(one, str | int | float) for one in key):
                return cls(version, key)
        except (ValueError, TypeError, RecursionError):
            pass
        raise _no_such_page()


@dataclass(frozen=True)
class Ask:
    """Say which rows are wanted.

    Attributes:
        days: which days, where the table has days.
        equal: what key columns are to be.
        limit: how many rows at most.
        after: the last row of the page before.
    """

    days: Days
    equal: Mapping[str, Any]
    limit: int
    after: Bookmark | None = None


class Reader:
    """Reads pages of tables by one DuckDB in this process.

    Several threads may.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._connection = duckdb.connect(config={"allow_unsigned_extensions": "false"})
        self._connection.execute("SET TimeZone = 'UTC'")
        self._statements: dict[str, Statement] = {}

    def rows(self, snapshot: Snapshot, days: Collection[Day], ask: Ask) -> list[tuple[Any, ...]]:
        """Read one row more than was asked for, if there are so many.

        Values are as JSON shows them.
        """
        select = self._statement(snapshot.table).select_json
        found = self._read(snapshot, days, ask, select, duckdb.DuckDBPyConnection.fetchall)
        return [row for part in found for row in part]

    def arrow(self, snapshot: Snapshot, days: Collection[Day], ask: Ask) -> pa.Table:
        """Read as `rows`, in the types of the contract."""
        statement = self._statement(snapshot.table)
        found = self._read(snapshot, days, ask, statement.select, duckdb.DuckDBPyConnection.to_arrow_table)
        parts = [part.cast(statement.plain_schema) for part in found]
        return pa.concat_tables([statement.plain_schema.empty_table(), *parts]).cast(statement.schema)

    def _statement(self, table: Table) -> Statement:
        found = self._statements.get(table.full_name)
        if found is None:
            types = column_types(self._connection.cursor(), table)
            found = self._statements[table.full_name] = Statement(table, types)
        return found

    def _read(
        self,
        snapshot: Snapshot,
        days: Collection[Day],
        ask: Ask,
        select: str,
        fetch: Callable[[duckdb.DuckDBPyConnection], Part],
    ) -> list[Part]:
        """Run the query over ever more files, until there are rows enough."""
        statement, missing, found = self._statement(snapshot.table), ask.limit + 1, list[Part]()
        values: list[Any]
        given: list[Any]
        where, values = statement.where(ask)
        try:
            with self._connection.cursor() as cursor, interrupted_after(self.seconds, cursor):
                for files in _growing(snapshot, _chosen(snapshot, days, ask), missing):
                    source, given = _source(cursor, snapshot, files, statement)
                    query = f"{select} FROM {source}{where} ORDER BY {statement.order} LIMIT {missing}"
                    found.append(fetch(cursor.execute(query, [*given, *values])))
                    missing -= len(found[-1])
                    if missing <= 0:
                        break
        except duckdb.ConversionException as error:
            raise _no_such_page() from error
        except (duckdb.IOException, FileNotFoundError) as error:
            raise gone(snapshot.table, snapshot.version) from error
        return found


class Statement:
    """The parts of the query of one table.

    All names in it are those of the contract; values are bound.
    """

    def __init__(self, table: Table, types: Mapping[str, str]) -> None:
        shown, stored = exposed(table), table.contract.stored
        self.table, self._types = table, types
        self.schema = pa.schema([table.contract.arrow_schema.field(column.name) for column in shown])
        self.plain_schema = pa.schema([pa.field(one.name, one.type) for one in self.schema])
        self.select = f"SELECT {', '.join(quoted(column.name) for column in shown)}"
        self.select_json = f"SELECT {', '.join(map(json_expression, shown))}"
        self.order = ", ".join(quoted(column.name) for column in sort_columns(table))
        # Files lack columns that were added after them.
        columns = ", ".join(f"NULL::{types[column.name]} AS {quoted(column.name)}" for column in stored)
        by = ", ".join(f"'{name}': DATE" for name in table.partition_columns)
        hive = f"hive_partitioning = true, hive_types = {{{by}}}" if by else "hive_partitioning = false"
        read = f"SELECT * FROM read_parquet(?, union_by_name = true, {hive})"
        self.files = f"({read} UNION ALL BY NAME SELECT {columns} WHERE false)"

    def where(self, ask: Ask) -> tuple[str, list[Any]]:
        """Return the condition on rows, and its values."""
        conditions = [f"{quoted(name)} = ?" for name in ask.equal]
        values = list(ask.equal.values())
        if ask.after is not None:
            casts = ", ".join(f"CAST(? AS {self._types[column.name]})" for column in sort_columns(self.table))
            conditions.append(f"({self.order}) > ({casts})")
            values += ask.after.key
        return (f" WHERE {' AND '.join(conditions)}" if conditions else ""), values


def key_of(table: Table, row: Sequence[Any]) -> list[Any]:
    """Return day and key of a row of `Reader.rows`, for a bookmark."""
    places = {column.name: place for place, column in enumerate(exposed(table))}
    return [_plain(row[places[column.name]]) for column in sort_columns(table)]


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return "".join(f"\\x{byte:02x}" for byte in value)
    return value if isinstance(value, str | int | float) else str(value)


@contextmanager
def interrupted_after(seconds: float, cursor: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Stop what a cursor does when it takes too long.

    Raises:
        ProblemError: it took too long.
    """
    timer = Timer(seconds, cursor.interrupt)
    timer.daemon = True
    timer.start()
    try:
        yield
    except duckdb.InterruptException as error:
        raise ProblemError(503, f"this takes longer than {seconds:g} s; ask for fewer days") from error
    finally:
        timer.cancel()


def _chosen(snapshot: Snapshot, days: Collection[Day], ask: Ask) -> list[Day]:
    """Return the days whose files are looked at, in order."""
    first = date.min
    if ask.after is not None and snapshot.table.day is not None:
        try:
            first = date.fromisoformat(str(ask.after.key[0]))
        except ValueError:
            raise _no_such_page() from None
    held = (day for day in snapshot.files if day in days)
    return [day for day in held if day is None or (day in ask.days and day >= first)]


def _growing(snapshot: Snapshot, days: Sequence[Day], rows: int) -> Iterator[list[StoredFile]]:
    """Give the files of days in growing parts.

    First those that hold so many rows, then twice as many, and so on.
    """
    files, held = list[StoredFile](), 0
    for day in days:
        files += snapshot.files[day]
        held += sum(file.rows for file in snapshot.files[day])
        if held >= rows:
            yield files
            files, held, rows = [], 0, 2 * rows
    if files:
        yield files


def _source(
    cursor: duckdb.DuckDBPyConnection, snapshot: Snapshot, files: Sequence[StoredFile], statement: Statement
) -> tuple[str, list[Any]]:
    """Return what a query reads from, and the values of that."""
    log = snapshot.log
    if log.is_local:
        return statement.files, [[f"{log.location}/{file.path}" for file in files]]
    # DuckDB would need another extension, and the keys of the store.
    schema, store = snapshot.table.contract.arrow_schema, log.files
    plain = pa.schema([pa.field(one.name, one.type) for one in schema])
    cursor.register("stored", pa.concat_tables(read_file(file.path, file.partition, plain, store) for file in files))
    return "stored", []
