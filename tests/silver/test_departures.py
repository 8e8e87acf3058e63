"""Departures out of messages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from lake.testing.frames import broken_rules, frame, rows_of, stored, verdicts
from lakehouse_assets.bronze.departure_events import departure_events
from lakehouse_assets.silver.departures import departures
from tests.frames import drained, unbounded

pytestmark = pytest.mark.spark

SAID = {
    "flight_date": "2013-01-01",
    "carrier": "UA",
    "flight": 1545,
    "origin": "EWR",
    "dest": "IAH",
    "tail_number": "N14228",
    "scheduled_departure_at": "2013-01-01T10:15:00Z",
    "departed_at": "2013-01-01T10:17:00Z",
}


def event(value: str | None = None, *, offset: int = 0, **said: Any) -> dict[str, object]:
    """A bronze row; what the message says can be changed field by field or as a whole."""
    return {
        "value": json.dumps(SAID | said) if value is None else value,
        "topic": "departures",
        "partition": 1,
        "offset": offset,
        "timestamp": "2013-01-01T10:17:41Z",
        "event_date": "2013-01-01",
    }


def without(field: str) -> str:
    return json.dumps({name: value for name, value in SAID.items() if name != field})


def test_a_message_becomes_a_departure(spark: SparkSession) -> None:
    rows = departures(frame(spark, departure_events, [event()]))

    assert broken_rules(departures, rows) == []
    assert rows_of(stored(departures, rows)) == [
        {
            "flight_date": "2013-01-01",
            "carrier": "UA",
            "flight": 1545,
            "origin": "EWR",
            "dest": "IAH",
            "tail_number": "N14228",
            "scheduled_departure_at": "2013-01-01T10:15:00Z",
            "departed_at": "2013-01-01T10:17:00Z",
            "departed_on": "2013-01-01",
            "delay_minutes": 2,
        }
    ]


def test_the_lineage_leads_back_to_the_message(spark: SparkSession) -> None:
    rows = departures(frame(spark, departure_events, [event("not json", offset=7)]))

    assert rows_of(rows, "_event_date", "_raw", "_topic", "_partition", "_offset", "_timestamp") == [
        {
            "_event_date": "2013-01-01",
            "_raw": "not json",
            "_topic": "departures",
            "_partition": 1,
            "_offset": 7,
            "_timestamp": "2013-01-01T10:17:41Z",
        }
    ]


def test_delays_are_whole_minutes_rounded_down_and_negative_when_early(spark: SparkSession) -> None:
    times = ["10:15:00", "10:15:59", "10:14:59", "10:14:00", "10:13:59", "10:17:41"]
    events = [event(offset=n, departed_at=f"2013-01-01T{time}Z") for n, time in enumerate(times)]

    rows = departures(frame(spark, departure_events, events))

    assert [row["delay_minutes"] for row in rows_of(rows, "_offset", "delay_minutes")] == [0, 0, -1, -1, -2, 2]


def test_a_flight_belongs_to_the_utc_day_on_which_it_left(spark: SparkSession) -> None:
    """19:05 in New York is 00:05 UTC of the next day; on 10 March the clocks there change, UTC does not."""
    evening: dict[str, Any] = {"scheduled_departure_at": "2013-01-01T23:55:00Z", "departed_at": "2013-01-02T00:05:00Z"}
    spring: dict[str, Any] = {
        "flight_date": "2013-03-10",
        "scheduled_departure_at": "2013-03-10T06:59:00Z",
        "departed_at": "2013-03-10T07:01:00Z",
    }
    events = [
        event(**evening) | {"timestamp": "2013-01-02T00:05:09Z", "event_date": "2013-01-02"},
        event(**spring) | {"timestamp": "2013-03-10T07:01:09Z", "event_date": "2013-03-10"},
    ]

    rows = departures(frame(spark, departure_events, events))

    assert broken_rules(departures, rows) == []
    assert rows_of(rows, "flight_date", "departed_on", "delay_minutes") == [
        {"flight_date": "2013-01-01", "departed_on": "2013-01-02", "delay_minutes": 10},
        {"flight_date": "2013-03-10", "departed_on": "2013-03-10", "delay_minutes": 2},
    ]


BROKEN: list[tuple[str | dict[str, Any], str]] = [
    ("not json", "json_errors:equal_to"),
    ("", "json_errors:equal_to"),
    ("null", "json_errors:equal_to"),
    ("[]", "json_errors:equal_to"),
    ("{}", "flight:not_null"),
    (json.dumps(SAID)[:-1], "json_errors:equal_to"),
    (json.dumps(SAID) + " and more", "json_errors:equal_to"),
    (json.dumps([SAID]), "json_errors:equal_to"),
    (json.dumps(SAID).replace('"', "'"), "json_errors:equal_to"),
    (without("flight_date"), "flight_date:not_null"),
    (without("carrier"), "carrier:not_null"),
    (without("flight"), "flight:not_null"),
    (without("origin"), "origin:not_null"),
    (without("dest"), "dest:not_null"),
    (without("scheduled_departure_at"), "scheduled_departure_at:not_null"),
    (without("departed_at"), "departed_at:not_null"),
    ({"flight": "abc"}, "flight:not_null"),
    ({"flight": "1545"}, "flight:not_null"),
    ({"flight": 12.5}, "flight:not_null"),
    ({"flight": True}, "flight:not_null"),
    ({"flight": 99_999_999_999}, "flight:not_null"),
    ({"flight": 0}, "flight:in_range"),
    ({"flight": -1}, "flight:in_range"),
    ({"flight": 10_000}, "flight:in_range"),
    ({"carrier": 12}, "carrier:str_matches"),
    ({"carrier": "UAL"}, "carrier:str_matches"),
    ({"carrier": "ua"}, "carrier:str_matches"),
    ({"carrier": "UA\n"}, "carrier:str_matches"),
    ({"origin": "???"}, "origin:str_matches"),
    ({"origin": "EW"}, "origin:str_matches"),
    ({"origin": ["EWR"]}, "origin:str_matches"),
    ({"dest": "IAH1"}, "dest:str_matches"),
    ({"dest": {"iata": "IAH"}}, "dest:str_matches"),
    ({"tail_number": 14228}, "tail_number:str_matches"),
    ({"tail_number": "N14228; DROP"}, "tail_number:str_matches"),
    ({"flight_date": "01/01/2013"}, "flight_date:not_null"),
    ({"flight_date": "2013-02-30"}, "flight_date:not_null"),
    ({"flight_date": 20130101}, "flight_date:not_null"),
    ({"departed_at": "10:17:00"}, "departed_at:not_null"),
    ({"departed_at": 1357035420}, "departed_at:not_null"),
    ({"departed_at": "2013-01-01T10:17:00"}, "departed_at:not_null"),
    ({"departed_at": "2013-01-01T24:17:00Z"}, "departed_at:not_null"),
    ({"departed_at": "2013-01-01T10:17:42Z"}, "report_lag_seconds:in_range"),  # a second after its message
    ({"departed_at": "2013-01-02T10:17:00Z"}, "report_lag_seconds:in_range"),
    ({"departed_at": "9999-12-31T23:59:59Z"}, "departed_at:not_null"),
    ({"departed_at": "2999-12-31T23:59:59Z"}, "report_lag_seconds:in_range"),
    ({"departed_at": "1000-01-01T00:00:00Z"}, "days_off_event_date:equal_to"),
    ({"flight_date": "2013-01-02"}, "days_after_flight_date:in_range"),
    ({"flight_date": "2012-12-30"}, "days_after_flight_date:in_range"),
    ({"scheduled_departure_at": "2012-12-31T23:59:59Z"}, "scheduled_days_after_flight_date:in_range"),
    ({"scheduled_departure_at": "2013-01-03T00:00:00Z"}, "scheduled_days_after_flight_date:in_range"),
]


def test_every_kind_of_broken_message_breaks_a_rule_and_none_fails_the_query(spark: SparkSession) -> None:
    events = [
        event(broken, offset=n) if isinstance(broken, str) else event(offset=n, **broken)
        for n, (broken, _) in enumerate(BROKEN)
    ]

    rules = verdicts(departures, departures(frame(spark, departure_events, events)), by="_offset")

    missed = [(broken, rule, rules[n]) for n, (broken, rule) in enumerate(BROKEN) if rule not in rules[n]]
    assert missed == []


def test_a_message_is_believed_up_to_thirty_days_late(spark: SparkSession) -> None:
    late = [
        event(offset=1) | {"timestamp": "2013-01-31T10:17:00Z"},
        event(offset=2) | {"timestamp": "2013-01-31T10:17:01Z"},
        event(offset=3, departed_at="2013-01-01T10:17:41Z"),
        event(offset=4, departed_at="2013-01-01T10:17:41.5Z"),
    ]

    rules = verdicts(departures, departures(frame(spark, departure_events, late)), by="_offset")

    assert rules == {1: [], 2: ["report_lag_seconds:in_range"], 3: [], 4: ["report_lag_seconds:in_range"]}


def test_of_several_messages_about_a_departure_the_first_received_is_kept(spark: SparkSession) -> None:
    at = {"first": "2013-01-01T10:17:41Z", "later": "2013-01-01T10:18:00Z"}
    events = [
        event(offset=3, dest="LAX") | {"timestamp": at["later"]},
        event(offset=2, dest="IAH") | {"timestamp": at["first"]},
        event(offset=1, dest="ORD") | {"timestamp": at["first"], "partition": 2},
        event(offset=1, flight=None) | {"timestamp": at["first"]},
    ]

    rows = departures(frame(spark, departure_events, events))

    assert rows_of(stored(departures, rows), "flight", "dest") == [{"flight": 1545, "dest": "IAH"}]


def test_what_may_be_missing_may_be_missing(spark: SparkSession) -> None:
    events = [event(tail_number=None), event(without("tail_number"), offset=1), event(offset=2, gate="C74", dest="SJU")]

    rows = departures(frame(spark, departure_events, events))

    assert broken_rules(departures, rows) == []
    assert rows_of(rows, "_offset", "tail_number", "dest") == [
        {"_offset": 0, "tail_number": None, "dest": "IAH"},
        {"_offset": 1, "tail_number": None, "dest": "IAH"},
        {"_offset": 2, "tail_number": "N14228", "dest": "SJU"},
    ]


def test_no_messages_give_no_rows(spark: SparkSession) -> None:
    assert rows_of(departures(frame(spark, departure_events))) == []


def test_it_runs_on_a_stream(spark: SparkSession, tmp_path: Path) -> None:
    stream = unbounded(frame(spark, departure_events, [event(), event("broken", offset=1)]), tmp_path / "events")

    rows = drained(departures(stream), tmp_path / "checkpoint", mode="append")

    assert rows_of(rows, "_offset", "flight") == [{"_offset": 0, "flight": 1545}, {"_offset": 1, "flight": None}]
