"""What is counted on by commits is what the table holds, or nothing is said."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from lake.storage.held_rows import Held
from lake.storage.log import Log

D1, D2, D3 = date(2013, 1, 1), date(2013, 1, 2), date(1969, 12, 31)
Change = Callable[[Path], object]


def rows(day: date | None, count: int) -> pa.Table:
    return pa.table({"day": pa.array([day] * count, pa.date32()), "row": range(count)})


def append(day: date | None, count: int) -> Change:
    return lambda table: write_deltalake(table, rows(day, count), mode="append", partition_by=["day"])


def replace(day: date, count: int) -> Change:
    return lambda table: write_deltalake(table, rows(day, count), mode="overwrite", predicate=f"day = '{day}'")


def delete(predicate: str) -> Change:
    return lambda table: DeltaTable(table).delete(predicate)


def optimize(table: Path) -> None:
    DeltaTable(table).optimize.compact()


def restore(version: int) -> Change:
    return lambda table: DeltaTable(table).restore(version)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    for day, count in ((D1, 2), (D1, 3), (D2, 4), (None, 1)):
        append(day, count)(tmp_path)
    return tmp_path


def stored(table: Path) -> dict[date | None, int]:
    """What its rows themselves say."""
    return Counter(DeltaTable(table).to_pyarrow_table()["day"].to_pylist())


def counted_on(table: Path, change: Change, column: str | None) -> Held | None:
    before, log = Held.of(DeltaTable(table), column), Log(str(table))
    version = DeltaTable(table).version()
    change(table)
    found: Held | None = before
    for number in range(version + 1, DeltaTable(table).version() + 1):
        assert found is not None
        found = found.after(log.actions(number) or [], column)
    return found


CHANGES = [
    append(D1, 5),
    append(D3, 1),
    append(None, 2),
    replace(D1, 1),
    replace(D2, 0),
    replace(D3, 7),
    delete("day = '2013-01-01'"),
    delete("day IS NULL"),
    delete("day = '2013-01-02' AND row > 1"),
    optimize,
    restore(1),
    lambda table: DeltaTable(table).alter.set_table_properties({"delta.logRetentionDuration": "interval 2 days"}),
]


@pytest.mark.parametrize("change", CHANGES)
def test_a_commit_is_counted_on_as_the_table_holds_it(table: Path, change: Change) -> None:
    found = counted_on(table, change, "day")

    assert found is not None
    assert found.rows == stored(table)
    assert found == Held.of(DeltaTable(table), "day")
    assert Held.from_json(json.loads(json.dumps(found.to_json()))) == found


@pytest.mark.parametrize("change", [append(D1, 5), delete("true")])
def test_all_rows_are_counted_on_where_there_are_no_days(table: Path, change: Change) -> None:
    found = counted_on(table, change, None)

    assert found is not None
    assert sum(found.rows.values()) == sum(stored(table).values())


@pytest.mark.parametrize(
    ("change", "column"),
    [
        (delete("day = '2013-01-01' AND row = 2"), "day"),
        (restore(0), "day"),
        (replace(D1, 1), None),
        (append(D1, 1), "row"),
    ],
    ids=["one of two files rewritten", "restored", "some of all files", "not its partition"],
)
def test_nothing_is_said_where_a_commit_does_not_say_it(table: Path, change: Change, column: str | None) -> None:
    found = counted_on(table, change, column)

    assert found is None or found == Held.of(DeltaTable(table), column)
    assert found is None


@pytest.mark.parametrize(
    "other",
    [
        {"stats": None},
        {"stats": "{}"},
        {"deletionVector": {"cardinality": 1}},
        {"partitionValues": {}},
        {"dataChange": False},
        {"partitionValues": {"day": "x"}},
    ],
    ids=str,
)
def test_a_file_that_does_not_say_its_rows_is_not_counted(other: dict[str, Any]) -> None:
    file = {"partitionValues": {"day": "2013-01-01"}, "dataChange": True, "stats": '{"numRecords": 3}'}
    assert Held().after([{"add": file}], "day") == Held({D1: 3}, {D1: 1}), "a control"

    assert Held().after([{"add": file | other}], "day") is None
