"""Is a table late? Judged by its newest day, so that computing an old day never turns a late table green."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from lake.days import Days
from lake.table import Table

__all__ = ["Freshness", "judge_freshness"]


@dataclass(frozen=True)
class Freshness:
    """A verdict on one table at one moment.

    Attributes:
        due_day: the newest day that should be in the table by now; None where none is due yet.
        newest_day: the newest computed day of the calendar; None where there is none.
        is_late: whether the due day is not there.
        late_by: how long ago the first missing day should have been there.
        first_missing: that day; None where nothing is late.
    """

    due_day: date | None
    newest_day: date | None
    is_late: bool
    late_by: timedelta = timedelta(0)
    first_missing: date | None = None

    def __str__(self) -> str:
        if self.due_day is None:
            return "nothing due yet"
        if self.first_missing is None:
            return "fresh"
        if self.first_missing == self.due_day:
            return f"late: {self.due_day} is missing for {_hours(self.late_by)}"
        missing = Days.between(self.first_missing, self.due_day)
        return f"late: {missing} are missing, the first for {_hours(self.late_by)}"


def judge_freshness(table: Table, newest_day: date | None, now: datetime, calendar: Days) -> Freshness:
    """Compare the newest computed day with the one that is due: its end plus `fresh_within` has passed.

    Args:
        table: whose `fresh_within`.
        newest_day: the newest day that was computed and recorded.
        now: the environment's time, aware.
        calendar: days outside of it are never due.
    """
    last_due = (now.astimezone(UTC) - table.fresh_within).date() - timedelta(days=1)
    due = min(last_due, calendar.last)
    if due < calendar.start:
        return Freshness(None, newest_day, is_late=False)
    if newest_day is not None and newest_day >= due:
        return Freshness(due, newest_day, is_late=False)
    first_missing = max(calendar.start, newest_day + timedelta(days=1) if newest_day else calendar.start)
    end = datetime.combine(first_missing + timedelta(days=1), time(), UTC)
    late_by = now - end - table.fresh_within
    return Freshness(due, newest_day, is_late=True, late_by=late_by, first_missing=first_missing)


def _hours(length: timedelta) -> str:
    hours = int(length.total_seconds() // 3600)
    return f"{hours} h" if hours < 72 else f"{hours // 24} days"
