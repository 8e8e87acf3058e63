"""Alerts: five departures of one airport-hour, 30 minutes late or more."""

from __future__ import annotations

from typing import Any

import pytest
from pyspark.sql import SparkSession

from lake.testing.frames import frame, rows_of
from lakehouse_assets.gold.delay_alerts import delay_alerts
from lakehouse_assets.silver.departures import departures

pytestmark = pytest.mark.spark


def left(flight: int, departed_at: str, delay_minutes: int, origin: str = "EWR") -> dict[str, Any]:
    return {"flight": flight, "origin": origin, "departed_at": departed_at, "delay_minutes": delay_minutes}


def test_the_fifth_late_departure_of_an_hour_raises_the_alert(spark: SparkSession) -> None:
    late = [left(n, "2013-01-01T09:59:59Z", 30) for n in range(5)]
    four = [left(n, "2013-01-01T09:00:00Z", 90, "JFK") for n in range(4)]
    not_late = [left(9, "2013-01-01T09:30:00Z", 29, "JFK"), left(10, "2013-01-01T10:00:00Z", 90, "JFK")]
    assert rows_of(delay_alerts(frame(spark, departures, late + four + not_late))) == [
        {
            "rule": "late_departures", "airport": "EWR", "hour_at": "2013-01-01T09:00:00Z", "hour_on": "2013-01-01",
            "late_from_minutes": 30, "at_least": 5,
        }
    ]  # fmt: skip


def test_more_late_departures_never_change_an_alert(spark: SparkSession) -> None:
    five = [left(n, "2013-01-01T09:10:00Z", 45) for n in range(5)]
    more = [*five, left(6, "2013-01-01T09:50:00Z", 300)]
    first, later = (rows_of(delay_alerts(frame(spark, departures, known))) for known in (five, more))
    assert first == later
    assert len(first) == 1
