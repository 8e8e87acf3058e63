"""Build what `lakehouse status --json` prints."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from lake.batch.rescued import count_rescued
from lake.commands.json_output import VERSION
from lake.commands.look import Look
from lake.commands.problems import Problem, by_reason, find_problems
from lake.declare.days import Days
from lake.declare.sink import Sink
from lake.declare.table import Table
from lake.errors import LakeError
from lake.serve.compare import Standing

__all__ = [
    "DayRange",
    "DueDays",
    "FreshnessReport",
    "StatusReport",
    "StreamReport",
    "TableReport",
    "as_ranges",
    "report_status",
]


@dataclass(frozen=True)
class DayRange:
    """Days from the first to the last, both included."""

    first: date
    last: date


@dataclass(frozen=True)
class DueDays:
    """Days that are missing or stale for one reason.

    None are listed of a table without days.
    """

    reason: str
    days: Sequence[DayRange]


@dataclass(frozen=True)
class FreshnessReport:
    """The freshness of a table, by the newest day that is due.

    Attributes:
        is_late: whether it has not.
        due_day: that day; null where none is due yet.
        first_missing: the first day that is late.
        text: as for people.
    """

    is_late: bool
    due_day: date | None
    first_missing: date | None
    text: str


@dataclass(frozen=True)
class TableReport:
    """One table.

    Attributes:
        table: `layer.name`.
        owner: who answers for it.
        newest_day: the newest day with rows, whoever wrote it; null where it has no days.
        days, rows, rejected: how many it holds.
        missing, stale: what is to be computed, and why; null where a damaged log keeps anybody from knowing.
        settled: days that batch computed from all that their inputs hold.
        open_from: streams own its days from this one on; null where batch owns all.
        older_code: days that an older code computed.
        disagreeing: duplicates that differ from the row that is kept.
        rescued: rows with fields that the contract does not know.
        freshness: whether it is late.
    """

    table: str
    owner: str
    newest_day: date | None
    days: int
    rows: int
    rejected: int
    missing: Sequence[DueDays] | None
    stale: Sequence[DueDays] | None
    settled: Sequence[DayRange]
    open_from: date | None
    older_code: Sequence[DayRange]
    disagreeing: int
    rescued: int
    freshness: FreshnessReport


@dataclass(frozen=True)
class StreamReport:
    """One stream.

    Attributes:
        table: `layer.name`.
        state: running, stopped or failed, as it said last.
        stalled: why it does not move; null where it is in order.
        open_from: the first day that it writes.
        watermark: event time before which its state is closed.
        lag_messages: messages that wait; null where nobody can say without asking a broker.
        lag_seconds: how long before now, or before it was written, its newest event was; never below 0.
        rows_per_second: of the newest micro-batch with rows.
        last_error: why it failed.
    """

    table: str
    state: str
    stalled: str | None
    open_from: date | None
    watermark: str | None
    lag_messages: int | None
    lag_seconds: float | None
    rows_per_second: float
    last_error: str | None


@dataclass(frozen=True)
class SinkReport:
    """Say how far a destination follows its table.

    Attributes:
        sink: `serving.name`.
        reads: the table, `layer.name`.
        newest_day: of which it holds rows; null where it holds none, or follows the log of the table.
        rows: that it holds; null where it follows the log.
        due: what is to be loaded, with the reason; null where nobody knows.
        error: why its destination cannot be read; null where it can.
    """

    sink: str
    reads: str
    newest_day: date | None
    rows: int | None
    due: Sequence[DueDays] | None
    error: str | None


@dataclass(frozen=True)
class StatusReport:
    """The lake, or the tables of it that were asked for.

    Attributes:
        version: of all reports in JSON.
        tables_at: folder or URL of the tables.
        as_of: the clock by which days are late, UTC.
        is_healthy: whether `--fail` ends with 0.
        problems: all that is wrong, the worst first.
        tables: upstream first.
        first_open: streams own days from this one on; null where none ever ran.
        streams: those that ever ran.
        sinks: those that read the tables.
    """

    version: int
    tables_at: str
    as_of: str
    is_healthy: bool
    problems: Sequence[Problem]
    tables: Sequence[TableReport]
    first_open: date | None
    streams: Sequence[StreamReport]
    sinks: Sequence[SinkReport]


def report_status(look: Look) -> StatusReport:
    """Report what is known of a lake."""
    problems = find_problems(look)
    return StatusReport(
        VERSION,
        look.environment.settings.tables,
        look.now.isoformat(),
        not any(problem.is_error for problem in problems),
        problems,
        [_table(look, table) for table in look.tables],
        look.frontier.first_open if look.frontier else None,
        [_stream(look, table) for table in look.environment.tables.values() if table.full_name in look.streams],
        [_sink(sink, standing) for sink, standing in look.sinks.items()],
    )


def _table(look: Look, table: Table) -> TableReport:
    state, held, fresh = look.state(table), look.held(table), look.freshness[table.full_name]
    opened = look.frontier.first_early_day(table) if look.frontier and table.day else None
    is_known = state.unreadable is None
    return TableReport(
        table.full_name,
        table.owner,
        held.newest_day,
        held.days,
        held.rows,
        held.rejected,
        _due(state.missing) if is_known else None,
        _due(state.stale) if is_known else None,
        [DayRange(days.start, days.last) for days in state.settled(opened)],
        opened,
        as_ranges(look.survey.older_code(table)),
        sum(state.totals.disagreeing.values()),
        sum(count_rescued(table, look.environment.store).values()) if is_known else 0,
        FreshnessReport(fresh.is_late, fresh.due_day, fresh.first_missing, str(fresh)),
    )


def _stream(look: Look, table: Table) -> StreamReport:
    stream, stall = look.watch.statuses[table.full_name], look.stalls.get(table.full_name)
    messages, seconds = look.lag(table, stream)
    return StreamReport(
        table.full_name,
        stream.state,
        str(stall) if stall else None,
        look.frontier.first_followed_day(table) if look.frontier else None,
        stream.known_watermark,
        messages,
        seconds,
        stream.rows_per_second,
        stream.last_error,
    )


def _sink(sink: Sink, standing: Standing | LakeError) -> SinkReport:
    name, reads = sink.full_name, sink.reads.full_name
    if isinstance(standing, LakeError):
        return SinkReport(name, reads, None, None, None, str(standing))
    rows = None if sink.to.follows_log else sum(load.rows for load in standing.loads.values())
    newest = None if sink.to.follows_log else standing.newest_day
    return SinkReport(name, reads, newest, rows, _due(standing.due.days), None)


def _due(reasons: Mapping[date | None, str]) -> list[DueDays]:
    return [DueDays(reason, as_ranges(days)) for reason, days in by_reason(reasons).items()]


def as_ranges(days: Iterable[date | None]) -> list[DayRange]:
    """Write days as ranges."""
    return [DayRange(found.start, found.last) for found in Days.ranges(day for day in days if day)]
