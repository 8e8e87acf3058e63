"""Arrival messages as received."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from lake.testing.frames import broken_rules, frame, rows_of
from lakehouse_assets.bronze.arrival_events import arrival_events
from lakehouse_assets.feeds.arrivals import arrivals
from tests.frames import drained, unbounded

pytestmark = pytest.mark.spark

MESSAGE = {
    "key": "2013-01-01|UA|1545|EWR",
    "value": '{"arrived_at": "2013-01-01T23:59:00Z", "departed_at": "2012-12-31T20:00:00Z"}',
    "topic": "arrivals",
    "partition": 0,
    "offset": 1,
    "timestamp": "2013-01-02T00:00:10Z",
    "_landed_on": "2013-01-02",
}


def test_a_message_that_lands_after_midnight_keeps_the_day_of_its_arrival(spark: SparkSession) -> None:
    rows = arrival_events(frame(spark, arrivals, [MESSAGE]))

    assert broken_rules(arrival_events, rows) == []
    assert rows_of(rows, "landed_on", "event_date", "_event_date") == [
        {"landed_on": "2013-01-02", "event_date": "2013-01-01", "_event_date": "2013-01-02"}
    ]


def test_a_message_without_arrival_is_kept_under_its_landing_day(spark: SparkSession) -> None:
    rows = arrival_events(frame(spark, arrivals, [{**MESSAGE, "value": '{"departed_at": "2013-01-01T20:00:00Z"}'}]))

    assert broken_rules(arrival_events, rows) == []
    assert rows_of(rows, "event_date") == [{"event_date": "2013-01-02"}]


def test_no_messages_give_no_rows(spark: SparkSession) -> None:
    assert rows_of(arrival_events(frame(spark, arrivals))) == []


def test_it_runs_on_a_stream(spark: SparkSession, tmp_path: Path) -> None:
    stream = unbounded(frame(spark, arrivals, [MESSAGE]), tmp_path / "topic")

    rows = drained(arrival_events(stream), tmp_path / "checkpoint", mode="append")

    assert rows_of(rows, "offset", "event_date") == [{"offset": 1, "event_date": "2013-01-01"}]
