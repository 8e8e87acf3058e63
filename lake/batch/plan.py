"""Plan the steps that bring tables up to date.

They are as few runs as the dependencies of the tables allow.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, pairwise
from types import MappingProxyType

from lake.batch.survey import Survey, TableState
from lake.declare.days import Day, Days
from lake.declare.feed import Feed
from lake.declare.graph import readers_of, with_upstream
from lake.declare.table import Read, Table

__all__ = ["Step", "days_for", "needed_whole", "steps_of", "steps_to_date"]

_MOST_RANGES = 6
"""More separate ranges than this are bridged: recomputing an unchanged day between two stale ones commits nothing."""
_FEW_DAYS, _FEW_ROWS = 3, 50_000
"""So few computed days of a table are computed again, because a run of its own costs more than they do."""


@dataclass(frozen=True)
class Step:
    """One run: these tables, upstream first, for these days (None: tables without days).

    Attributes:
        unless_equal: some of the days were computed before, so commit only what differs.
    """

    tables: tuple[Table, ...]
    days: Days | None
    unless_equal: bool = False


def steps_to_date(
    survey: Survey,
    wanted: Iterable[Table],
    given_up: Mapping[str, Collection[Day]] = MappingProxyType({}),
    *,
    changed_code: bool = False,
) -> list[Step]:
    """Return the next steps that bring tables up to date.

    There is none where nothing is missing or stale. Where landing days are not in bronze yet, what reads that table
    waits: only bronze can say which event days they touch. Ask again after running the steps. Nobody waits for days
    that were given up, by `layer.name`: their files cannot be read, and once they can, the evidence names what that
    makes stale.

    Args:
        survey: of the lake as it is now.
        wanted: these, and all that they read.
        given_up: days that nobody waits for.
        changed_code: whether days are due too that an older code computed.
    """
    chosen = with_upstream(wanted)
    tables = [table for table in survey.tables if table in chosen]
    states = {table: survey.states[table.full_name] for table in tables}
    older = {table: survey.older_code(table) if changed_code else [] for table in tables}
    due = {t: {*_due(state), *older[t]} - set(given_up.get(t.full_name, ())) for t, state in states.items()}
    waiting = readers_of([table for table in tables if table.layer == "bronze" and due[table]], tables)
    due = {table: days for table, days in due.items() if table not in waiting}
    for table in due:
        for read in table.reads:
            if isinstance(read.source, Feed):
                continue
            for day in due.get(read.source, set()):
                due[table] |= _made_stale(survey, table, read, day)
    # In runs of their own: what rests, fails or waits in one of them is no matter of the other.
    bronze = {table: days for table, days in due.items() if table.layer == "bronze"}
    others = {table: days for table, days in due.items() if table.layer != "bronze"}
    return [*_steps(survey, bronze), *_steps(survey, others)]


def steps_of(survey: Survey, needed: Mapping[Table, set[Day]]) -> list[Step]:
    """Return the steps that compute exactly these days of these tables, upstream first."""
    return _steps(survey, needed, exact=True)


def days_for(survey: Survey, wanted: Sequence[Table], days: Days) -> dict[Table, set[Day]]:
    """Find these days of tables, and the upstream days that they need.

    They come by table, upstream first. Of bronze only days that lack something: they are missing or stale, or an older
    code computed them. Which days of the tables between have changed only bronze can say, so all of them are computed
    again. Upstream days that streams own are left to these, and days of bronze whose files are gone as they are, except
    for who names the table: that is refused. Inputs without days, and whatever tables without days read, have to be up
    to date before: see `needed_whole`.
    """
    needed: dict[Table, set[Day]] = {table: _days_of(table, days, survey) for table in wanted}
    for table in reversed(survey.tables):
        for read in table.reads if table in needed and table.day else ():
            if isinstance(read.source, Table) and read.source.day:
                found = _needed_of(read, needed[table], survey)
                needed.setdefault(read.source, set()).update(
                    found if read.source in wanted else _to_compute(survey, read.source, found)
                )
    return {table: needed[table] for table in survey.tables if table in needed}


def _to_compute(survey: Survey, table: Table, days: set[Day]) -> set[Day]:
    """Leave out the days that are as they can be."""
    state = survey.states[table.full_name]
    left = {*state.without_source, *(_lacking_nothing(state) if table.layer == "bronze" else ())}
    return {day for day in days if day not in left and not survey.is_open(table, day)}


def _lacking_nothing(state: TableState) -> set[Day]:
    up_to_date = () if state.unreadable else state.up_to_date
    return set[Day](chain.from_iterable(up_to_date)) - set(state.older_code)


def needed_whole(wanted: Iterable[Table]) -> set[Table]:
    """Return the tables that must be whole before some days are computed.

    They have to be up to date in all their days, because nothing tells which of them are needed. They are the inputs
    without days, however far upstream, and what tables without days read.
    """
    inputs = ((table, read.source) for table in with_upstream(wanted) for read in table.reads)
    return {source for table, source in inputs if isinstance(source, Table) and not (table.day and source.day)}


def _needed_of(read: Read, days: set[Day], survey: Survey) -> set[Day]:
    """Return the days of an input that some days of its reader need."""
    needed = (read.needed(part) for part in Days.ranges(day for day in days if day))
    return {day for part in needed for day in part.intersect(survey.calendar)}


def _days_of(table: Table, days: Days, survey: Survey) -> set[Day]:
    return {None} if table.day is None else {day for day in table.own_days(days) if day in survey.calendar}


def _due(state: TableState) -> list[Day]:
    return [*state.missing, *state.stale]


def _made_stale(survey: Survey, table: Table, read: Read, day: Day) -> set[Day]:
    """Return the days of `table` that computing an input's `day` makes stale."""
    if table.day is None:
        return set() if survey.states[table.full_name].unreadable else {None}
    affected = read.affected(day) if day is not None else survey.states[table.full_name].entries
    if survey.states[table.full_name].unreadable:
        return set()
    return {one for one in affected if (one is None or one in survey.calendar) and not survey.is_early(table, one)}


