"""Landing on S3 lists, reads and takes files as a folder does; no Spark."""

from __future__ import annotations

import gzip
import io
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lake.declare.days import Days
from lake.declare.feed import FileFeed, TopicFeed
from lake.declare.formats import Csv, Format, Lines, Parquet
from lake.errors import CannotLand
from lake.project.settings import Settings
from lake.storage.archive import TopicArchive
from lake.storage.deliver import deliver
from lake.storage.landed_files import Changes, changes_since
from lake.storage.landing import Landing
from lake.storage.s3 import options_of
from lake.storage.store_path import StorePath, copy_tree
from lake.storage.unread import find_unread
from tests.s3.server import BUCKET, Server

D1, D2, D3 = Days.parse("2013-01-01..2013-01-03")
MARKS, HOURLY = FileFeed("marks", "lines"), FileFeed("hourly", "", lies_at="events/{day:%Y/%m/%d}/{hour}/*.jsonl.gz")
CALENDAR = Days(D1, D2)


@pytest.fixture
def landing(s3_settings: Settings, tmp_path: Path) -> Landing:
    """An empty landing folder on S3."""
    location = f"s3://{BUCKET}/{tmp_path.name}"
    return Landing(StorePath(location, (), options_of(location, s3_settings.storage_options)))


def put(s3: Server, landing: Landing, name: str, content: bytes) -> None:
    prefix = str(landing.location).removeprefix(f"s3://{BUCKET}/")
    s3.client().put_object(Bucket=BUCKET, Key=f"{prefix}/{name}", Body=content)


def test_files_are_listed_by_feed_and_day(s3: Server, landing: Landing) -> None:
    names = ["b.jsonl", "a% +é.jsonl", ".hidden", "_SUCCESS", "half.tmp", "sub/deep.jsonl"]
    for name in names:
        put(s3, landing, f"marks/landed_on=2013-01-02/{name}", b"1\n\n2\n")
    put(s3, landing, "marks/landed_on=2013-01-01/", b"")  # some programs write an object for a folder
    put(s3, landing, "marks/landed_on=2013-13-01/a.jsonl", b"1\n")
    put(s3, landing, "marks2/landed_on=2013-01-03/a.jsonl", b"1\n")
    put(s3, landing, "events/2013/01/03/07/x.jsonl.gz", gzip.compress(b"1\n2\n3\n"))
    put(s3, landing, "events/2013/01/03/25/x.jsonl.gz", b"no such hour")

    assert landing.days(MARKS) == [D2]
    assert list(landing.files(MARKS, D2)) == ["a% +é.jsonl", "b.jsonl"]
    assert landing.files_by_day(MARKS, [D1, D2]) == {D1: {}, D2: landing.landed(MARKS)[D2]}
    assert landing.count_rows(MARKS, D2) == 4
    assert {day: list(files) for day, files in landing.landed(HOURLY).items()} == {
        D3: ["events/2013/01/03/07/x.jsonl.gz"]
    }
    assert landing.count_rows(HOURLY, D3) == 3


def test_the_fingerprint_changes_with_a_file(s3: Server, landing: Landing) -> None:
    empty = landing.glance(MARKS)
    put(s3, landing, "marks/landed_on=2013-01-01/a.jsonl", b"1\n")
    one, of_day = landing.glance(MARKS), landing.fingerprint(MARKS, D1)
    assert (landing.glance(MARKS), landing.fingerprint(MARKS, D1)) == (one, of_day)
    put(s3, landing, "marks/landed_on=2013-01-01/a.jsonl", b"12\n")

    assert len({empty, one, landing.glance(MARKS)}) == 3
    assert landing.fingerprint(MARKS, D1) != of_day
    assert landing.fingerprint(MARKS, D2) is None


def test_equal_content_is_equal_whatever_its_time(s3: Server, landing: Landing) -> None:
    put(s3, landing, "marks/landed_on=2013-01-01/a.jsonl", b"1\n")
    size, _, digest = landing.files(MARKS, D1)["a.jsonl"].mark()
    earlier = [size, 1, digest]

    assert changes_since({"a.jsonl": earlier}, landing.files(MARKS, D1)) == Changes()
    put(s3, landing, "marks/landed_on=2013-01-01/a.jsonl", b"2\n")
    put(s3, landing, "marks/landed_on=2013-01-01/b.jsonl", b"1\n")
    now = landing.files(MARKS, D1)
    assert changes_since({"a.jsonl": earlier, "c.jsonl": earlier}, now) == Changes(("c.jsonl",), ("a.jsonl", "b.jsonl"))


