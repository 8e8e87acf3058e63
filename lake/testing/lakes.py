"""Make whole lakes for tests.

A lake is a store on the shared session, and its rows are read without Spark.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from deltalake import DeltaTable
from pyspark.sql import SparkSession

from lake.batch.refresh import Receipt, refresh
from lake.declare.days import Days
from lake.declare.table import Table
from lake.engine.compiling import INTERPRETED
from lake.engine.settings_meanwhile import settings_meanwhile
from lake.storage.landing import Landing
from lake.storage.log import Log
from lake.write.store import DeltaStore

__all__ = [
    "FEW_ROWS",
    "Row",
    "compiled",
    "interpreted",
    "job_ids_of",
    "jobs_of",
    "open_lake",
    "quarantined",
    "refresh_all",
    "stored_rows",
]

FEW_ROWS: Mapping[str, str] = {
    **INTERPRETED,
    "spark.sql.shuffle.partitions": "1",
    "spark.databricks.delta.snapshotPartitions": "1",
}
"""Settings with which Spark interprets expressions and starts one task per stage."""
_COMPILED = {"spark.sql.codegen.wholeStage": "true", "spark.sql.codegen.factoryMode": "FALLBACK"}

Row = dict[str, Any]


def open_lake(root: Path, spark: SparkSession, *, landing: Path | None = None) -> DeltaStore:
    """Open a store under `root`, without tables.

    Its feeds land there too unless another folder is given.
    """
    return DeltaStore(
        tables=str(root / "tables"),
        landing=Landing(landing or root / "landing"),
        locks=root / "locks",
        session=lambda: spark,
        lock_timeout_seconds=240,
    )


@contextmanager
def interpreted(spark: SparkSession) -> Iterator[None]:
    """Let Spark interpret expressions, and start one task per stage.

    To compile them is half the time of a tiny job, and a second task a tenth.
    """
    with settings_meanwhile(spark, FEW_ROWS):
        yield


@contextmanager
def compiled(spark: SparkSession) -> Iterator[None]:
    """Let Spark compile expressions, as it does by default."""
    with settings_meanwhile(spark, _COMPILED):
        yield


def refresh_all(store: DeltaStore, ranges: Iterable[Days], tables: Iterable[Table]) -> dict[str, list[Receipt]]:
    """Refresh tables one after the other, each in these ranges.

    Those without days are refreshed once, whole.
    """
    wanted = list(ranges)
    return {
        table.full_name: [refresh(table, store, days) for days in (wanted if table.day else [None])] for table in tables
    }


def jobs_of(spark: SparkSession, action: Callable[[], object]) -> int:
    """Count the Spark jobs that an action starts."""
    return len(job_ids_of(spark, action))


def job_ids_of(spark: SparkSession, action: Callable[[], object]) -> list[int]:
    """List the Spark jobs that an action starts."""
    context = spark.sparkContext
    group = f"jobs of {uuid4()}"
    context.setJobGroup(group, group)
    try:
        action()
        return sorted(context.statusTracker().getJobIdsForGroup(group))
    finally:
        context.setLocalProperty("spark.jobGroup.id", None)  # type: ignore[arg-type]  # None unsets it


def stored_rows(store: DeltaStore, table: Table, *, version: int | None = None) -> list[Row]:
    """Read a table's rows with delta-rs, in a stable order.

    The order depends on nothing but the rows.
    """
    return _rows(store.table_log(table), version)


def quarantined(store: DeltaStore, table: Table) -> list[Row]:
    """Read the rows in a table's quarantine, each with `row` parsed.

    There are none where there is no quarantine.
    """
    log = store.log(store.quarantine_path(table))
    if log.version() is None:
        return []
    return [{**row, "row": json.loads(row["row"])} for row in _rows(log, None)]


def _rows(log: Log, version: int | None) -> list[Row]:
    stored = DeltaTable(log.location, version=version, storage_options=dict(log.options))
    rows: list[Row] = stored.to_pyarrow_table().to_pylist()
    return sorted(rows, key=repr)
