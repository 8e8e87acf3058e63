"""What is missing or stale, and in which steps to bring it up to date.

The evidence is what is in the landing folders, the table logs and the ledger, never a memory of what was started: a day
is missing where its inputs hold rows and the ledger has no entry, and stale where an input day was changed by a later
version than the one it was computed from, or where its table or an input was made anew since. Needs no JVM.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cached_property, partial
from types import MappingProxyType

from lake.batch.foreign_rows import foreign_days, how_to_mend
from lake.batch.inputs import Loss, lost_days
from lake.batch.settled import ByDay, Evidence, Settled
from lake.declare.days import Days, parse_day
from lake.declare.feed import Feed
from lake.declare.graph import readers_of, with_upstream
from lake.declare.table import Read, Table
from lake.errors import FolderNotReadable, LogDamaged
from lake.ownership.frontier import Frontier, FrontierTable
from lake.ownership.ledger import Entry, Ledger
from lake.storage.landed_files import Changes, LandedFile, changes_since, hash_of
from lake.write.store import DeltaStore

__all__ = [
    "Step",
    "Survey",
    "TableState",
    "days_for",
    "needed_whole",
    "steps_of",
    "steps_to_date",
    "ways_to_mend",
]

_MOST_RANGES = 6
"""More separate ranges than this are bridged: recomputing an unchanged day between two stale ones commits nothing."""

Day = date | None
Unreadable = LogDamaged | FolderNotReadable


@dataclass(frozen=True)
class Totals:
    """What the entries of one table say together.

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
    """What one table has and lacks.

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
        """What its entries say together."""
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


@dataclass(frozen=True)
class Step:
    """One run: these tables, upstream first, for these days (None: tables without days).

    Attributes:
        unless_equal: some of the days were computed before, so commit only what differs.
    """

    tables: tuple[Table, ...]
    days: Days | None
    unless_equal: bool = False


@dataclass
class Survey:
    """One look at the whole lake; each log is read once."""

    tables: Sequence[Table]
    store: DeltaStore
    calendar: Days
    _touches: dict[tuple[str, str], Mapping[date, int]] = field(default_factory=dict, repr=False)
    _changes: dict[str, int | None] = field(default_factory=dict, repr=False)
    _versions: dict[str, int | None] = field(default_factory=dict, repr=False)
    _ids: dict[str, str | None] = field(default_factory=dict, repr=False)
    _files: dict[str, Mapping[date, Mapping[str, LandedFile]]] = field(default_factory=dict, repr=False)
    _early: dict[str, date | None] = field(default_factory=dict, repr=False)
    _losses: dict[str, dict[Day, Loss]] = field(default_factory=dict, repr=False)

    @cached_property
    def ledger(self) -> Mapping[str, Mapping[Day, Entry]]:
        """The newest ledger entry by table and day."""
        return Ledger(self.store).latest_by_table()

    @cached_property
    def frontier(self) -> Frontier | None:
        """Which days streams own; None where no stream ever ran."""
        return FrontierTable(self.store).state()

    @cached_property
    def states(self) -> dict[str, TableState]:
        """The state of each table, by `layer.name`; one that cannot be read keeps no other from being judged."""
        return {table.full_name: self._readable_state(table) for table in self.tables}

    @property
    def unreadable(self) -> list[Unreadable]:
        """The damaged logs, and the folders that cannot be read, each once."""
        found = [state.unreadable for state in self.states.values() if state.unreadable]
        return list({str(damage): damage for damage in found}.values())

    def _readable_state(self, table: Table) -> TableState:
        try:
            self._version(table)  # a table without entries is not opened otherwise
            return self._state(table)
        except (LogDamaged, FolderNotReadable) as damage:
            return TableState(table, self.ledger.get(table.full_name, {}), unreadable=damage)

    def _state(self, table: Table) -> TableState:
        entries = self.ledger.get(table.full_name, {})
        evidence, key = self._evidence(table, entries), self._key(table)
        known, before = _SETTLED[key] if key in _SETTLED else (Settled(), None)
        to_judge = known.to_judge(evidence) if evidence else None
        state, skipped = _State(), set[Day]()
        for day in _in_order(self._expected(table) | set(entries) if to_judge is None else to_judge):
            if not self._is_batch_own(table, day):
                skipped.add(day)
            elif reason := self.missing_reason(table, day):
                state.missing[day] = reason
            elif day in entries:
                self._judge(table, day, entries[day], state)
        found = self._found(table, entries, state)
        if found == before:
            found = before  # with all that was counted of it
        _SETTLED[key] = (Settled(evidence, {*state.days, *skipped}), found)
        return found

    def _key(self, table: Table) -> tuple[str, str, str]:
        return self.store.tables, str(self.store.landing.root), table.full_name

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
            return self.is_replaceable(table, day) and self._is_expected(table, day)

        return foreign_days(table, self.store.table_log(table), entries, partial(self.is_early, table), is_due)

    def is_replaceable(self, table: Table, day: Day) -> bool:
        """Ask whether batch may replace a day, as it never does in bronze."""
        return not table.write.keeps_everything and day in self.calendar and not self.is_early(table, day)

    def older_code(self, table: Table) -> list[Day]:
        """List the days that an older code computed, and that batch can compute again.

        Not those whose files are gone, also where somebody has accepted the loss.
        """
        state = self.states[table.full_name]
        beyond, first = state.without_source, self._first_early_day(table)
        own = self.calendar if first is None else self.calendar.before(first)
        older = [day for day in _in_order(state.older_code) if day not in beyond and (day is None or day in own)]
        if not older or not table.feeds:
            return older
        expected = self._expected(table)
        return [day for day in older if day in expected]

    def _is_batch_own(self, table: Table, day: Day) -> bool:
        return not self.is_early(table, day) and (day is None or day in self.calendar)

    def _evidence(self, table: Table, entries: Mapping[Day, Entry]) -> Evidence | None:
        """All that the days of a table are judged by: whatever `_judge` and `missing_reason` look at.

        None where it has no days, because one verdict costs no more than to compare.
        """
        if table.day is None:
            return None
        sources = table.inputs
        whole: list[object] = [table, self.calendar, *(self._table_id(one) for one in (table, *sources))]
        whole += [self._changed(source) for source in sources if source.day is None]
        by_day = [ByDay(entries), ByDay(self._touched(table, table.day)), *map(self._by_day, table.reads)]
        return Evidence(whole, [self._version(one) or 0 for one in (table, *sources)], by_day)

    def _by_day(self, read: Read) -> ByDay:
        """What is known of the days of an input, and which days of the reader depend on one of them."""
        if isinstance(read.source, Feed):
            return ByDay(self._landed(read.source))
        if read.source.day is None:
            return ByDay({})
        return ByDay(self._touched(read.source, read.source.read_by), read.affected if read.is_widened else None)

    def _judge(self, table: Table, day: Day, entry: Entry, state: _State) -> None:
        """Say of a computed day whether it is stale, and whether it could be computed again."""
        own = self._own_reason(table, day, entry)
        changes = [self._file_changes(feed, day, entry) for feed in table.feeds]
        reason = own or next((found for read in table.reads if (found := self._input_changed(read, day, entry))), None)
        is_gone = any(change.gone for change in changes)
        is_bare = bool(changes and entry.rows_out) and not self._has_files(table, day)
        if (is_gone or is_bare) and (loss := self._lost(table).get(day)):
            state.lost[day] = loss
        elif is_bare:
            state.archived[day] = f"files gone; {own}" if own else "files gone"
        else:
            if reason:
                state.stale[day] = reason
            if is_gone and not any(change.other for change in changes):
                state.archived[day] = "some files gone"

    def _lost(self, table: Table) -> dict[Day, Loss]:
        """The days of which a table holds fewer rows than the ledger says."""
        if table.full_name not in self._losses:
            self._losses[table.full_name] = lost_days(self.store, table, self.ledger[table.full_name])
        return self._losses[table.full_name]

    def _has_files(self, table: Table, day: Day) -> bool:
        """Whether anything is there that a table which reads feeds could be computed from."""
        return any(self._landed(feed) if day is None else day in self._landed(feed) for feed in table.feeds)

    def missing_reason(self, table: Table, day: Day) -> str | None:
        """Say why a day that some input holds rows for is not there.

        None where it is, or has nothing to be computed from. Whether batch owns it is another question: see `is_early`.
        """
        entry = self.ledger.get(table.full_name, {}).get(day)
        if entry is None:
            return "never computed" if self._is_expected(table, day) else None
        return "broke the contract" if entry.outcome == "failed" else None

    def is_early(self, table: Table, day: Day) -> bool:
        """Whether streams own a day, or one that it is computed from."""
        first = None if day is None else self._first_early_day(table)
        return first is not None and day is not None and day >= first

    def _first_early_day(self, table: Table) -> date | None:
        """Return the first day of a table that batch must leave alone.

        From there on streams own its days, or what they are computed from.
        """
        if self.frontier is None:
            return None
        if table.full_name not in self._early:
            self._early[table.full_name] = self.frontier.first_early_day(table)
        return self._early[table.full_name]

    def _is_expected(self, table: Table, day: Day) -> bool:
        """Whether some input holds rows for a day, or only a later day of the first input gives rows to it."""
        if day is None or table.day is None:
            return day in self._expected(table)
        if day not in self.calendar:
            return False
        if table.span is not None:
            given = ((read, one) for read in table.reads for one in read.selected(Days.of(day)))
            return any(one in self._source_days(read) for read, one in given)
        first = table.reads[0]
        later = range(1, first.after + 1) if first.is_widened else range(0)
        return any(day in self._source_days(read) for read in table.reads) or any(
            day + timedelta(days=number) in self._source_days(first) for number in later
        )

    def _expected(self, table: Table) -> set[Day]:
        """The days of which `_is_expected` is true."""
        if table.day is None:
            return {None} if any(self._source_days(read) for read in table.reads) else set()
        found = {day for read in table.reads for day in self._source_days(read)}
        if table.span is not None:
            return {day for day in {table.days_of(day).start for day in found} if day in self.calendar}
        first = table.reads[0]
        if first.is_widened:
            found |= {
                earlier for day in tuple(self._source_days(first)) for earlier in Days.of(day).widen(before=first.after)
            }
        return {day for day in found if day in self.calendar}

    def _source_days(self, read: Read) -> Collection[date]:
        if isinstance(read.source, Feed):
            return self._landed(read.source).keys()
        return self._touched(read.source, read.source.read_by).keys() if read.source.day else ()

    def _own_reason(self, table: Table, day: Day, entry: Entry) -> str | None:
        """What has become of a day in the table itself since it was computed."""
        own = self._newest_touch(table, day, table.day)
        is_other = not entry.is_about(table.full_name, self._table_id(table))
        if is_other or (self._version(table) or 0) < entry.version or (own is None and entry.rows_out):
            return "the table was made anew and does not hold it"
        if own is not None and own > entry.version:
            return f"version {own} was written without a receipt"
        return None

    def _input_changed(self, read: Read, day: Day, entry: Entry) -> str | None:
        if isinstance(read.source, Feed):
            is_other = self._file_changes(read.source, day, entry).other
            return f"other files landed in {read.source.name}" if is_other else None
        name = read.source.full_name
        seen = entry.version_read(name)
        if not entry.is_about(name, self._table_id(read.source)) or (self._version(read.source) or 0) < seen:
            return f"{name} was made anew"
        newest = self._newest_input(read.source, read, day)
        return f"{name} changed in version {newest}" if newest > seen else None

    def inputs_of(self, table: Table, day: Day) -> list[object]:
        """What a day is computed from, as it is now: of each table its id and what changed it last, or its files."""
        return [
            (self._table_id(read.source), self._newest_input(read.source, read, day))
            if isinstance(read.source, Table)
            else self._files_now(read.source, day)
            for read in table.reads
        ]

    def _newest_input(self, source: Table, read: Read, day: Day) -> int:
        """The newest version of an input that changed any of the days that a day reads; -1 where none did."""
        days = list(read.selected(Days.of(day))) if day and source.day and read.is_widened else [day]
        newer = (self._newest_touch(source, source_day, source.read_by) for source_day in days)
        return max((version for version in newer if version is not None), default=-1)

    def _file_changes(self, feed: Feed, day: Day, entry: Entry) -> Changes:
        """What has become of the files that a day was computed from; for a table without days, of all of them."""
        recorded, landed = entry.inputs.get(f"feed:{feed.name}"), self._landed(feed)
        if day is not None:
            return changes_since(recorded, landed.get(day, {}))
        days = sorted({*map(parse_day, recorded or ()), *landed})
        found = [changes_since((recorded or {}).get(str(one)), landed.get(one, {})) for one in days]
        return Changes(tuple(n for c in found for n in c.gone), tuple(n for c in found for n in c.other))

    def _files_now(self, feed: Feed, day: Day) -> object:
        """A hash of the files that landed on a day; by day for a table without days."""
        landed = self._landed(feed)
        return {str(d): hash_of(files) for d, files in landed.items()} if day is None else hash_of(landed.get(day, {}))

    def _landed(self, feed: Feed) -> Mapping[date, Mapping[str, LandedFile]]:
        """What has landed in a feed, by landing day and name."""
        if feed.name not in self._files:
            self._files[feed.name] = self.store.landing.landed(feed)
        return self._files[feed.name]

    def _table_id(self, table: Table) -> str | None:
        if table.full_name not in self._ids:
            self._ids[table.full_name] = self.store.table_log(table).table_id()
        return self._ids[table.full_name]

    def _version(self, table: Table) -> int | None:
        if table.full_name not in self._versions:
            self._versions[table.full_name] = self.store.table_log(table).version()
        return self._versions[table.full_name]

    def _newest_touch(self, table: Table, day: Day, column: str | None) -> int | None:
        if day is None or table.day is None:
            return self._changed(table)
        return self._touched(table, column).get(day)

    def _changed(self, table: Table) -> int | None:
        """The newest version that changed a table."""
        if table.full_name not in self._changes:
            self._changes[table.full_name] = self.store.table_log(table).newest_change()
        return self._changes[table.full_name]

    def _touched(self, table: Table, column: str | None) -> Mapping[date, int]:
        """The newest version that changed each day, by a partition column: its own day, or what readers select by."""
        assert column is not None
        name = (table.full_name, column)
        if name not in self._touches:
            self._touches[name] = self.store.table_log(table).newest_touch(column)
        return self._touches[name]


def steps_to_date(
    survey: Survey,
    wanted: Iterable[Table],
    given_up: Mapping[str, Collection[Day]] = MappingProxyType({}),
    *,
    changed_code: bool = False,
) -> list[Step]:
    """The next steps that bring tables up to date; none where nothing is missing or stale.

    Where landing days are not in bronze yet, what reads that table waits: only bronze can say which event days they
    touch. Ask again after running the steps. Nobody waits for days that were given up, by `layer.name`: their files
    cannot be read, and once they can, the evidence names what that makes stale.

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
    """The steps that compute exactly these days of these tables, upstream first."""
    return _steps(survey, needed, exact=True)


