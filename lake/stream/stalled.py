"""Judge whether a stream is stalled.

It is judged by what it says of itself, by what waits for it, and by the clock. Needs no JVM.

    failed   it ended with an error
    dead     its process has gone without ending it, or no process ever ran it
    silent   its process is there, and this stream says nothing
    stuck    it is alive, and a micro-batch does not end, or messages wait unread
    behind   its watermark is older than the lateness of its inputs and the table's `fresh_within` allow
    stopped  somebody stopped it, and messages wait for longer than `fresh_within`

Only a stream that owns days can be stalled: after a release batch owns them all. One that was stopped, or has read all
there was (`--until-idle`), may rest for as long as nothing waits; where nobody can say what waits (a broker), until
`fresh_within` has passed, since days stay open meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Literal

from lake.declare.days import parse_moment
from lake.declare.feed import TopicFeed
from lake.declare.graph import topics_of
from lake.declare.table import Table, can_be_early, stream_reads
from lake.ownership.frontier import Frontier, FrontierTable
from lake.storage.lease import Driver, read_driver
from lake.stream.progress import StreamStatus, read_statuses
from lake.write.store import DeltaStore

__all__ = ["Evidence", "Stall", "StreamWatch", "judge_stream"]

REPORTS_WITHIN = timedelta(minutes=2)
"""A stream that is alive writes its status every second."""
MOVES_WITHIN = timedelta(minutes=5)
"""How long a micro-batch may take, and a message wait. A process's first micro-batch has `fresh_within`."""

Kind = Literal["failed", "dead", "silent", "stuck", "behind", "stopped"]


@dataclass(frozen=True)
class Stall:
    """The reason why a stream does not move."""

    kind: Kind
    what: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.what}"


@dataclass(frozen=True)
class Evidence:
    """The facts about one stream by which it is judged.

    Attributes:
        status: what it said last; None where it never ran.
        driver: the process that runs streams; None where the last one ended in order.
        waiting_since: when the oldest message landed that it has not read; None where none waits or nobody can say.
        knows_waiting: whether `waiting_since` can be known. Files can be looked at, a broker is not asked.
    """

    status: StreamStatus | None
    driver: Driver | None
    waiting_since: datetime | None = None
    knows_waiting: bool = True

    @property
    def is_alive(self) -> bool:
        """Tell whether the process that wrote the status is there."""
        return (
            self.status is not None
            and self.driver is not None
            and self.driver.is_alive
            and self.status.pid == self.driver.pid
        )


def judge_stream(
    table: Table, frontier: Frontier | None, found: Evidence, *, now: datetime, clock: datetime
) -> Stall | None:
    """Return why the stream of a table is stalled, None where it is not.

    Args:
        table: the table.
        frontier: who owns a day; None where no stream was ever started.
        found: what is known of its stream.
        now: the wall's time, by which statuses and files are dated.
        clock: the environment's time (the replay's in a replay), by which events are old.
    """
    if frontier is None or table.full_name not in frontier.claimed:
        return _early(table, frontier, found, now, clock)
    status = found.status
    if status is not None and status.state == "failed" and not _is_restarted(found):
        return _failed(status)
    if status is None or _is_restarted(found):
        return _never_ran(found, now)
    if status.state == "stopped":
        return _stopped(table, status, found, now)
    return next(_running(table, status, found, now, clock), None)


def _early(table: Table, frontier: Frontier | None, found: Evidence, now: datetime, clock: datetime) -> Stall | None:
    """Judge a table that is computed early beside streams.

    Its stream owns no day, so a process need not keep it current: without a status of its own it is not stalled.
    """
    status = found.status
    if frontier is None or not frontier.claimed or not can_be_early(table) or status is None or _is_restarted(found):
        return None
    if status.state == "failed":
        return _failed(status)
    return None if status.state == "stopped" else next(_running(table, status, found, now, clock), None)


def _failed(status: StreamStatus) -> Stall:
    return Stall("failed", (status.last_error or "it says no more").splitlines()[0])


@dataclass
class StreamWatch:
    """One look at all streams, which reads each log, folder and file once.

    Attributes:
        store: where the tables are, and the record of the process that runs streams.
        home: where `follow` keeps the status of each query, in `home/streams`.
        from_files: whether topics are read from their archives in the landing folder.
    """

    store: DeltaStore
    home: Path
    from_files: bool
    _waiting: dict[str, datetime | None] = field(default_factory=dict, repr=False)

    @cached_property
    def frontier(self) -> Frontier | None:
        """The frontier, None where no stream was ever started."""
        return FrontierTable(self.store).state()

    @cached_property
    def statuses(self) -> dict[str, StreamStatus]:
        """The newest status of each stream, by `layer.name`."""
        return read_statuses(self.home / "streams")

    @cached_property
    def driver(self) -> Driver | None:
        """The process that runs the streams, or was killed while it did."""
        return read_driver(self.store.locks)

    def judge(self, table: Table, *, now: datetime, clock: datetime) -> Stall | None:
        """Return why the stream of a table is stalled.

        Arguments as for `judge_stream`.
        """
        return judge_stream(table, self.frontier, self.evidence(table), now=now, clock=clock)

    def evidence(self, table: Table) -> Evidence:
        """Gather the facts about the stream of a table."""
        landed = [self._waiting_since(bronze, feed) for bronze, feed in topics_of(table)]
        oldest = min((at for at in landed if at is not None), default=None)
        return Evidence(self.statuses.get(table.full_name), self.driver, oldest, knows_waiting=self.from_files)

    def _waiting_since(self, bronze: Table, feed: TopicFeed) -> datetime | None:
        """Return when the oldest unread file of a bronze table landed.

        None where there is none. Its newest commit says how far the stream was, or what it said last: a file that is
        delivered twice is read and gives no commit. Files of landing days before `stream_from` are left to batch. One
        that changed after it was read waits too: a stream reads a file once, and the next `follow` reads it again.
        """
        if self.frontier is None or not self.from_files:
            return None
        if feed.name not in self._waiting:
            since = self.store.landing.waiting_since(feed, self.frontier.stream_from, self._read_until(bronze))
            self._waiting[feed.name] = since
        return self._waiting[feed.name]

    def count_waiting(self, table: Table) -> int | None:
        """Count the messages that a table of topics has not read.

        None where nobody can say without asking a broker.
        """
        feeds = table.topics
        if self.frontier is None or not self.from_files or not feeds:
            return None
        landing, since, after = self.store.landing, self.frontier.stream_from, self._read_until(table)
        counts = [landing.count_waiting(feed, since, after) for feed in feeds]
        return None if None in counts else sum(count or 0 for count in counts)

    def _read_until(self, bronze: Table) -> datetime | None:
        return max(filter(None, (_newest_commit(bronze, self.store), self._last_batch(bronze))), default=None)

    def _last_batch(self, table: Table) -> datetime | None:
        """When the newest micro-batch of a table's stream ended, by its own account."""
        status = self.statuses.get(table.full_name)
        return parse_moment(status.last_batch_at) if status else None


