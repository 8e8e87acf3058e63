"""Lines of the reference file `airlines` as received."""

from __future__ import annotations

import pytest
from pyspark.sql import SparkSession

from lake.testing.frames import broken_rules, frame, rows_of
from lakehouse_assets.bronze.reference_airlines import reference_airlines
from lakehouse_assets.feeds.airlines import airlines

pytestmark = pytest.mark.spark


def test_every_line_is_kept_under_its_landing_day_broken_ones_too(spark: SparkSession) -> None:
    lines = [
        {"line": '{"name":"UA"}', "file": "airlines.jsonl", "line_number": 1, "landed_on": "2013-02-01"},
        {"line": '{"name":"UA', "file": "airlines.jsonl", "line_number": 2, "landed_on": "2013-02-01"},
    ]

    rows = reference_airlines(frame(spark, airlines, lines))

    assert broken_rules(reference_airlines, rows) == []
    assert rows_of(rows, "line", "file", "line_number", "landed_on", "event_date") == [
        {**lines[1], "event_date": "2013-02-01"},
        {**lines[0], "event_date": "2013-02-01"},
    ]


def test_no_lines_give_no_rows(spark: SparkSession) -> None:
    assert rows_of(reference_airlines(frame(spark, airlines))) == []