def days_for(survey: Survey, wanted: Sequence[Table], days: Days) -> dict[Table, set[Day]]:
    """Find these days of tables, and the upstream days that they need.

    They come by table, upstream first. Days of bronze whose files are gone are left as they are, except for who names
    bronze: that is refused. Inputs without days, and whatever tables without days read, have to be up to date before:
    see `needed_whole`.
    """
    needed: dict[Table, set[Day]] = {table: _days_of(table, days, survey) for table in wanted}
    for table in reversed(survey.tables):
        for read in table.reads if table in needed and table.day else ():
            if isinstance(read.source, Table) and read.source.day:
                beyond = set() if read.source in wanted else survey.states[read.source.full_name].without_source
                needed.setdefault(read.source, set()).update(_needed_of(read, needed[table], survey) - beyond)
    return {table: needed[table] for table in survey.tables if table in needed}


def needed_whole(wanted: Iterable[Table]) -> set[Table]:
    """What has to be up to date before some days of tables are computed: which days of it they need, nobody can say.

    These are the inputs without days, however far upstream, and what tables without days read.
    """
    inputs = ((table, read.source) for table in with_upstream(wanted) for read in table.reads)
    return {source for table, source in inputs if isinstance(source, Table) and not (table.day and source.day)}


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


def _needed_of(read: Read, days: set[Day], survey: Survey) -> set[Day]:
    """The days of an input that some days of its reader need."""
    needed = (read.needed(part) for part in Days.ranges(day for day in days if day))
    return {day for part in needed for day in part.intersect(survey.calendar)}


