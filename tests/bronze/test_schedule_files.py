"""Timetable lines as received."""

from __future__ import annotations

import json

import pytest
from pyspark.sql import SparkSession

from lake.testing.frames import broken_rules, frame, rows_of
from lakehouse_assets.bronze.schedule_files import schedule_files
from lakehouse_assets.feeds.schedules import schedules

pytestmark = pytest.mark.spark


def line(text: str, landed_on: str = "2013-01-31") -> dict[str, object]:
    return {"line": text, "file": "timetable-2013-02-01.jsonl", "line_number": 7, "landed_on": landed_on}


def test_a_line_is_kept_as_received(spark: SparkSession) -> None:
    received = {**line('{"flight_date":"2013-02-01","flight":1545}'), "_landed_at": "2013-01-31T08:00:00Z"}

    rows = schedule_files(frame(spark, schedules, [received]))

    assert broken_rules(schedule_files, rows) == []
    assert rows_of(rows) == [
        {
            "line": '{"flight_date":"2013-02-01","flight":1545}',
            "file": "timetable-2013-02-01.jsonl",
            "line_number": 7,
            "landed_on": "2013-01-31",
            "event_date": "2013-02-01",
            "landed_at": "2013-01-31T08:00:00Z",
        }
    ]


CLAIMS = {
    "2013-03-02": "2013-03-02",  # 30 days ahead
    "2013-03-03": "2013-01-31",
    "2013-01-01": "2013-01-01",  # 30 days back
    "2012-12-31": "2013-01-31",
    "2013-02-29": "2013-01-31",  # 2013 has no such day
    "2013-2-1": "2013-01-31",
    "2013-02-01T00:00:00Z": "2013-01-31",
    "+12013-02-01": "2013-01-31",
}


def test_only_a_plausible_flight_date_gives_the_event_date(spark: SparkSession) -> None:
    rows = schedule_files(frame(spark, schedules, [line(f'{{"flight_date":"{claim}"}}') for claim in CLAIMS]))

    found = {json.loads(row["line"])["flight_date"]: row["event_date"] for row in rows_of(rows, "line", "event_date")}
    assert found == CLAIMS


def test_a_torn_line_is_kept_under_its_landing_day(spark: SparkSession) -> None:
    rows = schedule_files(frame(spark, schedules, [line('{"flight_date":"2013-02-01","fli')]))

    assert broken_rules(schedule_files, rows) == []
    assert rows_of(rows, "event_date") == [{"event_date": "2013-01-31"}]


def test_no_lines_give_no_rows(spark: SparkSession) -> None:
    assert rows_of(schedule_files(frame(spark, schedules))) == []
