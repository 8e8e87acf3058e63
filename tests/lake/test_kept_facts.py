"""What a look remembers of logs for the next process, and when it must not be believed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from lake.errors import LogDamaged
from lake.storage import kept_facts, log_contents, log_versions
from lake.storage.kept_facts import keep_facts_in
from lake.storage.log import Log

D1, D2 = date(2013, 1, 1), date(2013, 1, 2)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    write(tmp_path / "table", D1, 2)
    write(tmp_path / "table", D2, 3)
    return tmp_path / "table"


@pytest.fixture(autouse=True)
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Where logs were opened."""
    found: list[str] = []
    load = log_versions.LogVersions._load

    def note(log: log_versions.LogVersions) -> DeltaTable | None:
        found.append(log.location)
        return load(log)

    monkeypatch.setattr(log_versions.LogVersions, "_load", note)
    return found


def write(folder: Path, day: date, rows: int) -> None:
    write_deltalake(folder, pa.table({"day": [day] * rows, "row": range(rows)}), mode="append", partition_by=["day"])


def forget() -> None:
    for known in (log_contents._HELD, log_versions.PLACES, log_versions._NEWEST, log_versions._DESCRIBED._known):
        known.clear()


def look(table: Path) -> tuple[int | None, str | None, dict[date, int], int]:
    """Look at a table as a new process does, which remembers only what was written down."""
    forget()
    log = Log(str(table))
    with keep_facts_in(table.parent / "kept" / "looks.json"):
        version, named, by_day = log.version(), log.table_id(), log.rows_by_day("day")
        place = log.place(log_versions.PLACES[log.location])
        assert place is not None
        return version, named, by_day, sum(log.rows_at(place, None).values())


def test_a_second_look_says_the_same_and_opens_nothing(table: Path, opened: list[str]) -> None:
    first = look(table)
    assert opened == [str(table)]
    opened.clear()

    assert look(table) == first
    assert opened == []
    assert first == (1, str(DeltaTable(table).metadata().id), {D1: 2, D2: 3}, 5)


def changes() -> Iterator[Callable[[Path], object]]:
    def a_commit(table: Path) -> None:
        write(table, D2, 4)

    def a_commit_that_removes_rows(table: Path) -> None:
        DeltaTable(table).delete("day = '2013-01-01'")

    def another_table_in_its_place(table: Path) -> None:
        shutil.rmtree(table)
        write(table, D2, 7)
        write(table, D2, 1)

    def a_restored_version(table: Path) -> None:
        DeltaTable(table).restore(0)

    def commits_that_are_gone(table: Path) -> None:
        (table / "_delta_log" / "00000000000000000001.json").unlink()

    yield from (a_commit, a_commit_that_removes_rows, another_table_in_its_place, a_restored_version)
    yield commits_that_are_gone


@pytest.mark.parametrize("change", [*changes()], ids=lambda change: change.__name__)
def test_a_log_that_has_changed_is_read_again(table: Path, change: Callable[[Path], object]) -> None:
    look(table)
    change(table)

    found = look(table)

    stored = DeltaTable(table)
    days = stored.to_pyarrow_table()["day"].to_pylist()
    assert found == (stored.version(), str(stored.metadata().id), {day: days.count(day) for day in days}, len(days))


def count(table: Path) -> dict[date, int]:
    """Count the rows of a table as a new process does."""
    forget()
    with keep_facts_in(table.parent / "kept" / "looks.json"):
        return Log(str(table)).rows_by_day("day")


def test_a_count_after_a_commit_reads_the_commit_alone(table: Path, opened: list[str]) -> None:
    count(table)
    write(table, D2, 4)
    DeltaTable(table).optimize.compact()
    opened.clear()

    assert [count(table), count(table)] == [{D1: 2, D2: 7}] * 2
    assert opened == []


def test_an_old_commit_that_was_damaged_is_found_though_others_came(table: Path) -> None:
    count(table)
    write(table, D2, 4)
    (table / "_delta_log" / "00000000000000000000.json").write_text("{")

    with pytest.raises(LogDamaged):
        count(table)


def test_an_old_commit_that_was_damaged_since_is_found(table: Path) -> None:
    look(table)
    (table / "_delta_log" / "00000000000000000000.json").write_text("{")

    with pytest.raises(LogDamaged):
        look(table)


TORN = [
    "",
    "{",
    "[]",
    '{"x": 1}',
    '{"x": {"signature": "a", "place": [1], "held": {}}}',
    '{"x": {"signature": "a", "place": [1, "b"]}}',
    '{"x": {"signature": "a", "place": null, "held": {"day": 1}}}',
]


@pytest.mark.parametrize("content", TORN)
def test_a_torn_memory_is_none(table: Path, content: str) -> None:
    first = look(table)
    (table.parent / "kept" / "looks.json").write_text(content)

    assert look(table) == first


@pytest.mark.parametrize("counted", [1, [], [[0], [1], []], [["x"], [1], [1]], [[15706], ["y"], [1]]], ids=str)
def test_a_torn_count_is_none(table: Path, counted: object) -> None:
    first, file = look(table), table.parent / "kept" / "looks.json"
    said = json.loads(file.read_bytes())
    said[str(table)]["held"]["day"][1] = counted
    file.write_text(json.dumps(said))

    assert look(table) == first


def test_a_memory_that_cannot_be_written_is_left_out(table: Path) -> None:
    (table.parent / "kept").write_text("a file in place of the folder")

    assert look(table) == look(table)


def test_nothing_is_remembered_of_a_table_that_is_not_there(tmp_path: Path) -> None:
    with keep_facts_in(tmp_path / "looks.json"):
        assert kept_facts.facts_of(str(tmp_path / "none")) is None
        assert Log(str(tmp_path / "none")).version() is None
