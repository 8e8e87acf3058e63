"""Write the rows of one commit as Parquet files into a table's folder.

No reader sees them before they are committed. What the files hold is known from their footers: rows, days, nulls, and
the bounds that readers skip files by.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake.transaction import AddAction
from pyarrow import compute as pc
from pyarrow.fs import FileInfo, FileSelector, FileSystem
from pyspark.sql import DataFrame

from lake.storage.log import Log

__all__ = ["FOLDER", "DataFile", "Staged", "read_file", "stage", "stage_rows"]

FOLDER = "c-"
"""Spark writes into a folder that begins so, one a commit. In a local table its files then move to their days."""
_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"
_AT_ONCE = 8
_LONGEST_BOUND = 32
"""Letters of a text that are kept as a bound, as many as Spark keeps."""
_LAST_LETTER = chr(0x10FFFF)


@dataclass(frozen=True)
class DataFile:
    """Describe a file that waits to be committed.

    Attributes:
        path: relative to the table.
        size: in bytes.
        modified_ms: when it was written, milliseconds since 1970 UTC.
        partition: value of each partition column, as text.
        rows: how many it holds.
        nulls: how many rows have no value, by column; nested columns are not counted.
        statistics: what readers skip it by, as Delta writes it.
    """

    path: str
    size: int
    modified_ms: int
    partition: Mapping[str, str | None]
    rows: int
    nulls: Mapping[str, int]
    statistics: str

    def day(self, column: str) -> date | None:
        """Return the day whose rows it holds, None for rows without one."""
        value = self.partition[column]
        return None if value is None else date.fromisoformat(value)

    def action(self, *, changes: bool) -> AddAction:
        """Return what a commit says of it.

        Where its rows were in the table before, it `changes` nothing.
        """
        return AddAction(self.path, self.size, self.partition, self.modified_ms, changes, self.statistics)


@dataclass
class Staged:
    """Hold written files until they are committed.

    Attributes:
        files: what was written.
        is_kept: whether a commit may name them by now. Until then they are removed where the block fails.
    """

    files: list[DataFile]
    is_kept: bool = False

    def rows_by_day(self, column: str) -> Counter[date | None]:
        """Count the rows by day."""
        counted: Counter[date | None] = Counter()
        for file in self.files:
            counted[file.day(column)] += file.rows
        return counted


@contextmanager
def stage(rows: DataFrame, path: str, log: Log, partition_by: Sequence[str]) -> Iterator[Staged]:
    """Let Spark write rows as files, in one Spark job.

    Args:
        rows: the columns of the table.
        path: of the table, as Spark calls it.
        log: of the table.
        partition_by: the table's partition columns.
    """
    files, folder = log.files, f"{FOLDER}{uuid4()}"
    with _removed_on_failure(files) as staged:
        try:
            writer = rows.write.option("mapreduce.fileoutputcommitter.marksuccessfuljobs", "false")
            writer.partitionBy(*partition_by).parquet(f"{path}/{folder}")
            found = files.get_file_info(FileSelector(folder, recursive=True))
            written = [info for info in found if info.is_file and info.base_name.endswith(".parquet")]
            with ThreadPoolExecutor(_AT_ONCE) as pool:
                read = list(pool.map(lambda info: _data_file(info, files), written))
            staged.files += [file for file in read if file.rows]
            if log.is_local:
                staged.files[:] = _moved(staged.files, files)
        finally:
            if log.is_local:
                with suppress(OSError):
                    files.delete_dir(folder)
        yield staged


@contextmanager
def stage_rows(rows: pa.Table, log: Log, partition_by: Sequence[str]) -> Iterator[Staged]:
    """Write rows that are in this process, as `stage` does."""
    files = log.files
    with _removed_on_failure(files) as staged:
        for partition, part in _partitions(rows, partition_by):
            staged.files.append(_write(part.drop_columns(list(partition_by)), partition, files))
        yield staged


@contextmanager
def _removed_on_failure(files: FileSystem) -> Iterator[Staged]:
    staged = Staged([])
    try:
        yield staged
    except BaseException:
        for file in [] if staged.is_kept else staged.files:
            with suppress(OSError):  # the file has no reader, and maintenance removes it later
                files.delete_file(file.path)
        raise


def _moved(staged: Sequence[DataFile], files: FileSystem) -> list[DataFile]:
    """Move files out of the folder of their commit.

    Readers expect them in the folder of their day.
    """
    moved = [replace(file, path=file.path.partition("/")[2]) for file in staged]
    for folder in {str(PurePosixPath(file.path).parent) for file in moved} - {"."}:
        files.create_dir(folder, recursive=True)
    for before, after in zip(staged, moved, strict=True):
        files.move(before.path, after.path)
    return moved


def read_file(path: str, partition: Mapping[str, str | None], schema: pa.Schema, files: FileSystem) -> pa.Table:
    """Read a file of a table in the table's columns.

    Partition columns need not be in it, and columns that were added later are null.
    """
    rows = pq.read_table(path, filesystem=files, partitioning=None)
    columns = []
    for field in schema:
        if field.name in rows.column_names:
            columns.append(rows.column(field.name).cast(field.type))
        else:
            value = pa.scalar(partition.get(field.name), pa.string()).cast(field.type)
            columns.append(pa.chunked_array([pa.repeat(value, rows.num_rows)]))
    return pa.table(columns, schema=schema)


def _partitions(rows: pa.Table, partition_by: Sequence[str]) -> Iterator[tuple[dict[str, Any], pa.Table]]:
    """Give the rows of each partition, with its values."""
    if not partition_by:
        yield from [({}, rows)] if rows.num_rows else []
        return
    for values in rows.select(partition_by).group_by(list(partition_by)).aggregate([]).to_pylist():
        part = rows
        for name, value in values.items():
            part = part.filter(pc.is_null(part[name]) if value is None else pc.equal(part[name], pa.scalar(value)))
        yield values, part


def _write(rows: pa.Table, partition: Mapping[str, Any], files: FileSystem) -> DataFile:
    within = [f"{name}={_NO_VALUE if value is None else value}" for name, value in partition.items()]
    path, footers = "/".join([*within, f"part-{uuid4()}.parquet"]), list[pq.FileMetaData]()
    if within:
        files.create_dir("/".join(within), recursive=True)
    pq.write_table(rows, path, filesystem=files, metadata_collector=footers)
    return _data_file(files.get_file_info(path), files, footers[0])


def _data_file(info: FileInfo, files: FileSystem, footer: pq.FileMetaData | None = None) -> DataFile:
    known = footer or pq.read_metadata(info.path, filesystem=files)
    columns = _columns(known)
    modified = info.mtime or datetime.now(UTC)
    return DataFile(
        path=info.path,
        size=info.size,
        modified_ms=int(modified.timestamp() * 1000),
        partition=_partition_of(info.path),
        rows=known.num_rows,
        nulls={name: sum(part.null_count or 0 for part in parts) for name, parts in columns.items()},
        statistics=_statistics(known.num_rows, columns),
    )


def _partition_of(path: str) -> dict[str, str | None]:
    named = (part.partition("=") for part in path.split("/")[:-1] if "=" in part)
    return {name: None if value == _NO_VALUE else unquote(value) for name, _, value in named}


def _columns(footer: pq.FileMetaData) -> dict[str, list[pq.Statistics]]:
    """Find the statistics of columns that are not nested.

    A column counts only where every row group has some.
    """
    found: dict[str, list[pq.Statistics]] = {}
    for number in range(footer.num_columns):
        groups = [footer.row_group(group).column(number) for group in range(footer.num_row_groups)]
        statistics = [group.statistics for group in groups]
        if statistics and "." not in groups[0].path_in_schema and all(one is not None for one in statistics):
            found[groups[0].path_in_schema] = statistics
    return found


def _statistics(rows: int, columns: Mapping[str, Sequence[pq.Statistics]]) -> str:
    """Say what a file holds, as Delta does.

    Source: https://github.com/delta-io/delta/blob/master/PROTOCOL.md#per-file-statistics
    """
    lowest, highest = dict[str, str](), dict[str, str]()
    for name, parts in columns.items():
        bounded = [part for part in parts if part.has_min_max]
        if not bounded or any(not part.has_min_max and part.num_values for part in parts):
            continue
        low, high = min(part.min for part in bounded), max(part.max for part in bounded)
        if (text := _lower_bound(low)) is not None:
            lowest[name] = text
        if (text := _upper_bound(high)) is not None:
            highest[name] = text
    nulls = {name: str(sum(part.null_count or 0 for part in parts)) for name, parts in columns.items()}
    bounds = {"minValues": _json(lowest), "maxValues": _json(highest), "nullCount": _json(nulls)}
    return _json({"numRecords": str(rows), **bounds})


def _json(values: Mapping[str, str]) -> str:
    """Write an object whose values are JSON already, because Python writes no exact decimal."""
    return "{" + ",".join(f"{json.dumps(name)}:{value}" for name, value in values.items()) + "}"


def _lower_bound(value: object) -> str | None:
    if isinstance(value, str):
        return json.dumps(value[:_LONGEST_BOUND])
    return _moment(value) if isinstance(value, datetime) else _exact(value)


def _upper_bound(value: object) -> str | None:
    if isinstance(value, str) and len(value) > _LONGEST_BOUND:
        # Greater than every text that begins so, unless the next letter is the last there is.
        return None if value[_LONGEST_BOUND] == _LAST_LETTER else json.dumps(value[:_LONGEST_BOUND] + _LAST_LETTER)
    if isinstance(value, str):
        return json.dumps(value)
    if isinstance(value, float):
        return None  # NaN is above every number, and footers pass over it
    return _moment(value + timedelta(microseconds=999)) if isinstance(value, datetime) else _exact(value)


def _moment(value: datetime) -> str:
    """Write a point in time to the millisecond, because Spark reads no more."""
    return json.dumps(value.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z")


def _exact(value: object) -> str | None:
    """Write a bound that needs no rounding.

    None where readers skip no file by such a value.
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, date):
        return json.dumps(value.isoformat())
    if isinstance(value, float):
        return json.dumps(value) if math.isfinite(value) else None
    if isinstance(value, Decimal):
        return f"{value:f}"
    return str(value) if isinstance(value, int) else None
