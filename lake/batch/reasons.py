"""Say why one day of a table is due.

Its own rows or its inputs have changed since it was computed.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from lake.batch.expected import Expected
from lake.batch.lake_view import LakeView
from lake.declare.days import Day, Days
from lake.declare.feed import Feed
from lake.declare.table import Read, Table, stream_reads
from lake.ownership.ledger import Entry
from lake.storage.landed_files import LandedFile

__all__ = ["Reasons"]


@dataclass(frozen=True)
class Reasons:
    """The reasons for which days are due, in one look at the lake.

    Attributes:
        view: the lake.
        expected: the days that tables have to hold.
    """

    view: LakeView
    expected: Expected

    def missing(self, table: Table, day: Day) -> str | None:
        """Say why a day that some input holds rows for is not there.

        None where it is, or has nothing to be computed from. Whether batch owns it, `Survey.is_early` says.
        """
        entry = self.view.ledger.get(table.full_name, {}).get(day)
        if entry is None:
            return "never computed" if self.expected.has(table, day) else None
        return "broke the contract" if entry.outcome == "failed" else None

    def own(self, table: Table, day: Day, entry: Entry) -> str | None:
        """Return how the table itself lost or changed a day since it was computed."""
        own = self.view.newest_touch(table, day, table.day)
        is_other = not entry.is_about(table.full_name, self.view.table_id(table))
        if is_other or (self.view.version(table) or 0) < entry.version or (own is None and entry.rows_out):
            return "the table was made anew and does not hold it"
        if own is not None and own > entry.version and self.streamed_from(table) is None:
            return f"version {own} was written without a receipt"
        return None

    def streamed_from(self, table: Table, read: Read | None = None) -> date | None:
        """Return from which day on a stream keeps a table current.

        It is about a table without days: None for any other, and where no stream keeps it so. With `read`: by the rows
        of that input.
        """
        if table.day is not None or self.view.frontier is None or (read and read not in stream_reads(table)):
            return None
        return self.view.frontier.first_open_day(table)

    def _newest_input(self, table: Table, source: Table, read: Read, day: Day) -> int:
        return self.view.newest_input(source, read, day, self.streamed_from(table, read))

    def changed(self, table: Table, day: Day, entry: Entry) -> str | None:
        """Return how the table or an input has changed since."""
        return self.own(table, day, entry) or self.inputs(table, day, entry)

    def inputs(self, table: Table, day: Day, entry: Entry) -> str | None:
        """Return how the first input that changed has changed since a day was computed."""
        for read in table.reads:
            if change := self._input_changed(table, read, day, entry):
                return change
        return None

    def _input_changed(self, table: Table, read: Read, day: Day, entry: Entry) -> str | None:
        if isinstance(read.source, Feed):
            is_other = self.view.file_changes(read.source, day, entry).other
            return f"other files landed in {read.source.name}" if is_other else None
        name = read.source.full_name
        seen = entry.version_read(name)
        if not entry.is_about(name, self.view.table_id(read.source)) or (self.view.version(read.source) or 0) < seen:
            return f"{name} was made anew"
        newest = self._newest_input(table, read.source, read, day)
        return f"{name} changed in version {newest}" if newest > seen else None

    def to_judge(self, table: Table, entries: Mapping[Day, Entry], own: Days) -> set[Day]:
        """Find the days that have to be judged where none were before.

        Left out are days of batch that a quick look finds up to date.

        Args:
            table: whose days.
            entries: the newest ledger entry of each.
            own: the days that are batch's.
        """
        never = self.expected.days(table) - entries.keys()
        not_own = own.without(day for day in entries if day is not None)
        return never | not_own | self._suspects(table, entries)

    def _suspects(self, table: Table, entries: Mapping[Day, Entry]) -> set[Day]:
        """Find the computed days that may be due, archived or lost.

        Of the others `own` and `inputs` say nothing, and all their files are as they were read. Years of days are asked
        in one go here, because to ask `own` and `inputs` of each takes ten times as long.
        """
        if table.day is None:
            return set(entries)
        ids = {one.full_name: self.view.table_id(one) for one in (table, *table.inputs)}
        said = {id(entry.table_ids): entry.table_ids for entry in entries.values()}  # most days share theirs
        other = {key for key, names in said.items() if any(names.get(name, one) != one for name, one in ids.items())}
        touched: Mapping[Any, int] = self.view.touched(table, table.day)
        version = self.view.version(table) or 0
        found = {
            day
            for day, entry in entries.items()
            if entry.outcome == "failed"
            or id(entry.table_ids) in other
            or not touched.get(day, _NEVER if entry.rows_out else -1) <= entry.version <= version
        }
        for read in table.reads:
            find = self._not_as_read if isinstance(read.source, Feed) else self._newer
            found |= find(read, entries)
        return found

    def _not_as_read(self, read: Read, entries: Mapping[Day, Entry]) -> set[Day]:
        """Find the days whose files are not exactly those that were read."""
        assert isinstance(read.source, Feed)
        name = f"feed:{read.source.name}"
        landed: Mapping[Any, Mapping[str, LandedFile]] = self.view.landed(read.source)
        return {day for day, entry in entries.items() if not _are_those(entry.inputs.get(name), landed.get(day))}

    def _newer(self, read: Read, entries: Mapping[Day, Entry]) -> set[Day]:
        """Find the days of which an input has another version than they read."""
        assert isinstance(read.source, Table)
        source, name = read.source, read.source.full_name
        newest: Mapping[Any, int] = {}
        every = -1
        if source.day is None:
            changed = self.view.changed(source)
            every = -1 if changed is None else changed
        elif read.is_widened:
            newest = _by_reader(read, self.view.touched(source, source.read_by))
        else:
            newest = self.view.touched(source, source.read_by)
        version = self.view.version(source) or 0
        return {d for d, e in entries.items() if not newest.get(d, every) <= e.version_read(name) <= version}

    def inputs_of(self, table: Table, day: Day) -> list[object]:
        """Return what a day is computed from, as it is now.

        Of each table its id and the version that changed it last; of each feed the hashes of its files.
        """
        return [
            (self.view.table_id(read.source), self._newest_input(table, read.source, read, day))
            if isinstance(read.source, Table)
            else self.view.files_now(read.source, day)
            for read in table.reads
        ]


_NEVER = sys.maxsize
_UNTOUCHED = -1


def _are_those(recorded: object, files: Mapping[str, LandedFile] | None) -> bool:
    """Tell whether there are files, and exactly those that were read."""
    if not files or not isinstance(recorded, Mapping) or recorded.keys() != files.keys():
        return False
    return all(file.has(recorded[name]) for name, file in files.items())


def _by_reader(read: Read, touched: Mapping[date, int]) -> dict[Day, int]:
    """Find for each day of a reader the newest version of its input."""
    newest: dict[Day, int] = {}
    for days in read.reached(touched):
        for reached, version in zip(days, touched.values(), strict=True):
            if newest.get(reached, _UNTOUCHED) < version:
                newest[reached] = version
    return newest
