"""Flights: departures with their arrivals, enriched."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from pyspark.sql import DataFrame, SparkSession

from lake.testing.frames import Row, broken_rules, frame, rows_of, stored
from lakehouse_assets.silver.aircraft import aircraft
from lakehouse_assets.silver.airports import airports
from lakehouse_assets.silver.arrivals import arrivals
from lakehouse_assets.silver.departures import departures
from lakehouse_assets.silver.flights import flights
from lakehouse_assets.silver.weather import weather
from tests.frames import drained, unbounded

pytestmark = pytest.mark.spark

FLIGHT = {"flight_date": "2013-01-01", "carrier": "UA", "flight": 1545, "origin": "EWR"}
DEPARTURE = {
    **FLIGHT,
    "dest": "IAH",
    "tail_number": "N14228",
    "scheduled_departure_at": "2013-01-01T10:15:00Z",
    "departed_at": "2013-01-01T10:17:00Z",
    "departed_on": "2013-01-01",
    "delay_minutes": 2,
}
ARRIVAL = {
    **FLIGHT,
    "dest": "IAH",
    "tail_number": "N14228",
    "scheduled_arrival_at": "2013-01-01T14:19:00Z",
    "arrived_at": "2013-01-01T14:30:00Z",
    "arrived_on": "2013-01-01",
    "delay_minutes": 11,
    "air_time_minutes": 227,
}
WEATHER = {
    "airport": "EWR",
    "observed_at": "2013-01-01T10:00:00Z",
    "observed_on": "2013-01-01",
    "temperature_f": 39.02,
    "wind_speed_mph": 12.65858,
    "visibility_miles": 10.0,
    "precipitation_inches": 0.0,
}
AIRCRAFT = {"tail_number": "N14228", "model": "737-824", "seats": 149, "year_built": 1999}
AIRPORT = {"airport": "IAH", "name": "George Bush Intercontinental", "is_supplement": False}


def build(
    spark: SparkSession,
    departed: Sequence[Row],
    arrived: Sequence[Row],
    observed: Sequence[Row] | None = None,
    registered: Sequence[Row] | None = None,
    listed: Sequence[Row] | None = None,
) -> DataFrame:
    return flights(
        frame(spark, departures, departed),
        frame(spark, arrivals, arrived),
        frame(spark, weather, [WEATHER] if observed is None else observed),
        frame(spark, aircraft, [AIRCRAFT] if registered is None else registered),
        frame(spark, airports, [AIRPORT] if listed is None else listed),
    )


def test_a_departure_meets_its_arrival_weather_aircraft_and_destination(spark: SparkSession) -> None:
    rows = build(spark, [DEPARTURE], [ARRIVAL])

    assert broken_rules(flights, rows) == []
    assert rows_of(rows) == [
        {
            **FLIGHT,
            "dest": "IAH",
            "tail_number": "N14228",
            "scheduled_departure_at": "2013-01-01T10:15:00Z",
            "departed_at": "2013-01-01T10:17:00Z",
            "departed_on": "2013-01-01",
            "departure_delay_minutes": 2,
            "scheduled_arrival_at": "2013-01-01T14:19:00Z",
            "arrived_at": "2013-01-01T14:30:00Z",
            "arrival_delay_minutes": 11,
            "air_time_minutes": 227,
            "has_arrived": True,
            "temperature_f": 39.02,
            "wind_speed_mph": 12.65858,
            "visibility_miles": 10.0,
            "precipitation_inches": 0.0,
            "is_weather_known": True,
            "aircraft_model": "737-824",
            "aircraft_seats": 149,
            "aircraft_year_built": 1999,
            "is_aircraft_known": True,
            "is_destination_known": True,
        }
    ]


def test_a_flight_is_kept_and_flagged_when_everything_else_is_missing(spark: SparkSession) -> None:
    rows = build(spark, [DEPARTURE], [], [], [], [])

    assert broken_rules(flights, rows) == []
    assert rows_of(rows) == [
        {
            **FLIGHT,
            "dest": "IAH",
            "tail_number": "N14228",
            "scheduled_departure_at": "2013-01-01T10:15:00Z",
            "departed_at": "2013-01-01T10:17:00Z",
            "departed_on": "2013-01-01",
            "departure_delay_minutes": 2,
            "scheduled_arrival_at": None,
            "arrived_at": None,
            "arrival_delay_minutes": None,
            "air_time_minutes": None,
            "has_arrived": False,
            "temperature_f": None,
            "wind_speed_mph": None,
            "visibility_miles": None,
            "precipitation_inches": None,
            "is_weather_known": False,
            "aircraft_model": None,
            "aircraft_seats": None,
            "aircraft_year_built": None,
            "is_aircraft_known": False,
            "is_destination_known": False,
        }
    ]


def test_a_flight_without_tail_number_meets_no_aircraft(spark: SparkSession) -> None:
    rows = build(spark, [{**DEPARTURE, "tail_number": None}], [ARRIVAL])

    assert rows_of(rows, "tail_number", "has_arrived", "is_aircraft_known") == [
        {"tail_number": None, "has_arrived": True, "is_aircraft_known": False}
    ]


def test_known_aircraft_with_nothing_registered_is_still_known(spark: SparkSession) -> None:
    rows = build(spark, [DEPARTURE], [ARRIVAL], registered=[{"tail_number": "N14228"}])

    assert rows_of(rows, "aircraft_model", "is_aircraft_known") == [{"aircraft_model": None, "is_aircraft_known": True}]


def test_an_arrival_belongs_to_a_departure_from_its_minute_to_24_hours_later(spark: SparkSession) -> None:
    times = {
        1: "2013-01-01T10:16:59Z",
        2: "2013-01-01T10:17:00Z",
        3: "2013-01-02T10:17:00Z",
        4: "2013-01-02T10:17:01Z",
    }
    departed = [{**DEPARTURE, "flight": number} for number in times]
    arrived = [{**ARRIVAL, "flight": number, "arrived_at": at, "arrived_on": at[:10]} for number, at in times.items()]

    rows = build(spark, departed, arrived)

    assert rows_of(rows, "flight", "has_arrived") == [
        {"flight": 1, "has_arrived": False},
        {"flight": 2, "has_arrived": True},
        {"flight": 3, "has_arrived": True},
        {"flight": 4, "has_arrived": False},
    ]


def test_an_arrival_of_another_flight_does_not_count(spark: SparkSession) -> None:
    others: list[Row] = [{"flight_date": "2012-12-31"}, {"carrier": "DL"}, {"flight": 1546}, {"origin": "JFK"}]

    rows = build(spark, [DEPARTURE], [{**ARRIVAL, **other} for other in others])

    assert rows_of(rows, "flight", "has_arrived") == [{"flight": 1545, "has_arrived": False}]


def test_the_weather_is_that_of_the_scheduled_utc_hour_whenever_the_flight_left(spark: SparkSession) -> None:
    """Scheduled 18:59 on 9 March in New York, 23:59 UTC; left after midnight UTC, in the hour the clocks change day."""
    observed = [
        {**WEATHER, "observed_at": "2013-03-09T23:00:00Z", "observed_on": "2013-03-09", "temperature_f": 41.0},
        {**WEATHER, "observed_at": "2013-03-10T00:00:00Z", "observed_on": "2013-03-10", "temperature_f": 40.0},
        {**WEATHER, "airport": "JFK", "observed_at": "2013-03-09T23:00:00Z", "temperature_f": 39.0},
    ]
    times = {
        "flight_date": "2013-03-09",
        "scheduled_departure_at": "2013-03-09T23:59:00Z",
        "departed_at": "2013-03-10T00:20:00Z",
        "departed_on": "2013-03-10",
    }

    rows = build(spark, [{**DEPARTURE, **times}], [], observed)

    assert rows_of(rows, "flight_date", "departed_on", "temperature_f") == [
        {"flight_date": "2013-03-09", "departed_on": "2013-03-10", "temperature_f": 41.0}
    ]


def test_of_contradicting_departures_the_earlier_one_is_kept(spark: SparkSession) -> None:
    """Messages that contradict each other across midnight give a departure on each day; there is one row per flight."""
    again = {**DEPARTURE, "departed_at": "2013-01-02T00:05:00Z", "departed_on": "2013-01-02"}

    rows = build(spark, [DEPARTURE, again], [])

    assert rows_of(stored(flights, rows), "flight", "departed_at") == [
        {"flight": 1545, "departed_at": "2013-01-01T10:17:00Z"}
    ]


def test_no_departures_give_no_rows(spark: SparkSession) -> None:
    assert rows_of(build(spark, [], [ARRIVAL])) == []


def test_it_runs_as_a_left_outer_join_of_two_streams(spark: SparkSession, tmp_path: Path) -> None:
    """The flight without arrival comes out once the watermark, pushed by the last two rows, has passed its 24 hours."""
    later = {"flight": 9, "flight_date": "2013-01-03", "scheduled_departure_at": "2013-01-03T10:00:00Z"}
    departed = [
        DEPARTURE,
        {**DEPARTURE, "flight": 2},
        {**DEPARTURE, **later, "departed_at": "2013-01-03T10:00:00Z", "departed_on": "2013-01-03"},
    ]
    last = {"flight": 9, "flight_date": "2013-01-03", "arrived_at": "2013-01-03T12:00:00Z", "arrived_on": "2013-01-03"}
    arrived = [ARRIVAL, {**ARRIVAL, **last}]

    rows = drained(
        flights(
            unbounded(frame(spark, departures, departed), tmp_path / "departures", "departed_at"),
            unbounded(frame(spark, arrivals, arrived), tmp_path / "arrivals", "arrived_at"),
            frame(spark, weather, [WEATHER]),
            frame(spark, aircraft, [AIRCRAFT]),
            frame(spark, airports, [AIRPORT]),
        ),
        tmp_path / "checkpoint",
        mode="append",
    )

    assert rows_of(rows, "flight", "has_arrived", "is_weather_known") == [
        {"flight": 2, "has_arrived": False, "is_weather_known": True},
        {"flight": 9, "has_arrived": True, "is_weather_known": False},
        {"flight": 1545, "has_arrived": True, "is_weather_known": True},
    ]
