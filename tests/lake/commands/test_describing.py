"""`lakehouse describe`: what it says of a table and of a feed, without a JVM."""

from __future__ import annotations

import io
import json
from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from lake.commands.describing import Description, describe, print_description
from lake.commands.terminal import Terminal
from lake.errors import UnknownTable
from lake.project.environment import Environment
from lake.project.settings import Settings
from tests.lakes import without_spark
from tests.tiny import day_of, land, mark_files, marks, totals


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    """Two rows of marks on two days; two files landed, of which the newer holds a control sequence."""
    store = without_spark(tmp_path)
    land(store, day_of(1), "a.jsonl", [("a", day_of(1), 1), ("b", day_of(1), 2)])
    land(store, day_of(2), "b.jsonl", ["\x1b[2Jboo"])
    rows = {"name": ["a", "\x1b[2J"], "day": [date(2013, 1, 1), date(2013, 1, 2)], "points": [1, 2]}
    write_deltalake(store.path(marks), pa.table(rows), partition_by=["day"])
    settings = Settings.from_env({"LAKEHOUSE_HOME": str(tmp_path), "LAKEHOUSE_FIRST_DAY": "2013-01-01"})
    return Environment(settings, {table.full_name: table for table in (mark_files, marks, totals)}, store)


def printed(said: Description, *, as_json: bool = False) -> str:
    out = Terminal(file=io.StringIO(), width=140, highlight=False)
    print_description(out, said, as_json=as_json)
    assert isinstance(out.file, io.StringIO)
    return out.file.getvalue()


def test_a_table_is_told_with_its_lineage_columns_days_and_a_row_of_its_newest_day(environment: Environment) -> None:
    said = describe(environment, "silver.marks")

    assert (said.name, said.about) == ("silver.marks", "One row per name and day.")
    assert said.facts["reads"] == "bronze.mark_files (1 day after)"
    assert (said.comes_from, said.used_by) == (["feed marks_feed", "bronze.mark_files"], ["gold.totals"])
    assert said.columns[2] == {
        "column": "points", "type": "int", "null": "no", "meaning": "how many points",
        "checks": ">= 0", "from": "",
    }  # fmt: skip
    assert said.rows_by_day == {"2013-01-01": 1, "2013-01-02": 1}
    assert said.example == {"name": "\x1b[2J", "day": "2013-01-02", "points": 2}


def test_control_sequences_are_shown_and_not_sent(environment: Environment) -> None:
    for name in ("silver.marks", "marks_feed"):
        text = printed(describe(environment, name))
        assert ("\x1b" in text, "\u241b[2J" in text) == (False, True)

    found = printed(describe(environment, "silver.marks"), as_json=True)
    assert "\x1b" not in found
    assert json.loads(found)["example"] == {"name": "\x1b[2J", "day": "2013-01-02", "points": 2}


def test_a_feed_is_told_with_its_folder_days_and_first_line(environment: Environment) -> None:
    said = describe(environment, "marks_feed")

    assert said.facts["landed"] == "2 days of 2013-01-01..2013-01-02"
    assert said.rows_by_day == {"2013-01-01": 2, "2013-01-02": 1}
    assert said.used_by == ["bronze.mark_files", "silver.marks", "gold.totals"]
    assert said.example == {"file": "landed_on=2013-01-02/b.jsonl", "first line": "\x1b[2Jboo"}


def test_a_table_that_holds_nothing_says_so(environment: Environment) -> None:
    assert "rows: none yet" in printed(describe(environment, "gold.totals"))


@pytest.mark.parametrize("name", ["marks_fed", "silver.; drop", "../marks"])
def test_a_name_that_nothing_has_is_refused_with_what_there_is(environment: Environment, name: str) -> None:
    with pytest.raises(UnknownTable) as refused:
        describe(environment, name)

    assert ("marks_feed" in str(refused.value)) == (name == "marks_fed")
