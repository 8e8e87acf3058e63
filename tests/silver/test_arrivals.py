"""Arrivals out of messages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from lake.testing.frames import broken_rules, frame, rows_of, stored, verdicts
from lakehouse_assets.bronze.arrival_events import arrival_events
from lakehouse_assets.silver.arrivals import arrivals
from tests.frames import drained, unbounded

pytestmark = pytest.mark.spark

SAID = {
    "flight_date": "2013-01-01",
    "carrier": "UA",
    "flight": 15,
    "origin": "EWR",
    "dest": "HNL",
    "tail_number": "N77066",
    "scheduled_arrival_at": "2013-01-02T00:40:00Z",
    "arrived_at": "2013-01-02T00:25:00Z",
    "air_time_minutes": 656,
}


def event(*, offset: int = 0, **said: Any) -> dict[str, object]:
    return {
        "value": json.dumps(SAID | said),
        "topic": "arrivals",
        "partition": 3,
        "offset": offset,
        "timestamp": "2013-01-02T00:25:30Z",
        "event_date": "2013-01-02",
    }


def test_a_message_becomes_an_arrival_on_the_utc_day_it_happened(spark: SparkSession) -> None:
    rows = arrivals(frame(spark, arrival_events, [event()]))

    assert broken_rules(arrivals, rows) == []
    assert rows_of(stored(arrivals, rows)) == [
        {
            "flight_date": "2013-01-01",
            "carrier": "UA",
            "flight": 15,
            "origin": "EWR",
            "dest": "HNL",
            "tail_number": "N77066",
            "scheduled_arrival_at": "2013-01-02T00:40:00Z",
            "arrived_at": "2013-01-02T00:25:00Z",
            "arrived_on": "2013-01-02",
            "delay_minutes": -15,
            "air_time_minutes": 656,
        }
    ]


def test_tail_number_and_air_time_may_be_missing(spark: SparkSession) -> None:
    rows = arrivals(frame(spark, arrival_events, [event(tail_number=None, air_time_minutes=None)]))

    assert broken_rules(arrivals, rows) == []
    assert rows_of(rows, "tail_number", "air_time_minutes") == [{"tail_number": None, "air_time_minutes": None}]


BROKEN: list[tuple[dict[str, Any], str]] = [
    ({"air_time_minutes": "656"}, "json_errors:equal_to"),  # null is allowed here, so the type has a rule of its own
    ({"air_time_minutes": 656.5}, "json_errors:equal_to"),
    ({"air_time_minutes": 0}, "air_time_minutes:in_range"),
    ({"air_time_minutes": 1441}, "air_time_minutes:in_range"),
    ({"arrived_at": None}, "arrived_at:not_null"),
    ({"scheduled_arrival_at": "soon"}, "scheduled_arrival_at:not_null"),
    ({"arrived_at": "2013-01-02T00:25:31Z"}, "report_lag_seconds:in_range"),
    ({"flight_date": "2012-12-30"}, "days_after_flight_date:in_range"),
    ({"flight_date": "2013-01-03"}, "days_after_flight_date:in_range"),
    ({"scheduled_arrival_at": "2013-01-04T00:00:00Z"}, "scheduled_days_after_flight_date:in_range"),
    ({"dest": "hnl"}, "dest:str_matches"),
]


def test_every_kind_of_broken_message_breaks_a_rule_and_none_fails_the_query(spark: SparkSession) -> None:
    events = [event(offset=n, **said) for n, (said, _) in enumerate(BROKEN)]

    rules = verdicts(arrivals, arrivals(frame(spark, arrival_events, events)), by="_offset")

    missed = [(said, rule, rules[n]) for n, (said, rule) in enumerate(BROKEN) if rule not in rules[n]]
    assert missed == []


def test_an_arrival_may_lie_two_days_after_the_flight_date(spark: SparkSession) -> None:
    two_days = event(flight_date="2012-12-31", scheduled_arrival_at="2012-12-31T23:59:00Z")

    rows = arrivals(frame(spark, arrival_events, [two_days]))

    assert broken_rules(arrivals, rows) == []
    assert rows_of(rows, "days_after_flight_date", "delay_minutes") == [
        {"days_after_flight_date": 2, "delay_minutes": 1466}
    ]


def test_no_messages_give_no_rows(spark: SparkSession) -> None:
    assert rows_of(arrivals(frame(spark, arrival_events))) == []


def test_it_runs_on_a_stream(spark: SparkSession, tmp_path: Path) -> None:
    stream = unbounded(frame(spark, arrival_events, [event()]), tmp_path / "events")

    rows = drained(arrivals(stream), tmp_path / "checkpoint", mode="append")

    assert rows_of(rows, "flight", "delay_minutes") == [{"flight": 15, "delay_minutes": -15}]
