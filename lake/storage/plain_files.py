"""Find the data files of a version that are all there is to read of it.

Spark's Delta reader first computes the state of a table in jobs of its own, which costs more than most reads. Where a
version is no more than Parquet files in the folders of their partitions, Spark can read these files themselves.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from deltalake import DeltaTable

from lake.declare.days import Days
from lake.storage.stored_files import StoredFile, stored_files

__all__ = ["MOST", "plain_files"]

MOST = 5_000
"""Spark looks at each file before it reads one: with more files than this, Delta's own job is faster."""
_PLAIN = re.compile(r"[\w.=/-]+", re.ASCII)
"""Paths that are written alike in a log, in a URL and on a disk."""
_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"


def plain_files(version: DeltaTable, day: str | None = None, days: Days | None = None) -> list[str] | None:
    """Return the files of a version, relative to the table, in the order of the log.

    Args:
        version: which.
        day: a column that partitions the table.
        days: only files of these days of that column; None: all.

    Returns:
        None where another reader has to be asked: the protocol demands more than to read files (deletion vectors,
        renamed columns), a file lies elsewhere than its partition says, or there are too many.
    """
    if version.protocol().min_reader_version > 1:
        return None
    partition_by = version.metadata().partition_columns
    found = stored_files(version, day)
    if day is not None and days is not None:
        if day not in partition_by:
            return None
        found = [file for file in found if file.day is not None and file.day in days]
    if len(found) > MOST or not all(_lies_by_its_values(file, partition_by) for file in found):
        return None
    return [file.path for file in found]


def _lies_by_its_values(file: StoredFile, partition_by: Sequence[str]) -> bool:
    """Tell whether the folders of a file say of its rows what the log says."""
    values = [(name, file.partition[name]) for name in partition_by]
    folders = [f"{name}={_NO_VALUE if value is None else value}" for name, value in values]
    return file.path.split("/")[:-1] == folders and _PLAIN.fullmatch(file.path) is not None
