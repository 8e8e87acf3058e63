"""The laws over feeds of Avro and Parquet: rows come as records, and a file that is none is one rejected row."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from lake.declare.days import Days
from lake.declare.formats import Avro, Format, Parquet
from lake.declare.table import Read, Table
from lake.testing.lakes import stored_rows
from lake.testing.laws import LAWS, ComputedTwice, Law, compute_twice
from tests.avro_files import avro_file, number, text
from tests.tiny import FEED, day_of, mark_files, marks

pytestmark = [pytest.mark.spark, pytest.mark.slow, pytest.mark.streams]

Mark = tuple[str, date, int]
DAYS = Days.between(day_of(1), day_of(3))
OTHER_RANGES = [Days.between(day_of(2), day_of(3)), Days.between(day_of(1), day_of(2))]
MARKS: dict[date, list[Mark]] = {
    day_of(1): [("a", day_of(1), 1), ("b", day_of(1), -1), ("a", day_of(1), 3)],
    day_of(2): [("a", day_of(2), 2), ("long", day_of(2), 2), ("c", day_of(1), 5)],
    day_of(3): [("b", day_of(3), 0)],
}
"""By landing day: one with too few points, one under a name that is too long, one twice, and one that is late."""
SCHEMA = {
    "type": "record",
    "name": "mark",
    "fields": [
        {"name": "name", "type": "string"},
        {"name": "day", "type": {"type": "int", "logicalType": "date"}},
        {"name": "points", "type": "int"},
    ],
}


def as_avro(rows: list[Mark]) -> bytes:
    epoch = date(1970, 1, 1)
    said = [text(name) + number((day - epoch).days) + number(points) for name, day, points in rows]
    return avro_file(said, SCHEMA, codec="deflate")


def as_parquet(rows: list[Mark]) -> bytes:
    names, days, points = (list(column) for column in zip(*rows, strict=True))
    held = io.BytesIO()
    pq.write_table(pa.table({"name": names, "day": days, "points": pa.array(points, pa.int32())}), held)
    return held.getvalue()


WRITTEN: dict[str, tuple[Format, Callable[[list[Mark]], bytes]]] = {
    "avro": (Avro(), as_avro),
    "parquet": (Parquet(), as_parquet),
}


def tables_of(name: str) -> list[Table]:
    feed = replace(FEED, name=f"{name}_feed", format=WRITTEN[name][0])
    received = replace(mark_files, name=f"{name}_files", reads=(Read(feed),))
    return [received, replace(marks, name=f"{name}_marks", reads=(received.days(after=1),))]


TABLES = {one.full_name: one for name in WRITTEN for one in tables_of(name)}


@pytest.fixture(scope="module")
def lakes(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> ComputedTwice:
    root = tmp_path_factory.mktemp("formats")
    for name, (_, written) in WRITTEN.items():
        for day, rows in MARKS.items():
            folder = root / "landing" / f"{name}_feed" / f"landed_on={day}"
            folder.mkdir(parents=True)
            (folder / f"marks.{name}").write_bytes(written(rows))
        (folder / f"broken.{name}").write_bytes(b"no such file")
    return compute_twice(spark, root / "lakes", TABLES, Path(root / "landing"), DAYS, ranges=OTHER_RANGES)


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES.keys())
@pytest.mark.parametrize("obeyed", LAWS, ids=lambda law: law.__name__)
def test_every_law_holds(lakes: ComputedTwice, table: Table, obeyed: Law) -> None:
    obeyed(lakes, table)


@pytest.mark.parametrize("name", WRITTEN)
def test_the_rows_are_those_that_were_written(lakes: ComputedTwice, name: str) -> None:
    found = [
        (row["name"], row["day"], row["points"]) for row in stored_rows(lakes.store, TABLES[f"silver.{name}_marks"])
    ]

    assert sorted(found) == [("a", day_of(1), 1), ("a", day_of(2), 2), ("b", day_of(3), 0), ("c", day_of(1), 5)]
    assert lakes.receipts[f"bronze.{name}_files"].total.rows_in == sum(map(len, MARKS.values())) + 1
    assert lakes.receipts[f"silver.{name}_marks"].total.rejected == 2
