"""Aircraft: the newest departure or arrival of each, whatever came first."""

from __future__ import annotations

from typing import Any

import pytest
from pyspark.sql import SparkSession

from lake.testing.frames import frame
from lakehouse_assets.gold.aircraft_last_seen import aircraft_last_seen
from lakehouse_assets.silver.arrivals import arrivals
from lakehouse_assets.silver.departures import departures

pytestmark = pytest.mark.spark

FLIGHT = {"flight_date": "2013-01-01", "carrier": "UA", "flight": 1, "origin": "EWR", "dest": "ORD"}


def seen(spark: SparkSession, left: list[dict[str, Any]], reached: list[dict[str, Any]]) -> list[tuple[object, ...]]:
    rows = aircraft_last_seen(frame(spark, departures, left), frame(spark, arrivals, reached))
    found = rows.selectExpr("tail_number", "CAST(seen_at AS STRING)", "is_in_flight", "airport", "flight")
    return sorted(map(tuple, found.collect()))


def test_a_departure_is_seen_at_its_origin_and_an_arrival_at_its_destination(spark: SparkSession) -> None:
    left = [
        FLIGHT | {"tail_number": "N1", "departed_at": "2013-01-01T09:00:00Z", "departed_on": "2013-01-01"},
        FLIGHT | {"tail_number": None, "departed_at": "2013-01-01T09:00:00Z", "departed_on": "2013-01-01"},
    ]
    reached = [FLIGHT | {"tail_number": "N1", "arrived_at": "2013-01-02T01:00:00Z", "arrived_on": "2013-01-02"}]

    assert seen(spark, left, reached) == [
        ("N1", "2013-01-01 09:00:00", True, "EWR", 1),
        ("N1", "2013-01-02 01:00:00", False, "ORD", 1),
    ]
