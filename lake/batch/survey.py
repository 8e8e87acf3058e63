"""Judge which days of tables are missing, stale, archived or lost.

The evidence is what is in the landing folders, the table logs and the ledger, never a memory of what was started: a day
is missing where its inputs hold rows and the ledger has no entry, and stale where an input day was changed by a later
version than the one it was computed from, or where its table or an input was made anew since. Needs no JVM.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property, partial

from lake.batch.expected import Expected
from lake.batch.foreign_rows import foreign_days, how_to_mend
from lake.batch.inputs import Loss
from lake.batch.lake_view import LakeView
from lake.batch.reasons import Reasons
from lake.batch.settled import ByDay, Evidence, Settled
from lake.declare.days import Day, Days, in_order
from lake.declare.feed import Feed
from lake.declare.table import Read, Table
from lake.errors import FolderNotReadable, LogDamaged
from lake.ownership.ledger import Entry
from lake.write.store import DeltaStore

__all__ = ["Survey", "TableState", "Totals", "Unreadable", "ways_to_mend"]

Unreadable = LogDamaged | FolderNotReadable


@dataclass(frozen=True)
class Totals:
    """The sums over all entries of one table.

    Attributes:
        days: how many days are computed.
        rows: how many rows they hold.
        rejected: how many rows are in quarantine.
        disagreeing: days with duplicates that differ from the row that was kept; with how many.
    """

    days: int
    rows: int
    rejected: int
    disagreeing: Mapping[Day, int]


@dataclass(frozen=True)
class TableState:
    """The days that one table has and lacks.

    While nothing changes, a process makes one and keeps it.

    Attributes:
        table: the table.
        entries: newest ledger entry of each day.
        missing: days whose inputs hold rows and which were never computed, or failed; with the reason.
        stale: computed days that an input, or an unrecorded write, has changed since; with the reason.
        unreadable: why nobody can say what is missing or stale: its log, or that of an input, is damaged, or its feed's
            folder cannot be read.
        archived: days of bronze whose files are gone, all or some; with what is said of that. It holds their rows.
        lost: days whose rows are gone, and files that they came from too; with how many.
        foreign: days with rows that nobody computed; with how many. Those that batch may replace are stale too.
    """

    table: Table
    entries: Mapping[Day, Entry]
    missing: Mapping[Day, str] = field(default_factory=dict)
    stale: Mapping[Day, str] = field(default_factory=dict)
    unreadable: Unreadable | None = None
    archived: Mapping[Day, str] = field(default_factory=dict)
    lost: Mapping[Day, Loss] = field(default_factory=dict)
    foreign: Mapping[Day, str] = field(default_factory=dict)

    @cached_property
    def newest_day(self) -> date | None:
        """The newest computed day that holds rows."""
        held = [day for day, entry in self.entries.items() if day and entry.rows_out]
        return max(held, default=None)

    @cached_property
    def totals(self) -> Totals:
        """The sums over its entries."""
        entries = self.entries.values()
        return Totals(
            days=sum(entry.outcome != "failed" for entry in entries),
            rows=sum(entry.rows_out for entry in entries),
            rejected=sum(entry.rejected for entry in entries),
            disagreeing={day: entry.disagreeing for day, entry in self.entries.items() if entry.disagreeing},
        )

    @cached_property
    def up_to_date(self) -> tuple[Days, ...]:
        """The computed days that are not stale, and did not fail."""
        due = {*self.missing, *self.stale}
        return tuple(Days.ranges(day for day in self.entries if day and day not in due))

    def settled(self, first_open: date | None) -> tuple[Days, ...]:
        """Return the up-to-date days that no stream owns.

        Args:
            first_open: the first that streams own; None: they own none.
        """
        before = (days if first_open is None else days.before(first_open) for days in self.up_to_date)
        return tuple(days for days in before if days)

    @cached_property
    def older_code(self) -> list[Day]:
        """Days computed by an older version of the table's code."""
        versions = {entry.code_version for entry in self.entries.values()}
        older = {version for version in versions if not self.table.is_computed_by(version)}
        return [day for day, entry in self.entries.items() if entry.code_version in older]

    @property
    def without_source(self) -> set[Day]:
        """Days that nothing is left, or nothing new has come, to compute from."""
        return {*self.archived, *self.lost} - {*self.missing, *self.stale}


