"""Feeds: what lies in the landing folder becomes rows, whatever lies there besides."""

from __future__ import annotations

import gzip
import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from lake.declare.feed import FILE_FRAME, TOPIC_FRAME, FileFeed, TopicFeed
from lake.storage.landing import Landing
from lake.testing.frames import rows_of

DEPARTURES = TopicFeed("departures", "messages")
PLANES = FileFeed("planes", "a file")
D1, D2 = date(2013, 1, 1), date(2013, 1, 2)
MESSAGE: dict[str, Any] = {
    "key": "2013-01-01|UA|1545|EWR",
    "value": '{"carrier":"UA"}',
    "topic": "departures",
    "partition": 2,
    "offset": 4749000007,
    "timestamp": "2013-01-01T10:17:41.123Z",
}


def put(root: Path, feed: str, folder: str, file: str, content: str | bytes) -> Path:
    path = root / feed / folder / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_landing_days_are_those_with_files_and_nothing_else(tmp_path: Path) -> None:
    put(tmp_path, "planes", "landed_on=2013-01-02", "planes.jsonl", "x\n")
    put(tmp_path, "planes", "landed_on=2013-01-01", "planes.jsonl", "x\n")
    put(tmp_path, "planes", "landed_on=2013-01-03", ".planes.jsonl.4711", "half written")
    put(tmp_path, "planes", "landed_on=2013-01-04", "_SUCCESS", "")
    put(tmp_path, "planes", "landed_on=2013-02-30", "planes.jsonl", "x\n")
    put(tmp_path, "planes", "landed_on=2013-01-01' OR 1=1", "planes.jsonl", "x\n")
    put(tmp_path, "planes", "somewhere else", "planes.jsonl", "x\n")
    (tmp_path / "planes" / "landed_on=2013-01-05").mkdir()
    (tmp_path / "planes" / "landed_on=2013-01-06").write_text("a file where a folder belongs")

    assert Landing(tmp_path).days(PLANES) == [D1, D2]
    assert Landing(tmp_path / "nowhere").days(PLANES) == []


def test_a_fingerprint_follows_names_sizes_and_times(tmp_path: Path) -> None:
    landing = Landing(tmp_path)
    assert landing.fingerprint(PLANES, D1) is None

    file = put(tmp_path, "planes", "landed_on=2013-01-01", "planes.jsonl", "x\n")
    first = landing.fingerprint(PLANES, D1)
    put(tmp_path, "planes", "landed_on=2013-01-01", ".hidden", "half written")
    assert landing.fingerprint(PLANES, D1) == first

    file.write_text("xy\n")
    second = landing.fingerprint(PLANES, D1)
    file.rename(file.with_name("other.jsonl"))
    third = landing.fingerprint(PLANES, D1)
    assert len({first, second, third}) == 3


def test_what_has_landed_in_a_feed_are_the_files_of_its_days(tmp_path: Path) -> None:
    landing = Landing(tmp_path)
    for day, size in ((D2, 1), (D1, 2)):
        put(tmp_path, "planes", f"landed_on={day}", "planes.jsonl", "x" * size)
    (tmp_path / "planes" / "landed_on=2013-01-05").mkdir()

    landed = {day: {name: file.size for name, file in files.items()} for day, files in landing.landed(PLANES).items()}
    assert landed == {D1: {"planes.jsonl": 2}, D2: {"planes.jsonl": 1}}
    assert Landing(tmp_path / "nowhere").landed(PLANES) == {}


def test_a_glance_sees_files_that_come_and_go_and_the_newest_one_grow(tmp_path: Path) -> None:
    landing = Landing(tmp_path)
    seen = [landing.glance(PLANES)]

    put(tmp_path, "planes", "landed_on=2013-01-01", "planes.jsonl", "x\n")
    seen.append(landing.glance(PLANES))
    newest = put(tmp_path, "planes", "landed_on=2013-01-02", "planes.jsonl", "x\n")
    seen.append(landing.glance(PLANES))
    newest.write_text("x\ny\n")
    seen.append(landing.glance(PLANES))
    (tmp_path / "planes" / "landed_on=2013-01-05").mkdir()  # made ahead of time, and empty
    seen.append(landing.glance(PLANES))
    newest.write_text("x\ny\nz\n")
    seen.append(landing.glance(PLANES))
    newest.unlink()
    seen.append(landing.glance(PLANES))

    assert len(set(seen)) == len(seen)
    assert landing.glance(PLANES) == seen[-1]


@pytest.mark.spark
def test_a_message_keeps_every_column(spark: SparkSession, tmp_path: Path) -> None:
    headers = [{"key": "source", "value": "gate 7"}, {"key": "source"}, {"key": "bytes", "base64": "/w=="}]
    lines = [MESSAGE | {"headers": headers}, MESSAGE | {"offset": 1, "value": None}]
    content = "".join(json.dumps(line) + "\n" for line in lines)
    put(tmp_path, "departures", "landed_on=2013-01-01", "a.jsonl", content)

    rows = Landing(tmp_path).read(spark, DEPARTURES, [D1])

    assert [(f.name, f.dataType) for f in rows.schema] == [(f.name, f.dataType) for f in TOPIC_FRAME]
    read = {"timestamp": "2013-01-01T10:17:41Z", "_raw": None, "_landed_on": "2013-01-01"}
    assert rows_of(rows, *TOPIC_FRAME.names) == [
        {**MESSAGE, **read, "headers": json.dumps(headers, separators=(",", ":"))},
        {**MESSAGE, **read, "headers": None, "offset": 1, "value": None},
    ]


