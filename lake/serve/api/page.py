"""Read one page of a table, in the order of day and key.

It reads as few files as hold the rows.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date
from threading import Event, Thread
from typing import Any

import duckdb
import pyarrow as pa
import pyspark.sql.types as T

from lake.declare.contract import ContractColumn
from lake.declare.days import Day, Days
from lake.declare.sql_text import quoted
from lake.declare.table import Table
from lake.serve.api.columns import exposed, sort_columns
from lake.serve.api.json_rows import json_expression, json_object
from lake.serve.api.problems import ProblemError
from lake.serve.api.snapshot import Snapshot, gone
from lake.serve.arrow_schema import names_and_types
from lake.serve.file_rows import column_types, rows_of_file, rows_of_files
from lake.storage.stored_files import StoredFile
from lake.write.data_files import read_file

__all__ = ["Ask", "Bookmark", "Page", "Reader", "interrupted_after"]

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


@dataclass(frozen=True)
class Page:
    """Hold one page of rows.

    Attributes:
        rows: in the types of the contract, or one column with the JSON text of each.
        following: day and key of the last row, as JSON shows them, where more rows follow it.
    """

    rows: pa.Table
    following: Sequence[Any] | None


class Reader:
    """Reads pages of tables by one DuckDB in this process.

    Several threads may.

    Args:
        seconds: that one page may take.
        threads: that DuckDB takes for one page; None for as many as there are processors. Where many ask at once, one
            is cheapest.
    """

    def __init__(self, seconds: float, threads: int | None = None) -> None:
        self.seconds = seconds
        self._connection = duckdb.connect(config={"allow_unsigned_extensions": "false"})
        self._connection.execute("SET TimeZone = 'UTC'")
        if threads is not None:
            self._connection.execute(f"SET threads = {int(threads)}")
        self._statements: dict[str, Statement] = {}

    def json(self, snapshot: Snapshot, days: Collection[Day], ask: Ask) -> Page:
        """Read a page as JSON, a text a row."""
        read = self._read(snapshot, days, ask, self._statement(snapshot.table).select_json)
        found = pa.concat_tables(read) if read else pa.table([pa.array([], pa.string())], names=["row"])
        return _page(found, ask.limit, range(1, found.num_columns), range(1))

    def arrow(self, snapshot: Snapshot, days: Collection[Day], ask: Ask) -> Page:
        """Read a page in the types of the contract."""
        statement = self._statement(snapshot.table)
        parts = [part.cast(statement.plain_schema) for part in self._read(snapshot, days, ask, statement.select)]
        found = pa.concat_tables([statement.plain_schema.empty_table(), *parts]).cast(statement.schema)
        return _page(found, ask.limit, statement.key_places, range(found.num_columns))

    def _statement(self, table: Table) -> Statement:
        found = self._statements.get(table.full_name)
        if found is None:
            types = column_types(self._connection.cursor(), table.contract.arrow_schema)
            found = self._statements[table.full_name] = Statement(table, types)
        return found

    def _read(self, snapshot: Snapshot, days: Collection[Day], ask: Ask, select: str) -> list[pa.Table]:
        """Run the query over ever more files, until there is one row more than was asked for."""
        statement, missing, found = self._statement(snapshot.table), ask.limit + 1, list[pa.Table]()
        values: list[Any]
        given: list[Any]
        where, values = statement.where(ask)
        try:
            with self._connection.cursor() as cursor, interrupted_after(self.seconds, cursor):
                for files in _growing(snapshot, _chosen(snapshot, days, ask), missing):
                    # Only the rows of the page are written as JSON: the limit is inside. DuckDB keeps their order.
                    chosen = f"{where} ORDER BY {statement.order} LIMIT {missing}"
                    source, given = _source(cursor, snapshot, files, statement)
                    found.append(_run(cursor, select, source, chosen, [*given, *values]))
                    missing -= len(found[-1])
                    if missing <= 0:
                        break
        except duckdb.ConversionException as error:
            raise _no_such_page() from error
        except (duckdb.IOException, FileNotFoundError) as error:
            raise gone(snapshot.table, snapshot.version) from error
        return found


def _page(found: pa.Table, limit: int, key: Sequence[int], shown: Sequence[int]) -> Page:
    """Cut a page off what was found, which is one row more where others follow."""
    if found.num_rows <= limit:
        return Page(found.select(shown), None)
    last = found.slice(limit - 1, 1)
    return Page(found.slice(0, limit).select(shown), [_plain(last.column(place)[0].as_py()) for place in key])


class Statement:
    """The parts of the query of one table.

    All names in it are those of the contract; values are bound.
    """

    def __init__(self, table: Table, types: Mapping[str, str]) -> None:
        shown = exposed(table)
        self.table, self._types = table, types
        self.schema = pa.schema([table.contract.arrow_schema.field(column.name) for column in shown])
        self.plain_schema = names_and_types(self.schema)
        self.select = f"SELECT {', '.join(quoted(column.name) for column in shown)}"
        key = sort_columns(table)
        self.key_places = [self.schema.get_field_index(column.name) for column in key]
        self.select_json = f"SELECT {', '.join([json_object(shown), *map(_as_in_json, key)])}"
        self.order = ", ".join(quoted(column.name) for column in key)
        self.file = rows_of_file(types, table.partition_columns)
        self.files = rows_of_files(types, table.partition_columns)

    def where(self, ask: Ask) -> tuple[str, list[Any]]:
        """Return the condition on rows, and its values."""
        conditions = [f"{quoted(name)} = ?" for name in ask.equal]
        values = list(ask.equal.values())
        if ask.after is not None:
            casts = ", ".join(f"CAST(? AS {self._types[column.name]})" for column in sort_columns(self.table))
            conditions.append(f"({self.order}) > ({casts})")
            values += ask.after.key
        return (f" WHERE {' AND '.join(conditions)}" if conditions else ""), values


def _as_in_json(column: ContractColumn) -> str:
    """Write a column of the key as JSON shows it; bytes stay bytes, for the next page to compare."""
    name = quoted(column.name)
    return name if isinstance(column.dtype, T.BinaryType) else json_expression(column.dtype, name)


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
    done = Event()

    def interrupt() -> None:
        is_done = done.wait(seconds)
        while not is_done:  # again and again, because an interrupt between two queries is lost
            cursor.interrupt()
            is_done = done.wait(0.01)

    watch = Thread(target=interrupt, daemon=True)
    watch.start()
    try:
        yield
    except duckdb.InterruptException as error:
        raise ProblemError(503, f"this takes longer than {seconds:g} s; ask for fewer days") from error
    finally:
        done.set()
        watch.join()


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
) -> tuple[Sequence[str], list[Any]]:
    """Return what a query reads from, and the values of that.

    There may be several ways to say it: the cheapest first, which does not know columns that the files lack.
    """
    log = snapshot.log
    if log.is_local:
        ways = (statement.file, statement.files) if len(files) == 1 else (statement.files,)
        return ways, [[f"{log.location}/{file.path}" for file in files]]
    # DuckDB would need another extension, and the keys of the store.
    schema, store = names_and_types(snapshot.table.contract.arrow_schema), log.files
    cursor.register("stored", pa.concat_tables(read_file(file.path, file.partition, schema, store) for file in files))
    return ("stored",), []


def _run(
    cursor: duckdb.DuckDBPyConnection, select: str, sources: Sequence[str], chosen: str, values: Sequence[Any]
) -> pa.Table:
    """Read rows from the first of some sources that knows all columns."""
    for source in sources[:-1]:
        with suppress(duckdb.BinderException):
            return cursor.execute(f"{select} FROM (SELECT * FROM {source}{chosen})", values).to_arrow_table()
    return cursor.execute(f"{select} FROM (SELECT * FROM {sources[-1]}{chosen})", values).to_arrow_table()
