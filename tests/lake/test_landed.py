"""One rule says which files of the landing folder are read; batch, streams and who asks what is left obey it."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest

from lake.batch.freshness import Deliveries
from lake.batch.survey import Survey
from lake.declare.days import Days
from lake.declare.feed import FileFeed, TopicFeed
from lake.declare.landed import any_but, folder_name
from lake.errors import FolderNotReadable, LandingDamaged
from lake.storage.archive import TopicArchive
from lake.storage.damage import still_unreadable
from lake.storage.landing import Landing
from lake.storage.unread import Unread, find_unread
from tests.lakes import without_spark
from tests.tiny import mark_files
from tests.tiny_topics import call_events
from tests.tiny_topics import calls_feed as topic_feed

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

DEPARTURES = TopicFeed("calls", "messages")
PLANES = FileFeed("planes", "a file")
FEEDS = ("calls", "planes")
D1, D2 = date(2013, 1, 1), date(2013, 1, 2)
YEAR = Days.between(D1, date(2013, 12, 31))

READ = (
    "landed_on=2013-01-01/a.jsonl",
    "landed_on=2013-01-01/a b%20[1]{2}*.jsonl",
    "landed_on=2013-01-01/tmp",
    "landed_on=2013-01-01/a.tmp.jsonl",
    "landed_on=2013-01-02/~a.jsonl",
)
HIDDEN = (
    "landed_on=2013-01-01/.a.jsonl.4711",
    "landed_on=2013-01-01/_SUCCESS",
    ".staging/landed_on=2013-01-01/a.jsonl",
)
NOT_READ = {
    "loose.jsonl": "lies beside the folders of days",
    "20130103/a.jsonl": "is no landing day (landed_on=YYYY-MM-DD)",
    "landed_on=2013-1-2/a.jsonl": "is no landing day (landed_on=YYYY-MM-DD)",
    "landed_on=20130103/a.jsonl": "is no landing day (landed_on=YYYY-MM-DD)",
    "landed_on=2013-02-30/a.jsonl": "is no landing day (landed_on=YYYY-MM-DD)",
    "20130104/landed_on=2013-01-04/a.jsonl": "is no landing day (landed_on=YYYY-MM-DD)",
    "landed_on=2013-01-01/a.jsonl.tmp": "has the name of a temporary file",
    "landed_on=2013-01-01/A.PART": "has the name of a temporary file",
    "landed_on=2013-01-01/a.jsonl~": "has the name of a temporary file",
    "landed_on=2013-01-01/a.jsonl._COPYING_": "has the name of a temporary file",
    "landed_on=2013-01-01/hour=1/a.jsonl": "lies in a sub-folder",
    "landed_on=2013-01-05/landed_on=2013-01-06/a.jsonl": "lies in a sub-folder",
}
"""What is not read; the reason names the first thing that is wrong on the way to the file."""


def fill(root: Path, feed: str) -> None:
    """Every file holds one message whose key, or line, is its own path."""
    for name in (*READ, *HIDDEN, *NOT_READ):
        file = root / feed / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({"key": name}) + "\n")


def test_a_day_has_the_plain_files_of_its_folder_and_no_others(tmp_path: Path) -> None:
    fill(tmp_path, "planes")
    landing = Landing(tmp_path)

    assert landing.days(PLANES) == [D1, D2]
    assert [landing.count_rows(PLANES, day) for day in (D1, D2)] == [4, 1]


def test_what_is_not_read_is_named_with_the_reason(tmp_path: Path) -> None:
    fill(tmp_path, "planes")

    found = {unread.path: (unread.reason, unread.files) for unread in find_unread(tmp_path, FEEDS, YEAR)}

    expected = {}
    for name, reason in NOT_READ.items():
        parts = name.split("/")
        shown = name if "temporary" in reason else "/".join(parts[:-1]) if "sub-folder" in reason else parts[0]
        expected[f"planes/{shown}"] = (reason, 1)
    assert found == expected


def test_days_outside_the_calendar_and_folders_of_no_feed_are_named(tmp_path: Path) -> None:
    for name in ("planes/landed_on=2012-12-31/a", "wether/landed_on=2013-01-01/a", "wether/b", "lost.csv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    for name in ("planes/landed_on=2014-01-01", "planes/20130101", "_manifest"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "_clock.json").touch()

    assert list(find_unread(tmp_path, FEEDS, YEAR)) == [
        Unread("lost.csv", "lies in no feed's folder"),
        Unread("planes/landed_on=2012-12-31", "outside the calendar 2013-01-01..2013-12-31"),
        Unread("wether", "no feed has this name", 2),
    ]
    assert list(find_unread(tmp_path / "nowhere", FEEDS, YEAR)) == []


def test_a_pipe_is_not_read_and_a_link_to_nothing_is_not_passed_over(tmp_path: Path) -> None:
    day = tmp_path / "planes" / "landed_on=2013-01-01"
    day.mkdir(parents=True)
    os.mkfifo(day / "pipe")
    (day / "gone.jsonl").symlink_to(day / "nothing.jsonl")

    assert [unread.path for unread in find_unread(tmp_path, FEEDS, YEAR)] == ["planes/landed_on=2013-01-01/pipe"]
    assert Landing(tmp_path).days(PLANES) == [D1]
    assert Landing(tmp_path).fingerprint(PLANES, D1) is not None


def batch(spark: SparkSession, landing: Landing, feed: Any) -> list[tuple[str, date]]:
    rows = landing.read(spark, feed, YEAR)
    return [(row["key"], row["_landed_on"]) for row in rows.collect()]


def stream(spark: SparkSession, landing: Landing, feed: Any, without: Sequence[str] = ()) -> list[tuple[str, date]]:
    found: list[tuple[str, date]] = []

    def keep(rows: DataFrame, _number: int) -> None:
        found.extend((row["key"], row["_landed_on"]) for row in rows.collect())

    rows = TopicArchive(landing).read_topic(spark, feed, YEAR.start, without)
    checkpoint = str(landing.root.parent / "checkpoint")
    rows.writeStream.foreachBatch(keep).option("checkpointLocation", checkpoint).trigger(
        availableNow=True
    ).start().awaitTermination()
    return found


@pytest.mark.spark
@pytest.mark.parametrize("read", [batch, stream])
def test_batch_and_streams_read_the_same_files(spark: SparkSession, tmp_path: Path, read: Callable[..., Any]) -> None:
    landing = Landing(tmp_path / "a home with = and %" / "landing")
    fill(landing.root, "calls")
    (landing.root / "calls" / "landed_on=2013-01-01" / "torn.gz.tmp").write_bytes(b"\x1f\x8b torn")

    assert sorted(read(spark, landing, DEPARTURES)) == sorted(
        (name, date.fromisoformat(name[len("landed_on=") :][:10])) for name in READ
    )


@pytest.mark.spark
def test_a_stream_leaves_folders_out_that_cannot_be_listed_and_reads_them_later(
    spark: SparkSession, tmp_path: Path
) -> None:
    landing = Landing(tmp_path / "a home with = and %" / "landing")
    days = [date(2013, 1, number) for number in (1, 2, 3, 13)]
    for day in days:
        file = landing.folder(DEPARTURES, day) / "a.jsonl"
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps({"key": "x"}) + "\n")
    left_out = [str(landing.folder(DEPARTURES, day)) for day in days[1:3]]

    assert sorted(day for _, day in stream(spark, landing, DEPARTURES, left_out)) == [days[0], days[3]]
    assert sorted(day for _, day in stream(spark, landing, DEPARTURES, left_out[1:])) == [days[1]]
    assert sorted(day for _, day in stream(spark, landing, DEPARTURES)) == [days[2]]


@pytest.mark.parametrize("left_out", [[D1], [D1, D2, date(2013, 1, 12), date(2012, 1, 1)]])
def test_a_pattern_matches_all_days_but_some(left_out: list[date]) -> None:
    glob = any_but(folder_name(day) for day in left_out)
    pattern = glob.replace("{", "(?:").replace("}", ")").replace(",", "|").replace("*", ".*")
    days = {*Days.between(date(2011, 1, 1), date(2014, 1, 1))}
    assert {day for day in days if re.fullmatch(pattern, folder_name(day))} == days - {*left_out}


@pytest.mark.spark
def test_lines_of_a_file_feed_come_from_the_same_files(spark: SparkSession, tmp_path: Path) -> None:
    fill(tmp_path, "planes")

    rows = Landing(tmp_path).read(spark, PLANES, YEAR).collect()

    assert sorted(json.loads(row["line"])["key"] for row in rows) == sorted(READ)
    assert {row["landed_on"] for row in rows} == {D1, D2}


@pytest.fixture
def nobody() -> Iterator[Path]:
    """A folder that anybody may enter, seen by somebody who may not read everything."""
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@contextmanager
def _as_nobody(*closed: Path) -> Iterator[None]:
    """As a user who may not read some folders; root may read everything."""
    before = os.geteuid()
    os.seteuid(65534 if before == 0 else before)
    try:
        yield
    finally:
        os.seteuid(before)
        for folder in closed:
            folder.chmod(0o755)


def test_files_and_folders_without_permission_are_named_with_their_day(nobody: Path) -> None:
    for name in ("landed_on=2013-01-01/good", "landed_on=2013-01-01/closed", "landed_on=2013-01-02/good"):
        (nobody / "planes" / name).parent.mkdir(parents=True, exist_ok=True)
        (nobody / "planes" / name).write_text("x\n")
    closed, folder = nobody / "planes/landed_on=2013-01-01/closed", nobody / "planes/landed_on=2013-01-02"
    for path in (closed, folder):
        path.chmod(0)
    with _as_nobody(folder):
        landing = Landing(nobody)
        found = landing.find_damaged(PLANES, landing.days(PLANES))
        marks = landing.landed(PLANES)
        delivered = TopicArchive(landing).delivered(replace(DEPARTURES, name="planes"))
        shut = TopicArchive(landing).closed(replace(DEPARTURES, name="planes"))
        unreadable = TopicArchive(landing).unreadable(replace(DEPARTURES, name="planes"), date(2013, 2, 1))
        still = still_unreadable(landing.location, [str(folder)])

    assert set(delivered) == {"landed_on=2013-01-01/good", "landed_on=2013-01-01/closed"}
    assert shut == unreadable == still == {str(folder): "Permission denied"}
    assert still_unreadable(landing.location, [str(folder)]) == {}, "it is open now"
    assert found == {D1: {str(closed): "Permission denied"}, D2: {str(folder): "Permission denied"}}
    assert set(marks) == {D1, D2}


def test_a_feed_whose_folder_cannot_be_read_is_named_and_keeps_no_other_table_waiting(nobody: Path) -> None:
    tables = [call_events, mark_files]
    for name in ("calls", "marks_feed"):
        (nobody / "landing" / name / "landed_on=2013-01-01").mkdir(parents=True)
        (nobody / "landing" / name / "landed_on=2013-01-01" / "a").write_text("x\n")
    store = without_spark(nobody)
    for folder in (nobody, nobody / "landing"):
        folder.chmod(0o755)
    closed, feed = nobody / "landing" / "calls", topic_feed
    closed.chmod(0)
    with _as_nobody(closed):
        for ask in (store.landing.days, store.landing.landed):
            with pytest.raises(FolderNotReadable, match=f"{closed}: cannot be read: Permission denied"):
                ask(feed)
        with pytest.raises(FolderNotReadable):
            TopicArchive(store.landing).delivered(topic_feed)
        with pytest.raises(FolderNotReadable):
            store.landing.files(feed, D1)
        states = Survey(tables, store, YEAR).states
        glance, waiting = store.landing.glance(feed), store.landing.waiting_since(feed, D1, None)
        lack, awaited = Deliveries(store).lack(tables[0], feed, D1), Deliveries(store).awaited(tables, D1)

    assert isinstance(states["bronze.call_events"].unreadable, FolderNotReadable)
    assert states["bronze.mark_files"].missing == {D1: "never computed"}
    assert waiting is None
    assert glance != store.landing.glance(feed)
    assert lack == f"calls of 2013-01-01: {closed} cannot be read"
    assert awaited == {feed: {tables[0]}}, "it counts as not delivered"


@pytest.mark.parametrize("level", ["file", "day", "feed"])
def test_a_link_that_leads_out_of_the_landing_folder_is_refused_by_name(tmp_path: Path, level: str) -> None:
    landing, elsewhere = Landing(tmp_path / "landing"), tmp_path / "elsewhere"
    file = landing.folder(DEPARTURES, D1) / "a.jsonl"
    link = {"file": file, "day": file.parent, "feed": file.parent.parent}[level]
    target = elsewhere / link.relative_to(landing.root)
    (elsewhere / file.relative_to(landing.root)).parent.mkdir(parents=True)
    (elsewhere / file.relative_to(landing.root)).write_text("{}\n")
    link.parent.mkdir(parents=True)
    link.symlink_to(target)

    assert landing.find_leading_out(DEPARTURES, [D1]) == {D1: {str(file): "is a link that leads out of landing/"}}
    with pytest.raises(LandingDamaged, match=re.escape(str(file))):
        TopicArchive(landing).delivered(DEPARTURES)
    (unread,) = find_unread(landing.root, [DEPARTURES.name], Days.of(D1))
    assert unread.reason == "is a link that leads out of landing/"


def test_a_link_within_the_landing_folder_is_read(tmp_path: Path) -> None:
    (tmp_path / "landing").mkdir()
    (tmp_path / "mounted").symlink_to(tmp_path / "landing")
    landing = Landing(tmp_path / "mounted")
    first, second = (landing.folder(DEPARTURES, D1) / name for name in ("a.jsonl", "b.jsonl"))
    first.parent.mkdir(parents=True)
    first.write_text("{}\n")
    second.symlink_to(first)

    assert landing.find_leading_out(DEPARTURES, [D1]) == {}
    assert sorted(TopicArchive(landing).delivered(DEPARTURES)) == [
        "landed_on=2013-01-01/a.jsonl",
        "landed_on=2013-01-01/b.jsonl",
    ]
    assert list(find_unread(landing.root, [DEPARTURES.name], Days.of(D1))) == []
