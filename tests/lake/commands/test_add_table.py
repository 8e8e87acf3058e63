"""`lakehouse add table`: what it writes, and what it refuses. What is written runs in tests/test_wheel.py."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from lake.errors import BadName, FilesThere, LakeError, UnknownTable
from lake.project.add_table import Input, add_table
from tests.tiny import FEED, mark_files, marks, totals

KNOWN = {
    one.name: one
    for one in (
        Input(FEED, "shop.feeds.marks_feed"),
        Input(mark_files, "shop.bronze.mark_files"),
        Input(marks, "shop.silver.marks"),
        Input(totals, "shop.gold.totals"),
    )
}


def add(root: Path, layer: str, name: str, *reads: str) -> tuple[str, str]:
    table, test = add_table(root, "shop", layer, name, reads, KNOWN)
    return table.read_text(), test.read_text()


@pytest.mark.parametrize(
    ("layer", "reads", "says"),
    [
        ("bronze", ["feeds.marks_feed"], "@received(marks_feed, "),
        ("silver", ["bronze.mark_files"], 'read_lines(mark_files, "number BIGINT")'),
        ("gold", ["silver.marks", "gold.totals"], "def new_ones(marks: DataFrame, totals: DataFrame) -> DataFrame:"),
    ],
)
def test_a_table_and_its_test_are_written_to_be_filled_in(
    tmp_path: Path, layer: str, reads: list[str], says: str
) -> None:
    table, test = add(tmp_path, layer, "new_ones", *reads)

    assert (tmp_path / "shop" / layer / "__init__.py").is_file()
    assert (says in table, "FILL IN" in table, "FILL IN" in test) == (True, True, True)
    assert f"from shop.{layer}.new_ones import new_ones\n" in test
    for text in (table, test):
        ast.parse(text)
        assert not [word for word in text.split('"') if word.isupper() and word.startswith("@")]


def test_in_a_project_without_feeds_the_first_step_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnknownTable, match="declare a feed first"):
        add_table(tmp_path, "shop", "bronze", "order_events", ["feeds.orders"], {})


@pytest.mark.parametrize(
    ("layer", "name", "reads", "error", "says"),
    [
        ("gold", "x; import os", ["silver.marks"], BadName, "cannot be the name"),
        ("gold", "../../evil", ["silver.marks"], BadName, "cannot be the name"),
        ("gold", "Daily", ["silver.marks"], BadName, "cannot be the name"),
        ("golden", "daily", ["silver.marks"], BadName, "bronze, silver, gold, serving"),
        ("gold", "daily", [], BadName, "--reads"),
        ("gold", "daily", ["silver.mark"], UnknownTable, "did you mean silver.marks"),
        ("gold", "daily", ["feeds.marks_feed"], UnknownTable, "a table of gold cannot read it"),
        ("silver", "daily", ["gold.totals"], UnknownTable, "a table of silver cannot read it"),
        ("bronze", "daily", ["silver.marks"], UnknownTable, "did you mean|the tables are: feeds.marks_feed"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_written(
    tmp_path: Path, layer: str, name: str, reads: list[str], error: type[LakeError], says: str
) -> None:
    with pytest.raises(error, match=says):
        add(tmp_path, layer, name, *reads)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("there", ["shop/gold/daily.py", "tests/gold/test_daily.py"])
def test_files_that_are_there_stay_as_they_are(tmp_path: Path, there: str) -> None:
    (tmp_path / there).parent.mkdir(parents=True)
    (tmp_path / there).write_text("kept")

    with pytest.raises(FilesThere, match=there.replace(".", r"\.")):
        add(tmp_path, "gold", "daily", "silver.marks")

    assert [file.read_text() for file in tmp_path.rglob("*.py")] == ["kept"]
