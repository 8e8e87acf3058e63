"""JSON is read strictly, nested or not, and what a table does not know is kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyspark.sql.types as T
import pytest
from pyspark.sql import SparkSession

from lake.declare.formats import FILE_FRAME
from lake.declare.json_lines import json_errors, read_lines, with_rescued
from lake.testing.frames import frame
from tests.frames import drained, unbounded

pytestmark = pytest.mark.spark

FIELDS = "number INT, customer STRUCT<name: STRING, address: STRUCT<city: STRING>>, lines ARRAY<STRUCT<sku: STRING>>"
NESTED = {"number": 1, "customer": {"name": "Ann {", "address": {"city": "Ulm"}}, "lines": [{"sku": "a"}, {"sku": "b"}]}


def read(spark: SparkSession, texts: list[str | None]) -> list[dict[str, Any]]:
    lines = [{"line": text, "file": "a", "line_number": number} for number, text in enumerate(texts)]
    schema = T.StructType([*FILE_FRAME.fields, T.StructField("event_date", T.DateType())])
    rows = with_rescued(read_lines(frame(spark, schema, lines), FIELDS)).withColumn("json_errors", json_errors())
    found = rows.select("said", "json_errors", "_rescued").orderBy("_line_number").collect()
    return [row.asDict(recursive=True) for row in found]


def test_nested_objects_and_lists_are_read(spark: SparkSession) -> None:
    (row,) = read(spark, [json.dumps(NESTED)])

    assert row == {"said": {**NESTED, "_unreadable": None}, "json_errors": 0, "_rescued": None}


WHOLE = ['{"number":1}', ' {"number":1}\n', '{"customer":{}}', '{"number":null}', '{"x":{"y":"}"}}', '{"x":"{"}', "{}"]
BROKEN = [
    None,
    "",
    "not json",
    "[]",
    "5",
    "null",
    '{"number":1',
    '{"number":1}}',
    '{"number":1}{"number":2}',
    '{"customer":{}} and more',
    '{"customer":{}},"value":{"number":2}',
    '{"customer":{}},',
    '{"customer":{}} /* more */',
    '{"number":"1","customer":{}}',
    '{"customer":5}',
    '{"customer":{"address":[1]},"lines":{}}',
    "{'customer':{}}",
    '{"customer":{"name":NaN}}',
    '{"customer":' * 5_000 + "1" + "}" * 5_000,
    '{"lines":' + "[" * 20_000 + "]" * 20_000 + "}",
]


def test_what_is_not_one_whole_object_is_told_and_stops_no_other(spark: SparkSession) -> None:
    rows = read(spark, [*WHOLE, *BROKEN])

    assert [row["json_errors"] for row in rows] == [0] * len(WHOLE) + [1] * len(BROKEN)


GROWN = [
    ('{"number":1,"gift":true,"note":null}', {"gift": True, "note": None}),
    ('{"customer":{"name":"A","vip":{"since":2020}}}', {"customer.vip": {"since": 2020}}),
    ('{"customer":{"address":{"zip":"89073"}},"total":1.5}', {"customer.address.zip": "89073", "total": 1.5}),
    ('{"customer":null,"Number":3}', {"Number": 3}),
    ('{"number":1,"x":1,"x":2}', {"number": 1, "x": 2}),
    ('{"number":1}', None),
    ('{"number":12345678901,"gift":1}', {"gift": 1}),
]


def test_fields_that_the_table_does_not_know_are_kept(spark: SparkSession) -> None:
    rows = read(spark, [text for text, _ in GROWN])

    assert [row["_rescued"] and json.loads(row["_rescued"]) for row in rows] == [expected for _, expected in GROWN]


def test_a_stream_reads_the_same_rows(spark: SparkSession, tmp_path: Path) -> None:
    texts = [*WHOLE, *(text for text, _ in GROWN), *BROKEN]
    schema = T.StructType([*FILE_FRAME.fields, T.StructField("event_date", T.DateType())])
    lines = frame(spark, schema, [{"line": text, "line_number": number} for number, text in enumerate(texts)])

    stream = with_rescued(read_lines(unbounded(lines, tmp_path / "lines"), FIELDS))
    rows = drained(stream.withColumn("json_errors", json_errors()), tmp_path / "checkpoint", mode="append")

    found = rows.select("said", "json_errors", "_rescued").orderBy("_line_number").collect()
    assert [row.asDict(recursive=True) for row in found] == read(spark, texts)
