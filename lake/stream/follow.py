"""Follow: run tables as streams, from the same declarations as batch.

One process, one query per table. Every transform runs unchanged: only the edges differ, which read as a stream, add the
declared watermarks and write each micro-batch. Queries start upstream first, each after its inputs have written what
they can, so that the first micro-batch of a generation sees all open days at once.
"""

from __future__ import annotations

import errno
import os
import re
import sys
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any

from py4j.protocol import Py4JError
from pyspark.errors import PySparkException, StreamingQueryException
from pyspark.sql import DataFrame
from pyspark.sql.streaming.query import StreamingQuery

from lake.declare.days import ALL_DAYS, Days
from lake.declare.feed import TopicFeed
from lake.declare.table import Read, Table, is_followable, stream_reads
from lake.declare.topic_source import Place, Received, TopicSource
from lake.engine.session import STREAM_CONF
from lake.errors import (
    UNREADABLE,
    LakeError,
    NotAStream,
    OtherMessage,
    StreamBroken,
    TableLocked,
    TableRestored,
    TopicMissing,
    TopicReplaced,
    TopicShorter,
    TopicUnreachable,
)
from lake.ownership.frontier import Frontier, FrontierTable, seal, seal_pending, sealable_before, with_streamed_upstream
from lake.ownership.passed_over import PassedOver
from lake.ownership.shared_lease import shared_lease
from lake.storage.landing import still_unreadable
from lake.storage.lease import lease
from lake.storage.own_table import OwnTable
from lake.stream.generation import Checkpoints, StreamPlan, begin_generations, is_new, plan_stream
from lake.stream.input_events import InputEvents, newest_event
from lake.stream.lost_bronze import refuse_lost_bronze
from lake.stream.micro_batch import BEFORE_FIRST, MicroBatchWriter, always
from lake.stream.passing import pass_over
from lake.stream.progress import (
    MicroBatch,
    Receipts,
    StreamStatus,
    describe_unread_files,
    read_statuses,
    write_status,
)
from lake.stream.stream_inputs import StreamInputs, find_other_inputs
from lake.stream.topics import TopicGuard
from lake.write.enforce import Counts
from lake.write.horizon import Horizon
from lake.write.store import DeltaStore

__all__ = ["Followed", "follow", "refuse_batch_only", "release"]

_POLL_SECONDS = 1.0
_AWAIT_SECONDS = 1
_SEAL_EVERY_POLLS = 5
"""Looking whether a day is over, or receipts wait, costs as much as a small micro-batch."""


_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_EMPTY_BATCHES = "spark.sql.streaming.noDataMicroBatches.enabled"
_STACK_LINE = re.compile(r"\s+at |\s*\.\.\. \d+ ")


def _utc_now() -> datetime:
    return datetime.now(UTC)


