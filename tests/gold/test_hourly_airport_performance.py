"""Airport hours out of departures and arrivals."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from pyspark.sql import DataFrame, SparkSession

from lake.testing.frames import Row, broken_rules, frame, rows_of
from lakehouse_assets.gold.hourly_airport_performance import hourly_airport_performance
from lakehouse_assets.silver.arrivals import arrivals
from lakehouse_assets.silver.departures import departures
from tests.frames import drained, unbounded

pytestmark = pytest.mark.spark


def left(origin: str, at: str, delay: int) -> Row:
    return {"origin": origin, "dest": "ZZZ", "departed_at": at, "departed_on": at[:10], "delay_minutes": delay}


def reached(dest: str, at: str, delay: int) -> Row:
    return {"origin": "ZZZ", "dest": dest, "arrived_at": at, "arrived_on": at[:10], "delay_minutes": delay}


def build(spark: SparkSession, departed: Sequence[Row], arrived: Sequence[Row]) -> DataFrame:
    return hourly_airport_performance(frame(spark, departures, departed), frame(spark, arrivals, arrived))


def test_departures_count_at_the_origin_and_arrivals_at_the_destination(spark: SparkSession) -> None:
    rows = build(
        spark,
        [left("EWR", "2013-01-01T10:17:00Z", 2), left("EWR", "2013-01-01T10:59:59Z", -4)],
        [reached("EWR", "2013-01-01T10:00:00Z", 33), reached("IAH", "2013-01-01T10:30:00Z", -11)],
    )

    assert broken_rules(hourly_airport_performance, rows) == []
    assert rows_of(rows) == [
        {
            "airport": "EWR",
            "hour_at": "2013-01-01T10:00:00Z",
            "hour_on": "2013-01-01",
            "departures": 2,
            "departures_on_time": 2,
            "departure_delay_minutes": -2,
            "arrivals": 1,
            "arrivals_on_time": 0,
            "arrival_delay_minutes": 33,
            "worst_delay_minutes": 33,
        },
        {
            "airport": "IAH",
            "hour_at": "2013-01-01T10:00:00Z",
            "hour_on": "2013-01-01",
            "departures": 0,
            "departures_on_time": 0,
            "departure_delay_minutes": 0,
            "arrivals": 1,
            "arrivals_on_time": 1,
            "arrival_delay_minutes": -11,
            "worst_delay_minutes": -11,
        },
    ]


def test_fourteen_minutes_late_is_on_time_and_fifteen_is_not(spark: SparkSession) -> None:
    at = "2013-01-01T10:17:00Z"

    rows = build(
        spark,
        [left("EWR", at, 14), left("EWR", at, 15)],
        [reached("EWR", at, 14), reached("EWR", at, 15), reached("EWR", at, 16)],
    )

    assert rows_of(rows, "departures", "departures_on_time", "arrivals", "arrivals_on_time") == [
        {"departures": 2, "departures_on_time": 1, "arrivals": 3, "arrivals_on_time": 1}
    ]


def test_hours_are_utc_and_begin_on_the_hour_also_at_midnight_and_when_clocks_change(spark: SparkSession) -> None:
    """On 3 November the hour from 01:00 to 02:00 happens twice in New York: 05:00 and 06:00 UTC are two rows."""
    times = [
        "2013-01-01T23:59:59Z",
        "2013-01-02T00:00:00Z",
        "2013-11-03T05:30:00Z",
        "2013-11-03T06:30:00Z",
    ]

    rows = build(spark, [left("JFK", at, 0) for at in times], [])

    assert rows_of(rows, "hour_at", "hour_on", "departures") == [
        {"hour_at": "2013-01-01T23:00:00Z", "hour_on": "2013-01-01", "departures": 1},
        {"hour_at": "2013-01-02T00:00:00Z", "hour_on": "2013-01-02", "departures": 1},
        {"hour_at": "2013-11-03T05:00:00Z", "hour_on": "2013-11-03", "departures": 1},
        {"hour_at": "2013-11-03T06:00:00Z", "hour_on": "2013-11-03", "departures": 1},
    ]


def test_nothing_happened_gives_no_rows(spark: SparkSession) -> None:
    assert rows_of(build(spark, [], [])) == []


def test_it_runs_as_a_windowed_aggregate_over_two_streams(spark: SparkSession, tmp_path: Path) -> None:
    departed = [left("EWR", "2013-01-01T10:17:00Z", 2), left("EWR", "2013-01-01T10:18:00Z", 20)]
    arrived = [reached("EWR", "2013-01-01T10:30:00Z", -3)]

    rows = drained(
        hourly_airport_performance(
            unbounded(frame(spark, departures, departed), tmp_path / "departures", "departed_at"),
            unbounded(frame(spark, arrivals, arrived), tmp_path / "arrivals", "arrived_at"),
        ),
        tmp_path / "checkpoint",
        mode="update",
    )

    assert rows_of(rows, "airport", "hour_at", "departures", "arrivals", "departure_delay_minutes") == [
        {
            "airport": "EWR",
            "hour_at": "2013-01-01T10:00:00Z",
            "departures": 2,
            "arrivals": 1,
            "departure_delay_minutes": 22,
        }
    ]


def test_a_stream_closes_the_hours_that_its_watermark_has_passed(spark: SparkSession, tmp_path: Path) -> None:
    """In append mode Spark gives exactly the hours that it is about to forget: the state does not grow for ever."""
    departed = [left("EWR", "2013-01-01T10:17:00Z", 2), left("EWR", "2013-01-01T15:00:00Z", 0)]
    arrived = [reached("EWR", "2013-01-01T10:30:00Z", -3), reached("EWR", "2013-01-01T15:00:00Z", 0)]

    rows = drained(
        hourly_airport_performance(
            unbounded(frame(spark, departures, departed), tmp_path / "departures", "departed_at"),
            unbounded(frame(spark, arrivals, arrived), tmp_path / "arrivals", "arrived_at"),
        ),
        tmp_path / "checkpoint",
        mode="append",
    )

    assert rows_of(rows, "hour_at", "departures", "arrivals") == [
        {"hour_at": "2013-01-01T10:00:00Z", "departures": 1, "arrivals": 1}
    ]