@dataclass
class _State:
    """A `TableState` in the making."""

    missing: dict[Day, str] = field(default_factory=dict)
    stale: dict[Day, str] = field(default_factory=dict)
    archived: dict[Day, str] = field(default_factory=dict)
    lost: dict[Day, Loss] = field(default_factory=dict)

    @property
    def days(self) -> set[Day]:
        """Every day of which there is anything to say."""
        return {*self.missing, *self.stale, *self.archived, *self.lost}


_SETTLED: dict[tuple[str, str, str], tuple[Settled, TableState]] = {}
"""By tables, landing folder and `layer.name`: what was known when the state was found."""


@dataclass
class Survey:
    """One look at the whole lake, which reads each log once.

    Attributes:
        tables: those to judge, upstream first.
        store: the lake.
        calendar: days outside it are not judged.
    """

    tables: Sequence[Table]
    store: DeltaStore
    calendar: Days
    _early: dict[str, date | None] = field(default_factory=dict, repr=False)

    @cached_property
    def view(self) -> LakeView:
        """The lake as this look has read it."""
        return LakeView(self.store)

    @cached_property
    def expected(self) -> Expected:
        """The days that tables have to hold."""
        return Expected(self.view, self.calendar)

    @cached_property
    def reasons(self) -> Reasons:
        """The reasons for which days are due."""
        return Reasons(self.view, self.expected)

    @cached_property
    def states(self) -> dict[str, TableState]:
        """The state of each table, by `layer.name`.

        A table that cannot be read keeps no other from being judged.
        """
        return {table.full_name: self._readable_state(table) for table in self.tables}

    @property
    def unreadable(self) -> list[Unreadable]:
        """The damaged logs, and the folders that cannot be read, each once."""
        found = [state.unreadable for state in self.states.values() if state.unreadable]
        return list({str(damage): damage for damage in found}.values())

    def _readable_state(self, table: Table) -> TableState:
        try:
            self.view.version(table)  # a table without entries is not opened otherwise
            return self._state(table)
        except (LogDamaged, FolderNotReadable) as damage:
            return TableState(table, self.view.ledger.get(table.full_name, {}), unreadable=damage)

    def _state(self, table: Table) -> TableState:
        entries = self.view.ledger.get(table.full_name, {})
        evidence, key = self._evidence(table, entries), self._key(table)
        known, before = _SETTLED[key] if key in _SETTLED else (Settled(), None)
        to_judge = known.to_judge(evidence) if evidence else None
        state, skipped, own = _State(), set[Day](), self._batch_own(table)
        for day in in_order(self.reasons.to_judge(table, entries, own) if to_judge is None else to_judge):
            if day is not None and day not in own:
                skipped.add(day)
            elif reason := self.reasons.missing(table, day):
                state.missing[day] = reason
            elif day in entries:
                self._judge(table, day, entries[day], state)
        current = self._found(table, entries, state)
        if current == before:
            current = before  # with all that was counted of it
        _SETTLED[key] = (Settled(evidence, {*state.days, *skipped}), current)
        return current

    def _key(self, table: Table) -> tuple[str, str, str]:
        return self.store.tables, str(self.store.landing.location), table.full_name

    def _found(self, table: Table, entries: Mapping[Day, Entry], state: _State) -> TableState:
        foreign = self._foreign(table, entries)
        state.stale |= {day: reason for day, reason in foreign.items() if self.is_replaceable(table, day)}
        return TableState(
            table,
            entries,
            state.missing,
            state.stale,
            archived=state.archived,
            lost=state.lost,
            foreign=foreign,
        )

    def _foreign(self, table: Table, entries: Mapping[Day, Entry]) -> dict[Day, str]:
        """Find the days with rows that nobody computed, unless they are missing anyway."""

        def is_due(day: date) -> bool:
            return self.is_replaceable(table, day) and self.expected.has(table, day)

        return foreign_days(table, self.store.table_log(table), entries, partial(self.is_early, table), is_due)

    def early_due(self, table: Table) -> dict[date, str]:
        """Find the early days of a table that are due, with the reason.

        Early are those that depend on days of streams; due those that are missing or stale. `states` leaves them out,
        because once they are sealed they are computed anyway.
        """
        first, entries = self._first_early_day(table), self.view.ledger.get(table.full_name, {})
        found: dict[date, str] = {}
        for day in in_order(self.expected.days(table) | set(entries)) if first is not None else ():
            if day is None or day not in self.calendar or not self.is_early(table, day):
                continue
            entry = entries.get(day)
            reason = "never computed" if entry is None else self.reasons.changed(table, day, entry)
            if reason:
                found[day] = reason
        return found

    def is_replaceable(self, table: Table, day: Day) -> bool:
        """Ask whether batch may replace a day, as it never does in bronze."""
        return not table.write.keeps_everything and day in self.calendar and not self.is_early(table, day)

    def older_code(self, table: Table) -> list[Day]:
        """List the days that an older code computed, and that batch can compute again.

        Not those whose files are gone, also where somebody has accepted the loss.
        """
        state = self.states[table.full_name]
        beyond, own = state.without_source, self._batch_own(table)
        older = [day for day in in_order(state.older_code) if day not in beyond and (day is None or day in own)]
        if not older or not table.feeds:
            return older
        expected = self.expected.days(table)
        return [day for day in older if day in expected]

    def _batch_own(self, table: Table) -> Days:
        """Return the days of the calendar that are batch's."""
        first = self._first_early_day(table)
        return self.calendar if first is None else self.calendar.before(first)

    def _evidence(self, table: Table, entries: Mapping[Day, Entry]) -> Evidence | None:
        """Return all that the days of a table are judged by.

        It holds whatever `_judge` and `reasons` look at. None where the table has no days, because one verdict
        costs no more than to compare.
        """
        if table.day is None:
            return None
        sources = table.inputs
        whole: list[object] = [table, self.calendar, *(self.view.table_id(one) for one in (table, *sources))]
        whole += [self.view.changed(source) for source in sources if source.day is None]
        by_day = [ByDay(entries), ByDay(self.view.touched(table, table.day)), *map(self._by_day, table.reads)]
        return Evidence(whole, [self.view.version(one) or 0 for one in (table, *sources)], by_day)

    def _by_day(self, read: Read) -> ByDay:
        """Return the facts about the days of an input.

        They say too which days of the reader depend on one of them.
        """
        if isinstance(read.source, Feed):
            return ByDay(self.view.landed(read.source))
        if read.source.day is None:
            return ByDay({})
        return ByDay(self.view.touched(read.source, read.source.read_by), read.affected if read.is_widened else None)

    def _judge(self, table: Table, day: Day, entry: Entry, state: _State) -> None:
        """Decide whether a computed day is stale, archived or lost."""
        own = self.reasons.own(table, day, entry)
        changes = [self.view.file_changes(feed, day, entry) for feed in table.feeds]
        reason = own or self.reasons.inputs(table, day, entry)
        if not changes:
            if reason:
                state.stale[day] = reason
            return
        is_gone = any(change.gone for change in changes)
        is_bare = bool(entry.rows_out) and not self.view.has_files(table, day)
        if (is_gone or is_bare) and (loss := self.view.lost(table).get(day)):
            state.lost[day] = loss
        elif is_bare:
            state.archived[day] = f"files gone; {own}" if own else "files gone"
        else:
            if reason:
                state.stale[day] = reason
            if is_gone and not any(change.other for change in changes):
                state.archived[day] = "some files gone"

    def is_early(self, table: Table, day: Day) -> bool:
        """Tell whether streams own a day, or one that it is computed from."""
        return day is not None and _is_from(self._first_early_day(table), day)

    def is_open(self, table: Table, day: Day) -> bool:
        """Tell whether streams own a day."""
        return _is_from(self.view.frontier.first_open_day(table) if self.view.frontier else None, day)

    def _first_early_day(self, table: Table) -> date | None:
        """Return the first day of a table that batch must leave alone.

        From there on streams own its days, or what they are computed from.
        """
        if self.view.frontier is None:
            return None
        if table.full_name not in self._early:
            self._early[table.full_name] = self.view.frontier.first_early_day(table)
        return self._early[table.full_name]


def ways_to_mend(survey: Survey, table: Table, days: Iterable[Day]) -> list[tuple[str, list[Day]]]:
    """Say what to do about rows of another program.

    Each way comes with its days, and names the first of them.
    """
    found: dict[str, list[Day]] = {}
    for day in days:
        is_early = survey.is_early(table, day)
        how = how_to_mend(table, day, is_in_calendar=day in survey.calendar, is_early=is_early)
        found.setdefault(how, []).append(day)
    ranges = {how: Days.ranges(day for day in days if day) for how, days in found.items()}
    return [(how.format(days=ranges[how][0] if ranges[how] else ""), days) for how, days in found.items()]


def _is_from(first: date | None, day: Day) -> bool:
    """Tell whether a day is the first of some, or after it."""
    return first is not None and day is not None and day >= first