def _in_order(days: Iterable[Day]) -> list[Day]:
    """Sort days; that of a table without days comes first."""
    return sorted(days, key=lambda day: day or date.min)


def _days_of(table: Table, days: Days, survey: Survey) -> set[Day]:
    return {None} if table.day is None else {day for day in table.own_days(days) if day in survey.calendar}


def _due(state: TableState) -> list[Day]:
    return [*state.missing, *state.stale]


def _made_stale(survey: Survey, table: Table, read: Read, day: Day) -> set[Day]:
    """The days of `table` that become stale once `day` of one of its inputs is computed."""
    if table.day is None:
        return set() if survey.states[table.full_name].unreadable else {None}
    affected = read.affected(day) if day is not None else survey.states[table.full_name].entries
    if survey.states[table.full_name].unreadable:
        return set()
    return {one for one in affected if (one is None or one in survey.calendar) and not survey.is_early(table, one)}


def _steps(survey: Survey, due: Mapping[Table, set[Day]], *, exact: bool = False) -> list[Step]:
    """Group tables into as few runs as their dependencies allow; `exact`: compute no day that nobody asked for."""
    groups: list[_Group] = []
    place: dict[Table, int] = {}
    for table, days in due.items():
        if not days:
            continue
        first = max(
            (place[r.source] for r in table.reads if isinstance(r.source, Table) and r.source in place), default=0
        )
        ranges = _ranges(days, survey.states[table.full_name].without_source)
        suits = (i for i in range(first, len(groups)) if groups[i].suits(survey, table, days, ranges, exact))
        index = next(suits, len(groups))
        if index == len(groups):
            groups.append(_Group(ranges))
        groups[index].tables.append(table)
        place[table] = index
    return [step for group in groups for step in group.steps(survey)]


