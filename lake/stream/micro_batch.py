"""Write one micro-batch: own days -> enforce -> write -> receipt.

The same enforce -> write path as batch. All of it happens under the table's lock, and the frontier is read under it
too: whoever takes the lock once after publishing `closing` knows that no micro-batch is left that has not seen it.
Every step carries a transaction id, so that a micro-batch which is repeated after a crash writes only what is missing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame

from lake.declare.days import Days
from lake.declare.table import Table
from lake.engine.failpoints import failpoint
from lake.errors import RowsLost
from lake.ownership.frontier import LAST_DAY, Frontier, FrontierTable
from lake.storage.durable import flush_files, flush_folders
from lake.storage.own_table import OwnTable
from lake.storage.store_path import AnyPath
from lake.stream.generation import StreamPlan, step_txn
from lake.stream.input_events import NEWEST_EVENT, InputEvents
from lake.stream.interpreting import Interpreting
from lake.stream.judge import Judge
from lake.stream.mode_writer import Batch, ModeWriter
from lake.stream.mode_writers import writer_of
from lake.stream.progress import MicroBatch, committed_before
from lake.stream.read_offsets import READ_TO, planned
from lake.stream.stream_inputs import StreamInputs
from lake.write.enforce import Counts, Enforced
from lake.write.horizon import Filing, Horizon
from lake.write.store import DeltaStore, Txn

__all__ = ["BEFORE_FIRST", "MicroBatchWriter", "Stopped", "always"]

_GUARD_POLL_SECONDS = 0.1
BEFORE_FIRST = -1
"""The number of what a generation of bronze is given before its first micro-batch."""


def by_wall_clock() -> Horizon:
    """Return the horizon of this moment, where no other clock is given."""
    return Horizon(datetime.now(UTC))


def always() -> None:
    """On one machine nobody else can have the lease."""


class Stopped(Exception):  # noqa: N818 - not an error: the process was asked to end
    """The process is ending.

    A micro-batch that had not begun to write does not begin.
    """


@dataclass
class MicroBatchWriter:
    """Writes the micro-batches of one query, as foreachBatch asks.

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
        interpreting: how Spark runs the query's micro-batches; each start begins anew.
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
    checkpoint: AnyPath | None = None
    guard: threading.Lock = field(default_factory=threading.Lock)
    failure: BaseException | None = None
    interpreting: Interpreting = field(default_factory=Interpreting)

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
        """Force to the disk which rows are this micro-batch.

        A power cut must not leave its commit alone: planned anew under the same number, with rows that came meanwhile,
        it would count as written. An object store keeps what it has acknowledged.
        """
        if isinstance(self.checkpoint, Path):
            planned = (self.checkpoint / "metadata", self.checkpoint / "offsets" / str(batch_id))
            flush_files([*planned, *_newest_lists(self.checkpoint)])
            flush_folders([self.checkpoint / "sources", self.checkpoint])

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """Take the lock that stopping the query also takes.

        Give up once stopping has begun, because it waits for this thread.
        """
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
        counts = self._write_rows(Batch(batch_id, self._filing(rows, believed), first_day, believed))
        self._note_read(batch_id)
        self.judge.note(counts)
        self.interpreting.note(rows.sparkSession, counts.rows_in)
        version = self.store.version(self.table)
        seconds = round(time.monotonic() - started, 3)
        table = self.table.full_name
        return MicroBatch(table, self.generation, batch_id, counts, -1 if version is None else version, seconds)

    @cached_property
    def judge(self) -> Judge:
        return Judge(self.plan)

    @cached_property
    def _filing(self) -> Filing:
        return Filing(self.table)

    @cached_property
    def _mode(self) -> ModeWriter:
        return writer_of(self.table)(self.table, self.store, self.redelivers, self._txn, self._metadata)

    def _write_rows(self, batch: Batch) -> Counts:
        """Write and count, in one job where the micro-batch is small.

        By Spark, rejected rows cost another job.
        """
        own_days, mode = self._mode.own(batch), self._mode
        log, txn = self.store.table_log(self.table), self._txn("write", batch.number)
        is_written = self.store.is_committed(self.store.path(self.table), txn)
        is_for_spark = is_written or self._fails or not mode.takes_few(batch)
        if not is_for_spark and (here := self.judge.collect(own_days, batch)) is not None:
            commit = mode.write_few(here, batch)
            mode.quarantine(here, here.counts, batch)
            return mode.inserted(here.counts, commit)
        with self.judge.judged(own_days, batch) as once:
            if is_written:
                counts = sum(once.counts_by_day().values(), Counts())
                mode.finish(once, batch)
                self._refuse_missing(once, counts, batch)
                counts = mode.inserted(counts, committed_before(log, self.generation, batch.number))
            else:
                commit = mode.write(once, batch, fails=self._fails)
                counts = mode.inserted(once.observed(), commit)
            mode.quarantine(once, counts, batch)
        return counts

    def _compact(self, batch_id: int, state: Frontier) -> None:
        """Join small files of the open days between two micro-batches.

        Nobody else may write these days.
        """
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
        return planned(self.checkpoint, batch_id) if self.checkpoint and self.table.write.keeps_everything else {}

    def _note_read(self, batch_id: int) -> None:
        """Commit how far bronze was read where no row says so.

        Aborted transactions give none, and a lost checkpoint must not make their messages look unread.
        """
        store, txn = self.store, self._txn("write", batch_id)
        if self._read_to(batch_id) and not store.is_committed(store.path(self.table), txn):
            none = self.table.contract.arrow_schema.empty_table()
            store.append(self.table, none, txn, self._metadata(batch_id))

    def _refuse_missing(self, enforced: Enforced, counts: Counts, batch: Batch) -> None:
        """Raise where rows are missing of a step that was done before.

        A restart would hide the loss otherwise.

        Raises:
            RowsLost: the table does not hold every accepted row's key.
        """
        days = self._mode.days(batch)
        missing = self.store.count_missing(self.table, enforced.again().accepted(), days)
        if missing:
            raise RowsLost(self.table.full_name, str(counts), "the same", counts.rows_out - missing)

    @property
    def _fails(self) -> bool:
        return self.table.policy == "fail"


def _newest_lists(checkpoint: Path) -> Iterator[Path]:
    """Find each file source's newest note of the files that it has read."""
    for folder in (checkpoint / "sources").glob("*"):
        lists = [file for file in folder.iterdir() if not file.name.startswith(".")]
        if lists:
            yield max(lists, key=lambda file: file.stat().st_mtime_ns)
