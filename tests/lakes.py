"""Whole lakes for tests: a source cut to size, a store on the shared session, and its rows read without Spark."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from deltalake import DeltaTable
from pyspark.sql import SparkSession

from lake.batch.plan import Step, Survey, days_for, steps_of
from lake.declare.days import Days
from lake.declare.table import Table
from lake.storage.landing import Landing
from lake.write.store import DeltaStore

__all__ = [
    "INTERPRETED",
    "interpreted",
    "job_ids_of",
    "jobs_of",
    "open_lake",
    "quarantined",
    "steps_for",
    "stored_rows",
    "without_spark",
]

INTERPRETED: Mapping[str, str] = {
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
}
"""Settings with which Spark interprets expressions."""

Row = dict[str, Any]


def open_lake(root: Path, spark: SparkSession, *, landing: Path | None = None) -> DeltaStore:
    """A store under `root`, without tables; its feeds land under `root` too unless another folder is given."""
    return DeltaStore(
        tables=str(root / "tables"),
        landing=Landing(landing or root / "landing"),
        locks=root / "locks",
        session=lambda: spark,
        lock_timeout_seconds=240,
    )


def without_spark(root: Path) -> DeltaStore:
    """A store under `root` that must not start a session."""

    def refuse() -> SparkSession:
        raise AssertionError("a session was asked for")

    return DeltaStore(str(root / "tables"), Landing(root / "landing"), root / "locks", refuse)


@contextmanager
def interpreted(spark: SparkSession) -> Iterator[None]:
    """Let Spark interpret expressions. It compiles them to bytecode otherwise, which is half the time of a tiny job."""
    for name, value in INTERPRETED.items():
        spark.conf.set(name, value)
    try:
        yield
    finally:
        for name in INTERPRETED:
            spark.conf.unset(name)


def steps_for(survey: Survey, wanted: Sequence[Table], days: Days) -> list[Step]:
    """The steps that compute these days of some tables, and first those of their upstream tables that they need."""
    return steps_of(survey, days_for(survey, wanted, days))


def jobs_of(spark: SparkSession, action: Callable[[], object]) -> int:
    """How many Spark jobs an action starts."""
    return len(job_ids_of(spark, action))


def job_ids_of(spark: SparkSession, action: Callable[[], object]) -> list[int]:
    """The Spark jobs that an action starts."""
    context = spark.sparkContext
    group = f"jobs of {uuid4()}"
    context.setJobGroup(group, group)
    try:
        action()
        return sorted(context.statusTracker().getJobIdsForGroup(group))
    finally:
        context.setLocalProperty("spark.jobGroup.id", None)  # type: ignore[arg-type]  # None unsets it


def stored_rows(store: DeltaStore, table: Table, *, version: int | None = None) -> list[Row]:
    """The table's rows, read by delta-rs, in an order that depends on nothing but the rows."""
    return _rows(store.path(table), version)


def quarantined(store: DeltaStore, table: Table) -> list[Row]:
    """The rows in the table's quarantine, each with `row` parsed; none where there is no quarantine."""
    path = store.quarantine_path(table)
    if store.log(path).version() is None:
        return []
    return [{**row, "row": json.loads(row["row"])} for row in _rows(path, None)]


def _rows(path: str, version: int | None) -> list[Row]:
    rows: list[Row] = DeltaTable(path, version=version).to_pyarrow_table().to_pylist()
    return sorted(rows, key=repr)
