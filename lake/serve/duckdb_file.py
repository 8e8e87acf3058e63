"""Load tables of a DuckDB file, the warehouse that needs no server.

DuckDB lets either one process write a file or many read it. So the file is never written where readers open it: a copy
is changed beside it, checked, and takes its place in one step. Who has the old file open goes on with it, whole and as
it was; who opens it next has the new one. The price is a copy of the file a publication.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from lake.declare.days import Day
from lake.declare.destinations import DuckDb
from lake.declare.sink import Sink
from lake.declare.sql_text import literal, quoted
from lake.engine.failpoints import failpoint
from lake.errors import DestinationDiffers, DestinationInUse
from lake.serve.arrow_schema import grown_columns
from lake.serve.columns import LOADS, MAKE_LOADS, comments_on, creation_of, lacking_columns, notes_of, sums_noted
from lake.serve.local_files import hold, swap
from lake.serve.source import Source
from lake.serve.sums import Sum, sums_in, sums_of
from lake.serve.target import Load, Place, describe_differences, load_of

if TYPE_CHECKING:
    import duckdb

__all__ = ["DuckDbTarget"]


@dataclass(frozen=True)
class DuckDbTarget:
    """The table of one sink in a DuckDB file.

    See `lake.serve.target.Target`.
    """

    sink: Sink
    place: Place
    anew: bool = False

    @property
    def file(self) -> Path:
        """The path of the file."""
        assert isinstance(self.sink.to, DuckDb)
        return self.place.home / self.sink.to.file

    @property
    def _table(self) -> str:
        return quoted(self.sink.name)

    def loads(self) -> Mapping[Day, Load]:
        if self.anew:
            return {}
        with self._reading() as connection:
            if connection is None or not _has(connection, "lakehouse", "loads"):
                return {}
            if not _has(connection, "main", self.sink.name):
                return {}  # somebody has dropped it
            names = 'day, table_id, version, "commit", "rows", checksum'
            found = connection.execute(f"SELECT {names} FROM {LOADS} WHERE sink = {literal(self.sink.name)}").fetchall()
            return {day: Load(*facts) for day, *facts in found}

    def rows(self, days: Collection[Day] | None = None) -> pa.Table:
        with self._reading() as connection:
            assert connection is not None
            return _read(connection, self.sink, days)

    def replace(self, source: Source, days: Sequence[Day], *, whole: bool) -> Mapping[Day, Load]:
        with hold(self.file, self.place):
            self._refuse_written()
            aside = self.file.with_name(f".{self.file.name}.new")
            with swap(self.file, aside) as new:
                if self.file.exists():
                    shutil.copyfile(self.file, new)
                with _open(new, read_only=False) as connection:
                    loaded = self._load(connection, source, days, whole=whole)
                    connection.execute("CHECKPOINT")
                failpoint("after_load", self.sink.full_name)
                with _open(new, read_only=True) as connection:  # as readers will find it
                    self._refuse_other(connection, source, loaded)
                failpoint("before_swap", self.sink.full_name)
            failpoint("after_swap", self.sink.full_name)
        return loaded

    def _refuse_written(self) -> None:
        """Refuse a file that somebody else writes.

        What he has not written into it yet would be lost.
        """
        if self.file.with_name(f"{self.file.name}.wal").exists():
            problem = "another program writes it: there is a file .wal beside it"
            raise DestinationInUse(self.sink.full_name, str(self.file), problem)

    @contextmanager
    def _reading(self) -> Iterator[duckdb.DuckDBPyConnection | None]:
        if not self.file.exists():
            yield None
            return
        with _open(self.file, read_only=True) as connection:
            yield connection

    def _load(
        self, connection: duckdb.DuckDBPyConnection, source: Source, days: Sequence[Day], *, whole: bool
    ) -> dict[Day, Load]:
        for statement in MAKE_LOADS:
            connection.execute(statement)
        if self.anew:
            connection.execute(f"DROP TABLE IF EXISTS {self._table}")
        self._make(connection, source)
        # The copy has no readers, so each statement may be a transaction by itself. Within one, DuckDB refuses keys
        # that it has removed.
        chosen = None if whole or source.table.day is None else days
        self._remove(connection, source, chosen)
        loaded: dict[Day, Load] = {}
        for batch, rows in source.batches(days):
            connection.register("batch", rows)
            connection.execute(f"INSERT INTO {self._table} BY NAME SELECT * FROM batch")
            connection.unregister("batch")
            sums = sums_of(rows, source.table)
            loaded |= {day: load_of(source, *sums.get(day, Sum(0, 0))) for day in batch}
            self.place.tell(f"{self.sink.full_name}: {len(loaded)} of {len(days)} days in the new file")
        self._note(connection, loaded)
        return loaded

    def _make(self, connection: duckdb.DuckDBPyConnection, source: Source) -> None:
        """Make the table, or add the nullable columns and fields that it lacks.

        Comments are those of the contract.
        """
        wanted = connection.from_arrow(source.schema.empty_table())
        kinds = dict(zip(source.schema.names, wanted.types, strict=True))
        if not _has(connection, "main", self.sink.name):
            connection.execute(creation_of(self._table, source.table, kinds))
        stored = dict(connection.execute(f"SELECT column_name, column_type FROM (DESCRIBE {self._table})").fetchall())
        held = connection.table(self.sink.name)
        grown = grown_columns(held.limit(0).to_arrow_table().schema, wanted.to_arrow_table().schema)
        texts = {name: str(kind) for name, kind in kinds.items()}
        for name in lacking_columns(self.sink, stored, texts, grown=grown):
            connection.execute(f"ALTER TABLE {self._table} ADD COLUMN {quoted(name)} {kinds[name]}")
        for name in grown:
            connection.execute(f"ALTER TABLE {self._table} ALTER {quoted(name)} SET DATA TYPE {kinds[name]}")
        for statement in comments_on(self._table, source.table):
            connection.execute(statement)

    def _remove(self, connection: duckdb.DuckDBPyConnection, source: Source, days: Sequence[Day] | None) -> None:
        """Remove the rows of some days (None: all), and what is said of them."""
        if days is None:
            connection.execute(f"DELETE FROM {self._table}")
            connection.execute(f"DELETE FROM {LOADS} WHERE sink = ?", [self.sink.name])
            return
        dates = [day for day in days if day]
        connection.execute(
            f"DELETE FROM {self._table} WHERE {quoted(str(source.table.day))} IN (FROM unnest(?))", [dates]
        )
        connection.execute(f"DELETE FROM {LOADS} WHERE sink = ? AND day IN (FROM unnest(?))", [self.sink.name, dates])

    def _refuse_other(self, connection: duckdb.DuckDBPyConnection, source: Source, loaded: Mapping[Day, Load]) -> None:
        for batch in source.in_batches(list(loaded)):
            rows, values = _selected(self.sink, batch)
            found = sums_in(connection, f"({rows})", source.schema, source.table, values)
            if differing := describe_differences(sums_noted(loaded, batch), found):
                raise DestinationDiffers(self.sink.full_name, differing)

    def _note(self, connection: duckdb.DuckDBPyConnection, loaded: Mapping[Day, Load]) -> None:
        connection.register("notes", notes_of(self.sink.name, loaded))
        connection.execute(f"INSERT INTO {LOADS} BY NAME SELECT * FROM notes")
        connection.unregister("notes")


@contextmanager
def _open(file: Path, *, read_only: bool) -> Iterator[duckdb.DuckDBPyConnection]:
    import duckdb  # a look at a lake without the file needs none

    connection = duckdb.connect(str(file), read_only=read_only)
    try:
        connection.execute("SET TimeZone = 'UTC'")
        yield connection
    finally:
        connection.close()


def _has(connection: duckdb.DuckDBPyConnection, schema: str, table: str) -> bool:
    """Tell whether there is a table.

    The names are literals here and in `loads`, because DuckDB imports pandas to bind a parameter, which takes half a
    second of a look.
    """
    where = f"schema_name = {literal(schema)} AND table_name = {literal(table)}"
    return connection.execute(f"SELECT 1 FROM duckdb_tables() WHERE {where}").fetchone() is not None


def _read(connection: duckdb.DuckDBPyConnection, sink: Sink, days: Collection[Day] | None) -> pa.Table:
    """Read rows of some days (None: all) in the columns of the contract."""
    query, values = _selected(sink, days)
    schema = sink.shown.contract.arrow_schema
    return connection.execute(query, values).to_arrow_table().cast(pa.schema([(f.name, f.type) for f in schema]))


def _selected(sink: Sink, days: Collection[Day] | None) -> tuple[str, list[list[date]]]:
    names = ", ".join(map(quoted, sink.shown.contract.arrow_schema.names))
    query = f"SELECT {names} FROM {quoted(sink.name)}"
    if days is None or sink.reads.day is None:
        return query, []
    return f"{query} WHERE {quoted(sink.reads.day)} IN (FROM unnest(?))", [[day for day in days if day]]