def _print(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Followed:
    """What a call of `follow` did.

    Attributes:
        counts: rows by table; rows in = rows out + rejected + duplicates.
        frontier: where it ended.
        unread_files: files that cannot be read, with the reason; the streams went on without them.
    """

    counts: Mapping[str, Counts]
    frontier: Frontier
    unread_files: Mapping[str, str] = field(default_factory=dict)


@dataclass
class _Stream:
    """One query: how to start it, and what it does with its micro-batches."""

    plan: StreamPlan
    writer: MicroBatchWriter
    status: StreamStatus
    rows: DataFrame
    checkpoint: Path
    first_day: date
    query: StreamingQuery | None = None

    @property
    def name(self) -> str:
        return self.plan.table.full_name

    def start(self, *, drain: bool) -> None:
        """Start the query; `drain`: it ends when it has read what there is."""
        writer = self.rows.writeStream.queryName(self.name).outputMode(self.plan.output_mode)
        writer = writer.option("checkpointLocation", str(self.checkpoint)).foreachBatch(self.writer)
        self.status.state = "running"
        # A micro-batch without rows moves the watermark. It gives rows to a join only, and costs an aggregate as much
        # as one with rows; the query takes the setting with it when it starts.
        self.rows.sparkSession.conf.set(_EMPTY_BATCHES, self.plan.output_mode == "append")
        try:
            self.query = (writer.trigger(availableNow=True) if drain else writer).start()
        except (PySparkException, Py4JError) as error:  # a torn checkpoint is the second on a classic session
            raise self.broken(error) from error

    def check(self) -> None:
        """Raise what ended the query, if an error did."""
        if self.query is not None and (error := self.query.exception()) is not None:
            raise self.broken(error) from error

    def broken(self, error: BaseException) -> LakeError:
        """The error to show: one of ours as it was raised in the micro-batch, else what Spark says."""
        cause = self.writer.failure or error
        self.status.state, self.status.last_error = "failed", _first_lines(cause)
        if isinstance(cause, LakeError):
            return cause
        return StreamBroken(self.name, _first_lines(cause), str(self.checkpoint))

    def stop(self) -> None:
        """Let the running micro-batch finish, then end the query."""
        if self.query is not None and self.query.isActive:
            with self.writer.guard:
                self.query.stop()
        if self.status.state == "running":
            self.status.state = "stopped"


def _first_lines(error: BaseException, limit: int = 800) -> str:
    """What an error says without its stack; where that is long, its beginning and its end, which is the root cause."""
    lines = f"{type(error).__name__}: {error}".splitlines()
    text = "\n".join(line for line in lines if not _STACK_LINE.match(line)).strip()
    if (unreadable := UNREADABLE.search(text)) is not None:
        return unreadable[0]  # it says which message, in the middle of what says less
    return text if len(text) <= limit else f"{text[: limit // 2]} ... {text[-limit // 2 :]}"


def follow(
    tables: Iterable[Table],
    store: DeltaStore,
    frontier: FrontierTable,
    *,
    home: Path,
    source: TopicSource | None = None,
    until_idle: bool = False,
    stop: threading.Event | None = None,
    new_generation: Collection[str] = (),
    accept_loss: Collection[str] = (),
    passing: Collection[Place] = (),
    since: date | None = None,
    now: Callable[[], datetime] = _utc_now,
    calendar: Days = ALL_DAYS,
    tell: Callable[[str], None] = _print,
    on_receipt: Callable[[MicroBatch], None] | None = None,
) -> Followed:
    """Run these tables as streams, together with every table that they read as a stream, and seal days that are over.

    Args:
        tables: what to follow.
        store: where the tables are.
        frontier: who owns a day. Days that nobody claimed before are claimed.
        home: checkpoints go to `home/checkpoints`, the status of each query to `home/streams`.
        source: where topics are read from; by default the archives in the landing folder.
        until_idle: read what there is and return; else run until `stop` is set.
        stop: set it to end after the running micro-batches.
        new_generation: tables (`layer.name`) that begin anew from their inputs' open days; for damaged checkpoints.
        accept_loss: bronze tables that have lost messages for good; they begin anew from what their topics still hold.
        passing: places of messages that Spark refuses to read; they are passed over from now on.
        since: on the first claim, the first landing day and open day to follow; by default what has landed decides:
            where bronze is empty, the first message.
        now: the clock: what is later is rejected, seals no day, and a silent feed is idle by it.
        calendar: the days that tables can have, those to come included; rows of others are rejected, and without
            `since` no earlier landing day is followed.
        tell: told on the first claim of messages that are not read.
        on_receipt: told of every finished micro-batch, from the query's thread.

    Raises:
        NotAStream: a table runs in batch only.
        DayAhead: `since` has not come.
        AlreadyFollowed: another process runs the streams.
        LeaseLost: the lease of a lake on an object store was not renewed in time.
        TopicReplaced, TopicShorter, OtherMessage, MessagesGone: a topic is not what it was; nothing was started.
        BronzeLost: a bronze table is gone, and so is what it came from; nothing was started.
        TopicMissing, TopicUnreachable: it is not there, or its cluster does not answer; nothing was started.
        InputRestored, TableRestored: a table was restored or made anew while it was followed.
        StreamBroken: a query stopped with an error; all others were stopped after their running micro-batches.
    """
    followed = _followable(tables)
    with _own_files(home), lease(store.locks), shared_lease(store) as shared:
        _configure(store)
        driver = _Driver(frontier, followed, home, source or store.landing, stop or threading.Event(), now, on_receipt)
        driver.calendar = calendar
        driver.tell = tell
        if shared is not None:
            driver.may_write = shared.check
        with driver.queries(new_generation, accept_loss, passing, since):
            driver.drain(until_idle=until_idle)
            if not until_idle and not driver.asked_to_stop.is_set():
                driver.run()
        return driver.followed()


def release(frontier: FrontierTable) -> Frontier | None:
    """Hand every day back to batch. The next `follow` claims what is open then, and begins anew.

    Raises:
        AlreadyFollowed: a process runs the streams.
    """
    with lease(frontier.store.locks), shared_lease(frontier.store):
        state = seal_pending(frontier)
        if state is None:
            return None
        return frontier.change(lambda now: replace(now or state, claimed=frozenset()), "release")


@contextmanager
def _own_files(home: Path) -> Iterator[None]:
    """A full disk is told alike whether a query or this process (marks, claims, status) finds no room."""
    try:
        yield
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        raise StreamBroken("all tables", _first_lines(error), str(home)) from error


def _followable(tables: Iterable[Table]) -> list[Table]:
    asked = list(tables)
    refuse_batch_only(asked, known=asked)
    return with_streamed_upstream(asked)


def refuse_batch_only(tables: Sequence[Table], *, known: Iterable[Table]) -> None:
    """Raise where a table cannot run as a stream, or where there is none.

    Raises:
        NotAStream: it names those that can, among all known ones.
    """
    batch_only = next((table.full_name for table in tables if not is_followable(table)), "")
    if batch_only or not tables:
        raise NotAStream(batch_only, [table.full_name for table in known if is_followable(table)])


def _configure(store: DeltaStore) -> None:
    for name, value in STREAM_CONF.items():
        store.spark.conf.set(name, value)


@dataclass
class _Driver:
    frontier: FrontierTable
    tables: Sequence[Table]
    home: Path
    source: TopicSource
    asked_to_stop: threading.Event
    now: Callable[[], datetime]
    on_receipt: Callable[[MicroBatch], None] | None
    streams: list[_Stream] = field(default_factory=list)
    stopping: threading.Event = field(default_factory=threading.Event)
    counts: dict[str, Counts] = field(default_factory=dict)
    unread: dict[str, dict[str, str]] = field(default_factory=dict)
    newest: dict[str, dict[int, Received]] = field(default_factory=dict)
    statuses: threading.Lock = field(default_factory=threading.Lock)
    may_write: Callable[[], None] = always
    calendar: Days = ALL_DAYS
    tell: Callable[[str], None] = _print

    @property
    def store(self) -> DeltaStore:
        return self.frontier.store

    @cached_property
    def receipts(self) -> Receipts:
        return Receipts(self.store, self.home / "streams")

    @property
    def checkpoints(self) -> Checkpoints:
        return Checkpoints(self.home / "checkpoints")

    @property
    def topics(self) -> TopicGuard:
        return TopicGuard(self.tables, self.source, self.store, self.checkpoints.root, self.newest)

    @contextmanager
    def queries(
        self,
        new_generation: Collection[str],
        accept_loss: Collection[str],
        passing: Collection[Place],
        since: date | None,
    ) -> Iterator[None]:
        """Claim, and build the queries; whatever happens, end them all after their running micro-batches."""
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
        asked = {*new_generation, *accept_loss, *renamed, *passed, *other, *self._note_delivered()}
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
        self._create_tables()
        for plan in plans:
            checkpoints.note_table(plan, state.generations[plan.table.full_name], self.store)
        self.streams = [self._stream(plan, checkpoints, state) for plan in plans]
        try:
            self._note_progress()
            self._write_passed(state)
            yield
        finally:
            self._stop()

    def _write_passed(self, state: Frontier) -> None:
        """Write what new generations leave out, because a message that is passed over lies behind it."""
        for stream in self.streams:
            table = stream.plan.table
            first_day = state.first_writable_day(table)
            for feed in table.topics if is_new(stream.checkpoint) else ():
                if (rows := self.source.read_passed(self.store.spark, feed, first_day)) is not None:
                    stream.writer(table(rows), BEFORE_FIRST)

    def drain(self, *, until_idle: bool) -> None:
        """Read what there is, upstream first; until idle: again as long as more has landed meanwhile.

        A topic that never falls silent has no end, so who goes on to run does not look for one.
        """
        levels = list(_levels(self.streams))
        while not self.asked_to_stop.is_set():
            self._note_delivered()
            for level in levels:
                self._drain_level(level)
            if not until_idle:
                return
            if self.asked_to_stop.is_set():
                return  # nothing says that its feeds were read to their ends
            self._seal(self._feeds)
            before = sum((self.counts[stream.name] for stream in levels[0]), Counts())
            self._drain_level(levels[0])
            if sum((self.counts[stream.name] for stream in levels[0]), Counts()) == before:
                return

    def run(self) -> None:
        """Run all queries until asked to stop or one fails."""
        for stream in self.streams:
            stream.start(drain=False)
        for poll in count(1):
            if self.asked_to_stop.wait(_POLL_SECONDS):
                return
            for stream in self.streams:
                self._check(stream)
            self._note_progress()
            if poll % _SEAL_EVERY_POLLS == 0:
                self._refuse_restored()
                ends = self._feeds_at_end()
                self._note_delivered()
                self._seal(ends)
                self.receipts.commit()

    def followed(self) -> Followed:
        state = self.frontier.state()
        assert state is not None
        unread = {path: why for stream in self.streams for path, why in stream.status.unread_files.items()}
        return Followed(self.counts, state, unread)

    def _stream(self, plan: StreamPlan, checkpoints: Checkpoints, state: Frontier) -> _Stream:
        table, generation = plan.table, state.generations[plan.table.full_name]
        first_day, checkpoint = state.first_writable_day(table), checkpoints.folder(plan, generation)
        status = StreamStatus(table.full_name, generation=generation, pid=os.getpid(), first_open=first_day.isoformat())
        if (before := read_statuses(self.home / "streams").get(status.table)) and before.generation == generation:
            status.last_batch_at = before.last_batch_at  # what it has read stays read
        status.unread_files = still_unreadable(before.unread_files if before else ()) | self._closed(table)
        self.unread[status.table] = status.unread_files
        self.counts[table.full_name] = Counts()
        inputs = StreamInputs.of(table, self.store, checkpoint)
        writer = MicroBatchWriter(
            plan,
            self.store,
            self.frontier,
            generation,
            redelivers=self.source.redelivers,
            stopping=self.stopping,
            on_receipt=lambda receipt: self._count(receipt, status, table),
            events=_events(table, inputs),
            inputs=inputs,
            own=self._own_table(table),
            horizon=lambda: Horizon(self.now(), self.calendar),
            may_write=self.may_write,
            checkpoint=checkpoint,
        )
        return _Stream(plan, writer, status, self._rows(table, first_day), checkpoint, first_day)

    def _closed(self, table: Table) -> dict[str, str]:
        """Find folders that no query may list, because it would not even start."""
        found = {path: why for feed in table.topics for path, why in self.source.closed(feed).items()}
        if found:
            self.tell(f"{table.full_name} goes on without {describe_unread_files(found)}")
        return found

    def _own_table(self, table: Table) -> OwnTable:
        own = OwnTable(table.full_name, self.store.table_log(table))
        own.refuse_changed()  # from here on
        return own

    def _rows(self, table: Table, first_day: date) -> DataFrame:
        return table(*(self._frame(read, table, first_day) for read in table.reads))

    def _goes_on(self, stream: _Stream) -> bool:
        """Have a failed query go on without files that cannot be read.

        Returns whether there are more of these than before. It finds them again where their content has changed, or
        their rights: what was delivered is noted.
        """
        if self.stopping.is_set():
            return False
        table, status = stream.plan.table, stream.status
        self._note_delivered()  # first: what is mended from here on has changed
        found = {path: why for feed in table.topics
                 for path, why in self.source.unreadable(feed, stream.first_day).items()}  # fmt: skip
        more = {path: why for path, why in found.items() if path not in status.unread_files}
        if not more:
            return False
        status.unread_files.update(more)
        stream.rows = self._rows(table, stream.first_day)
        stream.writer.failure = status.last_error = None
        self.tell(f"{table.full_name} goes on without {describe_unread_files(more)}")
        return True

    def _frame(self, read: Read, table: Table, first_day: date) -> DataFrame:
        source = read.source
        if isinstance(source, TopicFeed):
            return self.source.read_topic(self.store.spark, source, first_day, self.unread[table.full_name])
        assert isinstance(source, Table), f"{table.full_name} reads the file feed {read.name}: not followable"
        first_read = read.selected(Days.of(first_day)).start
        if read not in stream_reads(table):
            return self.store.read_current(source, first_read)
        rows = self.store.read_stream(source, first_read)
        if source.event_time is None or source.lateness is None:
            return rows
        return rows.withWatermark(source.event_time, f"{int(source.lateness.total_seconds())} seconds")

    def _create_tables(self) -> None:
        """A query needs its inputs to exist, with the columns of their contracts; a new one holds no rows."""
        inputs = [source for table in self.tables for source in table.inputs]
        for table in {*self.tables, *inputs}:
            if self.store.version(table) is not None and not self.store.lacks_columns(table):
                continue  # a refresh may hold it for long
            with self.store.lock(table.full_name):
                self.store.create(table)
                if self.store.lacks_columns(table):
                    self.store.grow(table)

    def _drain_level(self, level: Sequence[_Stream]) -> None:
        for stream in level:
            if not self.asked_to_stop.is_set():
                stream.start(drain=True)
        for stream in level:
            self._await(stream)

    def _await(self, stream: _Stream) -> None:
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

    def _check(self, stream: _Stream) -> None:
        """Raise what ended a query that runs, unless it can go on."""
        try:
            stream.check()
        except LakeError:
            if not self._goes_on(stream):
                self._topics_answer()  # what has become of a topic says more than what Spark found of it
                raise
            stream.start(drain=False)

    def _note_delivered(self) -> list[str]:
        """The bronze tables that were given files which have changed since: their streams read everything again."""
        return [
            table.full_name
            for table in self.tables
            for read in table.reads
            if isinstance(read.source, TopicFeed)
            and self.checkpoints.note_delivered(table, self.source.delivered(read.source))
        ]

    def _seal(self, ends: Collection[str]) -> None:
        """Seal what is over; where a table is locked, a later call goes on.

        Nothing is sealed while a claimed table is not followed: its feed cannot say how far it is.

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

    @property
    def _feeds(self) -> list[str]:
        return [name for table in self.tables for name in _feeds(table)]

    def _feeds_at_end(self) -> list[str]:
        """The feeds whose readers have read all that there is; none while a topic does not answer: that is a stall."""
        if not self._topics_answer():
            return []
        return [name for name in self._feeds if self._is_at_end(name)]

    def _topics_answer(self) -> bool:
        """Tell whether every topic answers.

        Raises where one is not what it was, and says so in its stream's status.
        """
        try:
            self.topics.watch()
        except (TopicUnreachable, TopicMissing):  # the queries wait for it, and say so when they give up
            return False
        except (TopicReplaced, TopicShorter, OtherMessage) as error:
            for stream in self.streams:
                if stream.name == error.table:
                    stream.status.state, stream.status.last_error = "failed", _first_lines(error)
            raise
        return True

    def _refuse_restored(self) -> None:
        """Raise where the table of a stream that may have no news was restored, and say so in its status."""
        for stream in self.streams:
            try:
                self._see_own(stream)
            except TableRestored as error:
                stream.status.state, stream.status.last_error = "failed", _first_lines(error)
                raise

    def _see_own(self, stream: _Stream) -> None:
        """Look at the table of a stream, and note how far it has grown, because an older copy may take its place."""
        own = stream.writer.own
        if own is not None:
            own.refuse_changed()
            assert own.seen is not None
            self.checkpoints.note_seen(stream.plan, stream.writer.generation, own.seen)

    def _is_at_end(self, feed: str) -> bool:
        """Whether its readers are idle; while one asks its source for news, what it said last is still there."""
        readers = [s.query for s in self.streams if feed in _feeds(s.plan.table)]
        said = [query.status if query is not None else {} for query in readers]
        return all(now and not (now["isDataAvailable"] or now["isTriggerActive"]) for now in said)

    def _count(self, receipt: MicroBatch, status: StreamStatus, table: Table) -> None:
        if receipt.counts.rows_in:
            self.receipts.add(receipt)
        commit = self.store.table_log(table).commit(receipt.version)
        with self.statuses:
            status.add(receipt)
            if commit is not None and receipt.is_of(commit):
                self._note_newest(status, newest_event(table, commit))
            self.counts[receipt.table] += receipt.counts
            write_status(self.home / "streams", status)
        if self.on_receipt is not None:
            self.on_receipt(receipt)

    def _note_progress(self) -> None:
        """Write every status: a stream that waits for its turn, or has no news, is alive."""
        for stream in self.streams:
            query = stream.query
            progress = query.lastProgress if query is not None else None
            if progress:
                self._read_progress(stream, progress)
            stream.status.note_busy(is_busy=query is not None and query.status["isTriggerActive"])
            self._write_status(stream)

    def _read_progress(self, stream: _Stream, progress: Any) -> None:
        event_time = progress["eventTime"] or {}
        stream.status.watermark = event_time.get("watermark", stream.status.watermark)
        newest = event_time.get("max")
        self._note_newest(stream.status, datetime.fromisoformat(newest) if newest else None)
        for read, part in zip(stream_reads(stream.plan.table), progress["sources"], strict=False):
            if isinstance(read.source, TopicFeed):
                stream.status.lag_messages = self.source.lag(read.source, part)

    def _note_newest(self, status: StreamStatus, newest: datetime | None) -> None:
        """How old its newest event was when it was written: by its commit, or of what it groups by Spark's account."""
        if newest is not None:
            status.newest_event_at = newest.isoformat()
            status.lag_seconds = round((self.now() - newest).total_seconds(), 1)

    def _stop(self) -> None:
        self.stopping.set()
        for stream in self.streams:
            stream.stop()
            with suppress(TableRestored):  # the next start finds it
                self._see_own(stream)
            self._write_status(stream)
        self.receipts.commit()

    def _write_status(self, stream: _Stream) -> None:
        """Queries report from their own threads while this one does too."""
        with self.statuses:
            write_status(self.home / "streams", stream.status)


def _feeds(table: Table) -> list[str]:
    return [feed.name for feed in table.topics]


def _events(table: Table, inputs: StreamInputs) -> InputEvents | None:
    """What tells how new the events behind a table's rows are, where the rows do not."""
    return InputEvents(inputs) if inputs.inputs and table.event_time is None else None


def _levels(streams: Sequence[_Stream]) -> Iterator[list[_Stream]]:
    """Queries that do not read each other, upstream first."""
    depth: dict[str, int] = {}
    for stream in streams:
        sources = [read.source for read in stream_reads(stream.plan.table) if isinstance(read.source, Table)]
        depth[stream.name] = max((depth[source.full_name] + 1 for source in sources), default=0)
    for level in range(max(depth.values(), default=-1) + 1):
        yield [stream for stream in streams if depth[stream.name] == level]
