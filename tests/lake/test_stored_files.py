"""Files that do not say by themselves which rows they hold, by protocol or by property: the log written out here."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from lake.storage.stored_files import features_beyond_files

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
