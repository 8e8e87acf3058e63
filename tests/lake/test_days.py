"""Days: half-open ranges, and the gate through which text becomes a date."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, date, datetime, timedelta, timezone
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lake.declare.days import Days, parse_day, parse_moment, utc_day
from lake.errors import BadDay
from tests.hostile import HOSTILE_DAYS

JAN_1, JAN_2, JAN_3, JAN_5 = (date(2013, 1, day) for day in (1, 2, 3, 5))
dates = st.dates(date(1900, 1, 1), date(9999, 12, 30))


def test_a_range_includes_its_last_day_in_text_and_excludes_its_end() -> None:
    days = Days.parse("2013-01-01..2013-01-03")

    assert (days.start, days.end, days.last) == (JAN_1, date(2013, 1, 4), JAN_3)
    assert list(days) == [JAN_1, JAN_2, JAN_3]
    assert len(days) == 3
    assert str(days) == "2013-01-01..2013-01-03"


@given(st.sets(dates), dates, dates)
def test_the_days_that_a_range_lacks_are_those_that_are_not_in_it(days: set[date], start: date, end: date) -> None:
    within = Days(*sorted((start, end)))
    assert within.without(days) == {day for day in days if day not in within}


def test_one_day_is_a_range_of_itself() -> None:
    assert Days.parse("2013-01-01") == Days.of(JAN_1) == Days.between(JAN_1, JAN_1)
    assert str(Days.of(JAN_1)) == "2013-01-01"


def test_an_empty_range_is_false_and_says_so() -> None:
    empty = Days(JAN_1, JAN_1)

    assert not empty
    assert list(empty) == []
    assert JAN_1 not in empty
    assert str(empty) == "no days at 2013-01-01"


@pytest.mark.parametrize("text", HOSTILE_DAYS)
def test_whatever_is_no_day_is_refused(text: str) -> None:
    with pytest.raises(BadDay):
        parse_day(text)


@pytest.mark.parametrize("text", [text for text in HOSTILE_DAYS if text == text.strip()])
def test_no_end_of_a_range_may_be_such_a_thing(text: str) -> None:
    for written in (f"2013-01-01..{text}", f"{text}..2013-01-01"):
        with pytest.raises(BadDay):
            Days.parse(written)


def test_space_around_a_range_does_not_matter_but_within_it_does() -> None:
    assert Days.parse(" 2013-01-01..2013-01-02\n") == Days.between(JAN_1, JAN_2)
    with pytest.raises(BadDay):
        Days.parse("2013-01-01 .. 2013-01-02")


@pytest.mark.parametrize(
    "text", ["2013-01-02..2013-01-01", "2013-01-01..", "..2013-01-01", "2013-01-01..2013-01-02..2013-01-03", "..", ""]
)
def test_a_range_that_runs_backwards_or_is_open_is_refused(text: str) -> None:
    with pytest.raises(BadDay) as refused:
        Days.parse(text)
    assert refused.value.text in {text, "", "2013-01-02..2013-01-03"}


def test_the_message_of_a_refused_day_stays_on_one_short_line_and_says_what_to_write() -> None:
    said = str(BadDay("2013-01-01\n' OR 1=1 --" + "x" * 1000))

    assert "\\n" in said.splitlines()[0]
    assert len(said.splitlines()[0]) < 120
    assert "next: write a day as 2024-01-31" in said


def test_backwards_dates_make_no_range() -> None:
    with pytest.raises(BadDay):
        Days(JAN_2, JAN_1)


def test_days_that_touch_make_one_range() -> None:
    assert Days.ranges([JAN_5, JAN_1, JAN_2, JAN_1]) == [Days.between(JAN_1, JAN_2), Days.of(JAN_5)]
    assert Days.ranges([]) == []


def test_widening_and_shrinking() -> None:
    day = Days.of(JAN_3)

    assert day.widen(before=2, after=1) == Days.parse("2013-01-01..2013-01-04")
    assert day.widen(before=2).widen(before=-2) == day
    assert day.widen(after=2) == Days.between(JAN_3, JAN_5)


def test_the_common_days_of_two_ranges() -> None:
    assert Days.parse("2013-01-01..2013-01-03").intersect(Days.parse("2013-01-03..2013-01-05")) == Days.of(JAN_3)
    assert not Days.of(JAN_1).intersect(Days.of(JAN_5))


def test_the_days_of_a_range_before_a_day() -> None:
    both = Days.between(JAN_3, JAN_5)
    assert [both.before(day) for day in (JAN_1, JAN_3)] == [Days(JAN_1, JAN_1), Days(JAN_3, JAN_3)]
    assert both.before(JAN_5) == Days.parse("2013-01-03..2013-01-04")
    assert both.before(date(2013, 2, 1)) == both


@pytest.mark.parametrize(("text", "is_day"), [
    ("1899-12-31", False), ("1900-01-01", True), ("9999-12-30", True), ("9999-12-31", False), ("2013-02-30", False),
])  # fmt: skip
def test_days_of_the_years_1900_to_9999_are_days_and_what_is_none_is_named(text: str, is_day: bool) -> None:
    if is_day:
        assert parse_day(text).isoformat() == text
        return
    with pytest.raises(BadDay) as refused:
        parse_day(text)
    assert refused.value.text == text


def test_a_reversed_range_is_named_whole() -> None:
    with pytest.raises(BadDay) as refused:
        Days(JAN_3, JAN_1)
    assert refused.value.text == "2013-01-03..2013-01-01"


@pytest.mark.usefixtures("new_york")
def test_the_zone_of_the_process_makes_no_day() -> None:
    assert utc_day(datetime(2013, 1, 2, 1, tzinfo=UTC)) == JAN_2


def test_the_utc_day_of_a_moment_elsewhere() -> None:
    late_in_new_york = datetime(2013, 1, 1, 23, 30, tzinfo=timezone(timedelta(hours=-5)))

    assert utc_day(late_in_new_york) == JAN_2
    assert utc_day(datetime(2013, 1, 1, 23, 59, 59, tzinfo=UTC)) == JAN_1


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2013-01-01T10:00:00", datetime(2013, 1, 1, 10, tzinfo=UTC)),
        ("2013-01-01T10:00:00Z", datetime(2013, 1, 1, 10, tzinfo=UTC)),
        ("2013-01-01T10:00:00-05:00", datetime(2013, 1, 1, 15, tzinfo=UTC)),
        ("10 o'clock", None),
        (None, None),
        (5, None),
    ],
)
def test_a_moment_without_a_zone_is_utc_and_anything_else_is_no_moment(text: object, at: datetime | None) -> None:
    assert parse_moment(text) == at


def test_containment_asks_for_dates() -> None:
    assert "2013-01-01" not in Days.of(JAN_1)


@given(dates)
def test_every_day_of_the_calendar_survives_its_own_text(day: date) -> None:
    assert parse_day(day.isoformat()) == day
    assert Days.parse(str(Days.of(day))) == Days.of(day)


@given(st.sets(st.dates(date(2013, 1, 1), date(2013, 2, 1))))
def test_ranges_hold_exactly_the_days_given_and_never_touch(days: set[date]) -> None:
    ranges = Days.ranges(days)

    assert {day for part in ranges for day in part} == days
    assert all(one.end < other.start for one, other in pairwise(ranges))


@given(st.text())
def test_any_text_is_a_day_or_refused(text: str) -> None:
    with suppress(BadDay):
        assert parse_day(text).isoformat() == text
