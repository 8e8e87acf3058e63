"""Drive the streaming queries of one process.

Start them, watch them, and seal days that are over.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date
from itertools import count

from pyspark.errors import StreamingQueryException

from lake.declare.topic_source import Place
from lake.errors import LakeError, TableLocked, TableRestored
from lake.ownership.frontier import Frontier, seal, seal_pending, sealable_before
from lake.ownership.passed_over import PassedOver
from lake.stream.following import Following
from lake.stream.generation import begin_generations, is_new, plan_stream
from lake.stream.lost_bronze import refuse_lost_bronze
from lake.stream.micro_batch import BEFORE_FIRST
from lake.stream.passing import pass_over
from lake.stream.query import StreamQuery, levels
from lake.stream.stream_inputs import find_other_inputs
from lake.write.enforce import Counts

__all__ = ["Driver", "Followed"]

_POLL_SECONDS = 1.0
_AWAIT_SECONDS = 1
_SEAL_EVERY_POLLS = 5
"""Looking whether a day is over, or receipts wait, costs as much as a small micro-batch."""


@dataclass(frozen=True)
class Followed:
    """The outcome of a call of `follow`.

    Attributes:
        counts: rows by table; rows in = rows out + rejected + duplicates.
        frontier: where it ended.
        unread_files: files that cannot be read, with the reason; the streams went on without them.
    """

    counts: Mapping[str, Counts]
    frontier: Frontier
    unread_files: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Driver(Following):
    """Drive the queries of some tables.

    Attributes:
        streams: the queries, upstream first.
    """

    streams: list[StreamQuery] = field(default_factory=list)

    @contextmanager
    def queries(
        self,
        new_generation: Collection[str],
        accept_loss: Collection[str],
        passing: Collection[Place],
        since: date | None,
    ) -> Iterator[None]:
        """Claim days and build the queries, and end them all afterwards.

        Whatever happens, they end after their running micro-batches.
        """
        before = seal_pending(self.frontier)
        plans = [plan_stream(table, self.store.spark) for table in self.tables]
        checkpoints = self.checkpoints
        renamed = self.topics.admit(accept_loss)
        refuse_lost_bronze(self.tables, self.source, self.store, checkpoints, accept_loss)
        passed = pass_over(passing, self.tables, self.source, self.store)
        self.source = self.source.passing(PassedOver(self.store).all())
        other = find_other_inputs(plans, before, checkpoints, self.store)
        for name, reason in other.items():
            self.tell(f"{name} begins anew: {reason}")
        asked = {*new_generation, *accept_loss, *renamed, *passed, *other, *self.watch.note_delivered()}
        state = begin_generations(
            self.frontier,
            plans,
            checkpoints,
            asked=asked,
            since=since,
            earliest=self.calendar.start,
            source=self.source,
            now=self.now(),
        )
        if before is None or not before.claimed:
            self.topics.tell_of_older(state.stream_from, self.tell, is_first=since is None)
        self.builder.create_tables()
        for plan in plans:
            checkpoints.note_table(plan, state.generations[plan.table.full_name], self.store)
        self.streams = [self.builder.build(plan, checkpoints, state) for plan in plans]
        try:
            self._note_progress()
            self._write_passed(state)
            yield
        finally:
            self._stop()

    def _write_passed(self, state: Frontier) -> None:
        """Write what new generations leave out.

        They begin behind the messages that are passed over.
        """
        for stream in self.streams:
            table = stream.plan.table
            first_day = state.first_writable_day(table)
            for feed in table.topics if is_new(stream.checkpoint) else ():
                if (rows := self.source.read_passed(self.store.spark, feed, first_day)) is not None:
                    stream.writer(table(rows), BEFORE_FIRST)

    def drain(self, *, until_idle: bool) -> None:
        """Read what there is, upstream first.

        Until idle: again as long as more has landed meanwhile. A topic that never falls silent has no end, so a process
        that goes on to run does not look for one.
        """
        by_level = list(levels(self.streams))
        while not self.asked_to_stop.is_set():
            self.watch.note_delivered()
            for level in by_level:
                self._drain_level(level)
            if not until_idle:
                return
            if self.asked_to_stop.is_set():
                return  # its feeds may not have been read to their ends
            self._seal(self.watch.feeds)
            before = sum((self.reports.counts[stream.name] for stream in by_level[0]), Counts())
            self._drain_level(by_level[0])
            if sum((self.reports.counts[stream.name] for stream in by_level[0]), Counts()) == before:
                return

    def run(self) -> None:
        """Run all queries until asked to stop or one fails."""
        for stream in self.streams:
            stream.start(drain=False)
        self.beside.start()
        for poll in count(1):
            if self.asked_to_stop.wait(_POLL_SECONDS):
                return
            for stream in self.streams:
                self._check(stream)
            self._note_progress()
            if poll % _SEAL_EVERY_POLLS == 0:
                self.watch.refuse_restored(self.streams)
                ends = self.watch.feeds_at_end(self.streams)
                self.watch.note_delivered()
                self._seal(ends)
                self.reports.receipts.commit()

    def compute_early(self) -> None:
        """Compute the early days that are due, once.

        Raises:
            Exception: what kept a table from it; the others were computed.
        """
        self.beside.start(once=True)
        while self.beside.is_running and not self.asked_to_stop.wait(_POLL_SECONDS / 5):
            self.beside.write_statuses()
        self.beside.stop()
        self.beside.check()

    def followed(self) -> Followed:
        """Sum up what the queries did."""
        state = self.frontier.state()
        assert state is not None
        unread = {path: why for stream in self.streams for path, why in stream.status.unread_files.items()}
        return Followed(self.reports.counts, state, unread)

    def _goes_on(self, stream: StreamQuery) -> bool:
        """Have a failed query go on without files that cannot be read.

        False where that changes nothing.
        """
        if self.stopping.is_set():
            return False
        self.watch.note_delivered()  # first: what is mended from here on has changed
        return self.builder.leave_out_unreadable(stream)

    def _drain_level(self, level: Sequence[StreamQuery]) -> None:
        for stream in level:
            if not self.asked_to_stop.is_set():
                stream.start(drain=True)
        for stream in level:
            self._await(stream)

    def _await(self, stream: StreamQuery) -> None:
        while (query := stream.query) is not None and not self.asked_to_stop.is_set():
            try:
                is_over = query.awaitTermination(_AWAIT_SECONDS)
            except StreamingQueryException as error:
                if not self._goes_on(stream):
                    raise stream.broken(error) from error
                stream.start(drain=True)
                continue
            self._note_progress()
            if is_over:
                return

    def _check(self, stream: StreamQuery) -> None:
        """Raise what ended a query that runs, unless it can go on."""
        try:
            stream.check()
        except LakeError:
            if not self._goes_on(stream):
                # The state of a topic says more than what Spark found of it.
                self.watch.topics_answer(self.streams)
                raise
            stream.start(drain=False)

    def _seal(self, ends: Collection[str]) -> None:
        """Seal what is over.

        Where a table is locked, a later call goes on. Nothing is sealed while a claimed table is not followed: its feed
        cannot say how far it is.

        Args:
            ends: the feeds that were read to their ends, and whose silence therefore says something.
        """
        self.may_write()
        state = self.frontier.state()
        if state is None or state.claimed - {table.full_name for table in self.tables}:
            return
        before = sealable_before(self.tables, self.store, now=self.now(), at_end=ends)
        with suppress(TableLocked):
            seal(self.frontier, self.tables, before)

    def _note_progress(self) -> None:
        self.reports.note_progress(self.streams, self.source)
        self.beside.write_statuses()

    def _stop(self) -> None:
        self.stopping.set()
        for stream in self.streams:
            stream.stop()
            with suppress(TableRestored):  # the next start finds it
                self.watch.see_own(stream)
            self.reports.write(stream)
        self.beside.stop()
        self.reports.receipts.commit()
