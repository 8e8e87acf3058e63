"""Judge whether a table is late.

A day is there when all that the table's feeds were to deliver for it is, and it was computed from that.
Judged by the newest day that is due, so that computing an old day never turns a late table green; nor does a day that
was computed from nothing, because a feed that is dead looks the same. Needs no JVM.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta

from lake.batch.survey import Survey
from lake.declare.days import Days
from lake.declare.feed import Feed
from lake.declare.graph import readers_of
from lake.declare.table import Read, Table
from lake.errors import FolderNotReadable, LogDamaged
from lake.write.store import DeltaStore

__all__ = ["Deliveries", "Freshness", "FreshnessJudge", "due_day"]


@dataclass(frozen=True)
class Freshness:
    """Hold the verdict on one table at one moment.

    Attributes:
        due_day: the newest day that should be in the table by now; None where none is due yet.
        newest_day: the newest day up to that one which is there; None where there is none.
        first_missing: the day after that; None where nothing is late.
        late_by: how long ago the first missing day should have been there.
        why: what the due day lacks.
        is_whole: whether the table has no days and is always computed whole.
    """

    due_day: date | None
    newest_day: date | None = None
    first_missing: date | None = None
    late_by: timedelta = timedelta(0)
    why: str = ""
    is_whole: bool = False

    @property
    def is_late(self) -> bool:
        """Tell whether the due day is missing."""
        return self.first_missing is not None

    def __str__(self) -> str:
        if self.due_day is None:
            return "nothing due yet"
        if self.first_missing is None:
            return "fresh"
        if self.is_whole:
            return f"late: {self.why}"
        if self.first_missing == self.due_day:
            return f"late: {self.due_day} is missing for {_hours(self.late_by)}: {self.why}"
        missing = Days.between(self.first_missing, self.due_day)
        return f"late: {missing} are missing, the first for {_hours(self.late_by)}: {self.why}"


def due_day(table: Table, now: datetime, calendar: Days) -> date | None:
    """Find the newest day, week or month whose end plus `fresh_within` has passed."""
    ended = min((now.astimezone(UTC) - table.fresh_within).date() - timedelta(days=1), calendar.last)
    whole = table.days_of(ended)
    due = whole.start if whole.last == ended else table.days_of(whole.start - timedelta(days=1)).start
    return due if due >= calendar.start else None


@dataclass
class Deliveries:
    """Count what each landing day brought."""

    store: DeltaStore
    _read: dict[str, dict[date, int]] = field(default_factory=dict, repr=False)

    def read(self, bronze: Table) -> dict[date, int]:
        """Count the rows that bronze holds of each landing day."""
        if bronze.full_name not in self._read:
            self._read[bronze.full_name] = self.store.table_log(bronze).rows_by_day(str(bronze.day))
        return self._read[bronze.full_name]

    def lack(self, bronze: Table, feed: Feed, day: date) -> str | None:
        """Say what a feed still owes a bronze table for a landing day."""
        held, least = self.read(bronze), feed.delivers.at_least
        if feed.delivers.every_day:
            rows = held.get(day, 0)
            return None if rows >= least else self._describe(feed, day, rows)
        newest = max((landed for landed, rows in held.items() if rows >= least), default=None)
        if newest is not None and newest >= day:
            return None
        return f"the newest delivery of {feed.name} is of {newest}" if newest else f"{feed.name} never delivered"

    def _describe(self, feed: Feed, day: date, rows: int) -> str:
        if rows:
            return f"{feed.name} delivered {rows:,} rows on {day}, expected at least {feed.delivers.at_least:,}"
        try:
            has_landed = self.store.landing.fingerprint(feed, day) is not None
        except FolderNotReadable as error:
            return f"{feed.name} of {day}: {error.folder} cannot be read"
        if has_landed:
            return f"what {feed.name} delivered on {day} is not in bronze"
        return f"{feed.name} missed {day}"

    def awaited(self, tables: Iterable[Table], day: date) -> dict[Feed, set[Table]]:
        """Find feeds that have not delivered a landing day, with all their readers."""
        known, found = list(tables), dict[Feed, set[Table]]()
        for bronze, feed in _fed(known):
            if feed.delivers.every_day and not self._has_landed(bronze, feed, day):
                found.setdefault(feed, set()).update([bronze, *readers_of([bronze], known)])
        return found

    def _has_landed(self, bronze: Table, feed: Feed, day: date) -> bool:
        least = feed.delivers.at_least
        with suppress(FolderNotReadable):
            return self.read(bronze).get(day, 0) >= least or self.store.landing.count_rows(feed, day) >= least
        return False


def _fed(tables: Iterable[Table]) -> Iterator[tuple[Table, Feed]]:
    for table in tables:
        yield from ((table, feed) for feed in table.feeds)


@dataclass
class FreshnessJudge:
    """Judge tables at one moment.

    Attributes:
        survey: the lake; at least the tables that are judged and all that they read.
        now: the environment's time, aware.
    """

    survey: Survey
    now: datetime
    _lacks: dict[tuple[str, date], str | None] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self.deliveries = Deliveries(self.survey.store)

    def judge(self, table: Table) -> Freshness:
        """Judge one table by the newest day that is there."""
        due = due_day(table, self.now, self.survey.calendar)
        why = self.lack(table, due) if due else None
        if due is None or why is None:
            return Freshness(due, due, is_whole=table.day is None)
        earlier = [] if table.day is None else table.own_days(Days.between(self.survey.calendar.start, due))
        newest = next((day for day in reversed(earlier) if self.lack(table, day) is None), None)
        first = due if table.day is None else table.days_of(newest).end if newest else self.survey.calendar.start
        ended = datetime.combine(table.days_of(first).end, time(), UTC)
        return Freshness(due, newest, first, self.now - ended - table.fresh_within, why, is_whole=table.day is None)

    def lack(self, table: Table, day: date) -> str | None:
        """Say what a day of a table lacks, upstream first.

        None where it is there. Of a table without days the day only says what is due.
        """
        asked = (table.full_name, day)
        if asked not in self._lacks:
            try:
                self._lacks[asked] = next(filter(None, self._look(table, day)), None)
            except LogDamaged as damage:
                self._lacks[asked] = f"{damage.message().where}: {damage.problem}"
        return self._lacks[asked]

    def _look(self, table: Table, day: date) -> Iterator[str | None]:
        for read in table.reads:
            if isinstance(read.source, Feed):
                yield self.deliveries.lack(table, read.source, day)
            else:
                yield from (self.lack(read.source, one) for one in self._needed(table, read, read.source, day))
        yield self._not_computed(table, day) if table.day else self._not_read(table, day)

    def _needed(self, table: Table, read: Read, source: Table, day: date) -> list[date]:
        """Find the days of an input that a day needs.

        In place of those that are not due there yet: the newest that is.
        """
        due = due_day(source, self.now, self.survey.calendar)
        if due is None:
            return []
        if table.day is None or source.day is None:
            return [due]
        return sorted({min(one, due) for one in read.needed(Days.of(day)).intersect(self.survey.calendar)})

    def _not_computed(self, table: Table, day: date) -> str | None:
        """Say why a day was not computed from what is there.

        Of its open days a stream computes what comes, as it comes.
        """
        reason = self.survey.reasons.missing(table, day)
        frontier = self.survey.view.frontier
        if frontier is not None and self.survey.is_early(table, day):
            is_streamed = frontier.first_open_day(table) is not None
            reason = None if is_streamed else "not computed while streams own days that it reads"
        return f"{table.full_name} of {day}: {reason}" if reason else None

    def _not_read(self, table: Table, due: date) -> str | None:
        """Name what a table without days has not read.

        That is an input that changed since then, or was made anew, or the table itself if it was. Only changes of days
        up to the due one count, and where a stream keeps it current, only of those that batch owns.
        """
        entry = self.survey.view.ledger.get(table.full_name, {}).get(None)
        if entry is not None and not entry.is_about(table.full_name, self.survey.store.table_log(table).table_id()):
            return f"{table.full_name} was made anew and does not hold what was computed"
        for read in table.reads:
            source = read.source
            if isinstance(source, Feed):
                continue
            newest, made = self._newest_change(table, read, source, due), self.survey.store.table_log(source).table_id()
            if newest is not None and entry is not None and not entry.is_about(source.full_name, made):
                return f"{source.full_name} was made anew, which {table.full_name} has not read"
            if newest is not None and (entry is None or newest > entry.version_read(source.full_name)):
                return f"{source.full_name} changed in version {newest}, which {table.full_name} has not read"
        return None

    def _newest_change(self, table: Table, read: Read, source: Table, due: date) -> int | None:
        log, streamed_from = self.survey.store.table_log(source), self.survey.reasons.streamed_from(table, read)
        if source.read_by is None:
            return log.newest_change()
        touched = log.newest_touch(source.read_by)
        before = min(due + timedelta(days=1), streamed_from or date.max)
        return max((version for day, version in touched.items() if day < before), default=None)


def _hours(length: timedelta) -> str:
    hours = length // timedelta(hours=1)
    return f"{hours} h" if hours < 72 else f"{hours // 24} days"
