"""What a process remembers of landing folders: the newest days are looked at each time, the older ones in turn."""

from __future__ import annotations

import os
from datetime import date, timedelta
from pathlib import Path
from unittest import mock

import pytest

import lake.storage.landing_days
from lake.declare.feed import FileFeed
from lake.storage.landing import Landing
from lake.storage.landing_days import NEWEST, TURNS, FeedFolder, feed_folder, read_day

FEED = FileFeed("marks", "marks of pupils")
FIRST = date(2013, 1, 1)
DAYS = [FIRST + timedelta(days=number) for number in range(NEWEST + 2 * TURNS)]


@pytest.fixture
def landing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Landing:
    """One file on each of many days, whose folders changed long ago."""
    landing = Landing(tmp_path)
    for day in DAYS:
        write(landing, day, "a.csv", "x")
    monkeypatch.setattr(lake.storage.landing_days, "TICKS_NS", 0)
    return landing


def write(landing: Landing, day: date, name: str, content: str) -> None:
    folder = landing.folder(FEED, day)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(content)


def sizes(landing: Landing, day: date, *, is_whole: bool = False) -> dict[str, int]:
    found = landing.landed(FEED, is_whole=is_whole).get(day, {})
    return {name: file.size for name, file in found.items()}


def test_the_first_look_of_a_process_sees_every_file(landing: Landing) -> None:
    assert sorted(landing.landed(FEED)) == DAYS


def test_what_comes_changes_or_goes_on_the_newest_days_shows_at_once(landing: Landing) -> None:
    landing.landed(FEED)
    day = DAYS[-NEWEST]

    write(landing, day, "b.csv", "xx")
    assert sizes(landing, day) == {"a.csv": 1, "b.csv": 2}
    write(landing, day, "b.csv", "xxx")
    assert sizes(landing, day) == {"a.csv": 1, "b.csv": 3}
    (landing.folder(FEED, day) / "a.csv").unlink()
    assert sizes(landing, day) == {"b.csv": 3}


@pytest.mark.parametrize("place", [0, 1, TURNS - 1, 2 * TURNS - 1])
def test_a_late_file_of_an_older_day_shows_after_some_looks(landing: Landing, place: int) -> None:
    landing.landed(FEED)
    write(landing, DAYS[place], "late.csv", "xx")

    seen = [sizes(landing, DAYS[place]) for _ in range(TURNS)]

    assert seen[-1] == {"a.csv": 1, "late.csv": 2}
    assert seen.count(seen[-1]) + seen.count({"a.csv": 1}) == TURNS


def test_a_whole_look_sees_a_late_file_of_an_older_day_at_once(landing: Landing) -> None:
    landing.landed(FEED)
    landing.landed(FEED)
    for day in DAYS[:3]:
        write(landing, day, "late.csv", "xx")

    assert [sizes(landing, day, is_whole=True) for day in DAYS[:3]] == [{"a.csv": 1, "late.csv": 2}] * 3


def test_an_older_day_that_comes_or_goes_shows_at_once(landing: Landing) -> None:
    landing.landed(FEED)
    before = FIRST - timedelta(days=1)
    write(landing, before, "a.csv", "x")
    assert sizes(landing, before) == {"a.csv": 1}

    (landing.folder(FEED, DAYS[3]) / "a.csv").unlink()
    landing.folder(FEED, DAYS[3]).rmdir()
    assert DAYS[3] not in landing.landed(FEED)


def test_a_day_comes_to_light_where_the_file_system_keeps_no_times_of_folders(landing: Landing) -> None:
    with mock.patch("lake.storage.landing_days._mark", return_value=(1, 1, 1)):
        landing.landed(FEED)
        late = DAYS[-1] + timedelta(days=1)
        write(landing, late, "a.csv", "x")

        assert [sizes(landing, late) for _ in range(TURNS)][-1] == {"a.csv": 1}


def test_a_folder_that_changed_just_now_is_looked_into_again(landing: Landing, monkeypatch: pytest.MonkeyPatch) -> None:
    landing.landed(FEED)
    monkeypatch.setattr(lake.storage.landing_days, "TICKS_NS", 10**18)
    write(landing, DAYS[0], "b.csv", "x")
    landing.landed(FEED, is_whole=True)
    folder = landing.folder(FEED, DAYS[0])
    before = folder.stat()
    write(landing, DAYS[0], "c.csv", "x")
    os.utime(folder, ns=(before.st_atime_ns, before.st_mtime_ns))

    assert list(sizes(landing, DAYS[0])) == ["a.csv", "b.csv", "c.csv"]


@pytest.mark.parametrize("before", ["a.csv", None])
def test_a_day_that_changed_just_before_the_first_look_is_looked_at_again(
    landing: Landing, monkeypatch: pytest.MonkeyPatch, before: str | None
) -> None:
    if before is None:
        (landing.folder(FEED, DAYS[0]) / "a.csv").unlink()
    else:
        monkeypatch.setattr(lake.storage.landing_days, "TICKS_NS", 10**18)
    landing.landed(FEED)
    write(landing, DAYS[0], "b.csv", "xx")

    assert list(sizes(landing, DAYS[0])) == [name for name in (before, "b.csv") if name]


def test_nothing_is_made_anew_while_nothing_changes(landing: Landing) -> None:
    first = landing.landed(FEED)
    glance = landing.glance(FEED)

    assert landing.landed(FEED) is first
    assert landing.glance(FEED) == glance
    assert FeedFolder(landing.root / FEED.name).look().glance() == glance, "another process sees the same"


def test_a_look_costs_the_same_however_many_days_there_are(landing: Landing) -> None:
    few = Landing(landing.root / "few")
    for day in DAYS[: 2 * NEWEST]:
        write(few, day, "a.csv", "x")

    def looked_at(one: Landing) -> int:
        one.landed(FEED)
        with mock.patch("lake.storage.landing_days._mark", side_effect=lake.storage.landing_days._mark) as counted:
            one.landed(FEED)
        return int(counted.call_count)

    assert looked_at(landing) <= looked_at(few) + 2


def test_a_day_holds_only_files_unless_something_else_can_be_seen_in_it(tmp_path: Path) -> None:
    plain, mixed, linked = (tmp_path / name for name in ("plain", "mixed", "linked"))
    for folder in (plain, mixed, linked):
        folder.mkdir()
        (folder / "a.csv").write_text("x")
    (plain / ".b.csv").write_text("under way")
    (mixed / "b.csv.tmp").write_text("under way")
    (linked / "b.csv").symlink_to(plain / "a.csv")

    assert [read_day(folder).is_plain for folder in (plain, mixed, linked)] == [True, False, False]
    assert list(read_day(linked).files) == ["a.csv", "b.csv"]
    assert read_day(tmp_path / "nowhere").files == {}
    assert feed_folder(tmp_path / "nowhere").look().days == []
