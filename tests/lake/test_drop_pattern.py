"""Where the files of a feed lie is a fact of the feed: found, landed and told by its pattern."""

from __future__ import annotations

import os
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from lake.declare.days import Days
from lake.declare.drop_pattern import DropPattern
from lake.declare.feed import FileFeed
from lake.errors import CannotLand, DeclarationError, FolderNotReadable
from lake.storage import drop_folder as module
from lake.storage.deliver import deliver
from lake.storage.landing import Landing
from lake.storage.landing_days import NEWEST
from lake.storage.unread import Unread, find_unread

HOURLY = FileFeed("events", "events", lies_at="shop/events/{day:%Y/%m/%d}/{hour}/*.jsonl")
DAILY = FileFeed("prices", "prices", lies_at="shop/prices_{day:%Y%m%d}.csv")
D1, D2 = date(2024, 3, 1), date(2024, 3, 2)
MARCH = Days.parse("2024-03-01..2024-03-31")


def put(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text("x\n")


@pytest.mark.parametrize(
    ("text", "path", "day"),
    [
        ("a/{day}.csv", "a/2024-03-01.csv", D1),
        ("a/{day:%Y/%m/%d}/{hour}/*.json.gz", "a/2024/03/01/23/b.json.gz", D1),
        ("a/{day:%Y/%m/%d}/{hour}/*.json.gz", "a/2024/03/01/24/b.json.gz", None),
        ("a/{day:%Y/%m/%d}/{hour}/*.json.gz", "a/2024/02/30/23/b.json.gz", None),
        ("a/{day:%Y/%m/%d}/{hour}/*.json.gz", "a/2024/03/01/23/c/b.json.gz", None),
        ("a/{day:%Y/%m/%d}/{hour}/*.json.gz", "a/2024/03/01/23/bxjson.gz", None),
        ("a/y={day:%Y}/m={day:%m}/d={day:%d}/*", "a/y=2024/m=03/d=01/b", D1),
        ("a/*/{day:%d.%m.%Y}", "a/anything/01.03.2024", D1),
    ],
)
def test_a_path_belongs_to_the_day_that_it_names(text: str, path: str, day: date | None) -> None:
    assert DropPattern(text).day_of(path) == day


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{day}",
        "{day}/a",
        "/a/{day}",
        "a/../{day}",
        "a//{day}",
        "a/_b/{day}",
        "a/.b/{day}",
        "a/b",
        "a/{day:%Y-%m}",
        "a/{day}/{day}",
        "a/{day:%Y%m%d%H}",
        "a/{day}/{hour}/{hour}",
        "a/{day}/{minute}",
        "a/{day",
        "a b/{day}",
        "a/(x|y)/{day}",
        "a/{day}'; --",
    ],
)
def test_a_malformed_pattern_is_refused_where_it_is_declared(text: str) -> None:
    with pytest.raises(DeclarationError, match="next: write it as"):
        FileFeed("any", "any", lies_at=text)


def test_a_day_has_the_files_whose_paths_name_it(tmp_path: Path) -> None:
    put(tmp_path, "shop/events/2024/03/01/00/a.jsonl", "shop/events/2024/03/01/23/a.jsonl", "shop/prices_20240302.csv")
    put(
        tmp_path,
        "shop/events/2024/03/01/23/_SUCCESS",
        "shop/events/2024/03/01/23/b.tmp",
        "shop/events/2024/3/1/1/a.jsonl",
    )
    landing = Landing(tmp_path)

    assert landing.days(HOURLY) == [D1]
    assert list(landing.files(HOURLY, D1)) == [
        "shop/events/2024/03/01/00/a.jsonl",
        "shop/events/2024/03/01/23/a.jsonl",
    ]
    assert {day: list(files) for day, files in landing.landed(DAILY).items()} == {D2: ["shop/prices_20240302.csv"]}
    assert (landing.count_rows(HOURLY, D1), landing.count_rows(DAILY, D1)) == (2, 0)
    assert Landing(tmp_path / "nowhere").days(HOURLY) == []


def test_what_comes_goes_and_grows_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TICKS_NS", 0)
    landing = Landing(tmp_path)
    seen = [landing.glance(HOURLY)]
    for change in (
        lambda: put(tmp_path, "shop/events/2024/03/01/00/a.jsonl"),
        lambda: put(tmp_path, "shop/events/2024/03/01/01/a.jsonl"),
        lambda: (tmp_path / "shop/events/2024/03/01/01/a.jsonl").write_text("x\ny\n"),
        (tmp_path / "shop/events/2024/03/01/00/a.jsonl").unlink,
    ):
        change()
        seen.append(landing.glance(HOURLY))

    assert len(set(seen)) == 5
    assert landing.glance(HOURLY) == seen[-1]
    assert list(landing.landed(HOURLY)[D1]) == ["shop/events/2024/03/01/01/a.jsonl"]


