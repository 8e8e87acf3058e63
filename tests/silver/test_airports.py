"""Airports out of reference lines, and the four that the source lacks."""

from __future__ import annotations

import json

import pytest
from pyspark.sql import SparkSession

from lake.testing.frames import frame, rows_of, stored, verdicts
from lakehouse_assets.bronze.reference_airports import reference_airports
from lakehouse_assets.silver.airports import airports

pytestmark = pytest.mark.spark

SAID = {
    "airport": "EWR",
    "name": "Newark Liberty Intl",
    "latitude": 40.6925,
    "longitude": -74.168667,
    "altitude_feet": 18,
    "utc_offset_hours": -5,
    "dst": "A",
    "time_zone": "America/New_York",
}


def line(*, number: int = 1, landed_on: str = "2012-12-31", **said: object) -> dict[str, object]:
    return {
        "line": json.dumps(SAID | said),
        "file": "airports.jsonl",
        "line_number": number,
        "landed_on": landed_on,
        "event_date": landed_on,
    }


def test_a_line_becomes_an_airport_next_to_the_supplement(spark: SparkSession) -> None:
    rows = stored(airports, airports(frame(spark, reference_airports, [line()])))

    assert rows_of(rows.where("not is_supplement")) == [{**SAID, "utc_offset_hours": -5.0, "is_supplement": False}]
    assert rows_of(rows.where("is_supplement"), "airport", "name", "utc_offset_hours", "dst", "time_zone") == [
        {
            "airport": airport,
            "name": name,
            "utc_offset_hours": -4.0,
            "dst": "N",
            "time_zone": zone,
        }
        for airport, name, zone in [
            ("BQN", "Rafael Hernandez Airport", "America/Puerto_Rico"),
            ("PSE", "Mercedita Airport", "America/Puerto_Rico"),
            ("SJU", "Luis Munoz Marin Intl", "America/Puerto_Rico"),
            ("STT", "Cyril E King Airport", "America/St_Thomas"),
        ]
    ]


def test_the_source_wins_over_the_supplement_and_the_newest_line_over_older_ones(spark: SparkSession) -> None:
    lines = [
        line(airport="SJU", name="old", landed_on="2012-12-31"),
        line(airport="SJU", name="new", landed_on="2013-01-01"),
    ]

    rows = airports(frame(spark, reference_airports, lines))

    assert rows_of(stored(airports, rows), "airport", "name", "is_supplement") == [
        {"airport": "BQN", "name": "Rafael Hernandez Airport", "is_supplement": True},
        {"airport": "PSE", "name": "Mercedita Airport", "is_supplement": True},
        {"airport": "SJU", "name": "new", "is_supplement": False},
        {"airport": "STT", "name": "Cyril E King Airport", "is_supplement": True},
    ]


def test_broken_lines_are_rejected_and_an_unknown_time_zone_does_not_fail_the_query(spark: SparkSession) -> None:
    lines = [
        line(number=0, time_zone=None, altitude_feet=None),
        line(number=1, time_zone="America/Gotham"),
        line(number=2, time_zone="\\N"),
        line(number=3, airport=None),
        line(number=4, latitude=None),
        line(number=5, latitude=91),
        line(number=6, latitude="40.69"),
        line(number=7, dst="X"),
        line(number=8, airport="04G"),
        line(number=9) | {"line": "torn"},
        line(number=10, time_zone=""),
    ]

    rows = airports(frame(spark, reference_airports, lines)).where("not is_supplement")

    found = verdicts(airports, rows, by="_line_number")
    assert found[9][0] == "json_errors:equal_to"
    assert {number: rules for number, rules in found.items() if number != 9} == {
        0: [],
        1: ["unknown_time_zones:equal_to"],
        2: ["unknown_time_zones:equal_to"],
        3: ["airport:not_null"],
        4: ["latitude:not_null"],
        5: ["latitude:in_range"],
        6: ["json_errors:equal_to", "latitude:not_null"],
        7: ["dst:isin"],
        8: [],
        10: ["time_zone:str_length"],
    }


def test_an_altitude_is_rounded_to_whole_feet_and_an_impossible_one_is_rejected(spark: SparkSession) -> None:
    lines = [
        line(number=n, altitude_feet=altitude, airport=f"AA{n}") for n, altitude in enumerate((237.7, 13, None, 1e300))
    ]

    rows = airports(frame(spark, reference_airports, lines)).where("not is_supplement")

    assert [row["altitude_feet"] for row in rows_of(stored(airports, rows))][:3] == [238, 13, None]
    assert verdicts(airports, rows, by="_line_number")[3] == ["altitude_feet:in_range"]


def test_no_lines_give_no_rows_not_even_the_supplement(spark: SparkSession) -> None:
    assert rows_of(airports(frame(spark, reference_airports))) == []
