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
    columns = {
        name: said[name].to_pylist() for name in said.column_names if name in _SAID or name.startswith(_PARTITION)
    }
    texts = {
        name.removeprefix(_PARTITION): [None if value is None else str(value) for value in values]
        for name, values in columns.items()
        if name.startswith(_PARTITION)
    }
    none = [None] * said.num_rows
    values = zip(*texts.values(), strict=True) if texts else [()] * said.num_rows
    return [
        StoredFile(unquote(path), dict(zip(texts, partition, strict=True)), of_day, rows or 0, modified)
        for path, partition, of_day, rows, modified in zip(
            columns["path"],
            values,
            columns.get(f"{_PARTITION}{day}", none),
            columns["num_records"],
            columns["modification_time"],
            strict=True,
        )
    ]


def features_beyond_files(opened: DeltaTable) -> list[str]:
    """Name features for which files alone do not say the rows."""
    features = set(opened.protocol().reader_features or [])
    if opened.metadata().configuration.get("delta.columnMapping.mode", "none") != "none":
        features.add("columnMapping")
    return sorted(features - _READABLE)
