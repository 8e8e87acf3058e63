"""Load tables of Postgres by ADBC: Arrow goes over as binary COPY.

One transaction holds all of a publication: rows that are replaced, those that replace them, the note of what they were
loaded from, and the comparison of both ends. Readers see the state before or the one after.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import adbc_driver_postgresql.dbapi as adbc
import pyarrow as pa
from pyarrow import compute as pc

from lake.declare.days import Day
from lake.declare.destinations import Postgres
from lake.declare.nested import is_nested
from lake.declare.sink import Sink
from lake.declare.sql_text import literal, quoted
from lake.engine.failpoints import failpoint
from lake.errors import DestinationDiffers, DestinationUnreachable, ValueRefused
from lake.serve.columns import LOADS, MAKE_LOADS, comments_on, creation_of, lacking_columns, notes_of, sums_noted
from lake.serve.source import Source
from lake.serve.sums import Sum, json_text, sums_of
from lake.serve.target import Load, Place, describe_differences, load_of

__all__ = ["PostgresTarget"]

_KINDS = {
    pa.types.is_boolean: "boolean",
    pa.types.is_date: "date",
    pa.types.is_timestamp: "timestamp with time zone",
    pa.types.is_int64: "bigint",
    pa.types.is_int32: "integer",
    pa.types.is_integer: "smallint",
    pa.types.is_float64: "double precision",
    pa.types.is_floating: "real",
    pa.types.is_binary: "bytea",
    pa.types.is_nested: "json",
}


@dataclass(frozen=True)
class PostgresTarget:
    """The table of one sink in Postgres.

    See `lake.serve.target.Target`.
    """

    sink: Sink
    place: Place
    anew: bool = False

    @property
    def to(self) -> Postgres:
        """The declaration."""
        assert isinstance(self.sink.to, Postgres)
        return self.sink.to

    @property
    def _table(self) -> str:
        return f"{quoted(self.to.schema)}.{quoted(self.sink.name)}"

    def loads(self) -> Mapping[Day, Load]:
        if self.anew:
            return {}
        with self._connected() as (_, cursor):
            if not (_exists(cursor, LOADS) and _exists(cursor, self._table)):
                return {}
            names = 'day, table_id, version, "commit", "rows", checksum'
            cursor.execute(f"SELECT {names} FROM {LOADS} WHERE sink = {literal(self._note)}")
            return {day: Load(*facts) for day, *facts in cursor.fetchall()}

    @property
    def _note(self) -> str:
        """The name under which the loads of this table are noted.

        The name of a table may occur in several schemas.
        """
        return f"{self.to.schema}.{self.sink.name}"

    def rows(self, days: Collection[Day] | None = None) -> pa.Table:
        """Read rows in the columns of the contract.

        Nested ones come as the JSON text that they are there.
        """
        with self._connected() as (_, cursor):
            return self._read(cursor, days)

    def _read(self, cursor: Any, days: Collection[Day] | None) -> pa.Table:
        schema = _flat(self.sink)
        names = ", ".join(f"CAST({quoted(f.name)} AS {_read_as(f.type)})" for f in schema)
        cursor.execute(f"SELECT {names} FROM {self._table}{self._where(days)}")
        found = cursor.fetch_arrow_table()
        columns = [found.column(place).cast(one.type) for place, one in enumerate(schema)]
        return pa.table(columns, schema=schema)

    def replace(self, source: Source, days: Sequence[Day], *, whole: bool) -> Mapping[Day, Load]:
        with self._connected() as (connection, cursor):
            cursor.execute(f"SELECT pg_advisory_xact_lock(hashtext({literal(self._note)}))")
            self._make(cursor, source)
            chosen = None if whole or source.table.day is None else days
            cursor.execute(f"DELETE FROM {self._table}{self._where(chosen)}")
            noted = f"DELETE FROM {LOADS} WHERE sink = {literal(self._note)}"
            cursor.execute(noted if chosen is None else f"{noted} AND {_within('day', chosen)}")
            loaded = self._load(cursor, source, days)
            failpoint("after_load", self.sink.full_name)
            self._refuse_other(cursor, source, loaded)
            cursor.adbc_ingest("loads", notes_of(self._note, loaded), mode="append", db_schema_name="lakehouse")
            failpoint("before_swap", self.sink.full_name)
            connection.commit()
            failpoint("after_swap", self.sink.full_name)
        return loaded

    @contextmanager
    def _connected(self) -> Iterator[tuple[Any, Any]]:
        """Open a transaction.

        What is not committed is rolled back.

        Raises:
            DestinationUnreachable: nobody answers there, or the address is none.
        """
        dsn = self.place.secret(self.sink, self.to.dsn_from)
        try:
            connection = adbc.connect(dsn)
        except adbc.Error as error:
            raise DestinationUnreachable(self.sink.full_name, self.to.dsn_from, _without(str(error), dsn)) from None
        with connection, connection.cursor() as cursor:
            cursor.execute("SET TIME ZONE 'UTC'")
            yield connection, cursor

    def _where(self, days: Collection[Day] | None) -> str:
        day = self.sink.reads.day
        return "" if days is None or day is None else f" WHERE {_within(quoted(day), days)}"

    def _make(self, cursor: Any, source: Source) -> None:
        """Make the table, or add the nullable columns that it lacks.

        Comments are those of the contract.
        """
        for statement in (*MAKE_LOADS, f"CREATE SCHEMA IF NOT EXISTS {quoted(self.to.schema)}"):
            cursor.execute(statement)
        if self.anew:
            cursor.execute(f"DROP TABLE IF EXISTS {self._table}")
        kinds = {one.name: _kind(one.type) for one in source.schema}
        if not _exists(cursor, self._table):
            cursor.execute(creation_of(self._table, source.table, kinds))
        for name in lacking_columns(self.sink, self._stored(cursor), kinds):
            cursor.execute(f"ALTER TABLE {self._table} ADD COLUMN {quoted(name)} {kinds[name]}")
        for statement in comments_on(self._table, source.table):
            cursor.execute(statement)

    def _stored(self, cursor: Any) -> dict[str, str]:
        """Column -> type, as the table is."""
        cursor.execute(
            "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute "
            f"WHERE attrelid = to_regclass({literal(self._table)}) AND attnum > 0 AND NOT attisdropped ORDER BY attnum"
        )
        return dict(cursor.fetchall())

    def _load(self, cursor: Any, source: Source, days: Sequence[Day]) -> dict[Day, Load]:
        loaded: dict[Day, Load] = {}
        for batch, rows in source.batches(days):
            sums = sums_of(rows, source.table)
            if rows.num_rows:
                sent = _as_sent(json_text(rows, source.table))
                self._refuse_unfit(sent, [one.name for one in rows.schema if pa.types.is_nested(one.type)])
                cursor.adbc_ingest(self.sink.name, sent, mode="append", db_schema_name=self.to.schema)
            loaded |= {day: load_of(source, *sums.get(day, Sum(0, 0))) for day in batch}
            self.place.tell(f"{self.sink.full_name}: {len(loaded)} of {len(days)} days sent")
        return loaded

    def _refuse_unfit(self, sent: pa.Table, nested: Collection[str]) -> None:
        """Refuse what Postgres cannot hold, before it says so without naming a day."""
        for one in (one for one in sent.schema if pa.types.is_string(one.type)):
            texts = sent[one.name]
            self._refuse_where(pc.match_substring(texts, "\0"), sent, one.name, "texts hold the character NUL")
            if one.name in nested:
                no_numbers = pa.array(map(_has_no_number, texts.to_pylist())) if _may_lack_numbers(texts) else None
                self._refuse_where(no_numbers, sent, one.name, "numbers in it are NaN or infinite, which JSON has not")

    def _refuse_where(self, is_unfit: Any, sent: pa.Table, column: str, problem: str) -> None:
        unfit = sent.filter(pc.fill_null(is_unfit, False)) if is_unfit is not None else sent.slice(0, 0)
        if unfit.num_rows:
            day = self.sink.reads.day
            counts = pc.value_counts(unfit[day].combine_chunks()).to_pylist() if day else []
            found = {count["values"]: count["counts"] for count in counts} or {"whole": unfit.num_rows}
            remedy = f"let the transform of {self.sink.reads.full_name} give none, and refresh these days"
            raise ValueRefused(self.sink.full_name, column, f"{problem}; Postgres refuses it", found, remedy)

    def _refuse_other(self, cursor: Any, source: Source, loaded: Mapping[Day, Load]) -> None:
        """Read back what is there and compare it, in the transaction that loads it."""
        for batch in source.in_batches(list(loaded)):
            found = sums_of(self._read(cursor, batch), source.table)
            if differing := describe_differences(sums_noted(loaded, batch), found):
                raise DestinationDiffers(self.sink.full_name, differing)


def _exists(cursor: Any, table: str) -> bool:
    cursor.execute(f"SELECT to_regclass({literal(table)}) IS NOT NULL")
    return bool(cursor.fetchone()[0])


def _within(column: str, days: Collection[Day]) -> str:
    dates = ", ".join(f"DATE '{day}'" for day in days if day)
    return f"{column} IN ({dates})" if dates else "TRUE"


def _kind(kind: pa.DataType) -> str:
    if pa.types.is_decimal(kind):
        return f"numeric({kind.precision},{kind.scale})"
    return next((name for is_it, name in _KINDS.items() if is_it(kind)), "text")


def _as_sent(rows: pa.Table) -> pa.Table:
    """Widen numbers of one byte, which have no type in Postgres."""
    for place, one in enumerate(rows.schema):
        if pa.types.is_int8(one.type):
            rows = rows.set_column(place, pa.field(one.name, pa.int16(), one.nullable), rows[one.name].cast(pa.int16()))
    return rows


def _may_lack_numbers(texts: pa.ChunkedArray) -> bool:
    return bool(pc.any(pc.match_substring_regex(texts, "NaN|Infinity")).as_py())


def _has_no_number(text: str | None) -> bool:
    """Tell whether a JSON text, as DuckDB writes it, has what no JSON has."""
    found: list[str] = []
    json.loads(text or "null", parse_constant=found.append)
    return bool(found)


def _flat(sink: Sink) -> pa.Schema:
    """Return the columns of the contract, nested ones as text."""
    nested = {column.name for column in sink.shown.contract.stored if is_nested(column.dtype)}
    schema = sink.shown.contract.arrow_schema
    return pa.schema([pa.field(one.name, pa.string() if one.name in nested else one.type) for one in schema])


def _read_as(kind: pa.DataType) -> str:
    """Decimals are read as text, because ADBC gives no others."""
    return "text" if pa.types.is_decimal(kind) or pa.types.is_string(kind) else _kind(kind)


def _without(said: str, dsn: str) -> str:
    """Leave out of a message what may be the secret.

    libpq repeats an address that it cannot read.
    """
    password = dsn.rpartition("@")[0].rpartition(":")[2]
    if dsn in said or (password and password in said) or "connection info" in said:
        return "it is no address as postgresql://user:password@host/database"
    return said.splitlines()[0] if said else "nobody answers"
