"""Files that do not say by themselves which rows they hold, by protocol or by property: the log written out here."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from lake.storage.held_rows import Held
from lake.storage.stored_files import features_beyond_files, stored_files

MAPPED = {"delta.columnMapping.id": 1, "delta.columnMapping.physicalName": "col-1"}
SCHEMA = {"type": "struct", "fields": [{"name": "name", "type": "string", "nullable": True, "metadata": MAPPED}]}
NEWEST = {"minReaderVersion": 3, "minWriterVersion": 7}


@pytest.mark.parametrize(
    ("protocol", "properties", "beyond"),
    [
        ({"minReaderVersion": 1, "minWriterVersion": 2}, {}, []),
        (NEWEST | {"readerFeatures": ["timestampNtz"], "writerFeatures": ["timestampNtz"]}, {}, []),
        (NEWEST | {f"{who}Features": ["deletionVectors"] for who in ("reader", "writer")}, {}, ["deletionVectors"]),
        # The second version of readers names no features: the property alone says it.
        ({"minReaderVersion": 2, "minWriterVersion": 5}, {"delta.columnMapping.mode": "name"}, ["columnMapping"]),
    ],
)  # fmt: skip
def test_features_that_change_what_files_say_are_named(
    tmp_path: Path, protocol: dict[str, object], properties: dict[str, str], beyond: list[str]
) -> None:
    write_deltalake(tmp_path, pa.table({"name": ["a"]}))
    first = tmp_path / "_delta_log" / f"{0:020}.json"
    actions = [json.loads(line) for line in first.read_text().splitlines()]
    for action in actions:
        if "protocol" in action:
            action["protocol"] = protocol
        if "metaData" in action:
            action["metaData"] |= {"configuration": properties, "schemaString": json.dumps(SCHEMA)}
    first.write_text("\n".join(map(json.dumps, actions)))

    assert features_beyond_files(DeltaTable(tmp_path)) == beyond


def test_rows_and_files_are_told_by_day_as_the_files_hold_them(tmp_path: Path) -> None:
    days = [date(2024, 3, 1), date(2024, 3, 2), date(2024, 3, 2), None]
    rows = pa.table({"day": pa.array(days, pa.date32()), "of": ["a b", "é%", "é%", "a b"], "name": list("wxyz")})
    for number in range(2):
        write_deltalake(tmp_path, rows.slice(number), partition_by=["day", "of"], mode="append")
    table = DeltaTable(tmp_path)

    assert Held.of(table, "day").rows == {date(2024, 3, 1): 1, date(2024, 3, 2): 4, None: 2}
    assert Held.of(table, None).rows == {None: 7}
    assert Held.of(table, "name").rows == {}
    files = stored_files(table, "day")
    assert sorted((file.day, file.partition["of"], file.rows) for file in files if file.day) == [
        (date(2024, 3, 1), "a b", 1),
        (date(2024, 3, 2), "é%", 2),
        (date(2024, 3, 2), "é%", 2),
    ]
    assert all((tmp_path / file.path).stat().st_mtime_ns // 10**6 - file.modified < 60_000 for file in files)
