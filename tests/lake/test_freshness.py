"""Freshness: judged by the newest day, so an old one never turns a late table green."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from lake.days import Days
from lake.freshness import judge_freshness
from tests.tiny import marks

CALENDAR = Days.parse("2013-01-01..2013-12-31")
TABLE = replace(marks, fresh_within=timedelta(hours=2))


def at(day: int, hour: int, minute: int = 0) -> datetime:
    return datetime(2013, 1, day, hour, minute, tzinfo=UTC)


@pytest.mark.parametrize(
    ("now", "due", "newest", "said"),
    [
        (at(1, 23), None, None, "nothing due yet"),
        (at(2, 1, 59), None, None, "nothing due yet"),
        (at(2, 2), date(2013, 1, 1), None, "late: 2013-01-01 is missing for 0 h"),
        (at(2, 2), date(2013, 1, 1), date(2013, 1, 1), "fresh"),
        (at(3, 1, 59), date(2013, 1, 1), date(2013, 1, 1), "fresh"),
        (at(3, 5), date(2013, 1, 2), date(2013, 1, 1), "late: 2013-01-02 is missing for 3 h"),
        (at(3, 5), date(2013, 1, 2), date(2013, 1, 5), "fresh"),
        (
            at(9, 2),
            date(2013, 1, 8),
            date(2013, 1, 3),
            "late: 2013-01-04..2013-01-08 are missing, the first for 4 days",
        ),
    ],
)
def test_a_table_is_late_when_the_day_that_is_due_is_not_there(
    now: datetime, due: date | None, newest: date | None, said: str
) -> None:
    verdict = judge_freshness(TABLE, newest, now, CALENDAR)

    assert verdict.due_day == due
    assert verdict.is_late == said.startswith("late")
    assert str(verdict) == said


def test_days_after_the_calendar_are_never_due() -> None:
    verdict = judge_freshness(TABLE, date(2013, 12, 31), datetime(2020, 1, 1, tzinfo=UTC), CALENDAR)

    assert (verdict.due_day, verdict.is_late) == (date(2013, 12, 31), False)


def test_the_zone_of_the_clock_does_not_matter() -> None:
    elsewhere = at(2, 2).astimezone(timezone(timedelta(hours=-11)))

    assert judge_freshness(TABLE, None, elsewhere, CALENDAR) == judge_freshness(TABLE, None, at(2, 2), CALENDAR)