@dataclass
class _Group:
    """Tables that are computed for the same days."""

    ranges: tuple[Days | None, ...]
    tables: list[Table] = field(default_factory=list)

    def suits(self, survey: Survey, table: Table, days: set[Day], ranges: tuple[Days | None, ...], exact: bool) -> bool:
        """Whether a table can be computed with the others at no cost: its other days are batch's and never had rows."""
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

    def steps(self, survey: Survey) -> list[Step]:
        """One run; or, as a table may need days of another that lie in a later range, one run per table and range."""
        if len(self.ranges) == 1:
            return [Step(tuple(self.tables), self.ranges[0], _was_computed(survey, self.tables, self.ranges[0]))]
        return [Step((t,), days, _was_computed(survey, [t], days)) for t in self.tables for days in self.ranges]


def _was_computed(survey: Survey, tables: Iterable[Table], days: Days | None) -> bool:
    """Whether any of these days was computed before."""
    for table in tables:
        wanted = {None} if days is None or table.day is None else set(days)
        if any(day in wanted for day in survey.states[table.full_name].entries):
            return True
    return False


def _ranges(days: Iterable[Day], beyond: Collection[Day]) -> tuple[Days | None, ...]:
    """Days as ranges; of too many, those nearest to each other are joined, unless a day between is `beyond` reach."""
    dates = [day for day in days if day is not None]
    if not dates:
        return (None,)
    found = Days.ranges(dates)
    while len(found) > _MOST_RANGES and (gaps := [i for i in range(1, len(found)) if _is_open(found, i, beyond)]):
        gap = min(gaps, key=lambda i: (found[i].start - found[i - 1].end).days)
        found[gap - 1 : gap + 1] = [Days(found[gap - 1].start, found[gap].end)]
    return tuple(found)


def _is_open(ranges: Sequence[Days], gap: int, beyond: Collection[Day]) -> bool:
    return not any(day in beyond for day in Days(ranges[gap - 1].end, ranges[gap].start))
