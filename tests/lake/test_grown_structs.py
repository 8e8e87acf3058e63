"""A struct of a contract gets a field: the table follows, old rows have null there, and all readers agree."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyspark.sql.functions as F
import pyspark.sql.types as T
import pytest
from pyspark.sql import DataFrame
from pyspark.sql.pandas.types import to_arrow_type

from lake.batch.refresh import refresh
from lake.commands.query import connect
from lake.declare.contract import Field, compile_contract
from lake.declare.days import Days
from lake.declare.nested import new_fields
from lake.declare.table import InsertNew, Read, Table, Upsert
from lake.errors import SchemaDrift
from lake.ownership.frontier import Frontier, FrontierTable
from lake.stream.follow import follow
from lake.stream.generation import StreamPlan
from lake.stream.micro_batch import MicroBatchWriter
from lake.stream.progress import MicroBatch
from lake.testing.lakes import quarantined, stored_rows
from lake.write.new_columns import new_columns
from lake.write.store import DeltaStore
from tests.tiny import Marks, day_of, land, mark_files, marks
from tests.tiny_topics import Calls, call_events, calls, calls_feed, hourly_calls

D1, D2 = day_of(1), day_of(2)
BOTH = Days.between(D1, D2)
TEXT, NUMBER = T.StringType(), T.IntegerType()
Value = dict[str, Any] | None
Rows = dict[str, list[Any]]


def struct(required: str = "", /, **fields: T.DataType) -> T.StructType:
    return T.StructType([T.StructField(name, kind, name != required) for name, kind in fields.items()])


FIELDS: dict[str, T.DataType] = {"code": TEXT, "at": struct(x=NUMBER)}
OLD = struct(**FIELDS)
NEW = struct(code=TEXT, at=struct(x=NUMBER, y=NUMBER), zip=TEXT, more=struct("by", by=TEXT))
"""A field in a struct in a struct, and two at the end of that, one of which holds what may not be null."""


def nested(place: T.DataType) -> Table:
    """`marks`, which hold a value of this type: as itself, in an array and in a map."""
    held = {"place": place, "stops": T.ArrayType(place), "by_name": T.MapType(TEXT, place)}

    def nested_marks(mark_files: DataFrame) -> DataFrame:
        said = F.from_json("_raw", struct(**held))
        return marks(mark_files).withColumns({name: said[name] for name in held})

    stated = {name: Field(description="nested", nullable=name != "stops") for name in held}
    contract = type("NestedMarks", (Marks,), {"__annotations__": held, **stated})
    return replace(marks, name="nested_marks", transform=nested_marks, contract=compile_contract(contract))


old, new = nested(OLD), nested(NEW)


def mark(name: str, day: date, place: Value) -> str:
    """A line that holds a struct in each of the three ways."""
    held = {"place": place, "stops": [place, None], "by_name": {"k": place}}
    return json.dumps({"name": name, "day": str(day), "points": 1, **held})


def kept(**places: Value) -> Rows:
    """What a reader finds of such lines."""
    return {name: [place, [place, None], {"k": place}] for name, place in places.items()}


def given(code: str, x: int, **others: Any) -> dict[str, Any]:
    """The struct as the grown contract has it."""
    return {"code": code, "at": {"x": x, "y": others.pop("y", None)}, "zip": None, "more": None, **others}


def by_spark(store: DeltaStore, table: Table, version: int | None = None) -> Rows:
    rows = (row.asDict(recursive=True) for row in store.read(table, version=version).collect())
    return {row["name"]: [row["place"], row["stops"], row["by_name"]] for row in rows}


def by_arrow(store: DeltaStore, table: Table) -> Rows:
    return {str(row["name"]): [row["place"], row["stops"], dict(row["by_name"])] for row in stored_rows(store, table)}


def by_duckdb(store: DeltaStore, table: Table) -> Rows:
    query = f"SELECT name, place, stops, by_name FROM {table.full_name}"
    return {name: held for name, *held in connect(store, [table]).execute(query).fetchall()}


def check(store: DeltaStore, **places: Value) -> None:
    for read in (by_spark, by_arrow, by_duckdb):
        assert read(store, new) == kept(**places), read.__name__


@pytest.fixture
def lake(store: DeltaStore) -> DeltaStore:
    """Two days of the table, computed before its contract has grown."""
    first = {"code": "A", "at": {"x": 1}, "zip": "1000"}
    land(store, D1, "a", [mark("a", D1, first), mark("b", D2, {"code": "B", "at": None}), mark("c", D2, None)])
    refresh(mark_files, store, BOTH)
    refresh(old, store, BOTH)
    return store


@pytest.mark.spark
def test_a_table_gets_the_fields_and_old_rows_have_null_there(lake: DeltaStore) -> None:
    before = lake.version(old)
    land(lake, D2, "b", [mark("d", D2, given("D", 4, y=5, zip="4000", more={"by": "us"}))])
    refresh(mark_files, lake, BOTH)

    refresh(new, lake, Days.of(D2))

    second = {"b": {"code": "B", "at": None, "zip": None, "more": None}, "c": None}
    last = {"d": given("D", 4, y=5, zip="4000", more={"by": "us"})}
    check(lake, a=given("A", 1), **second, **last)
    assert by_spark(lake, new, before) == kept(a=given("A", 1), **second)
    stored = lake.log(lake.path(new)).opened()
    assert stored is not None
    described = {one.name: one.metadata for one in stored.schema().fields}
    assert described["place"] == {"comment": "nested"}

    refresh(new, lake, Days.of(D1))

    check(lake, a=given("A", 1, zip="1000"), **second, **last)
    assert refresh(new, lake, BOTH, unless_equal=True).outcomes == dict.fromkeys(BOTH, "unchanged")


@pytest.mark.spark
def test_a_table_that_has_not_grown_yet_is_read_with_the_fields(lake: DeltaStore) -> None:
    expected = kept(a=given("A", 1), b={"code": "B", "at": None, "zip": None, "more": None}, c=None)

    assert by_spark(lake, new) == expected
    assert lake.read(new).select("place.zip", "place.at.y").distinct().collect() == [(None, None)]
    as_stored = lake.spark.read.format("delta").load(lake.path(old)).schema
    assert as_stored["place"].dataType == OLD, "a control: the table has none of them"


@pytest.mark.spark
def test_what_may_not_be_null_within_a_new_field_is_a_rule(lake: DeltaStore) -> None:
    land(lake, D2, "b", [mark("d", D2, given("D", 4, more={"by": None}))])
    refresh(mark_files, lake, BOTH)

    refresh(new, lake, BOTH)

    [rejected] = quarantined(lake, new)
    assert rejected["rules"] == [f"{path}more.by:not_null" for path in ("place:", "stops:element.", "by_name:value.")]


REFUSED = {
    "in the middle": (struct(code=TEXT, zip=TEXT, at=struct(x=NUMBER)), "place should be struct<code: string, zip"),
    "required": (struct("zip", **FIELDS, zip=TEXT), "place.zip (not nullable) is missing"),
    "of another type": (
        struct(code=TEXT, at=struct(x=T.LongType())),
        "place should be struct<code: string, at: struct<x: int64>>",
    ),
    "gone": (
        struct(code=TEXT),
        "place should be struct<code: string> and is struct<code: string, at: struct<x: int32>>",
    ),
    "in another case": (struct(**FIELDS, Code=TEXT), "place should be struct<code: string, at: struct<x: int32>, Code"),
    "no struct": (TEXT, "place should be string and is struct"),
}


@pytest.mark.parametrize("how", REFUSED)
def test_any_other_change_within_a_column_is_refused(how: str) -> None:
    changed, said = REFUSED[how]
    stored = pa.schema([one.remove_metadata() for one in old.contract.arrow_schema])

    with pytest.raises(SchemaDrift) as refused:
        new_columns(nested(changed), stored)

    assert said in str(refused.value)
    assert "at the end of a struct" in str(refused.value)


def test_what_is_new_is_named_and_nothing_else() -> None:
    assert new_columns(new, old.contract.arrow_schema) == ["place", "stops", "by_name"]
    assert new_columns(new, new.contract.arrow_schema) == []
    assert new_columns(old, old.contract.arrow_schema) == []
    with pytest.raises(SchemaDrift, match="place should be"):
        new_columns(old, new.contract.arrow_schema)


def test_fields_of_what_a_map_is_keyed_by_do_not_grow() -> None:
    assert new_fields(*(to_arrow_type(T.MapType(key, TEXT)) for key in (OLD, NEW))) is None
    assert new_fields(*(to_arrow_type(T.MapType(TEXT, value)) for value in (OLD, NEW))) is not None


# Streams


def talks(place: T.DataType) -> Table:
    """`calls`, which say where from."""

    def talks(call_events: DataFrame) -> DataFrame:
        """One row per call."""
        return calls(call_events).withColumn("place", F.from_json("_raw", struct(place=place))["place"])

    stated = {"place": Field(description="where from", nullable=True)}
    contract = type("Talks", (Calls,), {"__annotations__": {"place": place}, **stated})
    return replace(calls, name="talks", transform=talks, contract=compile_contract(contract))


def copies(source: Table) -> Table:
    """What reads them as a stream, and takes over all that they have."""

    def copies(talks: DataFrame) -> DataFrame:
        """One row per call."""
        lineage = F.col("called_on").alias("_event_date"), F.lit("").alias("_raw")
        return talks.select("*", *lineage)

    write = InsertNew(first_by=["number"])
    return replace(source, name="copies", transform=copies, reads=(Read(source),), write=write)


def call(number: int, place: Value) -> str:
    at = f"2013-01-02T{number:02}:00:00Z"
    value = json.dumps({"number": number, "caller": "Ann", "at": at, "place": place})
    known = {"key": None, "topic": "calls", "partition": 0, "timestamp": at.replace("Z", ".000Z")}
    return json.dumps({**known, "offset": number, "value": value}) + "\n"


def land_calls(store: DeltaStore, name: str, *lines: str) -> None:
    folder = store.landing.folder(calls_feed, D2)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("".join(lines))


def ignore(_: MicroBatch) -> None:
    pass


@pytest.mark.spark
@pytest.mark.parametrize("write", [InsertNew(first_by=["_offset"]), Upsert()], ids=["insert", "upsert"])
def test_micro_batches_write_the_fields_beside_rows_that_have_none(
    store: DeltaStore, write: InsertNew | Upsert
) -> None:
    first, grown = (replace(talks(place), write=write) for place in (OLD, NEW))
    state = Frontier(D1, D1, claimed=frozenset({first.full_name}), generations={first.full_name: 1})
    FrontierTable(store).change(lambda _: state, "test")

    def follow_batch(table: Table, batch_id: int, *lines: str) -> None:
        plan = StreamPlan(table, is_stateful=False, output_mode="append", fingerprint="x")
        writer = MicroBatchWriter(
            plan, store, FrontierTable(store), 1, redelivers=False, stopping=threading.Event(), on_receipt=ignore
        )
        writer.judge.previous = 0  # whatever came before was small
        land_calls(store, "only.jsonl", *lines)
        writer(table(call_events(store.landing.read(store.spark, calls_feed, [D2]))), batch_id)

    follow_batch(first, 0, call(1, {"code": "A", "at": {"x": 1}}), call(2, None))
    follow_batch(grown, 1, call(3, given("C", 3, zip="3000")))
    follow_batch(grown, 2, call(3, given("D", 3, y=4)), call(4, given("E", 4, y=5)))

    third = given("D", 3, y=4) if isinstance(write, Upsert) else given("C", 3, zip="3000")
    rows = {row["number"]: row["place"] for row in stored_rows(store, grown)}
    assert rows == {1: given("A", 1), 2: None, 3: third, 4: given("E", 4, y=5)}


@pytest.mark.streams
def test_streams_go_on_with_the_fields_when_they_start_again(store: DeltaStore, tmp_path: Path) -> None:
    def run(*tables: Table) -> None:
        follow([call_events, *tables], store, FrontierTable(store), home=tmp_path, until_idle=True, since=D2)

    first, grown = talks(OLD), talks(NEW)
    land_calls(store, "a.jsonl", call(1, {"code": "A", "at": {"x": 1}, "zip": "1000"}), call(2, None))
    run(first, copies(first), replace(hourly_calls, reads=(Read(first),)))
    land_calls(store, "b.jsonl", call(3, given("C", 3, y=4, zip="3000", more={"by": "us"})))
    run(grown, copies(grown), replace(hourly_calls, reads=(Read(grown),)))

    expected = {1: given("A", 1), 2: None, 3: given("C", 3, y=4, zip="3000", more={"by": "us"})}
    for table in (grown, copies(grown)):
        assert {row["number"]: row["place"] for row in stored_rows(store, table)} == expected, table.name
    assert [row["calls"] for row in stored_rows(store, hourly_calls)] == [1, 1, 1]
