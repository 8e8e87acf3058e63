"""What was known two hours before departure, and nothing that came later."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from pyspark.sql import DataFrame, SparkSession

from lake.testing.frames import Row, broken_rules, frame, rows_of
from lakehouse_assets.gold.flight_delay_features import flight_delay_features
from lakehouse_assets.silver.airports import airports
from lakehouse_assets.silver.departures import departures
from lakehouse_assets.silver.flights import flights
from lakehouse_assets.silver.schedules import schedules
from lakehouse_assets.silver.weather import weather

pytestmark = pytest.mark.spark

FLIGHT = {
    "flight_date": "2013-01-05",
    "carrier": "UA",
    "flight": 100,
    "origin": "EWR",
    "dest": "IAH",
    "tail_number": "N1UA",
    "scheduled_departure_at": "2013-01-05T20:00:00Z",
    "scheduled_arrival_at": "2013-01-06T00:00:00Z",
    "distance_miles": 1400,
}
"""A Saturday flight; its cutoff is 18:00 UTC."""

LEG = FLIGHT | {"flight": 50, "scheduled_departure_at": "2013-01-05T12:00:00Z"}
LEG_KEY = {name: LEG[name] for name in ("flight_date", "carrier", "flight", "origin")}
EWR = {"airport": "EWR", "time_zone": "America/New_York"}

PREVIOUS_LEG = [
    "has_previous_leg",
    "minutes_since_previous_leg",
    "previous_leg_has_departed",
    "previous_leg_has_arrived",
    "previous_leg_delay_minutes",
    "previous_leg_arrival_delay_minutes",
]
ORIGIN = ["origin_departures", "origin_departures_late", "origin_departure_delay_minutes"]
WEATHER = ["weather_observed_at", "temperature_f", "is_weather_known"]


def build(
    spark: SparkSession,
    planned: Sequence[Row],
    flown: Sequence[Row] | None = None,
    left: Sequence[Row] | None = None,
    observed: Sequence[Row] | None = None,
    listed: Sequence[Row] | None = None,
) -> DataFrame:
    return flight_delay_features(
        frame(spark, schedules, planned),
        frame(spark, flights, flown or []),
        frame(spark, departures, left or []),
        frame(spark, weather, observed or []),
        frame(spark, airports, [EWR] if listed is None else listed),
    )


def of_flight(rows: DataFrame, columns: list[str], flight: int = 100) -> dict[str, object]:
    (found,) = rows_of(rows.where(rows.flight == flight), *columns)
    return found


def left(at: str, delay: int, origin: str = "EWR") -> Row:
    return {"origin": origin, "departed_at": at, "departed_on": at[:10], "delay_minutes": delay}


def observed(at: str, temperature: float, airport: str = "EWR") -> Row:
    return {"airport": airport, "observed_at": at, "observed_on": at[:10], "temperature_f": temperature}


def test_a_flight_of_which_nothing_is_known_is_kept(spark: SparkSession) -> None:
    rows = build(spark, [FLIGHT], listed=[])

    assert broken_rules(flight_delay_features, rows) == []
    assert rows_of(rows) == [
        {
            "flight_date": "2013-01-05",
            "carrier": "UA",
            "flight": 100,
            "origin": "EWR",
            "dest": "IAH",
            "tail_number": "N1UA",
            "distance_miles": 1400,
            "scheduled_departure_at": "2013-01-05T20:00:00Z",
            "cutoff_at": "2013-01-05T18:00:00Z",
            "month": 1,
            "day_of_week": 6,
            "is_weekend": True,
            "scheduled_local_hour": None,
            "has_previous_leg": False,
            "minutes_since_previous_leg": None,
            "previous_leg_has_departed": None,
            "previous_leg_has_arrived": None,
            "previous_leg_delay_minutes": None,
            "previous_leg_arrival_delay_minutes": None,
            "origin_departures": 0,
            "origin_departures_late": 0,
            "origin_departure_delay_minutes": 0,
            "weather_observed_at": None,
            "temperature_f": None,
            "wind_speed_mph": None,
            "visibility_miles": None,
            "precipitation_inches": None,
            "is_weather_known": False,
        }
    ]


def test_the_calendar_is_local_and_knows_daylight_saving_time(spark: SparkSession) -> None:
    """In New York 06:30 UTC on 10 March is 01:30 and 07:30 UTC is 03:30: the clocks skip two o'clock."""
    dates = [
        ("2013-03-08", "2013-03-09T00:30:00Z"),
        ("2013-03-10", "2013-03-10T06:30:00Z"),
        ("2013-03-10", "2013-03-10T07:30:00Z"),
    ]
    planned = [
        FLIGHT | {"flight": number, "flight_date": on, "scheduled_departure_at": at}
        for number, (on, at) in enumerate(dates, start=1)
    ]

    rows = build(spark, planned)

    assert rows_of(rows, "flight", "scheduled_local_hour", "day_of_week", "is_weekend", "month") == [
        {"flight": 1, "scheduled_local_hour": 19, "day_of_week": 5, "is_weekend": False, "month": 3},
        {"flight": 2, "scheduled_local_hour": 1, "day_of_week": 7, "is_weekend": True, "month": 3},
        {"flight": 3, "scheduled_local_hour": 3, "day_of_week": 7, "is_weekend": True, "month": 3},
    ]


