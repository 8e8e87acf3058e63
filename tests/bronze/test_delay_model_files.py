"""Lines of delivered models as received."""

from __future__ import annotations

import pytest
from pyspark.sql import SparkSession

from lake.testing.frames import broken_rules, frame, rows_of
from lakehouse_assets.bronze.delay_model_files import delay_model_files
from lakehouse_assets.feeds.delay_models import delay_models

pytestmark = pytest.mark.spark


def test_a_line_is_kept_under_the_first_day_that_the_model_scores(spark: SparkSession) -> None:
    lines = [
        {"line": f'{{"serves_from":"{day}"}}', "file": "a.jsonl", "line_number": number, "landed_on": "2013-02-15"}
        for number, day in enumerate(["2013-02-15", "2013-01-16", "2013-01-15", "2013-02-16", "soon"], start=1)
    ]

    rows = delay_model_files(frame(spark, delay_models, lines))

    assert broken_rules(delay_model_files, rows) == []
    assert [row["event_date"] for row in sorted(rows_of(rows), key=lambda row: row["line_number"])] == [
        "2013-02-15", "2013-01-16", "2013-02-15", "2013-02-15", "2013-02-15",
    ]  # fmt: skip
