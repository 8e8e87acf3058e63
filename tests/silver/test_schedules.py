"""Planned flights out of timetable lines."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pyspark.sql import SparkSession

from lake.testing.frames import broken_rules, frame, rows_of, stored, verdicts
from lakehouse_assets.bronze.schedule_files import schedule_files
from lakehouse_assets.silver.schedules import schedules

pytestmark = pytest.mark.spark

SAID = {
    "flight_date": "2013-01-01",
    "carrier": "B6",
    "flight": 725,
    "origin": "JFK",
    "dest": "BQN",
    "tail_number": "N804JB",
    "scheduled_departure_at": "2013-01-01T10:45:00Z",
    "scheduled_arrival_at": "2013-01-01T14:22:00Z",
    "distance_miles": 1576,
}


def line(*, number: int = 1, event_date: str = "2013-01-01", **said: Any) -> dict[str, object]:
    return {
        "line": json.dumps(SAID | said),
        "file": "timetable-2013-01-01.jsonl",
        "line_number": number,
        "landed_on": "2012-12-31",
        "event_date": event_date,
    }


def test_a_line_becomes_a_planned_flight(spark: SparkSession) -> None:
    rows = schedules(frame(spark, schedule_files, [line()]))

    assert broken_rules(schedules, rows) == []
    assert rows_of(stored(schedules, rows)) == [SAID]
    assert rows_of(rows, "_event_date", "_file", "_line_number", "_landed_on") == [
        {
            "_event_date": "2013-01-01",
            "_file": "timetable-2013-01-01.jsonl",
            "_line_number": 1,
            "_landed_on": "2012-12-31",
        }
    ]


def test_an_evening_flight_leaves_on_the_next_utc_day(spark: SparkSession) -> None:
    """On 3 November New York leaves daylight saving time: 19:00 there is 00:00 UTC again."""
    autumn = line(
        flight_date="2013-11-03",
        event_date="2013-11-03",
        scheduled_departure_at="2013-11-04T00:00:00Z",
        scheduled_arrival_at="2013-11-04T03:30:00Z",
    )

    rows = schedules(frame(spark, schedule_files, [autumn]))

    assert broken_rules(schedules, rows) == []
    assert rows_of(rows, "flight_date", "scheduled_departure_at") == [
        {"flight_date": "2013-11-03", "scheduled_departure_at": "2013-11-04T00:00:00Z"}
    ]


BROKEN: list[tuple[dict[str, Any], str]] = [
    ({"flight_date": None}, "flight_date:not_null"),
    ({"flight": "725"}, "flight:not_null"),
    ({"distance_miles": None}, "distance_miles:not_null"),
    ({"distance_miles": 0}, "distance_miles:in_range"),
    ({"distance_miles": 1576.5}, "distance_miles:not_null"),
    ({"scheduled_departure_at": "10:45"}, "scheduled_departure_at:not_null"),
    ({"scheduled_arrival_at": None}, "scheduled_arrival_at:not_null"),
    ({"scheduled_departure_at": "2013-01-03T00:00:00Z"}, "scheduled_days_after_flight_date:in_range"),
    ({"flight_date": "2013-03-01"}, "days_off_event_date:equal_to"),
    ({"tail_number": ""}, "tail_number:str_matches"),
]


def test_every_kind_of_broken_line_breaks_a_rule_and_none_fails_the_query(spark: SparkSession) -> None:
    lines = [line(number=n, **said) for n, (said, _) in enumerate(BROKEN)]

    rules = verdicts(schedules, schedules(frame(spark, schedule_files, lines)), by="_line_number")

    missed = [(said, rule, rules[n]) for n, (said, rule) in enumerate(BROKEN) if rule not in rules[n]]
    assert missed == []


def test_no_lines_give_no_rows(spark: SparkSession) -> None:
    assert rows_of(schedules(frame(spark, schedule_files))) == []
