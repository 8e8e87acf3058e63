"""Which versions of a table are no more than Parquet files in the folders of their days."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, TableFeatures, write_deltalake

from lake.declare.days import Days
from lake.storage import plain_files as module
from lake.storage.plain_files import plain_files
from tests.tiny import day_of

D1, D2 = day_of(1), day_of(2)


def written(folder: Path, *days: date | None) -> DeltaTable:
    """A table with one row a day."""
    rows = pa.table({"name": ["a"] * len(days), "day": pa.array(days, pa.date32())})
    write_deltalake(str(folder), rows, partition_by=["day"], mode="append")
    return DeltaTable(str(folder))


def test_files_are_those_of_the_days_asked_for(tmp_path: Path) -> None:
    table = written(tmp_path, D1, D2, None)

    files = plain_files(table)
    assert files is not None
    assert sorted(file.split("/")[0] for file in files) == [f"day={D1}", f"day={D2}", "day=__HIVE_DEFAULT_PARTITION__"]
    assert all((tmp_path / file).is_file() for file in files)
    of_second = plain_files(table, "day", Days.of(D2))
    assert of_second is not None
    assert [file.split("/")[0] for file in of_second] == [f"day={D2}"]


def test_a_column_that_partitions_nothing_chooses_no_files(tmp_path: Path) -> None:
    assert plain_files(written(tmp_path, D1), "name", Days.of(D1)) is None


def test_files_that_hold_removed_rows_are_for_delta(tmp_path: Path) -> None:
    table = written(tmp_path, D1)
    table.alter.add_feature(TableFeatures.DeletionVectors, allow_protocol_versions_increase=True)

    assert plain_files(DeltaTable(str(tmp_path))) is None


def moved(add: dict[str, Any]) -> None:
    add["path"] = add["path"].replace("day=", "some=")


def elsewhere(add: dict[str, Any]) -> None:
    add["path"] = f"file:///elsewhere/{add['path']}"


def another_day(add: dict[str, Any]) -> None:
    add["partitionValues"] = {"day": str(D2)}


def escaped(add: dict[str, Any]) -> None:
    add["path"] += "%20"


@pytest.mark.parametrize("change", [moved, elsewhere, another_day, escaped])
def test_a_file_that_does_not_lie_in_the_folder_of_its_day_is_for_delta(
    tmp_path: Path, change: Callable[[dict[str, Any]], None]
) -> None:
    written(tmp_path, D1)
    commit = tmp_path / "_delta_log" / f"{0:020d}.json"
    actions = [json.loads(line) for line in commit.read_text().splitlines()]
    for action in actions:
        if "add" in action:
            change(action["add"])
    commit.write_text("\n".join(map(json.dumps, actions)))

    assert plain_files(DeltaTable(str(tmp_path))) is None


def test_a_version_of_very_many_files_is_for_delta(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = written(tmp_path, D1, D2)
    monkeypatch.setattr(module, "MOST", 1)

    assert plain_files(table) is None
    assert len(plain_files(table, "day", Days.of(D1)) or []) == 1
