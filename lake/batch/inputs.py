"""Pin what a refresh reads, before it reads.

Pinned are the versions and ids of tables and the marks of landed files.

Bronze is the archive, and the ledger says how many rows a day had. So a source that has gone away since takes nothing
with it: days that would lose rows are refused, or only added to.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from typing import Any, Literal, NamedTuple

from lake.batch.grown import GrownDays
from lake.declare.days import Day, Days, parse_day
from lake.declare.feed import Feed
from lake.declare.table import Read, Table
from lake.errors import InputLost, LandingGone
from lake.ownership.frontier import Frontier
from lake.ownership.ledger import Entry, Ledger
from lake.storage.landed_files import changes_since
from lake.write.horizon import Horizon
from lake.write.store import DeltaStore

__all__ = ["Inputs", "Loss", "Way", "lost_days", "pin_inputs", "split_days"]

Way = Literal["replace", "keep", "grow"]
"""How the rows of a day are written: in place of those that are held; beside them, where no row of their key is held;
beside them, because they come from files that were not read before.
"""


class Loss(NamedTuple):
    """Count the rows of a day: by the ledger, and still held."""

    rows: int
    held: int

    def __str__(self) -> str:
        return f"it holds {self.held:,} of {self.rows:,} rows, and their files are gone"


@dataclass(frozen=True)
class Inputs:
    """The pinned inputs of one refresh.

    Attributes:
        read: versions by `layer.table`; marks of landed files by `feed:name`, day and name.
        table_ids: the ids of those tables.
        thinned: landing days of which files that were read before are gone: what the table holds of them stays.
        grown: landing days that only new files have joined, with what the ledger says of the others.
        quarantine: version of the quarantine of a table that reads feeds; -1 where there is none.
    """

    read: dict[str, Any] = field(default_factory=dict)
    table_ids: dict[str, str] = field(default_factory=dict)
    thinned: set[date] = field(default_factory=set)
    grown: dict[date, Entry] = field(default_factory=dict)
    quarantine: int = -1

    def of_new_files(self, feed: str) -> dict[str, Any]:
        """Return the marks of files that joined, by day and name."""
        known = {str(day): entry.inputs[feed] for day, entry in self.grown.items()}
        return {day: {n: m for n, m in self.read[feed][day].items() if n not in known[day]} for day in known}


def pin_inputs(
    table: Table, store: DeltaStore, days: Days | None, frontier: Frontier | None, horizon: Horizon | None = None
) -> Inputs:
    """Note what is there to read.

    Without a horizon no day counts as grown.

    Raises:
        LandingGone: a landing day has rows, and no file any more that they could be read from.
        InputLost: an input holds fewer rows than the ledger says it had.
    """
    ledger = Ledger(store).latest_by_table()
    quarantine = store.log(store.quarantine_path(table)).version() if table.feeds else None
    pinned = Inputs(quarantine=-1 if quarantine is None else quarantine)
    for read in table.reads:
        if isinstance(read.source, Feed):
            was_followed = frontier is not None and frontier.was_followed(table)
            grown = None if horizon is None or was_followed else GrownDays(table, store, horizon)
            entries = ledger.get(table.full_name, {})
            _LandedPin(table, read.source, store, entries, was_followed, grown).pin(days, pinned)
        else:
            _refuse_missing(table, read.source, store, ledger.get(table.full_name, {}))
            _refuse_lost(table, read, days, store, ledger.get(read.source.full_name, {}), frontier)
            pinned.read[read.source.full_name] = store.version(read.source)
            if (name := store.table_log(read.source).table_id()) is not None:
                pinned.table_ids[read.source.full_name] = name
    return pinned


@dataclass
class _LandedPin:
    """The files of one feed that a bronze table is about to read."""

    table: Table
    feed: Feed
    store: DeltaStore
    entries: Mapping[Day, Entry]
    was_followed: bool
    grown: GrownDays | None

    def pin(self, days: Days | None, pinned: Inputs) -> None:
        """Add the marks of the files of these days.

        Files that were read before and are gone keep the marks that the ledger has of them.
        """
        marks: dict[str, Any] = pinned.read.setdefault(self._name, {})
        refused: dict[Day, int] = {}
        lost: dict[Day, int] = {}
        landed = self.store.landing.files_by_day(self.feed, self._all_days if days is None else days)
        for day, files in landed.items():
            recorded = self._recorded(day)
            changes = changes_since(recorded, files)
            gone = changes.gone
            known = recorded if isinstance(recorded, Mapping) else {}
            if files:
                still = {name: file.mark(known.get(name)) for name, file in files.items()}
                marks[str(day)] = {name: known[name] for name in gone if name in known} | still
            if rows := self._rows_at_stake(day, has_files=bool(files), is_archived=bool(gone)):
                refused[day if self.table.day else None] = rows
                lost[day if self.table.day else None] = max(rows - self._held_of(day), 0)
            elif gone or (recorded is None and self._held.get(day)):
                pinned.thinned.add(day)
            elif (entry := self.entries.get(day)) and self.grown and self.grown.has(day, entry, recorded, changes):
                pinned.grown[day] = entry
        if refused:
            raise LandingGone(self.table.full_name, f"landing/{self.feed.name}", refused, sum(lost.values()))

    @property
    def _name(self) -> str:
        return f"feed:{self.feed.name}"

    @property
    def _all_days(self) -> list[date]:
        """Every landing day of a table without days.

        These are the days that have landed, and those that had landed when the table was computed.
        """
        entry = self.entries.get(None)
        recorded = (entry.inputs.get(self._name) if entry else None) or {}
        return sorted({*self.store.landing.days(self.feed), *map(parse_day, recorded)})

    def _recorded(self, day: date) -> object:
        """Return the ledger's record of the files of a day, if any."""
        entry = self.entries.get(day if self.table.day else None)
        recorded = None if entry is None else entry.inputs.get(self._name)
        return recorded if self.table.day else (recorded or {}).get(str(day))

    def _rows_at_stake(self, day: date, *, has_files: bool, is_archived: bool) -> int:
        """Return how many rows a refresh would lose or has lost already.

        A refresh would lose rows that it has no others to put in the place of. Of a table that a stream has filled
        nothing is taken away, but a day that came as files is not one without any.
        """
        entry = self.entries.get(day if self.table.day else None)
        expected = entry.rows_out if entry else 0
        if self.table.day is None:
            return expected if is_archived else 0
        if has_files:
            return expected if is_archived and self._held_of(day) < expected else 0
        if self.was_followed and not is_archived:
            return 0
        return max(self._held_of(day), expected)

    def _held_of(self, day: date) -> int:
        return self._held.get(day, 0) if self.table.day else self.store.table_log(self.table).rows()

    @cached_property
    def _held(self) -> Mapping[date, int]:
        return self.store.table_log(self.table).rows_by_day(self.table.day) if self.table.day else {}


