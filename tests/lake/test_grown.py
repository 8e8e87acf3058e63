"""Of an hourly drop only the new files are read, and bronze is as if all had been."""

from __future__ import annotations

import gzip
import os
import pydoc
import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyspark.sql.functions as F
import pytest
from pyspark.sql import DataFrame, SparkSession, Window

from lake.batch.inputs import pin_inputs
from lake.batch.refresh import Receipt, refresh
from lake.batch.survey import Survey
from lake.declare.across_days import reads_files_apart
from lake.declare.days import ALL_DAYS, Days
from lake.declare.feed import FileFeed
from lake.declare.formats import Lines, Place
from lake.declare.received import received
from lake.declare.source_file import SourceFile
from lake.declare.table import Table
from lake.ownership.ledger import Ledger
from lake.storage import landed_files
from lake.testing.lakes import interpreted, open_lake, quarantined, stored_rows
from lake.write.enforce import Counts
from lake.write.horizon import Horizon
from lake.write.store import DeltaStore
from tests.tiny import mark_files

pytestmark = pytest.mark.spark

D1, D2 = date(2024, 3, 1), date(2024, 3, 2)
BOTH = Days.between(D1, D2)
NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)
OPENED = Counter[str]()
"""How often each file was opened, by its path under the landing folder: to look whether it can be read, or by Spark."""

BREAKS = ("line:not_null", "line_number:greater_than_or_equal_to")
"""The rules that the row of a file breaks of which nothing is read."""


class Noted(Lines):
    """Lines, of which is noted which files are opened."""

    def problem(self, file: SourceFile) -> str | None:
        OPENED["/".join(file.parts[-5:])] += 1
        return super().problem(file)

    def read(self, spark: SparkSession, files: Sequence[SourceFile], place: Place) -> DataFrame:
        OPENED.update("/".join(file.parts[-5:]) for file in files)
        return super().read(spark, files, place)


CALLS = FileFeed("calls", "calls, a file an hour", format=Noted(), lies_at="calls/{day:%Y/%m/%d}/*")


@received(CALLS, fresh_within=timedelta(hours=2), owner="team:calls", layer="bronze")
def call_lines() -> None:
    """One row per call."""


@dataclass
class Drop:
    """What landed, in memory: the oracle, which knows neither Spark nor the lake."""

    store: DeltaStore
    lines: dict[str, list[str] | None] = field(default_factory=dict)
    times: dict[str, datetime] = field(default_factory=dict)

    def land(self, day: date, name: str, lines: list[str] | None, minutes: int = 0) -> str:
        """Let a file of lines land, or an archive, of which nothing is read (None)."""
        path = f"calls/{day:%Y/%m/%d}/{name}"
        file = self.store.landing.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"PK\x03\x04" if lines is None else "".join(f"{line}\n" for line in lines).encode())
        self.lines[path], self.times[path] = lines, NOON + timedelta(minutes=minutes)
        self.touch(path, self.times[path])
        return path

    def touch(self, path: str, at: datetime) -> None:
        nanoseconds = int(at.timestamp()) * 10**9
        os.utime(self.store.landing.root / path, ns=(nanoseconds, nanoseconds))

    def rows(self) -> list[tuple[Any, ...]]:
        return sorted(
            (path, number, line, day_of(path), self.times[path])
            for path, lines in self.lines.items()
            for number, line in enumerate(lines or (), start=1)
            if line
        )

    def counts(self) -> dict[date, Counts]:
        found = dict.fromkeys(BOTH, Counts())
        for path, lines in self.lines.items():
            kept = sum(bool(line) for line in lines or ())
            found[day_of(path)] += Counts(1, 0, 1) if lines is None else Counts(kept, kept)
        return found

    def check(self, receipt: Receipt | None = None) -> None:
        """Hold bronze, its quarantine and its ledger against what landed."""
        stored = stored_rows(self.store, call_lines)
        names = ("file", "line_number", "line", "landed_on", "landed_at")
        assert sorted(tuple(row[name] for name in names) for row in stored) == self.rows()
        broken = sorted(path for path, lines in self.lines.items() if lines is None)
        assert sorted(row["row"]["file"] for row in quarantined(self.store, call_lines)) == broken
        entries = Ledger(self.store).latest(call_lines.full_name)
        assert {day: entries[day].counts for day in BOTH} == self.counts()
        for day in BOTH:
            marks = entries[day].inputs["feed:calls"] or {}
            assert sorted(marks) == sorted(path for path in self.lines if day_of(path) == day)
        if receipt is not None:
            assert receipt.counts == self.counts()
            assert receipt.rules == (dict.fromkeys(BREAKS, len(broken)) if broken else {})
        state = Survey([call_lines], self.store, BOTH).states[call_lines.full_name]
        assert (state.missing, state.stale, state.lost, state.foreign) == ({}, {}, {}, {})