def happened(**changes: object) -> Row:
    return {
        **LEG_KEY,
        "departed_at": "2013-01-05T12:30:00Z",
        "departure_delay_minutes": 30,
        "arrived_at": "2013-01-05T16:00:00Z",
        "arrival_delay_minutes": 45,
        "has_arrived": True,
        **changes,
    }


def test_the_previous_leg_is_known_once_it_has_arrived(spark: SparkSession) -> None:
    rows = build(spark, [FLIGHT, LEG], [happened()])

    assert of_flight(rows, PREVIOUS_LEG) == {
        "has_previous_leg": True,
        "minutes_since_previous_leg": 480,
        "previous_leg_has_departed": True,
        "previous_leg_has_arrived": True,
        "previous_leg_delay_minutes": 30,
        "previous_leg_arrival_delay_minutes": 45,
    }
    assert of_flight(rows, ["has_previous_leg"], flight=50) == {"has_previous_leg": False}


def test_the_previous_leg_shows_only_what_had_happened_by_the_cutoff(spark: SparkSession) -> None:
    """The leg was due at 12:00 and left 361 minutes late; the cutoff is 18:00."""
    at_cutoff, after_cutoff, long_after = "2013-01-05T18:00:00Z", "2013-01-05T18:01:00Z", "2013-01-05T22:00:00Z"
    left_early = "2013-01-05T12:30:00Z"
    cases = {  # flight: times of its previous leg, and what is known of it
        101: (at_cutoff, long_after, (True, False, 361, None)),
        102: (after_cutoff, long_after, (False, False, 360, None)),
        103: (left_early, at_cutoff, (True, True, 361, 45)),
        104: (left_early, after_cutoff, (True, False, 361, None)),
        105: (left_early, None, (True, False, 361, None)),  # diverted
    }
    planned, flown = [], []
    for flight, (departed_at, arrived_at, _) in cases.items():
        tail = {"tail_number": f"N{flight}UA"}
        planned += [FLIGHT | tail | {"flight": flight}, LEG | tail | {"flight": flight + 1000}]
        times = {"departed_at": departed_at, "arrived_at": arrived_at}
        flown.append(happened(flight=flight + 1000, departure_delay_minutes=361, **times))

    rows = build(spark, planned, flown).where("flight < 1000")

    known = rows_of(rows, "flight", *PREVIOUS_LEG[2:])
    assert {row["flight"]: tuple(row[name] for name in PREVIOUS_LEG[2:]) for row in known} == {
        flight: expected for flight, (_, _, expected) in cases.items()
    }


def test_a_previous_leg_that_is_not_due_yet_or_never_flies_has_no_outcome(spark: SparkSession) -> None:
    not_due = LEG | {"scheduled_departure_at": "2013-01-05T18:30:00Z"}
    cancelled = LEG | {"tail_number": "N2UA"}
    after_cancelled = FLIGHT | {"flight": 101, "tail_number": "N2UA"}

    rows = build(spark, [FLIGHT, not_due, after_cancelled, cancelled | {"flight": 51}])

    columns = ["has_previous_leg", "previous_leg_has_departed", "previous_leg_delay_minutes"]
    assert of_flight(rows, columns) == {
        "has_previous_leg": True,
        "previous_leg_has_departed": False,
        "previous_leg_delay_minutes": 0,
    }
    assert of_flight(rows, columns, flight=101) == {
        "has_previous_leg": True,
        "previous_leg_has_departed": False,
        "previous_leg_delay_minutes": 360,
    }


