"""Calendar days: the only date arithmetic of the lakehouse.

A `Days` is a half-open range of calendar days in UTC. Everything that comes from outside (partition keys, command-line
arguments, folder names) is parsed here into dates before any SQL text or path sees it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any, Literal

from lake.errors import BadDay

__all__ = ["ALL_DAYS", "Day", "Days", "Span", "in_order", "parse_day", "parse_moment", "utc_day"]

Day = date | None
"""A day of a table; None stands for a table without days."""
Span = Literal["week", "month"]
"""Days that belong together: a week begins on Monday."""

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_ONE_DAY = timedelta(days=1)
_FIRST, _LAST = date(1900, 1, 1), date(9999, 12, 30)


def parse_day(text: str) -> date:
    """Parse exactly `YYYY-MM-DD` (ASCII digits, 1900 to 9999).

    Raises:
        BadDay: for anything else, also for dates that the calendar does not have.
    """
    if not _DAY.fullmatch(text):
        raise BadDay(text)
    try:
        day = date.fromisoformat(text)
    except ValueError as error:
        raise BadDay(text) from error
    if not _FIRST <= day <= _LAST:
        raise BadDay(text)
    return day


def parse_moment(text: Any) -> datetime | None:
    """Parse a point in time from a file of this lakehouse.

    UTC where it says no zone; None for anything else.
    """
    try:
        at = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def utc_day(at: datetime) -> date:
    """Return the UTC calendar day of an aware timestamp."""
    return at.astimezone(UTC).date()


def in_order(days: Iterable[Day]) -> list[Day]:
    """Sort days, with the one of a table without days first."""
    return sorted(days, key=lambda day: day or date.min)


@dataclass(frozen=True, order=True)
class Days:
    """A half-open range of calendar days: `start` is in it, `end` is not.

    Iterating gives dates in order; `len`, `in` and `bool` work as expected; `str` gives `A..B`, both days included.
    """

    start: date
    end: date

    def __post_init__(self) -> None:
        if self.end < self.start:
            raise BadDay(f"{self.start}..{self.end}")

    @classmethod
    def parse(cls, text: str) -> Days:
        """Parse `YYYY-MM-DD` or `YYYY-MM-DD..YYYY-MM-DD` (both ends included).

        Raises:
            BadDay: the text is no day or range, or the range runs backwards.
        """
        first, separator, last = text.strip().partition("..")
        start = parse_day(first)
        end = parse_day(last) if separator else start
        if end < start:
            raise BadDay(text)
        return cls(start, end + _ONE_DAY)

    @classmethod
    def of(cls, day: date) -> Days:
        """Return the range that holds one day."""
        return cls(day, day + _ONE_DAY)

    @classmethod
    def whole(cls, span: Span, day: date) -> Days:
        """Return the week or month that a day lies in."""
        if span == "week":
            monday = day - day.weekday() * _ONE_DAY
            return cls(monday, monday + 7 * _ONE_DAY)
        first = day.replace(day=1)
        return cls(first, (first + 31 * _ONE_DAY).replace(day=1))

    @classmethod
    def between(cls, first: date, last: date) -> Days:
        """Return the range from `first` to `last`, both included."""
        return cls(first, last + _ONE_DAY)

    @classmethod
    def ranges(cls, days: Iterable[date]) -> list[Days]:
        """Return the fewest contiguous ranges that hold exactly these days, in order."""
        ordered = sorted(set(days))
        steps = (number for number in range(1, len(ordered)) if ordered[number] - ordered[number - 1] != _ONE_DAY)
        parts = pairwise([0, *steps, len(ordered)] if ordered else [])
        return [cls(ordered[first], ordered[after - 1] + _ONE_DAY) for first, after in parts]

    @property
    def last(self) -> date:
        """The last day in the range (of a range that is not empty)."""
        return self.end - _ONE_DAY

    def without(self, days: Iterable[date]) -> set[date]:
        """Return those of some days that the range does not hold.

        For years of days: to ask of each takes five times as long.
        """
        start, end = self.start, self.end
        return {day for day in days if not start <= day < end}

    def widen(self, *, before: int = 0, after: int = 0) -> Days:
        """Return the range with more days at its start and end.

        Negative numbers shrink it.
        """
        return Days(self.start - before * _ONE_DAY, self.end + after * _ONE_DAY)

    def intersect(self, other: Days) -> Days:
        """Return the days that both ranges hold, an empty range if none."""
        start = max(self.start, other.start)
        return Days(start, max(start, min(self.end, other.end)))

    def before(self, day: date) -> Days:
        """Return the days of the range that lie before a day.

        An empty range if none does.
        """
        return Days(min(self.start, day), min(self.end, day))

    def __iter__(self) -> Iterator[date]:
        return (self.start + number * _ONE_DAY for number in range(len(self)))

    def __len__(self) -> int:
        return (self.end - self.start).days

    def __contains__(self, day: object) -> bool:
        return isinstance(day, date) and self.start <= day < self.end

    def __str__(self) -> str:
        if not self:
            return f"no days at {self.start}"
        return f"{self.start}" if len(self) == 1 else f"{self.start}..{self.last}"


ALL_DAYS = Days.between(_FIRST, _LAST)
"""Every day that can be named."""
