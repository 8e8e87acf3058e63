"""List the files of a version of a table, as its log says them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote

import pyarrow as pa
from deltalake import DeltaTable

from lake.declare.days import Day

__all__ = ["StoredFile", "features_beyond_files", "stored_files"]

_SAID = ("path", "num_records", "modification_time")
_PARTITION = "partition."
_READABLE = {"timestampNtz", "vacuumProtocolCheck", "v2Checkpoint", "typeWidening"}
"""Features of Delta readers that change nothing about which rows a file holds."""


@dataclass(frozen=True)
class StoredFile:
    """A data file of a table.

    Attributes:
        path: relative to the table.
        partition: value of each partition column, as text.
        day: of its rows; None for a table without days.
        rows: how many it holds.
        modified: when it was written, milliseconds since 1970.
    """

    path: str
    partition: Mapping[str, str | None]
    day: Day
    rows: int
    modified: int


def stored_files(opened: DeltaTable, day: str | None) -> list[StoredFile]:
    """List the files of an opened table.

    Args:
        opened: the table at a version.
        day: the column of its days; None where it has none.
    """
    said = pa.table(opened.get_add_actions(flatten=True))
    by = [name for name in said.column_names if name.startswith(_PARTITION)]
    return [
        StoredFile(
            unquote(one["path"]),
            {name.removeprefix(_PARTITION): None if one[name] is None else str(one[name]) for name in by},
            one.get(f"{_PARTITION}{day}"),
            one["num_records"] or 0,
            one["modification_time"],
        )
        for one in said.select([*_SAID, *by]).to_pylist()
    ]


def features_beyond_files(opened: DeltaTable) -> list[str]:
    """Name features for which files alone do not say the rows."""
    features = set(opened.protocol().reader_features or [])
    if opened.metadata().configuration.get("delta.columnMapping.mode", "none") != "none":
        features.add("columnMapping")
    return sorted(features - _READABLE)
