"""Departure messages as received."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from lake.testing.frames import broken_rules, frame, rows_of
from lakehouse_assets.bronze.departure_events import departure_events
from lakehouse_assets.feeds.departures import departures
from tests.frames import drained, unbounded

pytestmark = pytest.mark.spark


def message(departed_at: object = "2013-01-01T10:17:00Z", **changes: object) -> dict[str, object]:
    return {
        "key": "2013-01-01|UA|1545|EWR",
        "value": json.dumps({"departed_at": departed_at}),
        "topic": "departures",
        "partition": 2,
        "offset": 4750_000_017,
        "timestamp": "2013-01-01T10:17:41Z",
        "_landed_on": "2013-01-01",
        **changes,
    }


def test_a_message_is_kept_as_received(spark: SparkSession) -> None:
    rows = departure_events(frame(spark, departures, [message()]))

    assert broken_rules(departure_events, rows) == []
    assert rows_of(rows) == [
        {
            "key": "2013-01-01|UA|1545|EWR",
            "value": '{"departed_at": "2013-01-01T10:17:00Z"}',
            "topic": "departures",
            "partition": 2,
            "offset": 4750_000_017,
            "timestamp": "2013-01-01T10:17:41Z",
            "landed_on": "2013-01-01",
            "event_date": "2013-01-01",
            "headers": None,
            "days_off_landing": 0,
        }
    ]


CLAIMS = [
    ("2013-01-31T00:00:00Z", "2013-01-31"),
    ("2013-01-30T23:59:00Z", "2013-01-30"),  # landed just after midnight
    ("2013-01-01T00:00:00Z", "2013-01-01"),  # 30 days late: the last day that is believed
    ("2012-12-31T23:59:59Z", "2013-01-31"),
    ("2013-02-01T00:00:00Z", "2013-01-31"),  # the future
    ("9999-12-31T23:59:59Z", "2013-01-31"),
    ("+294247-01-10T04:00:54Z", "2013-01-31"),
    ("10:15:00", "2013-01-31"),  # Spark alone would read a time of the day on which the test runs
    ("2013-01-30", "2013-01-31"),
    ("2013-02-30T10:00:00Z", "2013-01-31"),
    ("2013-01-30T10:00:00+05:00", "2013-01-31"),
    ("2013-01-30T10:00:00Z\n", "2013-01-31"),
    (20130130, "2013-01-31"),
    (None, "2013-01-31"),
    ({"at": "2013-01-30T10:00:00Z"}, "2013-01-31"),
]


def test_only_a_plausible_claim_gives_the_event_date(spark: SparkSession) -> None:
    landed = {"timestamp": "2013-01-31T12:00:00Z", "_landed_on": "2013-01-31"}
    messages = [message(claim, offset=number, **landed) for number, (claim, _) in enumerate(CLAIMS)]

    rows = departure_events(frame(spark, departures, messages))

    assert broken_rules(departure_events, rows) == []
    dates = {row["offset"]: row["event_date"] for row in rows_of(rows, "offset", "event_date")}
    assert [(claim, dates[number]) for number, (claim, _) in enumerate(CLAIMS)] == CLAIMS


def test_a_broken_body_is_kept_under_its_landing_day(spark: SparkSession) -> None:
    bodies = [None, "", "not json", '{"departed_at": "2013-01-', "[]", "5", "null"]
    messages = [message(value=body, offset=number) for number, body in enumerate(bodies)]

    rows = departure_events(frame(spark, departures, messages))

    assert broken_rules(departure_events, rows) == []
    assert rows_of(rows, "offset", "value", "event_date") == [
        {"offset": number, "value": body, "event_date": "2013-01-01"} for number, body in enumerate(bodies)
    ]


def test_a_line_without_readable_envelope_is_rejected_under_its_landing_day(spark: SparkSession) -> None:
    torn = {"_raw": '{"key":"2013-01-01|UA', "_landed_on": "2013-01-01"}

    rows = departure_events(frame(spark, departures, [torn]))

    assert {"topic:not_null", "offset:not_null", "timestamp:not_null"} <= set(broken_rules(departure_events, rows))
    assert rows_of(rows, "_event_date", "_raw", "landed_on") == [
        {"_event_date": "2013-01-01", "_raw": '{"key":"2013-01-01|UA', "landed_on": "2013-01-01"}
    ]


def test_a_message_delivered_under_another_day_is_rejected(spark: SparkSession) -> None:
    rows = departure_events(frame(spark, departures, [message(_landed_on="2013-01-02")]))

    assert broken_rules(departure_events, rows) == ["days_off_landing:equal_to"]


def test_no_messages_give_no_rows(spark: SparkSession) -> None:
    assert rows_of(departure_events(frame(spark, departures))) == []


def test_it_runs_on_a_stream(spark: SparkSession, tmp_path: Path) -> None:
    stream = unbounded(frame(spark, departures, [message()]), tmp_path / "topic")

    rows = drained(departure_events(stream), tmp_path / "checkpoint", mode="append")

    assert rows_of(rows, "offset", "event_date") == [{"offset": 4750_000_017, "event_date": "2013-01-01"}]