def _steps(survey: Survey, due: Mapping[Table, set[Day]], *, exact: bool = False) -> list[Step]:
    """Group tables into as few runs as their dependencies allow.

    With `exact` no day is computed that was not asked for.
    """
    groups: list[_Group] = []
    place: dict[Table, int] = {}
    for table, days in due.items():
        if not days:
            continue
        first = max(
            (place[r.source] for r in table.reads if isinstance(r.source, Table) and r.source in place), default=0
        )
        state = survey.states[table.full_name]
        ranges = _ranges(days, state.without_source, {} if exact else _rows_again(state))
        suits = (i for i in range(first, len(groups)) if groups[i].suits(survey, table, days, ranges, exact))
        index = next(suits, len(groups))
        if index == len(groups):
            groups.append(_Group(ranges))
        groups[index].tables.append(table)
        place[table] = index
    return [step for group in (groups if exact else _joined(survey, groups, due)) for step in group.steps(survey)]


def _joined(survey: Survey, groups: Sequence[_Group], due: Mapping[Table, set[Day]]) -> Iterator[_Group]:
    """Join neighbouring groups where that computes few rows again.

    One run computes two tables at a time down to its last, and what a run costs is paid once.
    """
    last: _Group | None = None
    for group in groups:
        if last is not None and (both := last.with_days_of(group)) and both.is_cheap(survey, due):
            last = both
            continue
        if last is not None:
            yield last
        last = group
    if last is not None:
        yield last


