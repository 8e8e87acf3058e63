"""Compare the rows of a table with those of its inputs, by day.

They are counted without Spark. A day is compared where its input is still as it was read; where it has changed since,
the day is stale, not wrong.

    bronze                         rows read     = lines that landed
    an event or entity of bronze   rows read     = rows of bronze (at least so many, where a table adds some of its own)
    ... that declares `rows`       rows read    <= rows of bronze ("some"); not none at all ("some" and "any")
    `counts` of the declaration    sum of column = rows of the input;  rows = keys that the input holds
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cached_property

from lake.declare.days import Day, Days
from lake.declare.feed import Feed
from lake.declare.table import ROWS, Read, Table
from lake.ownership.ledger import Entry
from lake.storage.landed_files import Changes, changes_since
from lake.write.store import DeltaStore

__all__ = ["Comparison", "Upstream"]


@dataclass(frozen=True)
class Comparison:
    """The row count of a day's input beside that of the day.

    The day has at least `least` and at most `most`.
    """

    day: Day
    upstream: int
    least: int
    most: int
    what: str

    @property
    def agrees(self) -> bool:
        """Tell whether the two agree."""
        return self.least <= self.upstream <= self.most

    def __str__(self) -> str:
        return f"{self.upstream:,} {self.what}, {self.least:,} here"


@dataclass
class Upstream:
    """The inputs of one table, as they are now.

    Attributes:
        table: which.
        store: where they are.
        entries: the newest ledger entry of each day to compare.
    """

    table: Table
    store: DeltaStore
    entries: Mapping[Day, Entry]
    _ids: dict[Table, str | None] = field(default_factory=dict, repr=False)

    def comparisons(self) -> Iterator[Comparison]:
        """Give a comparison for each day and input that can be compared."""
        first = self.table.reads[0]
        if isinstance(first.source, Feed):
            yield from self._with_landed(first.source)
        elif self.table.is_row_by_row:
            found = list(self._with_days(first.source) if self.table.day else self._with_whole(first.source))
            yield from found if self.table.rows == "each" else self._with_candidates(found)
        for column, source in self.table.counts.items():
            read = next(read for read in self.table.reads if read.source is source)
            yield from self._with_keys(read, source) if column == ROWS else self._with_sums(read, source, column)

    def _with_candidates(self, found: Sequence[Comparison]) -> Iterator[Comparison]:
        """Compare a table that drops or multiplies rows with its input.

        Of all that it has read, at least one row has to give a candidate. Where it only drops rows, none of its days
        has more candidates than rows.
        """
        if self.table.rows == "some" and self.table.day:
            yield from (replace(one, most=max(one.most, one.upstream)) for one in found)
        if found and not any(one.most for one in found):
            yield _equal(None, sum(one.upstream for one in found), 0, f"{found[0].what} in all")

    def _with_landed(self, feed: Feed) -> Iterator[Comparison]:
        landing = self.store.landing
        for day, entry in self.entries.items():
            if day is not None and self._landed_so(feed, day, entry):
                yield _equal(day, landing.count_rows(feed, day), entry.rows_in, "lines landed")

    def _landed_so(self, feed: Feed, day: date, entry: Entry) -> bool:
        """Tell whether a day's files are those that were read, and there were any."""
        recorded = entry.inputs.get(f"feed:{feed.name}")
        return recorded is not None and changes_since(recorded, self.store.landing.files(feed, day)) == Changes()

    def _with_days(self, source: Table) -> Iterator[Comparison]:
        """Compare by the day that readers select rows of bronze by."""
        assert source.read_by is not None
        log = self.store.table_log(source)
        rows, touched = log.rows_by_day(source.read_by), log.newest_touch(source.read_by)
        for day, entry in self.entries.items():
            if day is not None and self._has_read(source, entry, touched.get(day, -1)):
                yield _equal(day, rows.get(day, 0), entry.rows_in, f"rows in {source.full_name}")

    def _with_whole(self, source: Table) -> Iterator[Comparison]:
        """Compare a table without days with its input.

        It may add rows of its own.
        """
        assert source.read_by is not None
        log, entry = self.store.table_log(source), self.entries.get(None)
        newest = log.newest_change()
        if entry is None or not self._has_read(source, entry, -1 if newest is None else newest):
            return
        rows = sum(log.rows_by_day(source.read_by).values())
        yield Comparison(None, rows, min(rows, entry.rows_in), entry.rows_in, f"rows in {source.full_name}")

    def _with_keys(self, read: Read, source: Table) -> Iterator[Comparison]:
        """Compare the keys that the input holds with those of the table.

        Each has a row, or was rejected.
        """
        by = ", ".join(f'"{name}"' for name in dict.fromkeys([*self.table.key, str(self.table.day)]))
        days = self._unchanged(read, source)
        found = self._by_day(source, "count(*)", days, f"(SELECT DISTINCT {by} FROM stored)")
        for day in days:
            out, rejected = self.entries[day].rows_out, self.entries[day].rejected
            yield Comparison(day, found.get(day, 0), out, out + rejected, f"keys in {source.full_name}")

    def _with_sums(self, read: Read, source: Table, column: str) -> Iterator[Comparison]:
        """Compare a table that counts its input with that input."""
        days = [day for day in self._unchanged(read, source) if not self.entries[day].rejected]
        rows = self.store.table_log(source).rows_by_day(str(source.day))
        sums = self._by_day(self.table, f'sum("{column}")', days, "stored")
        for day in days:
            held = sum(rows.get(one, 0) for one in (read.selected(Days.of(day)) if read.span else [day]))
            yield _equal(day, held, sums.get(day, 0), f"rows in {source.full_name} for {column}")

    def _by_day(self, table: Table, number: str, days: Sequence[date], rows: str) -> dict[Day, int]:
        """Ask the rows of one table for a number for each of these days.

        The days are those of this table.
        """
        if not days:
            return {}
        day = f'"{self.table.day}"'
        within = f"WHERE {day} BETWEEN DATE '{min(days)}' AND DATE '{max(days)}'"
        found = self.store.table_log(table).query(f"SELECT {day} AS day, {number} AS n FROM {rows} {within} GROUP BY 1")
        return {row["day"]: int(row["n"]) for row in found}

    def _unchanged(self, read: Read, source: Table) -> list[date]:
        """Return the days that are as they were computed, inputs included.

        Included are the days of the input that they were computed from.
        """
        touched = self.store.table_log(source).newest_touch(str(source.day))
        return [
            day
            for day, entry in self.entries.items()
            if day is not None
            and entry.outcome != "failed"
            and self._own.get(day, -1) <= entry.version
            and entry.is_about(self.table.full_name, self._id_of(self.table))
            and all(self._has_read(source, entry, touched.get(near, -1)) for near in read.selected(Days.of(day)))
        ]

    def _id_of(self, table: Table) -> str | None:
        if table not in self._ids:
            self._ids[table] = self.store.table_log(table).table_id()
        return self._ids[table]

    def _has_read(self, source: Table, entry: Entry, version: int) -> bool:
        """Tell whether an entry was computed from this version of a table.

        A later version of the same table counts too.
        """
        is_same = entry.is_about(source.full_name, self._id_of(source))
        return is_same and version <= entry.version_read(source.full_name)

    @cached_property
    def _own(self) -> Mapping[date, int]:
        return self.store.table_log(self.table).newest_touch(str(self.table.day))


def _equal(day: Day, upstream: int, here: int, what: str) -> Comparison:
    return Comparison(day, upstream, here, here, what)