def test_folders_that_have_not_changed_are_not_listed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TICKS_NS", 0)
    days = [f"2024/03/{day:02}" for day in range(1, 21)]
    put(tmp_path, *(f"shop/events/{day}/00/a.jsonl" for day in days))
    for folder, _, _ in os.walk(tmp_path):
        os.utime(folder, (1, 1))
    monkeypatch.setattr(module, "TICKS_NS", -sys.maxsize)
    landing, listed = Landing(tmp_path), list[Path]()
    landing.landed(HOURLY)
    scandir = os.scandir

    def noted(folder: Path) -> Any:
        listed.append(folder)
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", noted)

    assert len(landing.landed(HOURLY)) == 20
    assert len(listed) == NEWEST


def test_a_folder_that_nobody_may_look_into_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "shop/events/2024/03/01/00/a.jsonl")
    scandir = os.scandir

    def refuse(folder: Path) -> Any:
        if Path(folder).name == "2024":
            raise PermissionError(13, "Permission denied")
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refuse)

    with pytest.raises(FolderNotReadable, match="2024"):
        Landing(tmp_path).days(HOURLY)


def test_files_land_where_the_pattern_says(tmp_path: Path) -> None:
    put(tmp_path / "sent", "a.jsonl", "prices_20240301.csv")
    landing = Landing(tmp_path / "landing")

    first = deliver(landing, HOURLY, D1, [tmp_path / "sent" / "a.jsonl"], hour=7)
    again = deliver(landing, HOURLY, D1, [tmp_path / "sent" / "a.jsonl"], hour=7)
    deliver(landing, HOURLY, D1, [tmp_path / "sent" / "a.jsonl"], hour=8)
    deliver(landing, DAILY, D1, [tmp_path / "sent" / "prices_20240301.csv"])

    assert (first.new, again.same) == (("a.jsonl",), ("a.jsonl",))
    assert first.folder == landing.root / "shop/events/2024/03/01/07"
    found = sorted(str(file.relative_to(landing.root)) for file in landing.root.rglob("*") if file.is_file())
    assert found == [
        "shop/events/2024/03/01/07/a.jsonl",
        "shop/events/2024/03/01/08/a.jsonl",
        "shop/prices_20240301.csv",
    ]


@pytest.mark.parametrize(
    ("feed", "name", "hour", "problem"),
    [
        (HOURLY, "a.jsonl", None, "name the hour by --hour"),
        (HOURLY, "a.csv", 7, "takes no file of this name"),
        (DAILY, "prices_20240302.csv", None, "takes no file of this name"),
        (DAILY, "prices_20240301.csv", 7, "has no hour"),
        (FileFeed("plain", "plain"), "a.csv", 7, "leave out --hour"),
    ],
)
def test_a_file_that_the_pattern_does_not_take_is_refused(
    tmp_path: Path, feed: FileFeed, name: str, hour: int | None, problem: str
) -> None:
    put(tmp_path, name)

    with pytest.raises(CannotLand, match=problem):
        deliver(Landing(tmp_path / "landing"), feed, D1, [tmp_path / name], hour=hour)

    assert not (tmp_path / "landing").exists()


def test_it_is_said_where_files_lie(tmp_path: Path) -> None:
    landing = Landing(tmp_path)

    assert landing.layout(HOURLY) == f"{tmp_path}/shop/events/{{day:%Y/%m/%d}}/{{hour}}/*.jsonl"
    assert landing.layout(FileFeed("plain", "plain")) == f"{tmp_path}/plain/landed_on=YYYY-MM-DD/"


def test_what_no_pattern_takes_is_named(tmp_path: Path) -> None:
    put(tmp_path, "shop/events/2024/03/01/00/a.jsonl", "shop/prices_20240302.csv", "plain/landed_on=2024-03-01/a")
    put(tmp_path, "shop/events/2024/03/01/a.jsonl", "shop/prices.csv", "shop/prices_20230302.csv", "shop/.hidden")
    patterns = [feed.pattern for feed in (HOURLY, DAILY) if feed.pattern is not None]

    assert list(find_unread(tmp_path, ["plain"], MARCH, patterns)) == [
        Unread("shop/prices.csv", "no feed's pattern takes it"),
        Unread("shop/prices_20230302.csv", "outside the calendar 2024-03-01..2024-03-31"),
        Unread("shop/events/2024/03/01/a.jsonl", "no feed's pattern takes it"),
    ]