@dataclass
class _Group:
    """Tables that are computed for the same days."""

    ranges: tuple[Days | None, ...]
    tables: list[Table] = field(default_factory=list)

    def suits(self, survey: Survey, table: Table, days: set[Day], ranges: tuple[Days | None, ...], exact: bool) -> bool:
        """Tell whether a table can join the group at no cost.

        The other days of the group must be batch's and must never have had rows in the table.
        """
        if ranges == self.ranges:
            return True
        if len(self.ranges) > 1 or self.ranges[0] is None:
            return False
        if days == {None}:
            return True
        others = set(self.ranges[0]) - days
        have_rows = others & set(survey.states[table.full_name].entries)
        is_early = any(survey.is_early(table, day) for day in others)
        return not exact and days <= set(self.ranges[0]) and not have_rows and not is_early

    def with_days_of(self, other: _Group) -> _Group | None:
        """Return one group with the tables and the days of both.

        None where either has no range, or several.
        """
        if len(self.ranges) > 1 or len(other.ranges) > 1 or self.ranges[0] is None or other.ranges[0] is None:
            return None
        one, two = self.ranges[0], other.ranges[0]
        return _Group((Days(min(one.start, two.start), max(one.end, two.end)),), [*self.tables, *other.tables])

    def is_cheap(self, survey: Survey, due: Mapping[Table, set[Day]]) -> bool:
        """Tell whether computing the group's other days again costs little.

        They are days that are not due. They must be computed ones, few of each table, with few rows in all.
        """
        (days,), rows = self.ranges, 0
        assert days is not None
        for table in self.tables:
            others = set[Day](table.own_days(days) if table.day else ()) - due[table]
            # One week or month is more days than a few.
            if others and table.span is not None:
                return False
            if len(others) > _FEW_DAYS or any(survey.is_early(table, day) for day in others):
                return False
            rows += _count(others, _rows_again(survey.states[table.full_name]))
        return rows <= _FEW_ROWS

    def steps(self, survey: Survey) -> list[Step]:
        """Return one run, or one per table and range.

        With several ranges each has its own, because a table may need days of another that lie in a later range.
        """
        if len(self.ranges) == 1:
            return [Step(tuple(self.tables), self.ranges[0], _was_computed(survey, self.tables, self.ranges[0]))]
        return [Step((t,), days, _was_computed(survey, [t], days)) for t in self.tables for days in self.ranges]


def _was_computed(survey: Survey, tables: Iterable[Table], days: Days | None) -> bool:
    """Tell whether any of these days was computed before."""
    for table in tables:
        wanted = {None} if days is None or table.day is None else set(days)
        if any(day in wanted for day in survey.states[table.full_name].entries):
            return True
    return False


def _ranges(days: Iterable[Day], beyond: Collection[Day], again: Mapping[Day, int]) -> tuple[Days | None, ...]:
    """Return days as a few ranges.

    Neighbours are joined over days that can be computed `again`, where these have few rows. Where there are too many,
    the nearest are joined, unless a day between them is `beyond` reach.
    """
    dates = [day for day in days if day is not None]
    if not dates:
        return (None,)
    ranges = Days.ranges(dates)
    between = (list(Days(one.end, following.start)) for one, following in pairwise(ranges))
    small = (gap for gap in between if len(gap) <= _FEW_DAYS and _count(gap, again) <= _FEW_ROWS)
    ranges = Days.ranges([*dates, *chain.from_iterable(small)])
    while len(ranges) > _MOST_RANGES and (gaps := [i for i in range(1, len(ranges)) if _is_open(ranges, i, beyond)]):
        gap = min(gaps, key=lambda i: (ranges[i].start - ranges[i - 1].end).days)
        ranges[gap - 1 : gap + 1] = [Days(ranges[gap - 1].start, ranges[gap].end)]
    return tuple(ranges)


def _is_open(ranges: Sequence[Days], gap: int, beyond: Collection[Day]) -> bool:
    return not any(day in beyond for day in Days(ranges[gap - 1].end, ranges[gap].start))


def _rows_again(state: TableState) -> Mapping[Day, int]:
    """Count the rows of the days that computing again would leave as they are.

    None of bronze, which keeps what it has.
    """
    if state.table.write.keeps_everything:
        return {}
    not_again = {*state.older_code, *state.without_source}
    return {day: entry.rows_in for day, entry in state.entries.items() if day not in not_again}


def _count(days: Collection[Day], again: Mapping[Day, int]) -> int:
    """Count the rows of days.

    They are too many where one of the days cannot be computed again.
    """
    return sum(again.get(day, _FEW_ROWS + 1) for day in days)
