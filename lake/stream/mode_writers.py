"""Define the mode writers that need no module of their own.

`writer_of` says which writer is that of a mode.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa
import pyspark.sql.functions as F
from pyarrow import compute as pc
from pyspark.sql import DataFrame, Observation

from lake.declare.days import Days
from lake.declare.modes import Append, InsertNew, Latest, Upsert, Write
from lake.declare.table import Table
from lake.errors import OtherMessage
from lake.ownership.frontier import LAST_DAY
from lake.storage.commits import Commit
from lake.stream.latest_writer import LatestWriter
from lake.stream.mode_writer import Batch, ModeWriter
from lake.write.enforce import Collected, Counts, Enforced
from lake.write.held_keys import HeldKeys
from lake.write.rejects import not_given_again

__all__ = ["writer_of"]

_MOST_COUNTED = 1_000


@dataclass
class _OpenDaysWriter(ModeWriter):
    """Write days that the stream owns.

    The first micro-batch of a generation replaces them all.
    """

    def takes_few(self, batch: Batch) -> bool:
        return batch.number > 0

    def write(self, rows: Enforced, batch: Batch, *, fails: bool) -> Commit:
        accepted = rows.accepted(fail_on_reject=fails)
        if batch.number > 0:
            return self._add(accepted, batch)
        said, txn = self.metadata(batch.number), self.txn("write", batch.number)
        commit = self.store.replace(self.table, accepted, batch.open_days, said, txn=txn)
        self._refuse_loss(rows.observed().rows_out, commit)
        return commit

    @abstractmethod
    def _add(self, rows: DataFrame, batch: Batch) -> Commit:
        """Add accepted rows to what the open days hold."""

    def quarantine(self, rows: Enforced | Collected, counts: Counts, batch: Batch) -> None:
        self._file(rows, counts, batch, batch.open_days if batch.number == 0 else None)


@dataclass
class _InsertNewWriter(_OpenDaysWriter):
    """Add the rows whose key the open days do not hold."""

    @cached_property
    def _held(self) -> HeldKeys:
        return HeldKeys(self.table)

    def write_few(self, rows: Collected, batch: Batch) -> Commit | None:
        new = self._held.new_among(rows.accepted, self.store.table_log(self.table), batch.open_days)
        if new is None:
            return self._insert_new(self._frame(rows.accepted), batch.open_days, batch)
        commit = self._append(new, batch) if new.num_rows else None
        self._refuse_loss(new.num_rows, commit)
        return commit

    def _add(self, rows: DataFrame, batch: Batch) -> Commit:
        return self._insert_new(rows, batch.open_days, batch)


@dataclass
class _UpsertWriter(_OpenDaysWriter):
    """Add rows, and replace those that the open days hold under their keys."""

    def write_few(self, rows: Collected, batch: Batch) -> Commit | None:
        return self._add(rows.accepted, batch) if rows.accepted.num_rows else None

    def _add(self, rows: DataFrame | pa.Table, batch: Batch) -> Commit:
        return self.store.upsert(self.table, rows, self.txn("write", batch.number), self.metadata(batch.number))


@dataclass
class _AppendWriter(ModeWriter):
    """Add messages to bronze, each (topic, partition, offset) once.

    It keeps whatever it reads, because nobody else would.

    What bronze may hold already is inserted by its key: whatever a source may deliver twice, all that a generation
    reads first, and messages of landing days before the stream's own, which batch loads from the archive whenever it
    likes. No other message can be there, so it is appended without looking. A message is known by its offset:
    an archive that batch loads into a lake which follows the topic must carry the topic's own.
    """

    def own(self, batch: Batch) -> DataFrame:
        return batch.rows

    def takes_few(self, batch: Batch) -> bool:
        return batch.number > 0 and not self.redelivers

    def write_few(self, rows: Collected, batch: Batch) -> Commit | None:
        is_archived = pc.field(str(self.table.day)) < pa.scalar(batch.first_day)
        new, more = rows.accepted.filter(~is_archived), None
        if new.num_rows < rows.accepted.num_rows:
            more = self._insert_archived(self._frame(rows.accepted.filter(is_archived)), batch)
        commit = self._append(new, batch) if new.num_rows else None
        self._refuse_loss(new.num_rows, commit)
        return commit.joined(more) if commit and more else commit or more

    def write(self, rows: Enforced, batch: Batch, *, fails: bool) -> Commit:
        accepted = rows.accepted(fail_on_reject=fails)
        if self.takes_few(batch):
            return self._append_new(accepted, batch)
        if not self.redelivers:
            self._refuse_other_messages(accepted)
        return self._insert_new(accepted, self.days(batch), batch)

    def finish(self, rows: Enforced, batch: Batch) -> None:
        if self.takes_few(batch):
            self._insert_archived(rows.accepted(), batch)

    def days(self, batch: Batch) -> Sequence[Days]:
        """Find the landing days in a micro-batch, in a job of its own.

        Only days that are believed: rows of others are rejected, and Python has no date for the year 44972.
        """
        return self._landing_days(batch.rows, batch)

    def _landing_days(self, rows: DataFrame, batch: Batch) -> Sequence[Days]:
        day = F.col(str(self.table.day))
        believed = rows.where(batch.believed.is_believed(day, self.table))
        days = {row[0] for row in believed.select(day).distinct().collect()}
        return Days.ranges(day for day in days if day is not None) or [Days(LAST_DAY, LAST_DAY)]

    def _append_new(self, accepted: DataFrame, batch: Batch) -> Commit:
        """Append what batch cannot have loaded, and insert the rest.

        The rest is counted on the way, and inserted where there is any.
        """
        is_archived, seen = F.col(str(self.table.day)) < F.lit(batch.first_day), Observation()
        counted = (F.count_if(is_archived).alias("archived"), F.count_if(~is_archived).alias("new"))
        commit = self._append(accepted.observe(seen, *counted).where(~is_archived), batch)
        self._refuse_loss(seen.get["new"], commit)
        return commit.joined(self._insert_archived(accepted, batch)) if seen.get["archived"] else commit

    def _insert_archived(self, accepted: DataFrame, batch: Batch) -> Commit:
        """Insert messages of batch's landing days, the second step of an append."""
        archived = accepted.where(F.col(str(self.table.day)) < F.lit(batch.first_day))
        self._refuse_other_messages(archived)
        return self._insert_new(archived, self._landing_days(archived, batch), batch, "archived")

    def _refuse_other_messages(self, accepted: DataFrame) -> None:
        """Raise where bronze holds another message under the same offset.

        Inserted by its key, the new message would be lost.

        Raises:
            OtherMessage: nothing was written.
        """
        key, sent_at = list(self.table.key), "timestamp"
        if sent_at not in self.table.contract.stored_names or not self.store.table_log(self.table).has_rows():
            return
        held = self.store.read(self.table).select(*key, F.col(sent_at).alias("held_at"))
        both = accepted.select(*key, sent_at).join(held, on=key)
        others = both.where(F.col(sent_at) != F.col("held_at")).limit(_MOST_COUNTED).collect()
        if others:
            shown = [f"{', '.join(map(str, row[:-2]))}: sent at {row[-2]}, held is {row[-1]}" for row in others]
            raise OtherMessage(self.table.full_name, shown)

    def quarantine(self, rows: Enforced | Collected, counts: Counts, batch: Batch) -> None:
        """File the rejected rows.

        Messages of a topic that is read from its beginning are judged anew.

        A line without an offset cannot be known again; a new generation reads the archive whole, as batch does.
        """
        if batch.number > 0 or self.redelivers:
            self._file(rows, counts, batch, batch.open_days if batch.number == 0 else None)
            return
        store, txn = self.store, self.txn("quarantine", batch.number)
        if not store.is_committed(store.quarantine_path(self.table), txn):
            kept = not_given_again(self.table, store, batch.rows)
            store.replace_quarantine(self.table, kept.unionAll(rows.rejected()), None, txn=txn)


_WRITERS: dict[type[Write], type[ModeWriter]] = {
    Append: _AppendWriter,
    InsertNew: _InsertNewWriter,
    Upsert: _UpsertWriter,
    Latest: LatestWriter,
}


def writer_of(table: Table) -> type[ModeWriter]:
    """Find the writer of a table's mode, which a stream may write."""
    return _WRITERS[type(table.write)]
