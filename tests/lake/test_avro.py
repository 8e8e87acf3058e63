"""Files of Avro become records like those of Parquet."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from lake.declare.feed import FileFeed
from lake.declare.formats import Avro
from lake.errors import CannotLand
from lake.storage.deliver import deliver
from lake.storage.landing import Landing
from tests.avro_files import avro_file, number, text

D1 = date(2024, 3, 1)
AT = datetime(2024, 3, 1, 10, 15, 0, 123456, UTC)
FEED = FileFeed("orders", "orders of a shop", format=Avro())
FIELDS = [
    {"name": "id", "type": "long"},
    {"name": "name", "type": ["null", "string"]},
    {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
    {"name": "price", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}},
    {"name": "tags", "type": {"type": "array", "items": "string"}},
]


def order(identity: int, name: str | None, cents: int, tags: Sequence[str] = ()) -> bytes:
    said = number(0) if name is None else number(1) + text(name)
    listed = number(len(tags)) + b"".join(map(text, tags)) if tags else b""
    micros = int(AT.timestamp()) * 10**6 + AT.microsecond
    return number(identity) + said + number(micros) + text(cents.to_bytes(4, "big", signed=True)) + listed + number(0)


def avro(rows: Sequence[bytes], schema: Any = None, **facts: Any) -> bytes:
    return avro_file(rows, schema or {"type": "record", "name": "order", "fields": FIELDS}, **facts)


ROWS = [order(1, "Zoë", 110, ["x", "y"]), order(2, None, -5), order(3, "Ann", 0)]
WHOLE = avro(ROWS)


def land(root: Path, name: str, content: bytes) -> Path:
    file = root / "orders" / f"landed_on={D1}" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return file


@pytest.mark.spark
def test_rows_keep_their_names_places_and_exact_values(spark: SparkSession, tmp_path: Path) -> None:
    land(tmp_path, "a.avro", WHOLE)
    land(tmp_path, "b", avro(ROWS[:1], codec="deflate"))
    one = {"type": "record", "name": "other", "fields": [{"name": "price", "type": "string"}]}
    land(tmp_path, "c.avro", avro([text("cheap")] * 5, one))
    land(tmp_path, "empty.avro", avro([]))

    rows = Landing(tmp_path).read(spark, FEED, [D1]).collect()

    at = "2024-03-01T10:15:00.123456Z"
    first = {"id": 1, "name": "Zoë", "at": at, "price": 1.10, "tags": ["x", "y"]}
    assert {(row["file"], row["line_number"]): json.loads(row["line"]) for row in rows} == {
        ("a.avro", 1): first,
        ("a.avro", 2): {"id": 2, "name": None, "at": at, "price": -0.05, "tags": []},
        ("a.avro", 3): {"id": 3, "name": "Ann", "at": at, "price": 0.0, "tags": []},
        ("b", 1): first,
        **{("c.avro", place): {"price": "cheap"} for place in range(1, 6)},
    }
    assert {row["landed_on"] for row in rows} == {D1}
    assert Landing(tmp_path).count_rows(FEED, D1) == len(rows) == 9


@pytest.mark.spark
def test_a_large_file_that_several_tasks_read_has_the_places_of_its_rows(spark: SparkSession, tmp_path: Path) -> None:
    one = {
        "type": "record",
        "name": "one",
        "fields": [{"name": "id", "type": "long"}, {"name": "filler", "type": "string"}],
    }
    land(tmp_path, "a.avro", avro([number(i) + text("x" * 200) for i in range(5000)], one, per_block=10))
    before = spark.conf.get("spark.sql.files.maxPartitionBytes")
    spark.conf.set("spark.sql.files.maxPartitionBytes", "65536")
    try:
        rows = Landing(tmp_path).read(spark, FEED, [D1])
        tasks = (
            spark.read.format("avro").load(str(tmp_path / "orders")).selectExpr("spark_partition_id() AS p").distinct()
        )
        assert tasks.count() > 3
        assert {row["line_number"] - json.loads(row["line"])["id"] for row in rows.collect()} == {1}
    finally:
        spark.conf.set("spark.sql.files.maxPartitionBytes", before or "128m")


def blocks_end() -> set[int]:
    """Where a file may end: behind the head and behind each block."""
    return {len(avro(ROWS[:rows])) for rows in (0, 2, 3)}


def test_a_file_that_was_cut_off_anywhere_but_behind_a_block_is_told(tmp_path: Path) -> None:
    file = tmp_path / "a.avro"
    for length in range(len(WHOLE)):
        file.write_bytes(WHOLE[:length])
        is_whole = length in blocks_end()
        assert (FEED.problem(file) is None) == is_whole, length
    file.write_bytes(WHOLE)
    assert FEED.problem(file) is None


DOUBLE = {"type": "record", "name": "one", "fields": [{"name": "id", "type": "long"}, {"name": "ID", "type": "long"}]}
OTHER = [
    (WHOLE[:-9], "it is no whole Avro file: it ends too early"),
    (WHOLE[:-1] + b"\0", "it is no whole Avro file: a block does not end where it says"),
    (b"id,name\n", "it is no whole Avro file: it does not begin as Avro does"),
    (b"", "it is no whole Avro file: it ends too early"),
    (avro(ROWS, codec="lz9"), "it is no whole Avro file: it is packed by 'lz9'"),
    (avro([text("a")], "string"), "its rows are no records"),
    (avro([number(1) * 2], DOUBLE), "it has the column 'id' twice"),
]


@pytest.mark.parametrize(("content", "problem"), OTHER)
def test_what_is_no_avro_does_not_land(tmp_path: Path, content: bytes, problem: str) -> None:
    (tmp_path / "a.avro").write_bytes(content)

    with pytest.raises(CannotLand) as refused:
        deliver(Landing(tmp_path / "landing"), FEED, D1, [tmp_path / "a.avro"])

    assert refused.value.problems[str(tmp_path / "a.avro")] == problem


@pytest.mark.spark
def test_what_is_no_avro_is_one_row_that_says_so_beside_the_others(spark: SparkSession, tmp_path: Path) -> None:
    for place, (content, _) in enumerate(OTHER):
        land(tmp_path, f"{place}.avro", content)
    land(tmp_path, "good.avro", WHOLE)

    rows = Landing(tmp_path).read(spark, FEED, [D1]).collect()

    told = {(row["file"], row["line"], row["line_number"]): row["_problem"] for row in rows if row["_problem"]}
    assert told == {(f"{place}.avro", None, 0): problem for place, (_, problem) in enumerate(OTHER)}
    assert Landing(tmp_path).count_rows(FEED, D1) == len(rows) == len(OTHER) + 3