def test_files_land_whole_and_once(landing: Landing, tmp_path: Path) -> None:
    file, large = tmp_path / "a.jsonl", tmp_path / "large.jsonl"
    file.write_text("1\n")
    large.write_bytes(b"0123456789abcde\n" * 2**20)  # more than one part
    done = deliver(landing, MARKS, D1, [file, large])
    again = deliver(landing, MARKS, D1, [file, large])
    hourly = tmp_path / "x.jsonl.gz"
    hourly.write_bytes(gzip.compress(b"1\n"))
    deliver(landing, HOURLY, D2, [hourly], hour=7)

    assert (done.new, again.new, again.same) == (("a.jsonl", "large.jsonl"), (), ("a.jsonl", "large.jsonl"))
    assert landing.files(MARKS, D1)["large.jsonl"].path.read_bytes() == large.read_bytes()
    assert list(landing.files(HOURLY, D2)) == ["events/2013/01/02/07/x.jsonl.gz"]
    file.write_text("2\n")
    with pytest.raises(CannotLand, match="another file of this name landed before"):
        deliver(landing, MARKS, D1, [file])


def test_a_file_that_cannot_be_read_to_its_end_does_not_land(landing: Landing, tmp_path: Path) -> None:
    class Torn(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell():
                raise OSError("the disk is gone")
            return super().read(size)

    assert isinstance(landing.location, StorePath)
    handler = landing.location._files.handler
    with pytest.raises(OSError, match="gone"):
        handler.put("marks/landed_on=2013-01-01/a.jsonl", Torn(b"0" * 2**21))

    assert landing.days(MARKS) == []


def parquet() -> bytes:
    written = io.BytesIO()
    pq.write_table(pa.table({"a": [1, 2, 3]}), written)
    return written.getvalue()


@pytest.mark.parametrize(
    ("written", "content", "rows"),
    [(Lines(), b"1\n2\n", 2), (Csv(("a",)), b'a,b\n"x\ny",2\n', 1), (Parquet(), parquet(), 3)],
    ids=["lines", "csv", "parquet"],
)
def test_formats_count_and_judge_as_in_a_folder(
    s3: Server, landing: Landing, tmp_path: Path, written: Format, content: bytes, rows: int
) -> None:
    feed = FileFeed("marks", "", format=written)
    near = Landing(tmp_path)
    folder = tmp_path / "marks" / "landed_on=2013-01-01"
    folder.mkdir(parents=True)
    for name, held in {"good": content, "torn": content[:-3] + b"\xff", "zip": b"PK\x03\x04 and more"}.items():
        put(s3, landing, f"marks/landed_on=2013-01-01/{name}", held)
        (folder / name).write_bytes(held)
    far_files, near_files = landing.files(feed, D1), near.files(feed, D1)
    judged = {name: feed.problem(file.path) for name, file in far_files.items()}

    assert feed.count_rows(far_files["good"].path) == rows
    assert judged == {name: feed.problem(file.path) for name, file in near_files.items()}
    assert judged["good"] is None
    assert judged["zip"]
    assert landing.count_rows(feed, D1) == near.count_rows(feed, D1)


def test_what_no_table_reads_is_named_as_in_a_folder(landing: Landing, tmp_path: Path) -> None:
    names = [
        "marks/landed_on=2013-01-01/a.jsonl", "marks/landed_on=2013-01-01/a.tmp", "marks/loose", "marks/sub/x",
        "marks/landed_on=2013-01-01/sub/x", "marks/landed_on=2013-01-01/sub/y", "marks/landed_on=2013-01-03/a.jsonl",
        "marks/_hidden/x", "typo/landed_on=2013-01-01/a.jsonl", "loose.jsonl", ".clock",
        "events/2013/01/01/07/x.jsonl.gz", "events/2013/01/03/07/x.jsonl.gz", "events/2013/01/01/x.jsonl.gz",
    ]  # fmt: skip
    for name in names:
        (tmp_path / "near" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "near" / name).write_bytes(b"1\n")
    copy_tree(tmp_path / "near", landing.location)
    assert HOURLY.pattern is not None
    near, far = (
        set(find_unread(place, ["marks"], CALENDAR, [HOURLY.pattern]))
        for place in (tmp_path / "near", landing.location)
    )

    assert near == far
    assert len(far) == 9


def test_an_archive_tells_of_its_files(s3: Server, landing: Landing) -> None:
    topic = TopicFeed("calls", "")
    put(s3, landing, "calls/landed_on=2013-01-01/a.jsonl", b"1\n")
    put(s3, landing, "calls/landed_on=2013-01-02/b.jsonl.gz", gzip.compress(b"1\n" * 5000)[:-9])
    archive = TopicArchive(landing)

    assert (archive.first_day(topic), archive.first_day(TopicFeed("none", ""))) == (D1, None)
    assert list(archive.delivered(topic)) == ["landed_on=2013-01-01/a.jsonl", "landed_on=2013-01-02/b.jsonl.gz"]
    assert list(archive.unreadable(topic, D1)) == [f"{landing.location}/calls/landed_on=2013-01-02/b.jsonl.gz"]
    assert archive.closed(topic) == {}
    assert landing.waiting_since(topic, D2, None) is not None
    assert (landing.count_waiting(topic, D1, None), landing.waiting_since(topic, date(2013, 1, 3), None)) == (
        None,
        None,
    )
