"""Lines of the reference file `airports` as received."""

from __future__ import annotations

import pytest
from pyspark.sql import SparkSession

from lake.testing.frames import broken_rules, frame, rows_of
from lakehouse_assets.bronze.reference_airports import reference_airports
from lakehouse_assets.feeds.airports import airports

pytestmark = pytest.mark.spark


def test_every_line_is_kept_under_its_landing_day_broken_ones_too(spark: SparkSession) -> None:
    lines = [
        {"line": '{"name":"EWR"}', "file": "airports.jsonl", "line_number": 1, "landed_on": "2013-02-01"},
        {"line": '{"name":"EWR', "file": "airports.jsonl", "line_number": 2, "landed_on": "2013-02-01"},
    ]

    rows = reference_airports(frame(spark, airports, lines))

    assert broken_rules(reference_airports, rows) == []
    assert rows_of(rows, "line", "file", "line_number", "landed_on", "event_date") == [
        {**lines[1], "event_date": "2013-02-01"},
        {**lines[0], "event_date": "2013-02-01"},
    ]


def test_no_lines_give_no_rows(spark: SparkSession) -> None:
    assert rows_of(reference_airports(frame(spark, airports))) == []
