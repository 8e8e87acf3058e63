"""Carriers out of reference lines."""

from __future__ import annotations

import pytest
from pyspark.sql import SparkSession

from lake.testing.frames import frame, rows_of, stored, verdicts
from lake.write.enforce import enforce
from lakehouse_assets.bronze.reference_airlines import reference_airlines
from lakehouse_assets.silver.carriers import carriers

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


def test_of_the_lines_of_one_landing_day_the_last_one_of_the_last_file_is_kept(spark: SparkSession) -> None:
    lines = [
        line('{"carrier":"MQ","name":"first"}', number=1),
        line('{"carrier":"MQ","name":"second"}', number=2),
        line('{"carrier":"MQ","name":"later"}', number=1) | {"file": "airlines-2.jsonl"},
        line('{"carrier":"9E","name":"first"}', number=3),
        line('{"carrier":"9E","name":"last"}', number=12),
        line('{"carrier":"UA","name":"older"}', landed_on="2012-12-30"),
        line('{"carrier":"UA","name":"newer"}'),
    ]

    enforced = enforce(carriers, carriers(frame(spark, reference_airlines, lines)), None, partitions=1)

    kept = {row["carrier"]: row["name"] for row in enforced.accepted().collect()}
    assert kept == {"MQ": "second", "9E": "last", "UA": "newer"}
    counts = enforced.counts_by_day()[None]
    assert (counts.duplicates, counts.disagreeing, enforced.dropped().disagreeing) == (4, 3, 3)


def test_a_carrier_with_a_line_break_behind_it_is_rejected(spark: SparkSession) -> None:
    ends = ["\\r", "\\n", "\\u0085", "\\u2028"]
    lines = [line(f'{{"carrier":"UA{end}","name":"United"}}', number=n) for n, end in enumerate(ends)]

    rows = carriers(frame(spark, reference_airlines, lines))

    assert verdicts(carriers, rows, by="_line_number") == {n: ["carrier:str_matches"] for n in range(len(ends))}


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