def _newest_commit(table: Table, store: DeltaStore) -> datetime | None:
    log = store.table_log(table)
    version = log.version()
    commit = None if version is None else log.commit(version)
    # The commit that creates a table has read nothing.
    return commit.committed_at if commit is not None and commit.version else None


def _is_restarted(found: Evidence) -> bool:
    """Tell whether a newer process runs the streams.

    The status is then one of the process before it.
    """
    return found.driver is not None and found.driver.is_alive and not found.is_alive


def _never_ran(found: Evidence, now: datetime) -> Stall | None:
    """Judge a stream of which its process has said nothing yet.

    There may be no process that runs the streams.
    """
    driver = found.driver
    if driver is None or not driver.is_alive:
        return Stall("dead", "streams own its days, and no process runs it")
    waited = now - driver.since
    if waited <= REPORTS_WITHIN:
        return None
    return Stall("silent", f"process {driver.pid}, which runs streams, has not run this one for {_spell(waited)}")


def _stopped(table: Table, status: StreamStatus, found: Evidence, now: datetime) -> Stall | None:
    if found.waiting_since is not None and now - found.waiting_since > table.fresh_within:
        waited = _spell(now - found.waiting_since)
        return Stall("stopped", f"it was stopped, and what has landed since waits for {waited}")
    rested = _since(status.seen_at, now)
    if not found.knows_waiting and rested is not None and rested > table.fresh_within:
        return Stall("stopped", f"it was stopped {_spell(rested)} ago; nobody knows what its topic holds since")
    return None


def _running(table: Table, status: StreamStatus, found: Evidence, now: datetime, clock: datetime) -> Iterator[Stall]:
    """Find what is wrong with a running stream, the worst first.

    It is one that says it is running.
    """
    quiet = _since(status.seen_at, now) or timedelta(0)
    if quiet > REPORTS_WITHIN and not found.is_alive:
        yield Stall("dead", f"its process {status.pid} has gone without ending it")
    if quiet > REPORTS_WITHIN:
        yield Stall("silent", f"process {status.pid} has said nothing for {_spell(quiet)}")
    limit = MOVES_WITHIN if status.batches else table.fresh_within
    busy, moved = _since(status.busy_since, now), _since(status.last_batch_at, now)
    if busy is not None and busy > limit:
        yield Stall("stuck", f"a micro-batch has not ended for {_spell(busy)}")
    if status.lag_messages and moved is not None and moved > limit:
        yield Stall("stuck", f"{status.lag_messages:,} messages wait, and it has read none for {_spell(moved)}")
    if found.waiting_since is not None and now - found.waiting_since > limit:
        yield Stall("stuck", f"what has landed waits unread for {_spell(now - found.waiting_since)}")
    yield from _behind(table, status, found, clock)


def _behind(table: Table, status: StreamStatus, found: Evidence, clock: datetime) -> Iterator[Stall]:
    if status.watermark is None or status.watermark.startswith("1970"):  # before its first event
        return
    age = _since(status.watermark, clock) or timedelta(0)
    sources = [read.source for read in stream_reads(table) if isinstance(read.source, Table)]
    lateness = max((source.lateness for source in sources if source.lateness), default=timedelta(0))
    if age > lateness + table.fresh_within and not _is_idle(table, status, found):
        yield Stall("behind", f"its watermark is {_spell(age)} old, of which {_spell(lateness)} are for late messages")


def _is_idle(table: Table, status: StreamStatus, found: Evidence) -> bool:
    """Tell whether its topics may be silent and are read to their end.

    As far as anybody can say.
    """
    declared = all(feed.idle_after is not None for _, feed in topics_of(table))
    return declared and not status.lag_messages and found.waiting_since is None


def _since(text: str | None, now: datetime) -> timedelta | None:
    """Return how long ago a status says something was.

    None where it does not say, or says nonsense.
    """
    at = parse_moment(text)
    return None if at is None else now - at


def _spell(length: timedelta) -> str:
    seconds = int(length.total_seconds())
    if seconds < 120:
        return f"{seconds} s"
    if seconds < 2 * 3600:
        return f"{seconds // 60} min"
    return f"{seconds // 3600} h" if seconds < 72 * 3600 else f"{seconds // 86400} days"
