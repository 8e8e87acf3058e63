"""Carrier days out of schedules and flights."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from pyspark.sql import DataFrame, SparkSession

from lake.testing.frames import Row, broken_rules, frame, rows_of
from lakehouse_assets.gold.daily_carrier_performance import daily_carrier_performance
from lakehouse_assets.silver.flights import flights
from lakehouse_assets.silver.schedules import schedules

pytestmark = pytest.mark.spark


def key(flight: int, flight_date: str = "2013-01-01", carrier: str = "UA", origin: str = "EWR") -> dict[str, object]:
    return {"flight_date": flight_date, "carrier": carrier, "flight": flight, "origin": origin}


def flown(flight: int, left: int, arrived: int | None, **other: str) -> Row:
    return {
        **key(flight, **other),
        "departure_delay_minutes": left,
        "arrival_delay_minutes": arrived,
        "has_arrived": arrived is not None,
    }


def build(spark: SparkSession, planned: Sequence[Row], happened: Sequence[Row]) -> DataFrame:
    return daily_carrier_performance(frame(spark, schedules, planned), frame(spark, flights, happened))


def test_flown_cancelled_and_diverted_flights_are_counted(spark: SparkSession) -> None:
    rows = build(
        spark,
        [key(1), key(2), key(3), key(4)],
        [flown(1, 10, 14), flown(2, -5, 15), flown(3, 60, None)],
    )

    assert broken_rules(daily_carrier_performance, rows) == []
    assert rows_of(rows) == [
        {
            "flight_date": "2013-01-01",
            "carrier": "UA",
            "origin": "EWR",
            "scheduled": 4,
            "flown": 3,
            "cancelled": 1,
            "diverted": 1,
            "arrivals_on_time": 1,
            "departure_delay_minutes": 65,
            "arrival_delay_minutes": 29,
        }
    ]


def test_each_flight_date_carrier_and_origin_has_its_own_row(spark: SparkSession) -> None:
    others: list[dict[str, str]] = [{}, {"flight_date": "2013-01-02"}, {"carrier": "DL"}, {"origin": "JFK"}]

    rows = build(spark, [key(1, **other) for other in others], [])

    assert rows_of(rows, "flight_date", "carrier", "origin", "scheduled", "cancelled") == [
        {"flight_date": "2013-01-01", "carrier": "DL", "origin": "EWR", "scheduled": 1, "cancelled": 1},
        {"flight_date": "2013-01-01", "carrier": "UA", "origin": "EWR", "scheduled": 1, "cancelled": 1},
        {"flight_date": "2013-01-01", "carrier": "UA", "origin": "JFK", "scheduled": 1, "cancelled": 1},
        {"flight_date": "2013-01-02", "carrier": "UA", "origin": "EWR", "scheduled": 1, "cancelled": 1},
    ]


def test_a_day_on_which_nothing_flew_has_zero_delays(spark: SparkSession) -> None:
    rows = build(spark, [key(1)], [])

    assert broken_rules(daily_carrier_performance, rows) == []
    columns = ["flown", "diverted", "arrivals_on_time", "departure_delay_minutes", "arrival_delay_minutes"]
    assert rows_of(rows, *columns) == [
        {
            "flown": 0,
            "diverted": 0,
            "arrivals_on_time": 0,
            "departure_delay_minutes": 0,
            "arrival_delay_minutes": 0,
        }
    ]


def test_a_flight_outside_the_timetable_counts_as_flown_only(spark: SparkSession) -> None:
    rows = build(spark, [], [flown(1, 0, 0)])

    assert rows_of(rows, "scheduled", "flown", "cancelled", "diverted") == [
        {"scheduled": 0, "flown": 1, "cancelled": 0, "diverted": 0}
    ]


def test_no_flights_give_no_rows(spark: SparkSession) -> None:
    assert rows_of(build(spark, [], [])) == []
