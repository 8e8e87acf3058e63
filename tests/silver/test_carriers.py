"""Carriers out of reference lines."""

from __future__ import annotations

import pytest
from pyspark.sql import SparkSession

from lakehouse_assets.bronze.reference_airlines import reference_airlines
from lakehouse_assets.silver.carriers import carriers
from tests.frames import frame, rows_of, stored, verdicts

pytestmark = pytest.mark.spark


def line(text: str, *, number: int = 1, landed_on: str = "2012-12-31") -> dict[str, object]:
    return {
        "line": text,
        "file": "airlines.jsonl",
        "line_number": number,
        "landed_on": landed_on,
        "event_date": landed_on,
    }


def test_a_line_becomes_a_carrier(spark: SparkSession) -> None:
    rows = carriers(frame(spark, reference_airlines, [line('{"carrier":"9E","name":"Endeavor Air Inc."}')]))

    assert rows_of(stored(carriers, rows)) == [{"carrier": "9E", "name": "Endeavor Air Inc."}]


def test_of_several_lines_the_one_that_landed_last_is_kept(spark: SparkSession) -> None:
    lines = [
        line('{"carrier":"MQ","name":"American Eagle"}', landed_on="2012-12-31"),
        line('{"carrier":"MQ","name":"Envoy Air"}', landed_on="2013-02-01"),
        line('{"carrier":"MQ","name":"American Eagle Airlines"}', landed_on="2013-01-01"),
    ]

    rows = carriers(frame(spark, reference_airlines, lines))

    assert rows_of(stored(carriers, rows)) == [{"carrier": "MQ", "name": "Envoy Air"}]


def test_a_broken_newest_line_does_not_hide_the_last_valid_one(spark: SparkSession) -> None:
    lines = [
        line('{"carrier":"MQ","name":"Envoy Air"}', landed_on="2013-01-01"),
        line('{"carrier":"MQ","name":null}', landed_on="2013-02-01"),
    ]

    rows = carriers(frame(spark, reference_airlines, lines))

    assert rows_of(stored(carriers, rows)) == [{"carrier": "MQ", "name": "Envoy Air"}]


def test_broken_lines_are_rejected(spark: SparkSession) -> None:
    lines = ['{"carrier":"UAL","name":"United"}', '{"carrier":"UA","name":""}', '{"carrier":"UA"}', '{"carrier":"UA"']

    rows = carriers(frame(spark, reference_airlines, [line(text, number=n) for n, text in enumerate(lines)]))

    assert verdicts(carriers, rows, by="_line_number") == {
        0: ["carrier:str_matches"],
        1: ["name:str_length"],
        2: ["name:not_null"],
        3: ["json_errors:equal_to", "carrier:not_null", "name:not_null"],
    }


def test_no_lines_give_no_rows(spark: SparkSession) -> None:
    assert rows_of(carriers(frame(spark, reference_airlines))) == []
