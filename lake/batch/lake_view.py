"""Read what a lake holds, each log and each landing folder once."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property

from lake.batch.inputs import Loss, lost_days
from lake.declare.days import Day, Days, parse_day
from lake.declare.feed import Feed
from lake.declare.table import Read, Table
from lake.ownership.frontier import Frontier, FrontierTable
from lake.ownership.ledger import Entry, Ledger
from lake.storage.landed_files import Changes, LandedFile, changes_since, hash_of
from lake.write.store import DeltaStore

__all__ = ["LakeView"]


@dataclass
class LakeView:
    """One look at the tables and landing folders of a lake.

    What was read once is not read again, so that all verdicts of one look agree.

    Attributes:
        store: the lake.
    """

    store: DeltaStore
    _touches: dict[tuple[str, str], Mapping[date, int]] = field(default_factory=dict, repr=False)
    _changes: dict[str, int | None] = field(default_factory=dict, repr=False)
    _versions: dict[str, int | None] = field(default_factory=dict, repr=False)
    _ids: dict[str, str | None] = field(default_factory=dict, repr=False)
    _files: dict[str, Mapping[date, Mapping[str, LandedFile]]] = field(default_factory=dict, repr=False)
    _losses: dict[str, dict[Day, Loss]] = field(default_factory=dict, repr=False)

    @cached_property
    def ledger(self) -> Mapping[str, Mapping[Day, Entry]]:
        """The newest ledger entry by table and day."""
        return Ledger(self.store).latest_by_table()

    @cached_property
    def frontier(self) -> Frontier | None:
        """The days that streams own, or None where no stream ever ran."""
        return FrontierTable(self.store).state()

    def landed(self, feed: Feed) -> Mapping[date, Mapping[str, LandedFile]]:
        """Return what has landed in a feed, by landing day and name."""
        if feed.name not in self._files:
            self._files[feed.name] = self.store.landing.landed(feed)
        return self._files[feed.name]

    def files_now(self, feed: Feed, day: Day) -> object:
        """Hash the files that landed on a day.

        For a table without days the hashes are by landing day.
        """
        landed = self.landed(feed)
        return {str(d): hash_of(files) for d, files in landed.items()} if day is None else hash_of(landed.get(day, {}))

    def file_changes(self, feed: Feed, day: Day, entry: Entry) -> Changes:
        """Compare the files that a day was computed from with today's.

        For a table without days: all of its files.
        """
        recorded, landed = entry.inputs.get(f"feed:{feed.name}"), self.landed(feed)
        if day is not None:
            return changes_since(recorded, landed.get(day, {}))
        days = sorted({*map(parse_day, recorded or ()), *landed})
        found = [changes_since((recorded or {}).get(str(one)), landed.get(one, {})) for one in days]
        return Changes(tuple(n for c in found for n in c.gone), tuple(n for c in found for n in c.other))

    def has_files(self, table: Table, day: Day) -> bool:
        """Tell whether any file is left to compute a table of feeds from."""
        return any(self.landed(feed) if day is None else day in self.landed(feed) for feed in table.feeds)

    def source_days(self, read: Read) -> Collection[date]:
        """List the days of an input that hold rows or files.

        A table without days has none.
        """
        if isinstance(read.source, Feed):
            return self.landed(read.source).keys()
        return self.touched(read.source, read.source.read_by).keys() if read.source.day else ()

    def table_id(self, table: Table) -> str | None:
        """Return the id of a table, None where it was never written."""
        if table.full_name not in self._ids:
            self._ids[table.full_name] = self.store.table_log(table).table_id()
        return self._ids[table.full_name]

    def version(self, table: Table) -> int | None:
        """Return the newest version of a table, None where it was never written."""
        if table.full_name not in self._versions:
            self._versions[table.full_name] = self.store.table_log(table).version()
        return self._versions[table.full_name]

    def changed(self, table: Table) -> int | None:
        """Return the newest version that changed a table."""
        if table.full_name not in self._changes:
            self._changes[table.full_name] = self.store.table_log(table).newest_change()
        return self._changes[table.full_name]

    def touched(self, table: Table, column: str | None) -> Mapping[date, int]:
        """Return the newest version that changed each value of a partition column.

        The column is the table's own day, or the one that readers select by.
        """
        assert column is not None
        name = (table.full_name, column)
        if name not in self._touches:
            self._touches[name] = self.store.table_log(table).newest_touch(column)
        return self._touches[name]

    def newest_touch(self, table: Table, day: Day, column: str | None) -> int | None:
        """Return the newest version that changed a day, None where none did."""
        if day is None or table.day is None:
            return self.changed(table)
        return self.touched(table, column).get(day)

    def newest_input(self, source: Table, read: Read, day: Day, streamed_from: date | None = None) -> int:
        """Return the newest version that changed a day of an input.

        Looked at are the days of the input that `day` reads; -1 where no version changed one. With
        `streamed_from`, only those before that day: later rows reach a table without days by its stream.
        """
        if streamed_from is not None and source.read_by is not None:
            touched = self.touched(source, source.read_by).items()
            return max((version for day, version in touched if day < streamed_from), default=-1)
        if day is None or source.day is None or not read.is_widened:
            newest = self.newest_touch(source, day, source.read_by)
            return -1 if newest is None else newest
        days, by_day = read.selected(Days.of(day)), self.touched(source, source.read_by)
        if len(by_day) < len(days):  # a wide look back at a table with few days
            return max((version for touched_day, version in by_day.items() if touched_day in days), default=-1)
        return max((by_day.get(source_day, -1) for source_day in days), default=-1)

    def lost(self, table: Table) -> dict[Day, Loss]:
        """Find the days of which a table holds fewer rows than the ledger says."""
        if table.full_name not in self._losses:
            self._losses[table.full_name] = lost_days(self.store, table, self.ledger[table.full_name])
        return self._losses[table.full_name]
