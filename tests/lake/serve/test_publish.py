"""A sink holds its table at the versions it names, whatever happened before, and loads only what has changed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from datetime import date, datetime, timedelta
from pathlib import Path
from random import Random

import duckdb
import polars as pl
import pytest

from lake.declare.days import Days
from lake.declare.destinations import ByDay, Destination, DuckDb, How, ParquetFolders, Whole
from lake.declare.sink import Sink
from lake.declare.table import Table
from lake.errors import DestinationDiffers, DestinationDrift, DestinationInUse
from lake.serve import duckdb_file, parquet_folders
from lake.serve.new_rows import NewRows
from lake.serve.publish import Published, publish
from lake.serve.source import open_source
from lake.serve.sums import Sum
from lake.serve.target import Place, open_target
from lake.testing.laws import a_sink_holds_its_table_at_the_versions_it_names
from lake.write.store import DeltaStore
from tests.lakes import without_spark
from tests.recorded import record
from tests.served import (
    D1,
    D2,
    D3,
    Row,
    add,
    at_point,
    deeper,
    delta_rows,
    facts,
    grown,
    lookup,
    nested,
    refill,
    row,
    sink_of,
    some_rows,
    survey_of,
)

pytestmark = pytest.mark.slow

DESTINATIONS = [DuckDb("warehouse.duckdb"), ParquetFolders("exports")]
every_destination = pytest.mark.parametrize("to", DESTINATIONS, ids=lambda to: type(to).__name__)


@pytest.fixture
def store(tmp_path: Path) -> DeltaStore:
    return without_spark(tmp_path / "lake")


def load(store: DeltaStore, place: Place, sink: Sink, *, anew: bool = False) -> Published:
    return publish(sink, survey_of(store, sink.reads), place, anew=anew)


class Killed(BaseException):
    """As kill -9 would end a process: what it does at its end is undone below."""


def load_and_die(random: Random, store: DeltaStore, place: Place, sink: Sink) -> None:
    """Publish until some step, and leave behind what a killed process would."""
    passes = iter(range(random.randrange(8), -1, -1))

    def die(*_: str) -> None:
        if next(passes) == 0:
            raise Killed

    with pytest.MonkeyPatch.context() as patch, suppress(Killed):
        for module in (duckdb_file, parquet_folders):
            patch.setattr(module, "failpoint", die)
        load(store, place, sink)
    for aside in (place.home / ".warehouse.duckdb.new", place.home / "exports" / "board" / ".new" / f"{D1}.tmp"):
        if aside.parent.exists():
            aside.write_bytes(b"half of a file")


def in_duckdb(place: Place, read: Table) -> list[Row]:
    """Read the warehouse as anybody would."""
    with duckdb.connect(str(place.home / "warehouse.duckdb"), read_only=True) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        rows = connection.execute("SELECT * FROM board").to_arrow_table()
    return as_rows(rows.select(read.contract.stored_names).to_pylist())


def in_parquet(place: Place, read: Table) -> list[Row]:
    """Read the folders with Polars, which knows nothing of the lake."""
    rows = pl.scan_parquet(place.home / "exports" / "board" / "**/*.parquet", hive_partitioning=True).collect()
    return as_rows(rows.select(read.contract.stored_names).to_dicts())


READERS: dict[type[Destination], Callable[[Place, Table], list[Row]]] = {DuckDb: in_duckdb, ParquetFolders: in_parquet}


def as_rows(rows: list[Row]) -> list[Row]:
    """Rows in an order that depends on nothing but them: times without the name of the zone, zero without a sign."""
    return sorted(({name: _plain(value) for name, value in one.items()} for one in rows), key=repr)


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.timestamp()
    if isinstance(value, dict) and value.keys() == {"here"}:
        return list(value.items())  # a map, as pyarrow gives it
    return value + 0.0 if isinstance(value, float) else value


def assert_equal(store: DeltaStore, place: Place, sink: Sink) -> None:
    """The destination, by a reader of its own, holds the newest version of the table."""
    names = sink.reads.contract.stored_names
    held = [{name: one.get(name) for name in names} for one in delta_rows(store, sink.reads)]
    assert repr(READERS[type(sink.to)](place, sink.reads)) == repr(as_rows(held))


@every_destination
def test_only_days_that_changed_are_loaded_and_a_repeat_does_nothing(
    to: Destination, store: DeltaStore, place: Place
) -> None:
    board = sink_of(facts, to)
    assert load(store, place, board).version is None
    refill(store, facts, [D1, D2], [row("a", D1), row("b", D2, big=1)])

    assert load(store, place, board).reasons == {D1: "never loaded", D2: "never loaded"}
    assert load(store, place, board).days == {}

    refill(store, facts, [D2], [row("b", D2, big=2)])
    add(store, facts, [row("c", D3)])
    third = load(store, place, board)

    assert third.reasons == {D2: "changed by version 2", D3: "never loaded"}
    assert third.rows == 2
    assert_equal(store, place, board)


@every_destination
def test_a_day_that_is_empty_now_becomes_empty(to: Destination, store: DeltaStore, place: Place) -> None:
    board = sink_of(facts, to)
    refill(store, facts, [D1, D2], [row("a", D1), row("b", D2)])
    load(store, place, board)

    refill(store, facts, [D1], [])

    assert {day: one.rows for day, one in load(store, place, board).days.items()} == {D1: 0}
    assert load(store, place, board).days == {}
    assert_equal(store, place, board)


@every_destination
def test_a_destination_that_is_lost_is_loaded_again(to: Destination, store: DeltaStore, place: Place) -> None:
    board = sink_of(facts, to)
    refill(store, facts, [D1], [row("a", D1)])
    load(store, place, board)
    shutil.rmtree(place.home)

    assert load(store, place, board).reasons == {D1: "never loaded"}
    assert_equal(store, place, board)


@every_destination
def test_a_destination_that_is_restored_to_an_earlier_state_gets_what_it_lacks(
    to: Destination, store: DeltaStore, place: Place, tmp_path: Path
) -> None:
    board = sink_of(facts, to)
    refill(store, facts, [D1, D2], [row("a", D1), row("b", D2)])
    load(store, place, board)
    shutil.copytree(place.home, tmp_path / "backup")
    refill(store, facts, [D2], [row("z", D2)])
    load(store, place, board)
    shutil.rmtree(place.home)
    shutil.copytree(tmp_path / "backup", place.home)

    assert load(store, place, board).reasons == {D2: "changed by version 2"}
    assert_equal(store, place, board)


@every_destination
def test_a_table_that_is_made_anew_is_loaded_again_and_days_that_it_lacks_become_empty(
    to: Destination, store: DeltaStore, place: Place
) -> None:
    board = sink_of(facts, to)
    refill(store, facts, [D1, D2], [row("a", D1), row("b", D2)])
    load(store, place, board)
    shutil.rmtree(store.path(facts))
    refill(store, facts, [D2], [row("b", D2)])

    assert set(load(store, place, board).reasons.values()) == {"the table was made anew"}
    assert_equal(store, place, board)


@every_destination
def test_a_table_that_is_put_back_from_a_copy_is_loaded_again(
    to: Destination, store: DeltaStore, place: Place, tmp_path: Path
) -> None:
    board = sink_of(facts, to)
    refill(store, facts, [D1], [row("a", D1)])
    shutil.copytree(store.path(facts), tmp_path / "copy")
    refill(store, facts, [D1], [row("b", D1)])
    load(store, place, board)
    shutil.rmtree(store.path(facts))
    shutil.copytree(tmp_path / "copy", store.path(facts))
    refill(store, facts, [D1], [row("c", D1)])

    assert load(store, place, board).reasons == {D1: "the table's log is another one"}
    assert_equal(store, place, board)


@every_destination
def test_a_new_nullable_column_is_added(to: Destination, store: DeltaStore, place: Place) -> None:
    refill(store, facts, [D1, D2], [row("a", D1), row("b", D2)])
    load(store, place, sink_of(facts, to))
    refill(store, grown, [D2], [row("b", D2, note="new")])

    load(store, place, sink_of(grown, to))

    assert_equal(store, place, sink_of(grown, to))


@every_destination
def test_new_fields_of_structs_are_added(to: Destination, store: DeltaStore, place: Place) -> None:
    refill(store, nested, [D1, D2], [at_point("a", D1, x=1.5), at_point("b", D2, x=2.5)])
    load(store, place, sink_of(nested, to))
    refill(store, deeper, [D2], [at_point("b", D2, x=2.5, height=100.0)])

    load(store, place, sink_of(deeper, to))

    assert_equal(store, place, sink_of(deeper, to))
    a_sink_holds_its_table_at_the_versions_it_names(sink_of(deeper, to), store, place)
    shutil.rmtree(store.path(deeper))
    refill(store, nested, [D1], [at_point("a", D1)])
    with pytest.raises(DestinationDrift, match="point is "):
        load(store, place, sink_of(nested, to))


def test_rows_that_are_as_they_were_but_for_a_new_field_are_not_handed_on_again(store: DeltaStore) -> None:
    refill(store, nested, [D1], [at_point("a", D1, x=1.5), at_point("b", D1, x=2.5)])
    source = open_source(store, nested)
    assert source is not None
    before = NewRows(source, None, None).handed_on
    refill(store, deeper, [D1], [at_point("a", D1, x=1.5), at_point("b", D1, x=2.5, height=100.0)])
    grown_source = open_source(store, deeper)
    assert grown_source is not None

    new = NewRows(grown_source, before, None)
    rows = [row for added, removed in new.files_by_day().values() for row in new.rows(added, removed)]

    assert [json.loads(row.value)["point"] for row in rows] == [{"x": 2.5, "label": None, "height": 100.0}]


@every_destination
def test_other_columns_are_refused_until_the_table_is_made_anew(
    to: Destination, store: DeltaStore, place: Place
) -> None:
    refill(store, grown, [D1], [row("a", D1, note="x")])
    load(store, place, sink_of(grown, to))
    before = READERS[type(to)](place, grown)
    shutil.rmtree(store.path(grown))
    refill(store, facts, [D1], [row("b", D1)])

    with pytest.raises(DestinationDrift, match="note is not in the contract") as refused:
        load(store, place, sink_of(facts, to))

    assert "lakehouse publish --anew board" in str(refused.value)
    assert READERS[type(to)](place, grown) == before
    load(store, place, sink_of(facts, to), anew=True)
    assert_equal(store, place, sink_of(facts, to))


@every_destination
def test_a_table_without_days_is_replaced_whole(to: Destination, store: DeltaStore, place: Place) -> None:
    names = sink_of(lookup, to)
    refill(store, lookup, None, [{"name": "a", "meaning": "A"}, {"name": "b", "meaning": None}])
    assert load(store, place, names).rows == 2
    assert load(store, place, names).days == {}
    refill(store, lookup, None, [{"name": "b", "meaning": "B"}])

    assert load(store, place, names).rows == 1
    assert_equal(store, place, names)


@every_destination
def test_a_table_that_is_loaded_whole_is_of_one_version(to: Destination, store: DeltaStore, place: Place) -> None:
    board = sink_of(facts, to, Whole())
    refill(store, facts, [D1, D2], [row("a", D1), row("b", D2)])
    load(store, place, board)
    refill(store, facts, [D2], [row("c", D2)])

    assert load(store, place, board).reasons == {D1: "the whole is loaded", D2: "changed by version 2"}
    assert {one.version for one in open_target(board, place).loads().values()} == {2}
    assert_equal(store, place, board)


def test_days_that_are_not_settled_are_left_to_later(store: DeltaStore, place: Place) -> None:
    board = sink_of(facts, DuckDb(), settled_only=True)
    refill(store, facts, [D1, D2], [row("a", D1), row("b", D2)])
    assert load(store, place, board).days == {}

    ids = {facts.full_name: store.table_log(facts).table_id()}
    record(store, facts, [D1], version=1, inputs={"bronze.fact_files": None}, table_ids=ids)

    assert list(load(store, place, board).days) == [D1]
    assert list(load(store, place, sink_of(facts, DuckDb(), settled_only=False)).days) == [D2]


def test_days_that_are_asked_for_are_loaded_in_any_case(store: DeltaStore, place: Place) -> None:
    board = sink_of(facts, DuckDb())
    refill(store, facts, [D1, D2], [row("a", D1), row("b", D2)])
    load(store, place, board)
    with duckdb.connect(str(place.home / "warehouse.duckdb")) as by_hand:
        by_hand.execute("UPDATE board SET big = 7")

    done = publish(board, survey_of(store, facts), place, Days.of(D1))

    assert done.reasons == {D1: "asked for"}
    assert [one["big"] for one in in_duckdb(place, facts)] == [None, 7]


@every_destination
def test_what_arrives_otherwise_than_it_was_sent_is_not_shown(
    to: Destination, store: DeltaStore, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    board = sink_of(facts, to)
    refill(store, facts, [D1], [row("a", D1)])
    load(store, place, board)
    refill(store, facts, [D1], [row("b", D1)])
    before = READERS[type(to)](place, facts)
    module = duckdb_file if isinstance(to, DuckDb) else parquet_folders
    answers = iter([{D1: Sum(1, 5)}, {D1: Sum(1, 6)}])
    monkeypatch.setattr(module, "sums_of", lambda *_: next(answers))

    with pytest.raises(DestinationDiffers, match="2024-02-27"):
        load(store, place, board)

    assert READERS[type(to)](place, facts) == before


def test_a_warehouse_that_somebody_writes_is_left_alone(store: DeltaStore, place: Place) -> None:
    board = sink_of(facts, DuckDb())
    refill(store, facts, [D1], [row("a", D1)])
    load(store, place, board)
    refill(store, facts, [D1], [row("b", D1)])
    (place.home / "warehouse.duckdb.wal").touch()

    with pytest.raises(DestinationInUse, match="another program writes it"):
        load(store, place, board)


def test_the_warehouse_says_what_the_contract_says(store: DeltaStore, place: Place) -> None:
    refill(store, facts, [D1], [row("a", D1)])
    load(store, place, sink_of(facts, DuckDb()))

    with duckdb.connect(str(place.home / "warehouse.duckdb"), read_only=True) as connection:
        columns = connection.execute(
            "SELECT column_name, data_type, is_nullable, comment FROM duckdb_columns() WHERE table_name = 'board'"
        ).fetchall()
        keys = connection.execute(
            "SELECT constraint_column_names FROM duckdb_constraints() "
            "WHERE table_name = 'board' AND constraint_type = 'PRIMARY KEY'"
        ).fetchall()

    assert columns[:3] == [
        ("name", "VARCHAR", False, "what it's called"),
        ("day", "DATE", False, "when"),
        ("at", "TIMESTAMP WITH TIME ZONE", True, "when exactly, UTC"),
    ]
    assert {name: kind for name, kind, *_ in columns}["price"] == "DECIMAL(18,4)"
    assert keys == [(["name", "day"],)]


@every_destination
@pytest.mark.parametrize(
    "seed", [seed if seed < 2 else pytest.param(seed, marks=pytest.mark.soak) for seed in range(25)]
)
@pytest.mark.parametrize("how", [ByDay(), Whole()], ids=["by_day", "whole"])
def test_after_any_series_of_changes_the_destination_equals_the_table(
    to: Destination, seed: int, how: How, store: DeltaStore, place: Place
) -> None:
    random = Random(f"{seed} {how}")
    days = [date(2024, 2, 25) + timedelta(days=number) for number in range(6)]
    read = facts
    for _ in range(random.randrange(4, 9)):
        step = random.choice(["backfill", "repair", "stream", "empty", "grow", "publish", "kill", "lose", "anew"])
        first, last = sorted(random.choices(range(6), k=2))
        chosen = days[first : last + 1]
        if step == "grow":
            read = grown
        if step in ("backfill", "repair", "grow"):
            chosen = chosen if step == "backfill" else chosen[:1]
            rows = [
                one for day in chosen for one in some_rows(random, day, random.randrange(9), with_note=read is grown)
            ]
            refill(store, read, chosen, rows)
        elif step == "stream":
            add(store, read, some_rows(random, chosen[0], 3, with_note=read is grown))
        elif step == "empty":
            refill(store, read, chosen, [])
        elif step == "kill":
            load_and_die(random, store, place, sink_of(read, to, how))
        elif step == "lose":
            shutil.rmtree(place.home, ignore_errors=True)
        else:
            load(store, place, sink_of(read, to, how), anew=step == "anew")
    refill(store, read, days[:1], some_rows(random, days[0], 2, with_note=read is grown))
    board = sink_of(read, to, how)

    load(store, place, board)

    assert load(store, place, board).days == {}
    assert_equal(store, place, board)
    a_sink_holds_its_table_at_the_versions_it_names(board, store, place)