@pytest.mark.spark
@pytest.mark.parametrize(
    "line",
    [
        '{"key": "a", "value": "half a li',
        "not json at all",
        '{"key": "a", "offset": "seven", "topic": "departures"}',
        '{"key": "a", "timestamp": "yesterday", "topic": "departures"}',
    ],
)
def test_an_envelope_that_cannot_be_read_is_kept_as_it_was(spark: SparkSession, tmp_path: Path, line: str) -> None:
    put(tmp_path, "departures", "landed_on=2013-01-01", "a.jsonl", f"{line}\n{json.dumps(MESSAGE)}\n")

    rows = Landing(tmp_path).read(spark, DEPARTURES, [D1])

    assert {(row["offset"], row["_raw"]) for row in rows_of(rows, *TOPIC_FRAME.names)} == {
        (None, line),
        (MESSAGE["offset"], None),
    }


@pytest.mark.spark
def test_a_file_is_kept_line_by_line(spark: SparkSession, tmp_path: Path) -> None:
    content = 'first\r\n\r\n  third with ümlaut  \n\n{"fifth": 1}\nlast without end'
    put(tmp_path, "planes", "landed_on=2013-01-01", "planes.jsonl", content)
    put(tmp_path, "planes", "landed_on=2013-01-02", "empty.jsonl", "")

    rows = Landing(tmp_path).read(spark, PLANES, [D1, D2])

    assert [(f.name, f.dataType) for f in rows.schema] == [(f.name, f.dataType) for f in FILE_FRAME]
    assert sorted((row["line_number"], row["line"]) for row in rows_of(rows)) == [
        (1, "first"),
        (3, "  third with ümlaut  "),
        (5, '{"fifth": 1}'),
        (6, "last without end"),
    ]


@pytest.mark.spark
def test_a_file_that_is_no_text_does_not_stop_the_others(spark: SparkSession, tmp_path: Path) -> None:
    put(tmp_path, "planes", "landed_on=2013-01-01", "latin.jsonl", b"good\nZo\xeb\ngood again\n")
    put(tmp_path, "planes", "landed_on=2013-01-01", "planes.jsonl", "good\nZoë\n")

    rows = rows_of(Landing(tmp_path).read(spark, PLANES, [D1]), "file", "line_number", "line", "_problem")

    assert rows == [
        {
            "file": "latin.jsonl",
            "line_number": 0,
            "line": None,
            "_problem": "it is no UTF-8: invalid continuation byte",
        },
        {"file": "planes.jsonl", "line_number": 1, "line": "good", "_problem": None},
        {"file": "planes.jsonl", "line_number": 2, "line": "Zoë", "_problem": None},
    ]


@pytest.mark.spark
@pytest.mark.parametrize("feed", [DEPARTURES, PLANES], ids=lambda feed: feed.name)
def test_days_on_which_nothing_landed_give_an_empty_frame_of_the_same_columns(
    spark: SparkSession, tmp_path: Path, feed: Any
) -> None:
    rows = Landing(tmp_path).read(spark, feed, [D1])

    assert rows.schema == feed.schema
    assert rows.collect() == []


@pytest.mark.spark
def test_a_file_that_is_being_written_is_not_read(spark: SparkSession, tmp_path: Path) -> None:
    put(tmp_path, "planes", "landed_on=2013-01-01", "planes.jsonl", "whole\n")
    put(tmp_path, "planes", "landed_on=2013-01-01", ".planes-2.jsonl.4711", "half")

    assert [row["line"] for row in rows_of(Landing(tmp_path).read(spark, PLANES, [D1]))] == ["whole"]


HOSTILE_LINES = (
    b"whole\n",
    b"",
    b"\n\n",
    b"  \t \n",
    b"unended",
    b"windows\r\n\r\nends\r\n",
    b"old\rmac\rends",
    b"\xff\xfe\x00no text\n",
    "line\u2028separator\u0085and next line\n".encode(),
    b"\n\nfirst after blanks\n\n\n",
    b"tab\x0bfeed\x0c\n",
    b"\r",
)


@pytest.mark.spark
@pytest.mark.parametrize("feed", [DEPARTURES, PLANES], ids=lambda feed: feed.name)
def test_rows_are_counted_without_spark_as_spark_reads_them(spark: SparkSession, tmp_path: Path, feed: Any) -> None:
    landing = Landing(tmp_path)
    for number, content in enumerate(HOSTILE_LINES):
        put(tmp_path, feed.name, f"landed_on=2013-01-{number + 1:02}", "a.jsonl", content)
    days = landing.days(feed)

    counted = {day: landing.count_rows(feed, day) for day in days}

    assert counted == {day: len(landing.read(spark, feed, [day]).collect()) for day in days}
    assert len(days) == len(HOSTILE_LINES)


@pytest.mark.spark
@pytest.mark.parametrize("feed", [DEPARTURES, PLANES], ids=lambda feed: feed.name)
def test_rows_of_a_compressed_file_are_counted_as_spark_reads_them(
    spark: SparkSession, tmp_path: Path, feed: Any
) -> None:
    put(tmp_path, feed.name, "landed_on=2013-01-01", "a.jsonl.gz", gzip.compress(b"one\ntwo\n"))
    landing = Landing(tmp_path)

    assert landing.count_rows(feed, D1) == len(landing.read(spark, feed, [D1]).collect()) == 2
