"""Refuse days that no table has."""

from __future__ import annotations

from lake.declare.days import Days
from lake.errors import BadDay, Message

__all__ = ["OutsideCalendar", "refuse_outside"]


class OutsideCalendar(BadDay, runbook="docs/runbook.md#the-calendar-does-not-have-the-day"):
    """Days were asked for that no table has, and nothing was run."""

    def message(self) -> Message:
        remedy = "choose days within it (none is after the lake's clock), or change LAKEHOUSE_FIRST_DAY or _LAST_DAY"
        return Message(f"days {self.text}", self.problem, remedy)


def refuse_outside(days: Days, calendar: Days) -> None:
    """Raise where the calendar lacks one of the days.

    Raises:
        OutsideCalendar: it does.
    """
    if days.intersect(calendar) != days:
        raise OutsideCalendar(str(days), f"the calendar of the tables is {calendar}")
