"""File feeds of every format become records that are named, placed and kept as they came."""

from __future__ import annotations

import csv
import gzip
import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from lake.declare.feed import FileFeed
from lake.declare.formats import Csv, Format, Lines, Parquet
from lake.errors import CannotLand, DeclarationError
from lake.storage.deliver import deliver
from lake.storage.landing import Landing

D1, D2 = date(2024, 3, 1), date(2024, 3, 2)
GZIP, ZIP = gzip.compress(b"a\n"), io.BytesIO()
with zipfile.ZipFile(ZIP, "w") as archive:
    archive.writestr("a.csv", "id,name\n1,a\n")


def feed_of(written: Format) -> FileFeed:
    return FileFeed("orders", "orders of a shop", format=written)


def land(root: Path, name: str, content: bytes | str, day: date = D1) -> Path:
    file = root / "orders" / f"landed_on={day}" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return file


def records(spark: SparkSession, root: Path, written: Format, *days: date) -> dict[tuple[str, int], Any]:
    """What is read, by file and place: the object of a record, or the problem and text of what is none."""
    rows = Landing(root).read(spark, feed_of(written), days or [D1]).collect()
    found = {
        (row["file"], row["line_number"]): (row["_problem"], row["_raw"])
        if row["line"] is None
        else json.loads(row["line"])
        for row in rows
    }
    assert len(found) == len(rows), "a place is given once"
    return found


@pytest.mark.spark
def test_a_column_is_read_by_its_name_wherever_it_stands(spark: SparkSession, tmp_path: Path) -> None:
    land(tmp_path, "a.csv", "id,name\n1,Ann\n")
    land(tmp_path, "b.csv", "id,inserted,name\n2,x,Bob\n")
    land(tmp_path, "c.csv", "name,id\nCid,3\n", D2)

    assert records(spark, tmp_path, Csv(columns=("id", "name")), D1, D2) == {
        ("a.csv", 1): {"id": "1", "name": "Ann"},
        ("b.csv", 1): {"id": "2", "inserted": "x", "name": "Bob"},
        ("c.csv", 1): {"id": "3", "name": "Cid"},
    }


@pytest.mark.spark
def test_quotes_line_breaks_and_empty_fields_are_kept_as_they_came(spark: SparkSession, tmp_path: Path) -> None:
    land(tmp_path, "a.csv", 'id,note\r\n1,"says ""hi"",\r\ntwice"\r\n\r\n2,\r\n3,""\r\n4, x \r\n5,C:\\d\r\n')

    assert records(spark, tmp_path, Csv()) == {
        ("a.csv", 1): {"id": "1", "note": 'says "hi",\r\ntwice'},
        ("a.csv", 2): {"id": "2", "note": None},
        ("a.csv", 3): {"id": "3", "note": ""},
        ("a.csv", 4): {"id": "4", "note": " x "},
        ("a.csv", 5): {"id": "5", "note": "C:\\d"},
    }


@pytest.mark.spark
def test_a_record_that_is_none_is_told_with_its_place_and_text(spark: SparkSession, tmp_path: Path) -> None:
    land(tmp_path, "a.csv", 'id,name\n1,Ann\n2\n3,Cid,more\n4,"unclosed\n5,Eve\n')
    why = "it has not the 2 fields of the header"

    assert records(spark, tmp_path, Csv()) == {
        ("a.csv", 1): {"id": "1", "name": "Ann"},
        ("a.csv", 2): (why, "2"),
        ("a.csv", 3): (why, "3,Cid,more"),
        ("a.csv", 4): {"id": "4", "name": "unclosed\n5,Eve\n"},
    }


@pytest.mark.spark
def test_dialects_encodings_and_compression_are_facts_of_the_feed(spark: SparkSession, tmp_path: Path) -> None:
    text = "id;näme\n1;'€ ''5'''\n"
    for encoding in ("utf-8", "windows-1252", "utf-16"):
        land(tmp_path / encoding, "a.csv", text.encode(encoding))
        land(tmp_path / encoding, "b.csv.gz", gzip.compress(text.encode(encoding)))
        found = records(spark, tmp_path / encoding, Csv(delimiter=";", quote="'", escape="'", encoding=encoding))
        assert found == {(name, 1): {"id": "1", "näme": "€ '5'"} for name in ("a.csv", "b.csv.gz")}
    land(tmp_path / "none", "a.csv", "1\tAnn\n2\tBob\n3\n")
    headless = Csv(columns=("id", "name"), has_header=False, delimiter="\t")
    assert records(spark, tmp_path / "none", headless) == {
        ("a.csv", 1): {"id": "1", "name": "Ann"},
        ("a.csv", 2): {"id": "2", "name": "Bob"},
        ("a.csv", 3): ("it has not the 2 fields of the header", "3"),
    }


TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8)
NAMES = st.lists(TEXT.filter(bool), min_size=2, max_size=4, unique=True)
FILES = NAMES.flatmap(lambda names: st.tuples(st.just(names), st.lists(st.tuples(*(TEXT for _ in names)), max_size=4)))


@pytest.mark.spark
@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(written=st.lists(FILES, min_size=1, max_size=3), ends=st.sampled_from(["\n", "\r\n"]))
def test_what_the_csv_module_writes_is_read_as_the_csv_module_reads_it(
    spark: SparkSession,
    tmp_path_factory: pytest.TempPathFactory,
    written: list[tuple[Sequence[str], list[Sequence[str]]]],
    ends: str,
) -> None:
    root = tmp_path_factory.mktemp("any")
    expected: dict[tuple[str, int], Mapping[str, str]] = {}
    for number, (names, rows) in enumerate(written):
        text = io.StringIO(newline="")
        csv.writer(text, lineterminator=ends, quoting=csv.QUOTE_ALL).writerows([names, *rows])
        land(root, f"{number}.csv", text.getvalue())
        read = csv.DictReader(io.StringIO(text.getvalue(), newline=""))
        expected |= {(f"{number}.csv", place): row for place, row in enumerate(read, start=1)}

    assert records(spark, root, Csv()) == expected
    assert Landing(root).count_rows(feed_of(Csv()), D1) == len(expected)


