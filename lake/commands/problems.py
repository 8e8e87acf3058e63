"""Find what is wrong with a lake, the worst first.

Each comes with the next step. `lakehouse status` begins with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from lake.batch.survey import TableState, ways_to_mend
from lake.commands.look import Look
from lake.declare.days import Day, Days, utc_day
from lake.declare.graph import with_upstream
from lake.declare.table import Table
from lake.declare.words import counted, more
from lake.errors import BadSetting, LakeError
from lake.ownership.frontier import sealable_before
from lake.ownership.reopening import is_ahead
from lake.storage.unread import describe_unread
from lake.stream.progress import describe_unread_files

__all__ = ["Problem", "by_reason", "describe_lost", "find_problems", "spell_days"]

Reason = TypeVar("Reason")
Kind = Literal[
    "damaged",
    "lost",
    "foreign",
    "calendar",
    "sealed",
    "unread files",
    "stalled",
    "due",
    "late",
    "not loaded",
    "not read",
]
_NAMED = 3


@dataclass(frozen=True)
class Problem:
    """Something that is wrong.

    Attributes:
        kind: `damaged` a table's log cannot be read; `lost` rows are gone, and their files; `foreign` rows that nobody
            computed; `calendar` it is shorter than the lake; `sealed` days were sealed before they came; `unread files`
            a stream goes on without files; `stalled` a stream does not move; `due` days are missing or stale; `late`
            tables lack a day that is due; `not loaded` a sink lacks days, or its destination cannot be read; `not read`
            files landed that no table reads.
        text: where and what.
        next: the next step; empty where the text ends with it.
        tables: `layer.name` of those it is about, of those asked for; none where it is about the lake.
    """

    kind: Kind
    text: str
    next: str = ""
    tables: Sequence[str] = field(default_factory=tuple)

    def __str__(self) -> str:
        return f"{self.text}; next: {self.next}" if self.next else self.text

    @property
    def is_error(self) -> bool:
        """Tell whether `lakehouse status --fail` fails for it.

        Files that landed astray harm no table.
        """
        return self.kind != "not read"


def find_problems(look: Look) -> list[Problem]:
    """Find all that is wrong with the tables asked for, and with the lake."""
    return [
        *(Problem("damaged", str(damage)) for damage in look.survey.unreadable),
        *(one for table in look.tables for one in _lost_or_foreign(look, table)),
        *_short_calendar(look),
        *_sealed_ahead(look),
        *_streams(look),
        *_late(look),
        *_due(look),
        *_not_loaded(look),
        *(Problem("not read", line) for line in describe_unread(look.environment.unread())),
    ]


def _not_loaded(look: Look) -> Iterator[Problem]:
    said = {str(damage) for damage in look.survey.unreadable}
    for sink, standing in look.sinks.items():
        if str(standing) in said:  # of the table that it reads
            continue
        if isinstance(standing, LakeError):
            yield Problem("not loaded", str(standing), tables=[sink.reads.full_name])
        elif due := standing.due.days:
            days = Days.ranges(day for day in due if day)
            behind = f"{counted(len(due), 'day')} behind, from {days[0].start} on" if days else "behind"
            yield Problem(
                "not loaded",
                f"{sink.full_name} is {behind}",
                f"lakehouse publish {sink.name}",
                tables=[sink.reads.full_name],
            )


def _lost_or_foreign(look: Look, table: Table) -> Iterator[Problem]:
    state, name = look.state(table), table.full_name
    for line in describe_lost(state):
        yield Problem("lost", line, tables=[name])
    for reason, days in by_reason(state.foreign).items():
        for how, some in ways_to_mend(look.survey, table, days):
            yield Problem("foreign", f"{name}: {reason}: {spell_days(some)}", how, [name])


def describe_lost(state: TableState) -> Iterator[str]:
    """Describe what a table has lost, with the next command."""
    name = state.table.full_name
    for loss, days in by_reason(state.lost).items():
        ranges = Days.ranges(day for day in days if day)
        command = f"lakehouse refresh {name}{f' --days {ranges[0]}' if ranges else ''} --accept-loss REASON"
        yield (
            f"{name}: lost: {loss}: {spell_days(days)}; put the files back, or restore the table's folder from a "
            f"backup, then lakehouse refresh; where they are gone for good: {command}"
        )


def _short_calendar(look: Look) -> Iterator[Problem]:
    try:
        look.environment.refuse_short_calendar()
    except BadSetting as error:
        yield Problem("calendar", str(error))


def _sealed_ahead(look: Look) -> Iterator[Problem]:
    """Find days that are sealed and have not come.

    No stream writes them.
    """
    frontier, now, environment = look.frontier, look.now, look.environment
    if frontier is None or not is_ahead(frontier, now):
        return
    claimed = [table for table in environment.tables.values() if table.full_name in frontier.claimed]
    day = sealable_before(claimed, environment.store, now=now) or utc_day(now)
    sealed = max(day for day in (frontier.first_open, frontier.closing, frontier.stream_from) if day)
    yield Problem(
        "sealed",
        f"the frontier is ahead of the clock: days up to {sealed} are sealed, and it is {now:%Y-%m-%d}; "
        "no stream writes them",
        f"lakehouse follow --reopen {day}, then lakehouse follow (docs/runbook-streams.md, 'Days were sealed too far')",
    )


def _streams(look: Look) -> Iterator[Problem]:
    for name, stream in look.streams.items():
        if stream.unread_files:
            yield Problem(
                "unread files", f"{name} goes on without {describe_unread_files(stream.unread_files)}", tables=[name]
            )
    for name, stall in look.stalls.items():
        step = "lakehouse follow, or lakehouse up --streams (docs/runbook.md, 'Streams: stalled, dead, behind')"
        yield Problem("stalled", f"{name} is stalled: {stall}", step, [name])


def _due(look: Look) -> Iterator[Problem]:
    found = {table.full_name: look.state(table) for table in look.tables}
    due = {name: state for name, state in found.items() if state.missing or state.stale}
    if due:
        counts = (
            ("missing", sum(len(s.missing) for s in due.values())),
            ("stale", sum(len(s.stale) for s in due.values())),
        )
        said = " and ".join(f"{count:,} {kind}" for kind, count in counts if count)
        days = "day is" if sum(count for _, count in counts) == 1 else "days are"
        yield Problem("due", f"{said} {days} to be computed: {_name(list(due))}", "lakehouse refresh", list(due))


def _late(look: Look) -> Iterator[Problem]:
    """Find tables that are late, together where one step helps them.

    They come with the reason of the one furthest upstream.
    """
    late: dict[str, list[Table]] = {}
    for table in look.tables:
        freshness = look.freshness[table.full_name]
        if freshness.is_late:
            late.setdefault(_next_of_late(look, table, freshness.why), []).append(table)
    for step, tables in late.items():
        names = [table.full_name for table in tables]
        why = look.freshness[names[0]].why
        yield Problem("late", f"{_name(names)} {'are' if len(names) > 1 else 'is'} late: {why}", step, names)


def _next_of_late(look: Look, table: Table, why: str) -> str:
    """Return the next step by which a late table gets what it lacks."""
    upstream = with_upstream([table])
    if any(look.state(one).missing or look.state(one).stale for one in upstream):
        return "lakehouse refresh"
    if any(one.full_name in look.stalls for one in upstream):
        return "lakehouse follow, or lakehouse up --streams"
    feeds = sorted(feed.name for one in upstream for feed in one.feeds)
    feed = next((name for name in feeds if name in why.split()), feeds[0] if feeds else "FEED")
    return f"lakehouse describe {feed} shows what has landed; lakehouse land {feed} FILE lands more"


def _name(names: Sequence[str]) -> str:
    left_out = f" and {more(len(names) - _NAMED, 'table')}" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + left_out


def by_reason(reasons: Mapping[Day, Reason]) -> dict[Reason, list[Day]]:
    """Group days by what is said of them."""
    found: dict[Reason, list[Day]] = {}
    for day, reason in reasons.items():
        found.setdefault(reason, []).append(day)
    return found


def spell_days(days: Iterable[Day]) -> str:
    """Spell days as ranges."""
    ranges = Days.ranges(day for day in days if day)
    return ", ".join(map(str, ranges)) or "the whole table"