def day_of(path: str) -> date:
    return date(*map(int, path.split("/")[1:4]))


@contextmanager
def opened() -> Iterator[set[str]]:
    """The files that are opened meanwhile, also to hash them."""
    found, hash_of = set[str](), landed_files.content_hash
    OPENED.clear()

    def noting(path: Path) -> str:
        OPENED["/".join(path.parts[-5:])] += 1
        return hash_of(path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(landed_files, "content_hash", noting)
        yield found
    found |= set(OPENED)


@pytest.fixture(scope="module")
def computed(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Drop:
    """Three files of two days, computed once, of which each test gets a copy."""
    landed = Drop(open_lake(tmp_path_factory.mktemp("computed"), spark))
    landed.land(D1, "00.jsonl", ["a", "b", "", "a"])
    landed.land(D1, "01.jsonl", None)
    landed.land(D2, "00.jsonl", ["c"])
    with interpreted(spark):
        refresh(call_lines, landed.store, BOTH)
    return landed


@pytest.fixture
def drop(computed: Drop, store: DeltaStore, tmp_path: Path) -> Drop:
    shutil.copytree(computed.store.landing.root.parent, tmp_path, dirs_exist_ok=True)
    return Drop(store, dict(computed.lines), dict(computed.times))


def test_only_new_files_are_opened(drop: Drop) -> None:
    with opened() as seen:
        refresh(call_lines, drop.store, BOTH)
    assert seen == set(drop.lines), "a control: without a new file a refresh that is asked for reads all"

    for unless_equal in (False, True):
        new = {
            drop.land(D1, f"1{unless_equal:d}.jsonl", ["d", "a"]),
            drop.land(D2, f"2{unless_equal:d}.jsonl", None),
            drop.land(D2, f"3{unless_equal:d}.jsonl", []),
        }
        with opened() as seen:
            receipt = refresh(call_lines, drop.store, BOTH, unless_equal=unless_equal)
        assert seen == new
        assert receipt.outcomes == {D1: "written", D2: "unchanged"}
        drop.check(receipt)


def test_a_file_that_was_read_is_not_read_again_whatever_it_would_say(drop: Drop) -> None:
    """Of the same size and time it counts as the same, so that only who opens it can see that it is not."""
    old = "calls/2024/03/01/00.jsonl"
    (drop.store.landing.root / old).write_text("x\ny\n\nx\n")
    drop.touch(old, drop.times[old])
    drop.land(D1, "02.jsonl", ["d"])

    refresh(call_lines, drop.store, BOTH)
    drop.check()

    refresh(call_lines, drop.store, BOTH)
    assert "x" in {row["line"] for row in stored_rows(drop.store, call_lines)}, "a control: here it is opened"


def other_content(drop: Drop) -> None:
    drop.land(D1, "00.jsonl", ["z", "z"], minutes=1)


def other_times(drop: Drop) -> None:
    for path in drop.lines:
        drop.touch(path, NOON + timedelta(days=1))


def rows_gone(drop: Drop) -> None:
    log = drop.store.table_log(call_lines)
    log.require().delete("line = 'b'")


def rejects_gone(drop: Drop) -> None:
    drop.store.log(drop.store.quarantine_path(call_lines)).require().delete()


@pytest.mark.parametrize("happens", [other_content, rows_gone, rejects_gone])
def test_where_bronze_may_not_be_as_it_was_computed_the_day_is_read_whole(
    drop: Drop, happens: Callable[[Drop], None]
) -> None:
    happens(drop)
    drop.land(D1, "02.jsonl", ["d"])

    with opened() as seen:
        receipt = refresh(call_lines, drop.store, BOTH)

    assert seen >= {path for path in drop.lines if day_of(path) == D1}
    drop.check(receipt)


@pytest.mark.parametrize("how", ["other code", "fail", "other calendar", "first release"])
def test_where_a_whole_read_could_judge_otherwise_the_day_is_read_whole(
    drop: Drop, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, horizon = call_lines, Horizon(datetime.now(UTC))
    if how == "other code":
        monkeypatch.setattr(Table, "is_computed_by", lambda *_: False)
    elif how == "fail":
        table = replace(call_lines, policy="fail")
    elif how == "other calendar":
        horizon = Horizon(datetime.now(UTC), Days(date(2024, 1, 1), ALL_DAYS.end))
    else:
        (drop.store.landing.root / "calls/2024/03/01/00.jsonl").touch()
        entry = Ledger(drop.store).latest(call_lines.full_name)[D1]
        Ledger(drop.store).record([replace(entry, inputs={"feed:calls": "one hash of them all"})])
    drop.land(D1, "02.jsonl", ["d"])

    with opened() as seen:
        refresh(table, drop.store, Days.of(D1), horizon=horizon)

    assert seen >= {path for path in drop.lines if day_of(path) == D1}


def test_a_series_of_drops_gives_what_one_read_of_all_gives(drop: Drop, tmp_path: Path, spark: SparkSession) -> None:
    chance = random.Random(128)  # of which each thing below happens, and nothing lands before one of the steps
    for step in range(7):
        for number in range(chance.randrange(4)):
            day, kind = chance.choice([D1, D2]), chance.random()
            lines = None if kind < 0.2 else [chance.choice("abc") for _ in range(chance.randrange(4))]
            drop.land(day, f"{step:02}-{number}.jsonl", lines, minutes=step)
        if chance.random() < 0.3:
            drop.land(D1, "00.jsonl", [f"corrected {step}"], minutes=step)
        days = chance.choice([BOTH, BOTH, Days.of(D1)])
        refresh(call_lines, drop.store, days, unless_equal=chance.random() < 0.5)
        if days == BOTH and chance.random() < 0.3:
            other_times(drop)
        if chance.random() < 0.2:
            drop.store.compact(call_lines, BOTH)
    drop.check(refresh(call_lines, drop.store, BOTH))

    whole = open_lake(tmp_path / "whole", spark, landing=drop.store.landing.root)
    refresh(call_lines, whole, BOTH)

    def told(lake: DeltaStore) -> list[list[dict[str, Any]]]:
        """Rows and rejects; a file that was touched alone keeps the time at which it was read."""
        rejects = [{**row, "row": {**row["row"], "landed_at": None}} for row in quarantined(lake, call_lines)]
        rows = [[{**row, "landed_at": None} for row in stored_rows(lake, call_lines)], rejects]
        return [sorted(some, key=repr) for some in rows]

    assert told(drop.store) == told(whole)


class Killed(BaseException):
    """The process is no more."""


def also_killed(passes: int) -> Any:
    """Before anything is committed, or between two commits, as after the first."""
    return pytest.param(passes, marks=pytest.mark.streams)


@pytest.mark.parametrize("passes", [also_killed(1), also_killed(2), 3, also_killed(4), also_killed(5), 6, 7])
def test_killed_at_any_point_the_same_call_does_the_rest(
    drop: Drop, passes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = [passes]

    def failpoint(_: str, table: str = "") -> None:
        assert table.endswith(("call_lines", "ledger"))
        left[0] -= 1
        if not left[0]:
            raise Killed

    drop.land(D1, "02.jsonl", ["d", "a"])
    drop.land(D1, "03.jsonl", None)
    with monkeypatch.context() as patch:
        for module in ("lake.write.committer", "lake.batch.refresh"):
            patch.setattr(f"{module}.failpoint", failpoint)
        with pytest.raises(Killed):
            refresh(call_lines, drop.store, BOTH)

    refresh(call_lines, drop.store, BOTH)
    drop.check()


@pytest.mark.parametrize(
    ("when", "lines"),
    [
        pytest.param("lake.write.committer.failpoint", ["d", "a"], marks=pytest.mark.streams),
        ("lake.write.committer.failpoint", None),
        ("lake.batch.refresh.enforce", ["d", "a"]),
        pytest.param("lake.batch.refresh.enforce", None, marks=pytest.mark.streams),
    ],
)
def test_of_two_machines_that_add_the_same_files_the_second_does_it_again(
    drop: Drop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str, lines: list[str] | None
) -> None:
    other = replace(drop.store, tables=f"file://{drop.store.tables}", locks=tmp_path / "elsewhere")
    before, calls = pydoc.locate(when), list[str]()
    assert callable(before)

    def meanwhile(*args: Any, **more: Any) -> Any:
        if not calls:
            calls.append(when)
            refresh(call_lines, other, BOTH)
        return before(*args, **more)

    drop.land(D1, "02.jsonl", lines)
    drop.land(D2, "04.jsonl", None)
    monkeypatch.setattr(when, meanwhile)

    receipt = refresh(call_lines, drop.store, BOTH)

    assert calls
    drop.check(receipt)


def test_a_file_that_lands_while_others_are_read_is_read_by_the_next_refresh(
    drop: Drop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pin(*args: Any) -> Any:
        found = pin_inputs(*args)
        drop.land(D1, "99.jsonl", ["late"])
        return found

    with monkeypatch.context() as patch:
        patch.setattr("lake.batch.refresh.pin_inputs", pin)
        refresh(call_lines, drop.store, BOTH)
    with pytest.raises(AssertionError):
        drop.check()

    refresh(call_lines, drop.store, BOTH)
    drop.check()


def test_a_file_that_cannot_be_read_keeps_its_own_day_back_and_nothing_is_added_twice(drop: Drop) -> None:
    torn = drop.store.landing.root / drop.land(D2, "01.jsonl.gz", [])
    torn.write_bytes(gzip.compress(b"e\n"))
    drop.lines["calls/2024/03/02/01.jsonl.gz"] = ["e"]
    drop.touch("calls/2024/03/02/01.jsonl.gz", NOON)
    refresh(call_lines, drop.store, BOTH)
    drop.check()
    drop.land(D1, "02.jsonl", ["d"])
    torn.write_bytes(gzip.compress(b"f\n" * 9)[:-9])

    receipt = refresh(call_lines, drop.store, BOTH)

    assert (receipt.failed_days, receipt.counts[D1]) == ([D2], drop.counts()[D1])
    torn.write_bytes(gzip.compress(b"e\n"))
    drop.touch("calls/2024/03/02/01.jsonl.gz", NOON)
    drop.check()


def test_files_are_read_apart_only_where_the_plan_shows_it(spark: SparkSession) -> None:
    given = mark_files.transform

    def numbered(marks_feed: DataFrame) -> DataFrame:
        place = F.row_number().over(Window.partitionBy("landed_on").orderBy("file", "line_number"))
        return given(marks_feed).withColumn("line_number", place)

    def renamed(marks_feed: DataFrame) -> DataFrame:
        return given(marks_feed).withColumn("file", F.upper("file"))

    def once(marks_feed: DataFrame) -> DataFrame:
        return given(marks_feed).dropDuplicates(["landed_on", "line"])

    def moved(marks_feed: DataFrame) -> DataFrame:
        return given(marks_feed).withColumn("landed_on", F.date_add("landed_on", 1))

    def apart(table: Table) -> bool:
        return reads_files_apart(table, spark)

    assert apart(call_lines)
    assert apart(mark_files)
    assert not any(apart(replace(mark_files, transform=one)) for one in (numbered, renamed, once, moved))
    assert not apart(replace(mark_files, key=("line_number", "landed_on")))
    exploded = replace(mark_files, transform=lambda marks_feed: given(marks_feed).withColumn(
        "line", F.explode(F.split("line", ";"))).where("line <> ''"))  # fmt: skip
    assert apart(exploded)