def test_the_previous_leg_is_the_last_one_of_the_tail_within_24_hours(spark: SparkSession) -> None:
    day_before = {"flight_date": "2013-01-04"}
    planned = [
        FLIGHT,
        LEG | {"flight": 40, "scheduled_departure_at": "2013-01-05T10:00:00Z"},
        LEG,
        LEG | {"flight": 60, "scheduled_departure_at": "2013-01-05T21:00:00Z"},
        LEG | {"flight": 70, "tail_number": "N9UA", "scheduled_departure_at": "2013-01-05T19:00:00Z"},
        # exactly 24 hours, and one second more
        FLIGHT | {"flight": 200, "tail_number": "N2UA"},
        LEG | day_before | {"flight": 201, "tail_number": "N2UA", "scheduled_departure_at": "2013-01-04T20:00:00Z"},
        FLIGHT | {"flight": 300, "tail_number": "N3UA"},
        LEG | day_before | {"flight": 301, "tail_number": "N3UA", "scheduled_departure_at": "2013-01-04T19:59:59Z"},
    ]

    rows = build(spark, planned)

    assert of_flight(rows, ["minutes_since_previous_leg"]) == {"minutes_since_previous_leg": 480}
    assert of_flight(rows, ["minutes_since_previous_leg"], 200) == {"minutes_since_previous_leg": 1440}
    assert of_flight(rows, ["has_previous_leg"], 300) == {"has_previous_leg": False}


def test_flights_without_tail_number_have_no_previous_leg(spark: SparkSession) -> None:
    rows = build(spark, [FLIGHT | {"tail_number": None}, LEG | {"tail_number": None}])

    assert of_flight(rows, ["has_previous_leg"]) == {"has_previous_leg": False}


def test_the_origin_shows_departures_of_the_three_hours_up_to_the_cutoff(spark: SparkSession) -> None:
    rows = build(
        spark,
        [FLIGHT],
        left=[
            left("2013-01-05T14:59:59Z", 1000),
            left("2013-01-05T15:00:00Z", 14),
            left("2013-01-05T17:00:00Z", -5),
            left("2013-01-05T18:00:00Z", 15),
            left("2013-01-05T18:01:00Z", 2000),
            left("2013-01-05T17:00:00Z", 4000, origin="JFK"),
        ],
    )

    assert of_flight(rows, ORIGIN) == {
        "origin_departures": 3,
        "origin_departures_late": 1,
        "origin_departure_delay_minutes": 24,
    }


def test_the_three_hours_reach_back_over_midnight_utc(spark: SparkSession) -> None:
    evening = FLIGHT | {"scheduled_departure_at": "2013-01-06T03:00:00Z"}

    rows = build(
        spark,
        [evening],
        left=[left("2013-01-05T22:00:00Z", 1), left("2013-01-05T23:59:59Z", 10), left("2013-01-06T01:00:00Z", 100)],
        observed=[observed("2013-01-05T23:00:00Z", 30.0)],
    )

    assert of_flight(rows, [*ORIGIN, *WEATHER]) == {
        "origin_departures": 3,
        "origin_departures_late": 1,
        "origin_departure_delay_minutes": 111,
        "weather_observed_at": "2013-01-05T23:00:00Z",
        "temperature_f": 30.0,
        "is_weather_known": True,
    }


def test_flights_with_the_same_cutoff_do_not_see_each_other_as_events(spark: SparkSession) -> None:
    rows = build(spark, [FLIGHT, FLIGHT | {"flight": 101}], left=[left("2013-01-05T17:00:00Z", 7)])

    expected = {"origin_departures": 1, "origin_departures_late": 0, "origin_departure_delay_minutes": 7}
    assert of_flight(rows, ORIGIN) == expected
    assert of_flight(rows, ORIGIN, flight=101) == expected


def test_the_weather_is_the_latest_of_the_three_hours_up_to_the_cutoff(spark: SparkSession) -> None:
    cases = {
        "EWR": (["2013-01-05T17:00:00Z", "2013-01-05T18:00:00Z", "2013-01-05T19:00:00Z"], "2013-01-05T18:00:00Z"),
        "JFK": (["2013-01-05T15:00:00Z"], "2013-01-05T15:00:00Z"),
        "LGA": (["2013-01-05T14:00:00Z"], None),
        "BOS": (["2013-01-05T18:00:01Z"], None),
    }
    planned = [FLIGHT | {"origin": airport} for airport in cases]
    seen = [observed(at, 40.0, airport) for airport, (hours, _) in cases.items() for at in hours]

    rows = rows_of(build(spark, planned, observed=seen), "origin", *WEATHER)

    assert {row["origin"]: row["weather_observed_at"] for row in rows} == {
        airport: expected for airport, (_, expected) in cases.items()
    }
    assert {row["origin"]: row["temperature_f"] for row in rows} == {"EWR": 40.0, "JFK": 40.0, "LGA": None, "BOS": None}
    assert {row["origin"]: row["is_weather_known"] for row in rows} == {
        "EWR": True,
        "JFK": True,
        "LGA": False,
        "BOS": False,
    }


def test_no_schedules_give_no_rows(spark: SparkSession) -> None:
    rows = build(spark, [], [happened()], [left("2013-01-05T17:00:00Z", 7)], [observed("2013-01-05T17:00:00Z", 1.0)])

    assert rows_of(rows) == []
