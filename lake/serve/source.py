"""Read the table of a sink as of one version, without a JVM."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import pyarrow as pa
from deltalake import DeltaTable
from pyarrow import compute as pc

from lake.declare.days import Day
from lake.declare.sink import Sink
from lake.declare.table import Table
from lake.serve.file_rows import read_files
from lake.serve.mask import Mask
from lake.storage.log import Log
from lake.storage.stored_files import StoredFile, features_beyond_files, stored_files
from lake.write.store import DeltaStore

__all__ = ["Source", "open_for", "open_source"]

ROWS_AT_ONCE = 1_000_000
"""Days are read together up to so many rows."""


@dataclass(frozen=True)
class Source:
    """A table at a version.

    Attributes:
        table: which; that of a sink is as the destination has it.
        log: of it.
        version: which rows.
        commit: hash of that version's commit file; another one where the log is not the one that was read.
        table_id: the id of the table; another one where it was made anew.
        stored_schema: the columns that the contract stores.
        mask: hides what the sink does not show.
    """

    table: Table
    log: Log
    version: int
    commit: str
    table_id: str
    stored_schema: pa.Schema
    mask: Mask = field(default_factory=Mask)

    @cached_property
    def stored(self) -> DeltaTable:
        """Its files."""
        return self.log.at(self.version)

    @cached_property
    def files(self) -> Sequence[StoredFile]:
        """What the log says of its files."""
        return stored_files(self.stored, self.table.day)

    @cached_property
    def held(self) -> Mapping[Day, int]:
        """The days that hold files, with their rows.

        None stands for all rows of a table without days.
        """
        return self.log.rows_at((self.version, self.commit), self.table.day)

    @property
    def schema(self) -> pa.Schema:
        """The columns that are shown."""
        return _plain(self.table)

    @property
    def stamp(self) -> str:
        """Name the commit and how rows are hidden, for a destination to note."""
        return "+".join(filter(None, (self.commit, self.mask.stamp)))

    def shown(self, rows: pa.Table) -> pa.Table:
        """Give rows of the stored table as they are shown."""
        return self.mask.apply(rows).cast(self.schema)

    def rows(self, days: Collection[Day]) -> pa.Table:
        """Read the rows of some days, in the columns that are shown.

        A nullable column that the stored table does not have yet is null.
        """
        wanted = set(days)
        files = [file for file in self.files if self.table.day is None or file.day in wanted]
        if not files:
            return self.schema.empty_table()
        needed = pa.schema([one for one in self.stored_schema if one.name not in self.mask.left_out])
        if self.log.is_local and not features_beyond_files(self.stored):
            # DuckDB takes a third of the time that delta-rs takes for many small files.
            paths = [f"{self.log.location}/{file.path}" for file in files]
            return self.shown(read_files(paths, needed, self.stored.metadata().partition_columns))
        return self.shown(self._read_stored(days, needed))

    def _read_stored(self, days: Collection[Day], needed: pa.Schema) -> pa.Table:
        """Read rows by delta-rs, from wherever they are stored."""
        dates = pa.array([day for day in days if day is not None], pa.date32())
        is_all = self.table.day is None or set(days) >= self.held.keys()  # a filter costs something for each day
        chosen = None if is_all else pc.field(self.table.day).isin(dates)
        held = {one.name for one in self.stored.schema().fields}
        read = self.stored.to_pyarrow_table(columns=[one.name for one in needed if one.name in held], filters=chosen)
        columns = [
            read[one.name].cast(one.type) if one.name in read.column_names else pa.nulls(read.num_rows, one.type)
            for one in needed
        ]
        return pa.table(columns, schema=needed)

    def in_batches(self, days: Sequence[Day]) -> Iterator[Sequence[Day]]:
        """Split days into as many at once as fit well into memory."""
        batch: list[Day] = []
        size = 0
        for day in days:
            if batch and size + self.held.get(day, 0) > ROWS_AT_ONCE:
                yield batch
                batch, size = [], 0
            batch.append(day)
            size += self.held.get(day, 0)
        if batch:
            yield batch

    def batches(self, days: Sequence[Day]) -> Iterator[tuple[Sequence[Day], pa.Table]]:
        """Read some days, as many at once as fit well into memory."""
        return ((batch, self.rows(batch)) for batch in self.in_batches(days))


def open_source(store: DeltaStore, table: Table, version: int | None = None) -> Source | None:
    """Open a table at a version, or at the newest.

    None where it was never written.
    """
    log = store.table_log(table)
    newest = log.version()
    if newest is None:
        return None
    chosen = newest if version is None else version
    return Source(table, log, chosen, log.fingerprint(chosen) or "", log.table_id() or "", _plain(table))


def open_for(sink: Sink, store: DeltaStore, secret: Callable[[Sink, str], str]) -> Source | None:
    """Open the newest version of a table as a sink shows it.

    None where it was never written.

    Args:
        sink: for whom.
        store: that holds the table.
        secret: looks up the value of a variable.

    Raises:
        SecretMissing: the sink hashes, and the variable with its secret is not set.
    """
    source = open_source(store, sink.reads)
    if source is None or not (sink.hashed or sink.left_out):
        return source
    key = secret(sink, sink.pii_key_from).encode() if sink.hashed and sink.pii_key_from else b""
    return replace(source, table=sink.shown, mask=Mask(sink.left_out, sink.hashed, key))


def _plain(table: Table) -> pa.Schema:
    """Return the columns that a contract stores, without what is stored about them."""
    return pa.schema([pa.field(one.name, one.type, one.nullable) for one in table.contract.arrow_schema])
