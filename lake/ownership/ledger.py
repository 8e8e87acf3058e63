"""Keep the ledger: for every refresh one row per table and day.

The row says what the day was computed from and what came of it. The ledger is a Delta table like the others
(`lake/ledger`), written without a JVM. The newest row of a table and day counts: newest by `sequence`, which follows
its log, because a clock may have been ahead when a row was written.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from operator import itemgetter
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import compute as pc

from lake.ownership.entry import FIELDS, Entry, Outcome, made
from lake.ownership.kept_entries import Newest, keep_entries, kept_entries
from lake.storage.kept_facts import LogFile, files_to_keep
from lake.storage.log import Log, Place, Remembered
from lake.storage.sequence import in_sequence, oldest_first
from lake.write.store import DeltaStore

__all__ = ["SCHEMA", "Entry", "Ledger", "Outcome"]

SCHEMA = pa.schema(
    [
        pa.field("table", pa.string(), nullable=False),
        pa.field("day", pa.date32()),
        pa.field("outcome", pa.string(), nullable=False),
        pa.field("rows_in", pa.int64(), nullable=False),
        pa.field("rows_out", pa.int64(), nullable=False),
        pa.field("rejected", pa.int64(), nullable=False),
        pa.field("duplicates", pa.int64(), nullable=False),
        pa.field("disagreeing", pa.int64()),
        pa.field("inputs", pa.string(), nullable=False),
        pa.field("version", pa.int64(), nullable=False),
        pa.field("code_version", pa.string(), nullable=False),
        pa.field("seconds", pa.float64(), nullable=False),
        pa.field("run_id", pa.string(), nullable=False),
        pa.field("recorded_at", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("table_ids", pa.string()),
        pa.field("sequence", pa.int64()),
    ]
)
"""Columns of the ledger; `disagreeing`, `table_ids` and `sequence` are null where an older release wrote the row.

