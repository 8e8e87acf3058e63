"""Aircraft out of reference lines."""

from __future__ import annotations

import json

import pytest
from pyspark.sql import SparkSession

from lake.testing.frames import broken_rules, frame, rows_of, stored, verdicts
from lakehouse_assets.bronze.reference_planes import reference_planes
from lakehouse_assets.silver.aircraft import aircraft

pytestmark = pytest.mark.spark

SAID = {
    "tail_number": "N10156",
    "year_built": 2004,
    "type": "Fixed wing multi engine",
    "manufacturer": "EMBRAER",
    "model": "EMB-145XR",
    "engines": 2,
    "seats": 55,
    "speed_mph": None,
    "engine": "Turbo-fan",
}


def line(*, number: int = 1, landed_on: str = "2012-12-31", **said: object) -> dict[str, object]:
    return {
        "line": json.dumps(SAID | said),
        "file": "planes.jsonl",
        "line_number": number,
        "landed_on": landed_on,
        "event_date": landed_on,
    }


def test_a_line_becomes_an_aircraft(spark: SparkSession) -> None:
    rows = aircraft(frame(spark, reference_planes, [line()]))

    assert broken_rules(aircraft, rows) == []
    assert rows_of(stored(aircraft, rows)) == [SAID]


def test_of_several_lines_the_one_that_landed_last_is_kept(spark: SparkSession) -> None:
    lines = [line(seats=50), line(seats=55, landed_on="2013-02-01"), line(seats=52, landed_on="2013-01-01")]

    rows = aircraft(frame(spark, reference_planes, lines))

    assert rows_of(stored(aircraft, rows), "tail_number", "seats") == [{"tail_number": "N10156", "seats": 55}]


def test_broken_lines_are_rejected(spark: SparkSession) -> None:
    lines = [
        line(number=0, tail_number=None),
        line(number=1, tail_number=10156),
        line(number=2, seats="55"),
        line(number=3, year_built=0),
        line(number=4) | {"line": "torn"},
    ]

    rows = aircraft(frame(spark, reference_planes, lines))

    assert verdicts(aircraft, rows, by="_line_number") == {
        0: ["tail_number:not_null"],
        1: ["tail_number:str_matches"],
        2: ["json_errors:equal_to"],
        3: ["year_built:in_range"],
        4: ["json_errors:equal_to", "tail_number:not_null"],
    }


def test_no_lines_give_no_rows(spark: SparkSession) -> None:
    assert rows_of(aircraft(frame(spark, reference_planes))) == []
