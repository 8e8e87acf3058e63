"""Find the days that a table has to hold, by what its inputs hold."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from lake.batch.lake_view import LakeView
from lake.declare.days import Day, Days
from lake.declare.table import Table

__all__ = ["Expected"]


@dataclass(frozen=True)
class Expected:
    """Find the days for which inputs hold rows.

    Attributes:
        view: of the lake.
        calendar: no other day is expected.
    """

    view: LakeView
    calendar: Days

    def days(self, table: Table) -> set[Day]:
        """Return the days of which `has` is true."""
        if table.day is None:
            return {None} if any(self.view.source_days(read) for read in table.reads) else set()
        days = {day for read in table.reads for day in self.view.source_days(read)}
        if table.span is not None:
            return {day for day in {table.days_of(day).start for day in days} if day in self.calendar}
        first = table.reads[0]
        if first.is_widened:
            steps = [timedelta(days=number) for number in range(1, first.after + 1)]
            days |= {day - step for step in steps for day in self.view.source_days(first)}
        return set[Day](days - self.calendar.without(days))

    def has(self, table: Table, day: Day) -> bool:
        """Return whether inputs give rows to a day.

        Some input holds rows for the day itself, or the first input holds rows of a later day that reach back to it.
        """
        if day is None or table.day is None:
            return day in self.days(table)
        if day not in self.calendar:
            return False
        if table.span is not None:
            given = ((read, one) for read in table.reads for one in read.selected(Days.of(day)))
            return any(one in self.view.source_days(read) for read, one in given)
        first = table.reads[0]
        later = range(1, first.after + 1) if first.is_widened else range(0)
        return any(day in self.view.source_days(read) for read in table.reads) or any(
            day + timedelta(days=number) in self.view.source_days(first) for number in later
        )
