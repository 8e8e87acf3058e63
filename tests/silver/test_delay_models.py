"""Models out of delivered lines."""

from __future__ import annotations

import json

import pytest
from pyspark.sql import SparkSession

from lake.testing.frames import broken_rules, frame, rows_of, stored, verdicts
from lakehouse_assets.bronze.delay_model_files import delay_model_files
from lakehouse_assets.silver.delay_models import delay_models
from tests.delay_models import BODY, delivered_line

pytestmark = pytest.mark.spark


def line(*, number: int = 1, serves_from: str = "2013-01-05", **said: object) -> dict[str, object]:
    return {
        "line": json.dumps(delivered_line(serves_from, **said)),  # type: ignore[arg-type]
        "file": "delay-model-000001-x.jsonl",
        "line_number": number,
        "landed_on": "2013-01-05",
        "event_date": "2013-01-05",
    }


def test_a_line_becomes_a_model(spark: SparkSession) -> None:
    rows = delay_models(frame(spark, delay_model_files, [line()]))

    assert broken_rules(delay_models, rows) == []
    (found,) = rows_of(stored(delay_models, rows))
    assert found == delivered_line("2013-01-05")
    assert json.loads(str(found["body"])) == BODY


def test_a_model_that_is_not_what_its_id_says_is_rejected(spark: SparkSession) -> None:
    lines = [
        line(number=0),
        line(number=1, body=json.dumps(BODY).replace("2.0", "9.0")),
        line(number=2, model_id="0" * 16),
        line(number=3, body=None),
        line(number=4, serves_from="yesterday"),
        line(number=5, serves_from="2013-01-04"),
        line(number=6) | {"line": "torn"},
    ]

    found = verdicts(delay_models, delay_models(frame(spark, delay_model_files, lines)), by="_line_number")

    assert found[0] == []
    assert found[1] == found[2] == ["is_intact:equal_to"]
    assert set(found[3]) == {"body:not_null", "is_intact:equal_to"}
    assert "serves_from:not_null" in found[4]
    assert found[5] == ["days_off_event_date:equal_to"]
    assert "json_errors:equal_to" in found[6]


def test_the_same_delivery_twice_is_one_row(spark: SparkSession) -> None:
    rows = delay_models(frame(spark, delay_model_files, [line(), line(number=2)]))

    assert len(rows_of(stored(delay_models, rows))) == 1


def test_no_lines_give_no_models(spark: SparkSession) -> None:
    assert rows_of(delay_models(frame(spark, delay_model_files))) == []
