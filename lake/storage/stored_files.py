"""List the files of a version of a table, as its log says them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from urllib.parse import unquote

import pyarrow as pa
from deltalake import DeltaTable

from lake.declare.days import Day

__all__ = ["StoredFile", "features_beyond_files", "rows_by_day", "stored_files"]

_SAID = ("path", "num_records", "modification_time")
_PARTITION = "partition."
_EPOCH = date(1970, 1, 1)
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


def rows_by_day(opened: DeltaTable, day: str | None) -> dict[Day, int]:
    """Count the rows of an opened table by day, as its log says.

    Args:
        opened: the table at a version.
        day: the column of its days; None where it has none, and then None stands for all rows.

    Returns:
        Nothing where the column does not partition the table.
    """
    said, partition = pa.table(opened.get_add_actions(flatten=True)), f"{_PARTITION}{day}"
    if day is not None and partition not in said.column_names:
        return {}
    rows = said["num_records"].to_pylist()
    if day is None:
        return {None: sum(count or 0 for count in rows)} if rows else {}
    # Numbers of days: to make years of dates takes ten times as long, and to group in pyarrow imports half of it.
    numbers = (number for chunk in said[partition].chunks for number in chunk.view(pa.int32()).to_pylist())
    found: dict[int | None, int] = {}
    for number, count in zip(numbers, rows, strict=True):
        found[number] = found.get(number, 0) + (count or 0)
    return {None if number is None else _EPOCH + timedelta(number): count for number, count in found.items()}


def features_beyond_files(opened: DeltaTable) -> list[str]:
    """Name features for which files alone do not say the rows."""
    features = set(opened.protocol().reader_features or [])
    if opened.metadata().configuration.get("delta.columnMapping.mode", "none") != "none":
        features.add("columnMapping")
    return sorted(features - _READABLE)
