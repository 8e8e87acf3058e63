"""Weather out of hourly lines."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pyspark.sql import SparkSession

from lake.testing.frames import broken_rules, frame, rows_of, stored, verdicts
from lakehouse_assets.bronze.weather_files import weather_files
from lakehouse_assets.silver.weather import weather

pytestmark = pytest.mark.spark

MEASURED: dict[str, Any] = {
    "temperature_f": 39.02,
    "dew_point_f": 26.06,
    "humidity_percent": 59.37,
    "wind_direction_degrees": 270,
    "wind_speed_mph": 10.35702,
    "wind_gust_mph": 21.86,
    "precipitation_inches": 0.0,
    "pressure_millibars": 1012.0,
    "visibility_miles": 10.0,
}
SAID = {"airport": "EWR", "observed_at": "2013-01-01T06:00:00Z", **MEASURED}


def line(text: str | None = None, *, number: int = 1, **said: Any) -> dict[str, object]:
    return {
        "line": json.dumps(SAID | said) if text is None else text,
        "file": "06.jsonl",
        "line_number": number,
        "landed_on": "2013-01-01",
        "event_date": "2013-01-01",
    }


def test_a_line_becomes_an_observation(spark: SparkSession) -> None:
    rows = weather(frame(spark, weather_files, [line()]))

    assert broken_rules(weather, rows) == []
    assert rows_of(stored(weather, rows)) == [{**SAID, "observed_on": "2013-01-01"}]


def test_whole_numbers_are_numbers_and_what_was_not_measured_is_null(spark: SparkSession) -> None:
    nothing: dict[str, Any] = dict.fromkeys(MEASURED)

    rows = weather(frame(spark, weather_files, [line(**nothing | {"visibility_miles": 10})]))

    assert broken_rules(weather, rows) == []
    assert rows_of(rows, *MEASURED) == [{**nothing, "visibility_miles": 10.0}]


BROKEN: list[tuple[dict[str, Any], str]] = [
    ({"airport": None}, "airport:not_null"),
    ({"airport": "EWR2"}, "airport:str_matches"),
    ({"observed_at": None}, "observed_at:not_null"),
    ({"observed_at": "2013-01-01T06:51:00Z"}, "seconds_past_hour:equal_to"),
    ({"observed_at": "2013-02-01T06:00:00Z"}, "days_off_event_date:equal_to"),
    ({"temperature_f": "39.02"}, "json_errors:equal_to"),
    ({"wind_direction_degrees": 12.5}, "json_errors:equal_to"),
    ({"temperature_f": float("nan")}, "json_errors:equal_to"),
    ({"wind_speed_mph": 1048.36058}, "wind_speed_mph:in_range"),  # in the source: EWR, 12 February 2013
    ({"humidity_percent": 100.1}, "humidity_percent:in_range"),
    ({"wind_direction_degrees": 361}, "wind_direction_degrees:in_range"),
    ({"pressure_millibars": 0}, "pressure_millibars:in_range"),
    ({"precipitation_inches": -0.1}, "precipitation_inches:in_range"),
]


def test_every_kind_of_broken_line_breaks_a_rule_and_none_fails_the_query(spark: SparkSession) -> None:
    lines = [line(number=n, **said) for n, (said, _) in enumerate(BROKEN)] + [line("torn", number=99)]

    rules = verdicts(weather, weather(frame(spark, weather_files, lines)), by="_line_number")

    missed = [(said, rule, rules[n]) for n, (said, rule) in enumerate(BROKEN) if rule not in rules[n]]
    assert missed == []
    assert "json_errors:equal_to" in rules[99]


def test_no_lines_give_no_rows(spark: SparkSession) -> None:
    assert rows_of(weather(frame(spark, weather_files))) == []