`inputs` is a JSON object: `layer.table` -> version read, `feed:name` -> marks of its files by name (an older release:
one hash of them all). `table_ids` is one too: `layer.table` -> id of the table whose version was read or written.
"""


_READ = Remembered[Newest]()
_FEW_ENTRIES = 500
"""To read each value of so few once saves less than pyarrow.compute takes to be imported."""
_FEW = 20
"""So many commits are read again by each process before their entries are kept."""


class Ledger:
    """The ledger of one store."""

    def __init__(self, store: DeltaStore) -> None:
        self.store = store
        self._location = store.log(f"{store.tables}/lake/ledger").location

    def record(self, entries: Iterable[Entry]) -> None:
        """Append entries in one commit."""
        rows = [_to_row(entry) for entry in entries]
        if rows:
            self.store.append_to_lake("ledger", lambda version: in_sequence(rows, version, SCHEMA))

    def rows(self, table: str | None = None) -> pa.Table:
        """Return all rows, or those of one table, oldest first."""
        stored = self.store.rows_in_lake("ledger")
        if stored is None:
            return SCHEMA.empty_table()
        chosen = stored if table is None else stored.filter(pc.equal(stored["table"], table))
        return chosen.take(oldest_first(chosen))

    def forget(self, before: datetime) -> int:
        """Remove old entries that a newer one of their day has replaced.

        Old are those that were recorded before `before`. Returns how many were removed. The caller holds the ledger's
        lock.
        """
        rows = self.rows()
        kept = pc.is_in(pa.array(range(rows.num_rows), pa.int64()), value_set=_newest_places(rows))
        kept = pc.or_(kept, pc.greater_equal(rows["recorded_at"], pa.scalar(before)))
        left = rows.filter(kept)
        if left.num_rows < rows.num_rows:
            self.store.replace_in_lake("ledger", left)
        return int(rows.num_rows - left.num_rows)

    def latest(self, table: str) -> dict[date | None, Entry]:
        """Return the newest entry of each day of a table."""
        return {entry.day: entry for entry in _entries(self.rows(table))}

    def entries(self, table: str, days: Collection[date | None]) -> list[Entry]:
        """Return all entries of some days that are kept, oldest first."""
        return [entry for entry in _entries(self.rows(table)) if entry.day in days]

    def latest_by_table(self) -> Newest:
        """Return the newest entry of each table and day, from one read.

        A process remembers it until the ledger is written. Of a table without a newer entry it is the same object as
        before.
        """
        log = self.store.log(self._location)
        if log in _READ or (files := files_to_keep(log.location)) is None:
            return _READ.get(log, lambda _: self._newest(), self._with_newer) or {}
        return self._kept(log, files)

    def _kept(self, log: Log, files: Sequence[LogFile]) -> Newest:
        """Begin with the entries that an earlier process has kept.

        They are kept anew where that pays.
        """
        before, whole = kept_entries(log.location, files), list[Newest]()

        def read(_: Place) -> Newest:
            whole.append(self._newest())
            return whole[0]

        found = _READ.placed(log, read, self._with_newer, before)
        if found is None:
            return {}
        place, newest = found
        if whole or before is None or place[0] > before[0][0] + _FEW:
            keep_entries(log.location, files, place, newest)
        return newest

    def _newest(self) -> Newest:
        """Read the ledger.

        Entries that come meanwhile are read again by the next look, so that none is lost.
        """
        stored = self.store.rows_in_lake("ledger")
        if stored is None:
            return {}
        order = oldest_first(stored)  # of the long texts only those that count are copied
        newest = stored.take(order.take(_newest_places(stored.select(["table", "day"]).take(order))))
        return _by_table({}, _entries(newest))

    def _with_newer(self, known: Newest, before: int, newest: int) -> Newest | None:
        """Add the entries of later commits to those that are known.

        None where the commits did more than add rows, or did not number their rows.
        """
        log = self.store.log(self._location)
        paths = log.added_since(before, newest)
        if paths is None:
            return None
        for path in paths:
            with log.open_file(path) as file:
                rows = pq.ParquetFile(file).read()  # read_table would import datasets
            if "sequence" not in rows.column_names or rows["sequence"].null_count:
                return None
            numbered = sorted(zip(rows["sequence"].to_pylist(), _entries(rows), strict=True), key=itemgetter(0))
            known = _by_table(known, (entry for _, entry in numbered))
        return known


def _to_row(entry: Entry) -> dict[str, Any]:
    objects = {name: json.dumps(dict(getattr(entry, name)), sort_keys=True) for name in ("inputs", "table_ids")}
    return {**asdict(entry), **objects}


def _newest_places(rows: pa.Table) -> pa.Array:
    """Return the places of the newest row of each table and day, in order.

    The rows come oldest first.
    """
    placed = pa.table({"table": rows["table"], "day": rows["day"], "place": pa.array(range(rows.num_rows), pa.int64())})
    return placed.group_by(["table", "day"]).aggregate([("place", "max")])["place_max"].combine_chunks().sort()


def _by_table(known: Newest, entries: Iterable[Entry]) -> Newest:
    """Add entries to what is known, oldest first."""
    newer: dict[str, dict[date | None, Entry]] = {}
    for entry in entries:
        newer.setdefault(entry.table, {})[entry.day] = entry
    return {**known, **{table: {**known.get(table, {}), **days} for table, days in newer.items()}}


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _entries(rows: pa.Table) -> Iterator[Entry]:
    """Read entries column by column.

    A row at a time takes twice as long. An older release wrote fewer columns, and a newer one may write more.
    """
    # Of times pyarrow makes objects one by one, ten times as slowly as of numbers.
    moments = [chunk.view(pa.int64()) for chunk in rows["recorded_at"].chunks]
    place = rows.column_names.index("recorded_at")
    rows = rows.set_column(place, "recorded_at", pa.chunked_array(moments, pa.int64()))
    none = pa.chunked_array([pa.nulls(rows.num_rows, pa.string())])
    columns = (_read_once(name, rows[name] if name in rows.column_names else none) for name in FIELDS)
    return map(made, zip(*columns, strict=True))


def _read_once(name: str, column: pa.ChunkedArray) -> list[Any]:
    """Read a column, each value once, because many entries say the same."""
    if len(column) <= _FEW_ENTRIES:
        values: list[Any] = column.to_pylist()
        places: Sequence[int] = range(len(column))
    else:
        encoded = column.combine_chunks().dictionary_encode(null_encoding="encode")
        values = encoded.dictionary.to_pylist()
        places = memoryview(encoded.indices.buffers()[1]).cast("i")[: len(encoded)]
    if name in ("inputs", "table_ids"):
        values = json.loads(f"[{','.join(text or '{}' for text in values)}]")  # one call reads all of them
    elif name == "recorded_at":
        values = [_EPOCH + timedelta(microseconds=moment) for moment in values]
    elif name == "disagreeing":
        values = [count or 0 for count in values]
    return [values[place] for place in places]
