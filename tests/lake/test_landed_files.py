"""What has become of the files of a landing day, by what was noted of them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from lake.storage.landed_files import Changes, LandedFile, changes_since, is_same_mark

SECOND = 1_000_000_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    put(tmp_path / "a", "one\n")
    put(tmp_path / "b", "two\n")
    return tmp_path


def put(path: Path, content: str, *, at: int = 1_000 * SECOND) -> None:
    path.write_text(content)
    os.utime(path, ns=(at, at))


def now(folder: Path) -> dict[str, LandedFile]:
    return {path.name: LandedFile.of(path, path.stat()) for path in sorted(folder.iterdir())}


def noted(folder: Path) -> Mapping[str, Any]:
    return {name: file.mark() for name, file in now(folder).items()}


def test_a_mark_is_size_time_and_a_hash_of_the_content(folder: Path) -> None:
    assert noted(folder)["a"] == [4, 1_000 * SECOND, hashlib.sha256(b"one\n").hexdigest()[:16]]


def test_files_that_stay_as_they_are_have_not_changed(folder: Path) -> None:
    assert changes_since(noted(folder), now(folder)) == Changes()


def test_a_copy_with_other_times_holds_the_same(folder: Path) -> None:
    before = noted(folder)
    put(folder / "a", "one\n", at=2_000 * SECOND)

    assert changes_since(before, now(folder)) == Changes()


def test_a_file_keeps_its_first_mark_as_long_as_it_holds_the_same(folder: Path) -> None:
    first = noted(folder)["a"]
    put(folder / "a", "one\n", at=2_000 * SECOND)
    assert now(folder)["a"].mark(first) == first

    put(folder / "a", "owe\n", at=3_000 * SECOND)
    assert now(folder)["a"].mark(first)[1] == 3_000 * SECOND
    assert now(folder)["a"].mark([4, 1_000 * SECOND, ""])[1] == 3_000 * SECOND, "a mark without a hash proves nothing"


@pytest.mark.parametrize("content", ["owe\n", "one\nmore\n", ""])
def test_other_content_is_a_change_whatever_its_size(folder: Path, content: str) -> None:
    before = noted(folder)
    put(folder / "a", content, at=2_000 * SECOND)

    assert changes_since(before, now(folder)) == Changes(other=("a",))


def test_files_that_have_gone_and_come_are_told_apart(folder: Path) -> None:
    before = noted(folder)
    (folder / "a").unlink()
    put(folder / "c", "three\n")

    assert changes_since(before, now(folder)) == Changes(gone=("a",), other=("c",))
    assert changes_since(before, {}) == Changes(gone=("a", "b"))
    assert changes_since(None, now(folder)) == Changes(other=("b", "c"))


def test_a_file_is_read_once_as_long_as_its_size_and_time_stay(folder: Path) -> None:
    file = LandedFile.of(folder / "a", (folder / "a").stat())
    first = file.digest()
    (folder / "a").unlink()

    assert file.digest() == first
    assert file.mark([4, 1_000 * SECOND, "noted before"]) == [4, 1_000 * SECOND, "noted before"]


def test_a_file_that_cannot_be_read_is_another_one(folder: Path) -> None:
    before = noted(folder)
    (folder / "a").unlink()
    broken = {**now(folder), "a": LandedFile(folder / "a", 4, 2_000 * SECOND)}

    assert changes_since(before, broken) == Changes(other=("a",))


def test_the_one_hash_of_an_older_release_is_compared_by_its_own_rule(folder: Path) -> None:
    """Names, sizes and times in one hash; where it differs nobody can say which files have gone."""
    facts = f"a 4 {1_000 * SECOND}\nb 4 {1_000 * SECOND}"
    before = hashlib.sha256(facts.encode()).hexdigest()[:16]

    assert changes_since(before, now(folder)) == Changes()
    assert changes_since(before, {}).other == ()
    assert changes_since(before, {}).gone != ()
    put(folder / "a", "one\n", at=2_000 * SECOND)
    changed = changes_since(before, now(folder))
    assert (bool(changed.gone), changed.other) == (True, ("a", "b"))


@pytest.mark.parametrize(
    ("before", "after", "same"),
    [
        ("4 1000 aa", "4 1000 aa", True),
        ("4 1000 aa", "4 2000 aa", True),
        ("4 1000 aa", "4 2000 bb", False),
        ("4 1000 aa", "5 2000 aa", False),
        ("4 1000 ", "4 1000 aa", False),  # it could not be read, and now it can
        ("4 1000 ", "4 1000 ", True),
        ("4 1000 aa", "4 1000 ", True),
        ("4 1000", "4 1000 aa", True),
        ("4 1000", "4 2000 aa", False),
    ],
)
def test_marks_in_one_line_are_compared_alike(before: str, after: str, same: bool) -> None:
    assert is_same_mark(before, after) is same
