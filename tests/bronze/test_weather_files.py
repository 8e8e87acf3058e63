"""Weather lines as received."""

from __future__ import annotations

import pytest
from pyspark.sql import SparkSession

from lake.testing.frames import broken_rules, frame, rows_of
from lakehouse_assets.bronze.weather_files import weather_files
from lakehouse_assets.feeds.weather import weather

pytestmark = pytest.mark.spark


EVENT_DATES = {
    '{"airport":"EWR","observed_at":"2013-01-31T23:00:00Z"}': "2013-01-31",
    '{"airport":"EWR","observed_at":"2013-01-30T23:00:00Z"}': "2013-01-30",
    '{"airport":"EWR","observed_at":"2013-01-01T00:00:00Z"}': "2013-01-01",
    '{"airport":"EWR","observed_at":"2012-12-31T23:00:00Z"}': "2013-01-31",
    '{"airport":"EWR","observed_at":"2013-02-01T00:00:00Z"}': "2013-01-31",  # the future
    '{"airport":"EWR","observed_at":null}': "2013-01-31",
    '{"airport":"EWR","observed_at":"2013-01-30T2': "2013-01-31",
    "not json": "2013-01-31",
}


def test_every_line_is_kept_and_only_a_plausible_hour_gives_the_event_date(spark: SparkSession) -> None:
    lines = [
        {"line": text, "file": "23.jsonl", "line_number": number, "landed_on": "2013-01-31"}
        for number, text in enumerate(EVENT_DATES, start=1)
    ]

    rows = weather_files(frame(spark, weather, lines))

    assert broken_rules(weather_files, rows) == []
    assert {row["line"]: row["event_date"] for row in rows_of(rows)} == EVENT_DATES


def test_no_lines_give_no_rows(spark: SparkSession) -> None:
    assert rows_of(weather_files(frame(spark, weather))) == []