@pytest.mark.spark
def test_rows_of_parquet_keep_their_names_and_exact_values(spark: SparkSession, tmp_path: Path) -> None:
    at = datetime(2024, 3, 1, 10, 15, 0, 123456, UTC)
    land(tmp_path, "a.parquet", b"")
    first = pa.table({"id": [1, 2], "at": pa.array([at, None]), "price": [Decimal("1.10"), None], "tags": [["x"], []]})
    second = pa.table({"price": ["cheap"], "id": [3], "of": [{"name": "Ann", "age": None}]})
    pq.write_table(first, tmp_path / "orders" / f"landed_on={D1}" / "a.parquet")
    land(tmp_path, "b.parquet", b"")
    pq.write_table(second, tmp_path / "orders" / f"landed_on={D1}" / "b.parquet")

    assert records(spark, tmp_path, Parquet()) == {
        ("a.parquet", 1): {"id": 1, "at": "2024-03-01T10:15:00.123456Z", "price": 1.10, "tags": ["x"]},
        ("a.parquet", 2): {"id": 2, "at": None, "price": None, "tags": []},
        ("b.parquet", 1): {"price": "cheap", "id": 3, "of": {"name": "Ann", "age": None}},
    }
    assert Landing(tmp_path).count_rows(feed_of(Parquet()), D1) == 3


PARQUET = io.BytesIO()
pq.write_table(pa.table({"id": [1]}), PARQUET)
OTHER: list[tuple[Format, str, bytes, str]] = [
    (Lines(), "a.jsonl", ZIP.getvalue(), "it is a ZIP archive"),
    (Lines(), "a.jsonl", PARQUET.getvalue(), "it is Parquet"),
    (Lines(), "a.jsonl", GZIP, "it is gzip, of which the name does not end in .gz"),
    (Lines(), "a.jsonl", "Zoë\n".encode("latin-1"), "it is no UTF-8: invalid continuation byte"),
    (Lines(), "a.jsonl", b"a\n" * 2**20 + b"\xff\n", "it is no UTF-8: invalid start byte"),
    (Lines(), "a.jsonl.gz", gzip.compress(ZIP.getvalue()), "it is a ZIP archive"),
    (Lines(), "a.jsonl", b"a\0b\n", "it holds zero bytes, which no text does"),
    (Csv(), "a.csv", "id,name\n1,Zoë\n".encode("latin-1"), "it is no UTF-8: invalid continuation byte"),
    (Csv(), "a.csv", PARQUET.getvalue(), "it is Parquet"),
    (Csv(columns=("id", "name")), "a.csv", b"id,nmae\n1,x\n", "its header lacks 'name'; it has 'id', 'nmae'"),
    (Csv(), "a.csv", b"id,id\n1,2\n", "its header names 'id' twice"),
    (Csv(), "a.csv", b"id,\n1,2\n", "its header has a column without a name"),
    (Parquet(), "a.parquet", b"id,name\n", "it is no whole Parquet file: "),
    (Parquet(), "a.parquet", PARQUET.getvalue()[:-9], "it is no whole Parquet file: "),
]


@pytest.mark.parametrize(
    ("written", "name", "content", "problem"), OTHER, ids=[f"{name}-{problem}" for _, name, _, problem in OTHER]
)
def test_bytes_of_another_format_do_not_land(
    tmp_path: Path, written: Format, name: str, content: bytes, problem: str
) -> None:
    (tmp_path / name).write_bytes(content)

    with pytest.raises(CannotLand) as refused:
        deliver(Landing(tmp_path / "landing"), feed_of(written), D1, [tmp_path / name])

    assert refused.value.problems[str(tmp_path / name)].startswith(problem)
    assert not (tmp_path / "landing").exists()


@pytest.mark.spark
@pytest.mark.parametrize(
    "written", [Lines(), Csv(columns=("id", "name")), Parquet()], ids=lambda one: type(one).__name__
)
def test_a_file_of_another_format_is_one_row_that_says_so_beside_the_others(
    spark: SparkSession, tmp_path: Path, written: Format
) -> None:
    others = [(content, problem) for of, _, content, problem in OTHER if of == written and content[:2] != GZIP[:2]]
    for number, (content, _) in enumerate(others):
        land(tmp_path, f"{number}.x", content)
    land(tmp_path, "good", PARQUET.getvalue() if written == Parquet() else "id,name\n1,Ann\n")

    rows = Landing(tmp_path).read(spark, feed_of(written), [D1]).where("file <> 'good'").collect()

    assert {(row["file"], row["line"], row["line_number"], row["landed_on"]) for row in rows} == {
        (f"{number}.x", None, 0, D1) for number in range(len(others))
    }
    assert all(row["_problem"].startswith(others[int(row["file"][0])][1]) for row in rows)
    assert Landing(tmp_path).count_rows(feed_of(written), D1) == len(others) + (2 if written == Lines() else 1)


@pytest.mark.parametrize(
    "facts",
    [
        {"delimiter": ",,"},
        {"quote": ""},
        {"escape": "\n"},
        {"encoding": "klingon"},
        {"has_header": False},
        {"columns": ("id", "id")},
        {"columns": "id"},
    ],
    ids=str,
)
def test_a_malformed_dialect_is_refused(facts: dict[str, Any]) -> None:
    with pytest.raises(DeclarationError):
        Csv(**facts)
