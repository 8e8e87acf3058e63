"""Files are landed whole or not at all, and landing them again changes nothing."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from lake.declare.feed import FileFeed
from lake.errors import CannotLand
from lake.storage import deliver as module
from lake.storage.deliver import deliver
from lake.storage.landing import Landing

FEED = FileFeed("orders", "orders of a shop")
D1 = date(2024, 3, 1)


@pytest.fixture
def landing(tmp_path: Path) -> Landing:
    return Landing(tmp_path / "landing")


@pytest.fixture
def sent(tmp_path: Path) -> Callable[[str, str], Path]:
    def write(name: str, content: str) -> Path:
        file = tmp_path / "sent" / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(content)
        return file

    return write


def held(landing: Landing) -> dict[str, str]:
    """Everything under the landing folder, hidden or not."""
    return {str(p.relative_to(landing.root)): p.read_text() for p in landing.root.rglob("*") if p.is_file()}


Sent = Callable[[str, str], Path]


def test_files_land_under_their_names_and_stay_where_they_were(landing: Landing, sent: Sent) -> None:
    files = [sent("a.csv", "1\n"), sent("b c.csv", "2\n")]

    done = deliver(landing, FEED, D1, files)

    assert (done.new, done.same) == (("a.csv", "b c.csv"), ())
    assert held(landing) == {"orders/landed_on=2024-03-01/a.csv": "1\n", "orders/landed_on=2024-03-01/b c.csv": "2\n"}
    assert [file.read_text() for file in files] == ["1\n", "2\n"]
    assert landing.count_rows(FEED, D1) == 2


def test_files_of_one_call_landed_at_one_moment_whenever_they_were_written(landing: Landing, sent: Sent) -> None:
    files = [sent(name, f"{name}\n") for name in ("b.csv", "a.csv", "c.csv")]
    for file in files:
        os.utime(file, (1, 1))
    before = time.time_ns()

    deliver(landing, FEED, D1, files)

    (landed,) = {file.modified_ns for file in landing.files(FEED, D1).values()}
    assert before <= landed <= time.time_ns()


def test_the_same_files_again_change_nothing_and_new_ones_join_them(landing: Landing, sent: Sent) -> None:
    first = sent("a.csv", "1\n")
    deliver(landing, FEED, D1, [first])
    before = (landing.folder(FEED, D1) / "a.csv").stat().st_mtime_ns

    done = deliver(landing, FEED, D1, [first, sent("b.csv", "2\n")])

    assert (done.new, done.same) == (("b.csv",), ("a.csv",))
    assert (landing.folder(FEED, D1) / "a.csv").stat().st_mtime_ns == before
    assert sorted(held(landing)) == ["orders/landed_on=2024-03-01/a.csv", "orders/landed_on=2024-03-01/b.csv"]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("nowhere.csv", "there is no such file"),
        (".hidden.csv", "it is hidden, or says that it is not whole yet"),
        ("half.csv.tmp", "it is hidden, or says that it is not whole yet"),
        ("a:b.csv", "Spark cannot open a name with a colon"),
        ("folder", "is a folder"),
        ("taken.csv", "another file of this name landed before"),
    ],
)
def test_one_file_that_cannot_land_keeps_back_all(landing: Landing, sent: Sent, name: str, why: str) -> None:
    deliver(landing, FEED, D1, [sent("taken.csv", "before")])
    before = held(landing)
    good = sent("good.csv", "1\n")
    bad = good.with_name(name)
    if name == "folder":
        bad.mkdir()
    elif name != "nowhere.csv":
        bad.write_text("other")

    with pytest.raises(CannotLand, match=why):
        deliver(landing, FEED, D1, [good, bad])

    assert held(landing) == before


def test_two_files_of_one_name_are_refused(landing: Landing, sent: Sent, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere" / "a.csv"
    other.parent.mkdir()
    other.write_text("2\n")

    with pytest.raises(CannotLand, match="two files have this name"):
        deliver(landing, FEED, D1, [sent("a.csv", "1\n"), other])


def test_killed_before_a_day_is_shown_it_holds_none_and_afterwards_all(
    landing: Landing, sent: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [sent("a.csv", "1\n"), sent("b.csv", "2\n")]
    with monkeypatch.context() as patched:
        patched.setattr(module, "_show", _killed)
        with pytest.raises(KeyboardInterrupt):
            deliver(landing, FEED, D1, files)
    assert landing.files(FEED, D1) == {}

    assert deliver(landing, FEED, D1, files).new == ("a.csv", "b.csv")


def test_killed_between_two_files_the_same_call_lands_the_rest(
    landing: Landing, sent: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver(landing, FEED, D1, [sent("first.csv", "0\n")])
    files = [sent("a.csv", "1\n"), sent("b.csv", "2\n")]
    rename = Path.rename

    def killed_at_b(self: Path, target: Path) -> Path:
        if self.name == "b.csv":
            raise KeyboardInterrupt
        return rename(self, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", killed_at_b)
        with pytest.raises(KeyboardInterrupt):
            deliver(landing, FEED, D1, files)
    assert list(landing.files(FEED, D1)) == ["a.csv", "first.csv"]

    done = deliver(landing, FEED, D1, files)

    assert (done.new, done.same) == (("b.csv",), ("a.csv",))
    assert landing.count_rows(FEED, D1) == 3


def _killed(*_: object) -> None:
    raise KeyboardInterrupt