def split_days(table: Table, days: Days | None, pinned: Inputs) -> Iterator[tuple[Days | None, Way]]:
    """Split the days by the way in which their rows are written."""
    if days is None or not table.write.keeps_everything:
        yield days, "replace"
        return
    by_way = defaultdict[Way, list[date]](list)
    for day in days:
        by_way["keep" if day in pinned.thinned else "grow" if day in pinned.grown else "replace"].append(day)
    parts = [(part, way) for way, chosen in by_way.items() for part in Days.ranges(chosen)]
    yield from sorted(parts, key=lambda part: part[0].start)


def lost_days(store: DeltaStore, source: Table, entries: Mapping[Day, Entry]) -> dict[Day, Loss]:
    """Return the days of which a table holds fewer rows than the ledger says."""
    log = store.table_log(source)
    if not entries:
        return {}
    by_day = log.rows_by_day(source.day) if source.day else {}
    found = {day: log.rows() if day is None else by_day.get(day, 0) for day in entries}
    return {day: Loss(entry.rows_out, found[day]) for day, entry in entries.items() if found[day] < entry.rows_out}


def _refuse_missing(table: Table, source: Table, store: DeltaStore, entries: Mapping[Day, Entry]) -> None:
    """Raise where an input of an earlier refresh is not there any more."""
    if store.version(source) is None:
        had = sum(entry.rows_in for entry in entries.values() if entry.version_read(source.full_name) >= 0)
        if had:
            raise InputLost(table.full_name, source.full_name, {None: (had, 0)})


def _refuse_lost(
    table: Table,
    read: Read,
    days: Days | None,
    store: DeltaStore,
    entries: Mapping[Day, Entry],
    frontier: Frontier | None,
) -> None:
    """Raise where an input lacks rows of days that are needed.

    Days that streams own are left out, because the ledger says nothing of them.
    """
    source = read.source
    assert isinstance(source, Table)
    needed = {day: entry for day, entry in entries.items() if _is_needed(read, source, day, days)}
    first_open = frontier.first_open_day(source) if frontier is not None else None
    sealed = {day: e for day, e in needed.items() if first_open is None or day is None or day < first_open}
    if lost := lost_days(store, source, sealed):
        raise InputLost(table.full_name, source.full_name, lost, reads_files=bool(source.feeds))


def _is_needed(read: Read, source: Table, day: Day, days: Days | None) -> bool:
    """Tell whether rows of an input's day may be read.

    Of bronze the rows of any later day may be, because they come late.
    """
    if days is None or day is None:
        return True
    needed = read.needed(days)
    return day in needed if source.reads_by_own_day else day >= needed.start
