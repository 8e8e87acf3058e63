"""A table of every kind of column, filled without Spark, and sinks that read it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import count
from random import Random
from typing import Annotated, Any

import pyarrow as pa
import pyspark.sql.types as T
from deltalake import DeltaTable
from pyspark.sql import DataFrame

from lake.batch.survey import Survey
from lake.declare.contract import Contract, Field, compile_contract
from lake.declare.days import Days
from lake.declare.destinations import Destination, How
from lake.declare.feed import FileFeed
from lake.declare.sink import Sink, sink
from lake.declare.table import Replace, Table, table
from lake.write.committer import Committer, Note
from lake.write.store import DeltaStore

__all__ = [
    "CALENDAR",
    "D1",
    "D2",
    "D3",
    "Row",
    "add",
    "at_point",
    "deeper",
    "delta_rows",
    "fact_files",
    "facts",
    "grown",
    "lookup",
    "nested",
    "refill",
    "row",
    "sink_of",
    "some_rows",
    "survey_of",
]

Row = dict[str, Any]
D1, D2, D3 = (date(2024, 2, number) for number in (27, 28, 29))
CALENDAR = Days.between(date(2024, 1, 1), date(2024, 12, 31))
FEED = FileFeed("facts_feed", "lines")
FACTS: dict[str, Any] = {"fresh_within": timedelta(hours=1), "owner": "team:tests"}
POINT = [T.StructField("x", T.DoubleType()), T.StructField("label", T.StringType())]


class FactFiles(Contract):
    """A line as received."""

    line: T.StringType = Field(description="the line")
    landed_on: T.DateType = Field(description="when it landed")


@table(
    reads=[FEED],
    contract=FactFiles,
    key=["line", "landed_on"],
    day="landed_on",
    write=Replace(),
    layer="bronze",
    **FACTS,
)
def fact_files(facts_feed: DataFrame) -> DataFrame:
    """One row per line."""
    return facts_feed


class Facts(Contract):
    """A fact of every kind."""

    name: T.StringType = Field(description="what it's called")
    day: T.DateType = Field(description="when")
    at: T.TimestampType = Field(description="when exactly, UTC", nullable=True)
    big: T.LongType = Field(description="a whole number", nullable=True)
    small: T.IntegerType = Field(description="a smaller one", nullable=True)
    price: Annotated[T.DecimalType, 18, 4] = Field(description="what it costs, EUR", nullable=True)
    ratio: T.DoubleType = Field(description="a share", nullable=True)
    is_good: T.BooleanType = Field(description="whether it is good", nullable=True)
    raw: T.BinaryType = Field(description="bytes as they came", nullable=True)
    order: T.StringType = Field(description='a "reserved" word', nullable=True)
    point: Annotated[T.StructType, POINT] = Field(description="where", nullable=True)
    labels: Annotated[T.ArrayType, T.StringType(), True] = Field(description="words", nullable=True)


@table(reads=[fact_files], contract=Facts, key=["name", "day"], day="day", write=Replace(), layer="gold", **FACTS)
def facts(fact_files: DataFrame) -> DataFrame:
    """One row per fact."""
    return fact_files


class GrownFacts(Facts):
    """A fact with one more column."""

    note: T.StringType = Field(description="what somebody said", nullable=True)


grown: Table = replace(facts, contract=compile_contract(GrownFacts))
"""`facts`, after its contract has been given a nullable column."""


def _holding(point: T.StructType) -> Table:
    """`facts` that hold points as themselves, in an array and in a map."""
    held = {"point": point, "visits": T.ArrayType(point), "by_name": T.MapType(T.StringType(), point)}
    stated = {name: Field(description="where", nullable=True) for name in held}
    contract = type("NestedFacts", (Facts,), {"__annotations__": held, **stated})
    return replace(facts, contract=compile_contract(contract))


nested = _holding(T.StructType(POINT))
deeper = _holding(T.StructType([*POINT, T.StructField("height", T.DoubleType())]))
"""`nested`, after its structs have been given a field."""


class Lookup(Contract):
    """A name and what it means."""

    name: T.StringType = Field(description="name")
    meaning: T.StringType = Field(description="what it means", nullable=True)


@table(reads=[fact_files], contract=Lookup, key=["name"], day=None, write=Replace(), layer="silver", **FACTS)
def lookup(fact_files: DataFrame) -> DataFrame:
    """One row per name."""
    return fact_files


def sink_of(read: Table, to: Destination, how: How | None = None, *, settled_only: bool = False) -> Sink:
    """A sink of a test, which takes open days too unless it is told otherwise."""
    return sink(reads=read, to=to, how=how, settled_only=settled_only, name="board")


def survey_of(store: DeltaStore, *tables: Table) -> Survey:
    """A survey of the lake of a test."""
    return Survey(tables, store, CALENDAR)


def refill(store: DeltaStore, filled: Table, days: Iterable[date] | None, rows: Iterable[Row]) -> None:
    """Replace days of a table by rows, in one commit; a contract that has grown is followed."""
    store.create(filled)
    if store.lacks_columns(filled):
        store.grow(filled)
    _committer(store, filled).replace(_arrow(filled, rows), None if days is None else Days.ranges(days), Note({}))


def add(store: DeltaStore, filled: Table, rows: Iterable[Row], **metadata: Any) -> None:
    """Add rows to a table, as a stream does, which says more of it in the metadata of the commit."""
    store.create(filled)
    _committer(store, filled).add(_arrow(filled, rows), Note(metadata))


def _committer(store: DeltaStore, filled: Table) -> Committer:
    log, columns = store.table_log(filled), tuple(filled.partition_columns)
    return Committer(filled.full_name, store.path(filled), log, filled.contract.arrow_schema, columns, filled.day)


def _arrow(filled: Table, rows: Iterable[Row]) -> pa.Table:
    plain = pa.schema([pa.field(f.name, f.type) for f in filled.contract.arrow_schema])
    return pa.Table.from_pylist(list(rows), schema=plain)


def delta_rows(store: DeltaStore, read: Table, version: int | None = None) -> list[Row]:
    """The rows of a table as delta-rs gives them, in an order that depends on nothing but the rows."""
    rows: list[Row] = DeltaTable(store.path(read), version=version).to_pyarrow_table().to_pylist()
    return sorted(rows, key=repr)


def at_point(name: str, day: date, **point: Any) -> Row:
    """A row of `nested` or `deeper` with a point in each of the three ways."""
    return row(name, day, point=point, visits=[point, None], by_name=[("here", point)])


def row(name: str, day: date, **values: Any) -> Row:
    """A fact of which only some things are known."""
    return {"name": name, "day": day, **values}


_NAMES = count()
TEXTS = [None, "", "it's", 'say "no"', "a\nb\tc\\", "München ✈ 空港", "\\N", "-", "3:abc"]
DOUBLES = [None, 0.0, -0.0, 1e20, 1e-7, 0.1, float("nan"), float("inf"), float("-inf"), 5e-324]
POINTS = [None, {"x": 1.5, "label": "a"}, {"x": None, "label": None}, {"x": 1e20, "label": 'q"\\'}]


def some_rows(random: Random, day: date, number: int, *, with_note: bool = False) -> Iterator[Row]:
    """Random facts of a day, with what is hard of every kind."""
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    for _ in range(number):
        yield {
            **row(f"n{next(_NAMES)}", day),
            "at": random.choice(
                [None, noon + timedelta(microseconds=random.randrange(10**10)), datetime(1, 1, 1, tzinfo=UTC)]
            ),
            "big": random.choice([None, 0, -1, 2**63 - 1, -(2**63), random.randrange(10**9)]),
            "small": random.choice([None, 2**31 - 1, -(2**31)]),
            "price": random.choice([None, Decimal("0.0000"), Decimal("-99999999999999.9999"), Decimal("12.3400")]),
            "ratio": random.choice(DOUBLES),
            "is_good": random.choice([None, True, False]),
            "raw": random.choice([None, b"", b"\x00\xff"]),
            "order": random.choice(TEXTS),
            "point": random.choice(POINTS),
            "labels": random.choice([None, [], ["a", None, 'b"'], ["空"]]),
            **({"note": random.choice(TEXTS)} if with_note else {}),
        }
