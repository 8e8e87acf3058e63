"""What a stream does with one micro-batch: drop days that are not its own -> enforce -> write -> receipt.

The same enforce -> write path as batch. All of it happens under the table's lock, and the frontier is read under it
too: whoever takes the lock once after publishing `closing` knows that no micro-batch is left that has not seen it.
Every step carries a transaction id, so that a micro-batch which is repeated after a crash writes only what is missing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyspark.sql.functions as F
from pyspark.sql import Column, DataFrame, Observation

from lake.declare.days import Days
from lake.declare.table import Append, InsertNew, Table, Upsert
from lake.engine.failpoints import failpoint
from lake.errors import OtherMessage, RowsLost
from lake.ownership.frontier import LAST_DAY, Frontier, FrontierTable
from lake.storage.commits import Commit
from lake.storage.durable import flush_files, flush_folders
from lake.storage.own_table import OwnTable
from lake.stream.generation import StreamPlan, step_txn
from lake.stream.input_events import NEWEST_EVENT, InputEvents
from lake.stream.progress import MicroBatch
from lake.stream.read_offsets import READ_TO, planned
from lake.stream.stream_inputs import StreamInputs
from lake.write.bounded import Bounded
from lake.write.enforce import NOTHING_DROPPED, Collected, Counts, Enforced, Enforcer
from lake.write.held_keys import HeldKeys
from lake.write.horizon import Horizon
from lake.write.rejects import not_given_again
from lake.write.store import DeltaStore, Txn

__all__ = ["BEFORE_FIRST", "MicroBatchWriter", "Stopped", "always"]

_GUARD_POLL_SECONDS = 0.1
_MOST_COUNTED = 1_000
_MOST_COLLECTED = 20_000
"""Rows of a micro-batch that this process takes and commits; above it Spark does."""
_MOST_COLLECTED_BYTES = 32 * 2**20
"""And how large their texts may be."""
BEFORE_FIRST = -1
"""The number of what a generation of bronze is given before its first micro-batch."""


def by_wall_clock() -> Horizon:
    """Where nobody says what time it is."""
    return Horizon(datetime.now(UTC))


def always() -> None:
    """On one machine nobody else can have the lease."""


class Stopped(Exception):  # noqa: N818 - not an error: the process was asked to end
    """The process is ending: a micro-batch that had not begun to write does not begin."""


@dataclass
class MicroBatchWriter:
    """Writes the micro-batches of one query; what foreachBatch calls.

    Attributes:
        plan: of the table.
        store: where it is.
        frontier: who owns a day.
        generation: of the table's stream.
        redelivers: whether a source may give a message twice to one checkpoint.
        stopping: set when no further micro-batch shall begin.
        on_receipt: told of each finished micro-batch before its checkpoint is; keeps the receipt.
        compact_every: micro-batches between two compactions of the open days; 0 for never.
        events: tells how new the events are that a micro-batch has read; None where its rows say it themselves.
        inputs: tells whether a micro-batch reads over a RESTORE of an input; None where nobody knows.
        own: tells whether the table was restored meanwhile; None where nobody looks.
        horizon: which times are believed now.
        may_write: raises where another driver may have the lease of the lake by now.
        checkpoint: folder of the query, which says how far a micro-batch reads a topic; what it has planned is forced
            to the disk before a row is written.
        guard: held while a micro-batch is written.
        failure: the error that ended the query, as it was raised here.
        previous: rows of the micro-batch before, by which the tasks of the next are chosen; None where they were too
            large for this process.
        was_large: whether the micro-batch turned out to be too large for this process, though its rows are few.
        believed: which times are, in the micro-batch under way.
        own_days: the first day that the stream may write, and the condition of which rows are of such days.
    """

    plan: StreamPlan
    store: DeltaStore
    frontier: FrontierTable
    generation: int
    redelivers: bool
    stopping: threading.Event
    on_receipt: Callable[[MicroBatch], None]
    compact_every: int = 200
    events: InputEvents | None = None
    inputs: StreamInputs | None = None
    own: OwnTable | None = None
    horizon: Callable[[], Horizon] = by_wall_clock
    may_write: Callable[[], None] = always
    checkpoint: Path | None = None
    guard: threading.Lock = field(default_factory=threading.Lock)
    failure: BaseException | None = None
    previous: int | None = None
    believed: Horizon | None = None
    was_large: bool = False
    own_days: tuple[date, Column] | None = None

    @property
    def table(self) -> Table:
        """The table that it writes."""
        return self.plan.table

    def __call__(self, rows: DataFrame, batch_id: int) -> None:
        """Write one micro-batch."""
        try:
            with self._guarded(), self.store.lock(self.table.full_name):
                if self.stopping.is_set():
                    raise Stopped
                state = self.frontier.state()
                self.may_write()
                assert state is not None, "a stream runs only on days that were claimed"
                self._flush_plan(batch_id)
                if self.inputs is not None:
                    self.inputs.refuse_restored(batch_id)
                if self.own is not None:
                    self.own.refuse_changed()
                receipt = self._write(rows, batch_id, state)
                self._compact(batch_id, state)
            self.on_receipt(receipt)
            failpoint("before_checkpoint", self.table.full_name)
        except BaseException as error:
            self.failure = error
            raise

    def _flush_plan(self, batch_id: int) -> None:
        """Force to the disk which rows are this micro-batch, because a power cut must not leave its commit alone.

        Planned anew under the same number, with rows that came meanwhile, it would count as written.
        """
        if self.checkpoint is not None:
            planned = (self.checkpoint / "metadata", self.checkpoint / "offsets" / str(batch_id))
            flush_files([*planned, *_newest_lists(self.checkpoint)])
            flush_folders([self.checkpoint / "sources", self.checkpoint])

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """Hold the guard; who stops the query holds it too, and waits for this thread, so do not wait for it then."""
        while not self.guard.acquire(timeout=_GUARD_POLL_SECONDS):
            if self.stopping.is_set():
                raise Stopped
        try:
            yield
        finally:
            self.guard.release()

    def _write(self, rows: DataFrame, batch_id: int, state: Frontier) -> MicroBatch:
        started = time.monotonic()
        first_day, believed = state.first_writable_day(self.table), self.horizon()
        self.believed, rows = believed, believed.filed(rows, self.table)
        counts = self._write_rows(self._own_days(rows, first_day), rows, batch_id, first_day)
        self._note_read(batch_id)
        self.previous = None if self.was_large else counts.rows_in
        version = self.store.version(self.table)
        seconds = round(time.monotonic() - started, 3)
        table = self.table.full_name
        return MicroBatch(table, self.generation, batch_id, counts, -1 if version is None else version, seconds)

    def _partitions(self, rows: DataFrame) -> int:
        """How many tasks write, where Spark does: a shuffle does not pay for the few rows of a stream that keeps up.

        What a query keeps in its state lies in partitions of its own, which a single task would have to go through.
        """
        if self._was_small and not self.plan.is_stateful:
            return 1
        return int(rows.sparkSession.conf.get("spark.sql.shuffle.partitions") or 1)

    @property
    def _was_small(self) -> bool:
        return self.previous is not None and self.previous <= _MOST_COLLECTED

    def _enforced(self, rows: DataFrame, partitions: int) -> Enforced:
        return self._enforce(rows, None, partitions=partitions, horizon=self.believed)

    @cached_property
    def _enforce(self) -> Enforcer:
        return Enforcer(self.table)

    @cached_property
    def _bounded(self) -> Bounded:
        return Bounded(_MOST_COLLECTED, _MOST_COLLECTED_BYTES)

    @cached_property
    def _held(self) -> HeldKeys:
        return HeldKeys(self.table)

    def _own_days(self, rows: DataFrame, first_day: date) -> DataFrame:
        """The rows of days that the stream may write; a rejected row goes with the day under which it is filed.

        Bronze keeps whatever it reads, since nobody else would.
        """
        if isinstance(self.table.write, Append) or self.table.day is None:
            return rows
        if self.own_days is None or self.own_days[0] != first_day:
            day = F.coalesce("_event_date", self.table.day) if "_event_date" in rows.columns else F.col(self.table.day)
            self.own_days = (first_day, F.coalesce(day >= F.lit(first_day), F.lit(True)))
        return rows.where(self.own_days[1])

    def _write_rows(self, own_days: DataFrame, rows: DataFrame, batch_id: int, first_day: date) -> Counts:
        """Write and count, in one job where the micro-batch is small; by Spark, rejected rows cost another."""
        txn = self._txn("write", batch_id)
        is_written = self.store.is_committed(self.store.path(self.table), txn)
        if not is_written and (here := self._collect(own_days, batch_id)) is not None:
            commit = self._commit_collected(here, first_day, txn)
            self._quarantine(here, here.counts, rows, batch_id, first_day)
            return self._inserted(here.counts, commit)
        with self._computed_once(self._enforced(own_days, self._partitions(rows))) as once:
            if is_written:
                counts = sum(once.counts_by_day().values(), Counts())
                if self._appends(batch_id):
                    self._insert_archived(once.accepted(), first_day, batch_id)
                self._refuse_missing(once, counts, rows, first_day)
                counts = self._inserted(counts, self._committed(batch_id))
            else:
                commit = self._commit(once.accepted(fail_on_reject=self._fails), rows, first_day, txn)
                if batch_id == 0 and not isinstance(self.table.write, Append):  # it has replaced the open days
                    self._refuse_loss(once.observed().rows_out, commit)
                counts = self._inserted(once.observed(), commit)
            self._quarantine(once, counts, rows, batch_id, first_day)
        return counts

    @contextmanager
    def _computed_once(self, enforced: Enforced) -> Iterator[Enforced]:
        """The same rows; where a query keeps state, each computation goes through it."""
        if not self.plan.is_stateful:
            yield enforced
            return
        kept = replace(enforced, flagged=enforced.flagged.persist())
        try:
            yield kept
        finally:
            kept.flagged.unpersist()

    def _collect(self, own_days: DataFrame, batch_id: int) -> Collected | None:
        """The rows of a small micro-batch with their verdicts; None where Spark shall write it.

        The first micro-batch of a generation replaces days. What a source may give twice is merged into bronze.
        """
        self.was_large = False
        is_merged = isinstance(self.table.write, Append) and self.redelivers
        if batch_id == 0 or is_merged or self._fails or not self._was_small:
            return None
        # A task for each partition of the state, and one that has all of their rows.
        together = own_days.repartition(1) if self.plan.is_stateful else own_days.coalesce(1)
        found = self._enforce.collect(together, self._bounded, self.believed)
        self.was_large = found is None
        return found

    def _commit_collected(self, here: Collected, first_day: date, txn: Txn) -> Commit | None:
        """Add rows that are in this process; None where none is new."""
        table, store, metadata, more = self.table, self.store, self._metadata(txn.version), None
        if isinstance(table.write, Upsert):
            return store.upsert(table, here.accepted, txn, metadata) if here.accepted.num_rows else None
        if isinstance(table.write, InsertNew):
            open_days = [Days(first_day, LAST_DAY)]
            new = self._held.new_among(here.accepted, store.table_log(table), open_days)
            if new is None:
                return store.insert_new(table, self._frame(here.accepted), open_days, txn, metadata)
        else:
            is_archived = pc.field(str(table.day)) < pa.scalar(first_day)
            new = here.accepted.filter(~is_archived)
            if new.num_rows < here.accepted.num_rows:
                more = self._insert_archived(self._frame(here.accepted.filter(is_archived)), first_day, txn.version)
        commit = store.append(table, new, txn, metadata) if new.num_rows else None
        self._refuse_loss(new.num_rows, commit)
        return _both(commit, more) if more else commit

    def _frame(self, rows: pa.Table) -> DataFrame:
        return self.store.spark.createDataFrame(rows, self.table.contract.schema)

    def _commit(self, accepted: DataFrame, rows: DataFrame, first_day: date, txn: Txn) -> Commit:
        """The first micro-batch of a generation replaces the open days, later ones add. Bronze only ever adds."""
        table, store, metadata = self.table, self.store, self._metadata(txn.version)
        if isinstance(table.write, Append):
            return self._add(accepted, rows, first_day, txn)
        open_days = [Days(first_day, LAST_DAY)]
        if txn.version == 0:
            return store.replace(table, accepted, open_days, metadata, txn=txn)
        if isinstance(table.write, InsertNew):
            return store.insert_new(table, accepted, open_days, txn, metadata)
        return store.upsert(table, accepted, txn, metadata)

    def _add(self, accepted: DataFrame, rows: DataFrame, first_day: date, txn: Txn) -> Commit:
        """Add messages to bronze, each (topic, partition, offset) once.

        What bronze may hold already is inserted by its key: whatever a source may deliver twice, all that a generation
        reads first, and messages of landing days before `first_day`, which batch loads from the archive whenever it
        likes. No other message can be there, so it is appended without looking. A message is known by its offset:
        an archive that batch loads into a lake which follows the topic must carry the topic's own.
        """
        if self._appends(txn.version):
            return self._append(accepted, first_day, txn)
        if not self.redelivers:
            self._refuse_other_messages(accepted)
        return self.store.insert_new(self.table, accepted, self._landing_days(rows), txn, self._metadata(txn.version))

    def _appends(self, batch_id: int) -> bool:
        return isinstance(self.table.write, Append) and batch_id > 0 and not self.redelivers

    def _append(self, accepted: DataFrame, first_day: date, txn: Txn) -> Commit:
        """Append; how many messages batch may have loaded is counted on the way, at no cost where there are none."""
        is_archived, seen = F.col(self.table.day or "") < F.lit(first_day), Observation()
        counted = (F.count_if(is_archived).alias("archived"), F.count_if(~is_archived).alias("new"))
        observed = accepted.observe(seen, *counted)
        commit = self.store.append(self.table, observed.where(~is_archived), txn, self._metadata(txn.version))
        self._refuse_loss(seen.get["new"], commit)
        if not seen.get["archived"]:
            return commit
        return _both(commit, self._insert_archived(accepted, first_day, txn.version))

    def _insert_archived(self, accepted: DataFrame, first_day: date, batch_id: int) -> Commit:
        """The second step of `_append`: messages of landing days that batch owns, where bronze does not hold them."""
        archived = accepted.where(F.col(self.table.day or "") < F.lit(first_day))
        self._refuse_other_messages(archived)
        txn, days = self._txn("archived", batch_id), self._landing_days(archived)
        return self.store.insert_new(self.table, archived, days, txn, self._metadata(batch_id))

    def _refuse_other_messages(self, accepted: DataFrame) -> None:
        """Raise where bronze holds another message under the offset of one: inserted by its key, it would be lost.

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

    def _landing_days(self, rows: DataFrame) -> Sequence[Days]:
        """The landing days in a micro-batch; from a job of its own, where a source may deliver a message twice.

        Only days that are believed: rows of others are rejected, and Python has no date for the year 44972.
        """
        assert self.believed is not None, "a micro-batch is under way"
        day = F.col(self.table.day or "")
        days = {
            row[0] for row in rows.where(self.believed.is_believed(day, self.table)).select(day).distinct().collect()
        }
        return Days.ranges(day for day in days if day is not None) or [Days(LAST_DAY, LAST_DAY)]

    def _quarantine(
        self, enforced: Enforced | Collected, counts: Counts, rows: DataFrame, batch_id: int, first_day: date
    ) -> None:
        table, store = self.table, self.store
        txn = self._txn("quarantine", batch_id)
        if batch_id <= 0 and isinstance(table.write, Append) and not self.redelivers:
            self._quarantine_again(enforced, rows, txn)
            return
        # A line without an offset cannot be known again; a new generation reads the archive whole, as batch does.
        replaces = batch_id == 0 and (self.redelivers or not isinstance(table.write, Append))
        if not counts.rejected:
            if replaces:
                store.store_quarantine(table, NOTHING_DROPPED.rejected, [Days(first_day, LAST_DAY)])
        elif not store.is_committed(store.quarantine_path(table), txn):
            if replaces:
                store.replace_quarantine(table, enforced.rejected(), [Days(first_day, LAST_DAY)], txn=txn)
            else:
                store.append_quarantine(table, enforced.rejected(), txn)

    def _quarantine_again(self, enforced: Enforced | Collected, rows: DataFrame, txn: Txn) -> None:
        """Of a topic that is read from its beginning: messages that were rejected before are judged anew."""
        path = self.store.quarantine_path(self.table)
        if not self.store.is_committed(path, txn):
            kept = not_given_again(self.table, self.store, rows)
            self.store.replace_quarantine(self.table, kept.unionAll(enforced.rejected()), None, txn=txn)

    def _compact(self, batch_id: int, state: Frontier) -> None:
        """Join small files of the open days between two micro-batches: nobody else may write them."""
        if self.compact_every and batch_id and batch_id % self.compact_every == 0:
            self.store.compact(self.table, Days(state.first_writable_day(self.table), LAST_DAY))

    def _txn(self, step: str, batch_id: int) -> Txn:
        return step_txn(self.table, step, self.generation, batch_id)

    def _metadata(self, batch_id: int) -> dict[str, Any]:
        newest = self.events.newest(batch_id) if self.events else None
        return {
            "follow": self.table.full_name,
            "generation": self.generation,
            "batch": batch_id,
            "code_version": self.table.code_version,
            **({NEWEST_EVENT: newest.isoformat()} if newest else {}),
            **({READ_TO: read_to} if (read_to := self._read_to(batch_id)) else {}),
        }

    def _read_to(self, batch_id: int) -> dict[str, dict[int, int]]:
        """Tell how far a micro-batch of bronze reads, by topic and partition."""
        return planned(self.checkpoint, batch_id) if self.checkpoint and isinstance(self.table.write, Append) else {}

    def _note_read(self, batch_id: int) -> None:
        """Commit how far bronze was read where no row says so.

        Aborted transactions give none, and a lost checkpoint must not make their messages look unread.
        """
        store, txn = self.store, self._txn("write", batch_id)
        if self._read_to(batch_id) and not store.is_committed(store.path(self.table), txn):
            none = self.table.contract.arrow_schema.empty_table()
            store.append(self.table, none, txn, self._metadata(batch_id))

    def _refuse_loss(self, handed: int, commit: Commit | None) -> None:
        """Raise where a commit holds more or fewer rows than were handed to it; the micro-batch is not over then.

        Raises:
            RowsLost: a commit that only adds or replaces has other rows. An upsert says nothing of what it found there.
        """
        stored = commit.rows if commit else 0
        if commit is not None and not commit.operation and "://" in self.store.tables:
            return  # on an object store Delta passes over a step that another driver has done
        if stored != handed:
            raise RowsLost(self.table.full_name, f"{handed:,} rows", "the same", stored)

    def _refuse_missing(self, enforced: Enforced, counts: Counts, rows: DataFrame, first_day: date) -> None:
        """Of a step that was done before: raise where rows of it are missing, else a restart would hide that.

        Raises:
            RowsLost: the table does not hold every accepted row's key.
        """
        days = self._landing_days(rows) if isinstance(self.table.write, Append) else [Days(first_day, LAST_DAY)]
        missing = self.store.count_missing(self.table, enforced.again().accepted(), days)
        if missing:
            raise RowsLost(self.table.full_name, str(counts), "the same", counts.rows_out - missing)

    def _committed(self, batch_id: int) -> Commit | None:
        """What a micro-batch that is repeated had committed, because only its commits know which rows were new then."""
        log, found = self.store.table_log(self.table), None
        newest = log.version()
        for version in range(-1 if newest is None else newest, -1, -1):
            commit = log.commit(version)
            if commit is None:
                break
            said = commit.metadata
            if said.get("generation") != self.generation or said.get("batch", batch_id) > batch_id:
                continue
            if said["batch"] < batch_id:
                break
            found = commit if found is None else _both(commit, found)
        return found

    def _inserted(self, counts: Counts, commit: Commit | None) -> Counts:
        """A row whose key the table held already is a duplicate too."""
        if isinstance(self.table.write, Upsert):
            return counts
        rows = commit.rows if commit else 0
        return replace(counts, rows_out=rows, duplicates=counts.duplicates + counts.rows_out - rows)

    @property
    def _fails(self) -> bool:
        return self.table.policy == "fail"


def _newest_lists(checkpoint: Path) -> Iterator[Path]:
    """Where each file source of a query noted which files it has read last."""
    for folder in (checkpoint / "sources").glob("*"):
        lists = [file for file in folder.iterdir() if not file.name.startswith(".")]
        if lists:
            yield max(lists, key=lambda file: file.stat().st_mtime_ns)


def _both(commit: Commit | None, more: Commit) -> Commit:
    """Two commits of one micro-batch as one."""
    if commit is None:
        return more
    return replace(commit, added={**more.added, **commit.added}, touched=commit.touched | more.touched)
