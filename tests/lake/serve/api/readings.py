"""Tables of every kind of column, filled without Spark, and the API over them."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import pyspark.sql.types as T
from fastapi.testclient import TestClient
from pyspark.sql import DataFrame

from lake.declare.contract import Contract, Field
from lake.declare.feed import FileFeed
from lake.declare.table import Replace, Table, table
from lake.ownership.ledger import Entry, Ledger
from lake.serve.api.app import Limits, build_app
from lake.write.store import DeltaStore
from tests.served import refill

__all__ = ["D1", "D2", "D3", "Row", "client_of", "compute", "fill", "mark_lines", "meters", "readings", "some_readings"]

Row = dict[str, Any]
D1, D2, D3 = (date(2024, 2, number) for number in (27, 28, 29))
FACTS: dict[str, Any] = {"fresh_within": timedelta(hours=1), "owner": "team:tests", "write": Replace()}
PLACE = [T.StructField("x", T.DoubleType()), T.StructField("seen_at", T.TimestampType())]
mark_feed = FileFeed("mark_feed", "lines")


class MarkLines(Contract):
    """A line as received."""

    line: T.StringType = Field(description="the line")
    landed_on: T.DateType = Field(description="when it landed")


@table(reads=[mark_feed], contract=MarkLines, key=["line", "landed_on"], day="landed_on", layer="bronze", **FACTS)
def mark_lines(mark_feed: DataFrame) -> DataFrame:
    """One row per line."""
    return mark_feed


class Readings(Contract):
    """What a meter says."""

    day: T.DateType = Field(description="UTC day")
    meter: T.StringType = Field(description="name of the meter")
    limit: T.IntegerType = Field(description="number of the reading; called like a parameter of the API")
    read_at: T.TimestampType = Field(description="when, UTC")
    count: T.LongType = Field(description="a whole number", nullable=True)
    price: Annotated[T.DecimalType, 18, 4] = Field(description="what it costs, EUR", nullable=True)
    ratio: T.DoubleType = Field(description="a share", nullable=True)
    is_good: T.BooleanType = Field(description="whether it is good", nullable=True)
    raw: T.BinaryType = Field(description="bytes as they came", nullable=True)
    copy: T.StringType = Field(description='a word that pydantic and SQL "need"', nullable=True)
    place: Annotated[T.StructType, PLACE] = Field(description="where", nullable=True)
    labels: Annotated[T.ArrayType, T.StringType(), True] = Field(description="words", nullable=True)
    shares: Annotated[T.ArrayType, T.DoubleType(), True] = Field(description="parts of it", nullable=True)
    checks: Annotated[T.MapType, T.StringType(), T.TimestampType(), True] = Field(
        description="when who looked", nullable=True
    )


@table(
    reads=[mark_lines], contract=Readings, key=["day", "meter", "limit", "read_at"], day="day", layer="gold", **FACTS
)
def readings(mark_lines: DataFrame) -> DataFrame:
    """One row per reading."""
    return mark_lines


class Meters(Contract):
    """A meter."""

    meter: T.StringType = Field(description="its name")
    price: Annotated[T.DecimalType, 9, 2] = Field(description="what it cost, EUR")


@table(reads=[mark_lines], contract=Meters, key=["price", "meter"], day=None, layer="silver", **FACTS)
def meters(mark_lines: DataFrame) -> DataFrame:
    """One row per meter."""
    return mark_lines


TEXTS = ["", "it's", 'say "no"', "a\nb\tc\\", "München ✈ 空港", "a&b=c;d", "z"]
DOUBLES = [None, 0.0, -0.0, 1e20, 1e-7, 0.1, float("nan"), float("inf"), float("-inf"), 5e-324]


def some_readings(day: date, number: int = 14) -> list[Row]:
    """Readings of a day with what is hard of every kind, in no order."""
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    rows = [
        {
            "day": day,
            "meter": TEXTS[n % len(TEXTS)],
            "limit": n // len(TEXTS),
            "read_at": noon + timedelta(microseconds=n),
            "count": [None, 2**63 - 1, -(2**63)][n % 3],
            "price": [None, Decimal("-99999999999999.9999"), Decimal("12.3400")][n % 3],
            "ratio": DOUBLES[n % len(DOUBLES)],
            "is_good": [None, True, False][n % 3],
            "raw": [None, b"", b"\x00\xff>?"][n % 3],
            "copy": [None, "x"][n % 2],
            "place": [None, {"x": 1.5, "seen_at": noon}, {"x": None, "seen_at": None}][n % 3],
            "labels": [None, [], ["a", None, "空"]][n % 3],
            "shares": [None, [0.5, None, float("nan")], [float("-inf")]][n % 3],
            "checks": [None, {"it's": noon, 'a "b"': None}, {}][n % 3],
        }
        for n in range(number)
    ]
    return rows[::2] + rows[1::2]


def fill(store: DeltaStore, filled: Table, days: Iterable[date] | None, rows: Iterable[Row]) -> int:
    """Replace days of a table by rows, in one commit, without a receipt; returns the version."""
    refill(store, filled, days, rows)
    return store.table_log(filled).version() or 0


def compute(store: DeltaStore, filled: Table, days: Collection[date] | None, rows: Iterable[Row]) -> int:
    """Fill days of a table as a refresh does, with receipts."""
    version = fill(store, filled, days, rows)
    known: dict[str, Any] = {"outcome": "written", "inputs": {}, "version": version, "code_version": "x"}
    known |= {"seconds": 0.0, "rows_in": 1, "rows_out": 1, "rejected": 0, "duplicates": 0}
    known["table_ids"] = {filled.full_name: store.table_log(filled).table_id()}
    Ledger(store).record(Entry(table=filled.full_name, day=day, **known) for day in ([None] if days is None else days))
    return version


def client_of(store: DeltaStore, *tables: Table, limits: Limits | None = None, **facts: Any) -> TestClient:
    """A client of the API over some tables, in this process."""
    app = build_app(tables, store, limits or Limits(), **facts)
    return TestClient(app, base_url="http://127.0.0.1:8000")


def files_of(store: DeltaStore, table: Table, version: int | None = None) -> list[tuple[Path, dict[str, str]]]:
    """The files that a version names, read from the JSON of its log: an oracle that shares no code with the API."""
    folder, found = Path(store.path(table)), dict[str, dict[str, str]]()
    for commit in sorted((folder / "_delta_log").glob("*.json")):
        if not commit.stem.isdigit() or (version is not None and int(commit.stem) > version):
            continue
        for line in commit.read_text().splitlines():
            action = json.loads(line)
            if "add" in action:
                found[action["add"]["path"]] = action["add"]["partitionValues"]
            if "remove" in action:
                found.pop(action["remove"]["path"], None)
    return [(folder / path, values) for path, values in found.items()]
