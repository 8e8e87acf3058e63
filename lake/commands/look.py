"""Take one look at a lake, for what commands say of it.

Each log is read once, and no JVM is started.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cached_property

from lake.batch.freshness import Freshness, FreshnessJudge
from lake.batch.survey import Survey, TableState
from lake.declare.sink import Sink
from lake.declare.table import Table
from lake.errors import LakeError
from lake.ownership.frontier import Frontier
from lake.project.environment import Environment
from lake.serve.compare import Standing, stand
from lake.stream.progress import StreamStatus
from lake.stream.stalled import Stall, StreamWatch

__all__ = ["Held", "Look"]


@dataclass(frozen=True)
class Held:
    """The rows and days that a table holds, whoever wrote it.

    Attributes:
        newest_day: the newest day with rows.
        days: how many days hold rows, or were computed and have none.
        rows: how many there are.
        rejected: how many are in quarantine.
    """

    newest_day: date | None
    days: int
    rows: int
    rejected: int


@dataclass(frozen=True)
class Look:
    """One look at the tables that are named.

    At all where none is named.
    """

    environment: Environment
    names: Sequence[str] = ()

    @cached_property
    def tables(self) -> list[Table]:
        """The tables asked for, upstream first."""
        return self.environment.choose(self.names)

    @cached_property
    def survey(self) -> Survey:
        """The survey of the whole lake: missing and stale days."""
        return self.environment.survey()

    @cached_property
    def now(self) -> datetime:
        """The environment's clock."""
        return self.environment.settings.now()

    @cached_property
    def judge(self) -> FreshnessJudge:
        """The judge of what is late."""
        return FreshnessJudge(self.survey, self.now)

    @cached_property
    def freshness(self) -> Mapping[str, Freshness]:
        """The freshness of the tables asked for, by `layer.name`."""
        return {table.full_name: self.judge.judge(table) for table in self.tables}

    @property
    def frontier(self) -> Frontier | None:
        """The frontier, None where no stream was ever started."""
        return self.survey.view.frontier

    @cached_property
    def sinks(self) -> Mapping[Sink, Standing | LakeError]:
        """The standing of the sinks that read the tables asked for.

        Or why nobody knows it.
        """
        sinks = [sink for sink in self.environment.sinks.values() if sink.reads in self.tables]
        return {sink: self._standing(sink) for sink in sinks}

    def _standing(self, sink: Sink) -> Standing | LakeError:
        try:
            return stand(sink, self.survey, self.environment.place)
        except LakeError as error:
            return error

    @cached_property
    def watch(self) -> StreamWatch:
        """The watch over the streams."""
        settings = self.environment.settings
        return StreamWatch(self.environment.store, settings.home, from_files=settings.feed == "files")

    @cached_property
    def streams(self) -> Mapping[str, StreamStatus]:
        """The newest status of each stream, by `layer.name`.

        There is none where the stream was never started, or its table is damaged.
        """
        known = self.watch.statuses if self.frontier is not None else {}
        tables = self.environment.tables
        return {
            name: said for name, said in known.items() if name in tables and not self.state(tables[name]).unreadable
        }

    @cached_property
    def stalls(self) -> Mapping[str, Stall]:
        """Why streams do not move, by `layer.name`."""
        if self.frontier is None:
            return {}
        now, found = datetime.now(UTC), dict[str, Stall]()
        for table in self.environment.tables.values():
            readable = self.state(table).unreadable is None
            stall = self.watch.judge(table, now=now, clock=self.now) if readable else None
            if stall is not None:
                found[table.full_name] = stall
        return found

    def state(self, table: Table) -> TableState:
        """Return the days that a table has and lacks."""
        return self.survey.states[table.full_name]

    def held(self, table: Table) -> Held:
        """Count what a table holds.

        By its log, as streams leave no entry of a day; by the ledger without days.
        """
        state = self.state(table)
        totals = state.totals
        if state.unreadable or table.day is None:
            return Held(state.newest_day, totals.days, totals.rows, totals.rejected)
        store, followed = self.environment.store, self.frontier is not None and self.frontier.was_followed(table)
        rows = {day: count for day, count in store.table_log(table).rows_by_day(table.day).items() if count}
        computed = {day for day, entry in state.entries.items() if entry.outcome != "failed"}
        quarantine = store.log(store.quarantine_path(table)) if followed else None
        rejected = totals.rejected
        if quarantine is not None:
            rejected = quarantine.rows() if quarantine.version() is not None else 0
        return Held(max(rows, default=None), len(rows.keys() | computed), sum(rows.values()), rejected)

    def lag(self, table: Table, stream: StreamStatus) -> tuple[int | None, float | None]:
        """Count the messages that a stream has to read, and its lag in seconds.

        While messages wait it falls behind further. Of a clock that is before its newest event it is 0.
        """
        counted = self.watch.count_waiting(table)
        waiting = stream.lag_messages if counted is None else counted
        seconds = stream.lag_seconds
        if waiting and stream.newest_event_at:
            newest = datetime.fromisoformat(stream.newest_event_at)
            seconds = round((self.now - newest).total_seconds(), 1)
        return waiting, None if seconds is None else max(seconds, 0.0)
