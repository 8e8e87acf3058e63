"""An Iceberg table shows its Delta table at the version that its snapshot names, to every reader, and copies no row."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import unquote

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, TableFeatures, write_deltalake
from pyiceberg.catalog import MetastoreCatalog
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.conversions import from_bytes
from pyiceberg.exceptions import NoSuchTableError
from pyiceberg.table import Table as IcebergTable
from pyiceberg.types import IcebergType, PrimitiveType
from sqlalchemy.exc import OperationalError

from lake.declare.destinations import Iceberg
from lake.declare.sink import Sink
from lake.declare.table import Table
from lake.errors import CannotMirror, ExtraMissing, SecretMissing
from lake.serve import iceberg_mirror
from lake.serve.compare import find_differing
from lake.serve.file_facts import file_facts
from lake.serve.iceberg import IcebergTarget
from lake.serve.iceberg_look import FINGERPRINT
from lake.serve.publish import Published, is_due, publish
from lake.serve.source import open_source
from lake.serve.target import Place
from lake.storage.log import Log
from lake.storage.retention import Promise
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

BOARD = sink_of(facts, Iceberg())


class Killed(BaseException):
    """What stands for a SIGKILL in this process: nothing that begins with `except Exception` sees it."""


@pytest.fixture
def store(tmp_path: Path) -> DeltaStore:
    return without_spark(tmp_path / "lake")


def load(store: DeltaStore, place: Place, sink: Sink = BOARD, *, anew: bool = False) -> Published:
    return publish(sink, survey_of(store, sink.reads), place, anew=anew)


@contextmanager
def opened(place: Place, name: str = "lake.board") -> Iterator[IcebergTable]:
    """The table, as anybody opens it who knows the catalog."""
    folder = place.home / "iceberg"
    with SqlCatalog("lake", uri=f"sqlite:///{folder / 'catalog.db'}", warehouse=f"file://{folder}") as catalog:
        yield catalog.load_table(name)


def by_pyiceberg(place: Place, columns: list[str]) -> list[Row]:
    with opened(place) as table:
        rows: list[Row] = table.scan().to_arrow().select(columns).to_pylist()
    return rows


def by_duckdb(place: Place, columns: list[str]) -> list[Row]:
    with opened(place) as table, duckdb_with_iceberg() as sql:
        names = ", ".join(f'"{name}"' for name in columns)
        rows: list[Row] = (
            sql.execute(f"SELECT {names} FROM iceberg_scan('{table.metadata_location}')").to_arrow_table().to_pylist()
        )
    return rows


def by_polars(place: Place, columns: list[str]) -> list[Row]:
    with opened(place) as table, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a faster planner is advertised
        rows: list[Row] = pl.scan_iceberg(table).collect().select(columns).to_arrow().to_pylist()
    return rows


@contextmanager
def duckdb_with_iceberg() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as sql:
        for name in ("avro", "iceberg"):  # in this order
            spec = importlib.util.find_spec(f"duckdb_extension_{name}")
            assert spec is not None
            assert spec.origin is not None
            sql.load_extension(str(next(Path(spec.origin).parent.glob("extensions/*/*.duckdb_extension"))))
        sql.execute("SET TimeZone = 'UTC'")
        yield sql


READERS: list[Callable[[Place, list[str]], list[Row]]] = [by_pyiceberg, by_duckdb, by_polars]


def spelled(rows: list[Row]) -> list[str]:
    """Rows without an order; points in time without the name of the zone."""
    return sorted(repr({name: _plain(value) for name, value in one.items()}) for one in rows)


def _plain(value: object) -> object:
    return value.timestamp() if isinstance(value, datetime) else value


def assert_shown(store: DeltaStore, place: Place, sink: Sink = BOARD) -> None:
    """Every reader sees what Delta holds, and the law holds."""
    held = delta_rows(store, sink.reads)
    names = [name for name in sink.reads.contract.stored_names if not held or name in held[0]]
    expected = spelled([{name: one[name] for name in names} for one in held])
    for read in READERS:
        assert spelled(read(place, names)) == expected, read.__name__
    a_sink_holds_its_table_at_the_versions_it_names(sink, store, place)


def snapshots(place: Place) -> list[dict[str, Any]]:
    with opened(place) as table:
        ordered = sorted(table.snapshots(), key=lambda one: one.sequence_number or 0)
        return [dict(one.summary.additional_properties) for one in ordered if one.summary]


def other_days(store: DeltaStore, place: Place, read: Table) -> set[date]:
    """The days whose files PyIceberg and delta-rs do not name alike; paths say the day."""
    log, named = store.table_log(read), set[str]()
    with suppress(NoSuchTableError, FileNotFoundError, OperationalError), opened(place) as table:
        named = {task.file.file_path.removeprefix("file://") for task in table.scan().plan_files()}
    stored = log.require().file_uris() if log.version() is not None else []
    paths = named ^ set(map(unquote, stored))
    return {date.fromisoformat(path.rpartition("day=")[2][:10]) for path in paths}


def test_only_changed_files_are_added_in_one_snapshot_that_names_the_version(store: DeltaStore, place: Place) -> None:
    assert load(store, place).version is None
    refill(store, facts, [D1, D2], [row("a", D1), row("b", D2, big=1)])
    assert list(load(store, place).days) == [D1, D2]
    assert load(store, place).days == {}
    refill(store, facts, [D2], [row("b", D2, big=2)])
    add(store, facts, [row("c", D3)])

    assert list(is_due(BOARD, survey_of(store, facts), place).days) == [D2, D3]
    third = load(store, place)

    assert {day: one.rows for day, one in third.days.items()} == {D2: 1, D3: 1}
    said = snapshots(place)
    log = store.table_log(facts)
    assert [one["delta.version"] for one in said] == ["1", "3"]
    assert {one["delta.table-id"] for one in said} == {log.table_id()}
    assert [(one["added-data-files"], one.get("deleted-data-files")) for one in said] == [("2", None), ("2", "1")]
    assert_shown(store, place)
    assert list(place.home.rglob("*.parquet")) == []
    assert find_differing(BOARD, survey_of(store, facts), place) == (3, {})


def test_a_commit_that_changes_no_file_makes_no_snapshot(store: DeltaStore, place: Place) -> None:
    refill(store, facts, [D1], [row("a", D1)])
    load(store, place)
    DeltaTable(store.path(facts)).alter.set_table_properties({"delta.checkpointInterval": "50"})

    assert load(store, place).version == 2
    assert len(snapshots(place)) == 1


@pytest.fixture
def no_pyiceberg(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever opens the catalog by PyIceberg fails."""

    def refuse(_: IcebergTarget) -> None:
        raise AssertionError("PyIceberg was asked")

    monkeypatch.setattr(IcebergTarget, "_catalog", refuse)


def test_a_look_at_what_is_shown_needs_no_pyiceberg(
    store: DeltaStore, place: Place, request: pytest.FixtureRequest
) -> None:
    refill(store, facts, [D1, D2], [row("a", D1), row("b", D2)])
    other = sink_of(facts, Iceberg(namespace="other"))
    load(store, place)
    DeltaTable(store.path(facts)).alter.set_table_properties({"delta.checkpointInterval": "50"})

    request.getfixturevalue("no_pyiceberg")

    assert not is_due(BOARD, survey_of(store, facts), place).days
    assert not load(store, place).days
    assert list(is_due(other, survey_of(store, facts), place).days) == [D1, D2]
    assert list(is_due(BOARD, survey_of(store, facts), Place(place.home / "no")).days) == [D1, D2]
    assert not (place.home / "no").exists()
    with pytest.raises(AssertionError, match="PyIceberg was asked"):
        load(store, place, anew=True)
    add(store, facts, [row("c", D2)])
    with pytest.raises(AssertionError, match="PyIceberg was asked"):
        is_due(BOARD, survey_of(store, facts), place)


@pytest.mark.parametrize("meanwhile", ["other program", "older release", "columns", "feature", "damaged", "manifests"])
def test_what_a_look_cannot_tell_pyiceberg_is_asked(
    meanwhile: str, store: DeltaStore, place: Place, request: pytest.FixtureRequest
) -> None:
    refill(store, facts, [D1], [row("a", D1)])
    load(store, place)
    sink = BOARD
    if meanwhile == "other program":
        with opened(place) as table:
            table.delete(f"day = '{D1}'")
    elif meanwhile == "older release":
        replace_in_metadata(place, FINGERPRINT, "delta.unknown")
    elif meanwhile == "columns":
        store.grow(grown)
        sink = sink_of(grown, Iceberg())
    elif meanwhile == "feature":
        DeltaTable(store.path(facts)).alter.add_feature(TableFeatures.DeletionVectors, True)
    elif meanwhile == "damaged":
        replace_in_metadata(place, "{", "")
    else:
        for path in place.home.rglob("snap-*.avro"):
            path.unlink()
    request.getfixturevalue("no_pyiceberg")

    with pytest.raises(AssertionError, match="PyIceberg was asked"):
        load(store, place, sink)


def test_a_mirror_without_pyiceberg_says_what_to_install(
    store: DeltaStore, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    refill(store, facts, [D1], [row("a", D1)])
    monkeypatch.delitem(sys.modules, "lake.serve.iceberg_mirror")
    monkeypatch.setitem(sys.modules, "pyiceberg.catalog", None)

    with pytest.raises(ExtraMissing, match=r"pip install 'lakehouse\[iceberg\]'"):
        load(store, place)


def replace_in_metadata(place: Place, old: str, new: str) -> None:
    for path in place.home.rglob("*.metadata.json"):
        path.write_text(path.read_text().replace(old, new))


def test_joined_files_are_shown_and_no_row_changes(store: DeltaStore, place: Place) -> None:
    for number in range(5):
        add(store, facts, [row(f"a{number}", D1)])
    load(store, place)
    DeltaTable(store.path(facts)).optimize.compact()

    assert list(load(store, place).days) == [D1]
    with opened(place) as table:
        assert len(list(table.scan().plan_files())) == 1
    assert_shown(store, place)


def test_days_that_become_empty_are_empty(store: DeltaStore, place: Place) -> None:
    refill(store, facts, [D1], [row("a", D1)])
    load(store, place)
    refill(store, facts, [D1], [])

    assert {day: one.rows for day, one in load(store, place).days.items()} == {D1: 0}
    assert_shown(store, place)


@pytest.mark.parametrize("lost", ["all", "metadata", "catalog"])
def test_a_lost_catalog_is_made_anew(lost: str, store: DeltaStore, place: Place) -> None:
    refill(store, facts, [D1], [row("a", D1)])
    load(store, place)
    folder = place.home / "iceberg"
    if lost == "catalog":
        (folder / "catalog.db").unlink()
    else:
        shutil.rmtree(folder if lost == "all" else folder / "lake")

    assert list(load(store, place).days) == [D1]
    assert_shown(store, place)


def test_a_table_that_was_made_anew_or_put_back_is_shown_whole(store: DeltaStore, place: Place, tmp_path: Path) -> None:
    refill(store, facts, [D1], [row("a", D1)])
    shutil.copytree(store.path(facts), tmp_path / "copy")
    refill(store, facts, [D1, D2], [row("b", D1), row("c", D2)])
    load(store, place)
    shutil.rmtree(store.path(facts))
    shutil.copytree(tmp_path / "copy", store.path(facts))
    load(store, place)
    assert_shown(store, place)
    shutil.rmtree(store.path(facts))
    refill(store, facts, [D2], [row("d", D2)])

    load(store, place)

    assert_shown(store, place)
    assert len(snapshots(place)) == 3


def test_a_lake_that_has_moved_is_shown_where_it_is(store: DeltaStore, place: Place, tmp_path: Path) -> None:
    refill(store, facts, [D1], [row("a", D1)])
    load(store, place)
    moved, elsewhere = tmp_path / "moved", Place(tmp_path / "moved home", {})
    shutil.move(tmp_path / "lake", moved)
    shutil.move(place.home, elsewhere.home)

    assert list(load(without_spark(moved), elsewhere).days) == [D1]
    assert_shown(without_spark(moved), elsewhere)


def test_new_fields_of_structs_are_there_for_rows_old_and_new(store: DeltaStore, place: Place) -> None:
    refill(store, nested, [D1, D2], [at_point("a", D1, x=1.5), at_point("b", D2, x=2.5)])
    load(store, place, sink_of(nested, Iceberg()))
    refill(store, deeper, [D2], [at_point("b", D2, x=2.5, height=100.0)])

    load(store, place, sink_of(deeper, Iceberg()))

    assert_shown(store, place, sink_of(deeper, Iceberg()))
    assert len(snapshots(place)) == 2, "it was not made anew"


def test_a_new_nullable_column_is_added_for_rows_old_and_new(store: DeltaStore, place: Place) -> None:
    refill(store, facts, [D1, D2], [row("a", D1), row("b", D2)])
    load(store, place)
    refill(store, grown, [D2], [row("b", D2, note="new")])

    load(store, place, sink_of(grown, Iceberg()))

    assert_shown(store, place, sink_of(grown, Iceberg()))
    assert len(snapshots(place)) == 2


def test_columns_that_are_gone_begin_the_table_anew(store: DeltaStore, place: Place) -> None:
    refill(store, grown, [D1], [row("a", D1, note="x")])
    load(store, place, sink_of(grown, Iceberg()))
    shutil.rmtree(store.path(grown))
    refill(store, facts, [D1], [row("b", D1)])

    load(store, place)

    assert_shown(store, place)


def test_a_table_without_days_is_shown_whole(store: DeltaStore, place: Place) -> None:
    names = sink_of(lookup, Iceberg())
    refill(store, lookup, None, [{"name": "a", "meaning": "A"}, {"name": "b", "meaning": None}])
    assert load(store, place, names).rows == 2
    refill(store, lookup, None, [{"name": "b", "meaning": "B"}])

    assert load(store, place, names).rows == 1
    assert_shown(store, place, names)


def test_days_that_batch_has_not_computed_wait_unless_open_days_are_asked_for(store: DeltaStore, place: Place) -> None:
    settled = sink_of(facts, Iceberg(), settled_only=True)
    refill(store, facts, [D1, D2], [row("a", D1), row("b", D2)])
    assert load(store, place, settled).days == {}
    ids = {facts.full_name: store.table_log(facts).table_id()}
    record(store, facts, [D1], version=1, inputs={"bronze.fact_files": None}, table_ids=ids)

    assert list(load(store, place, settled).days) == [D1]
    assert [one["name"] for one in by_pyiceberg(place, ["name"])] == ["a"]
    assert list(load(store, place).days) == [D2]


def test_readers_plan_only_the_files_that_may_hold_what_they_ask_for(store: DeltaStore, place: Place) -> None:
    days = [date(2024, 1, 1) + timedelta(days=number) for number in range(20)]
    noon = datetime(2024, 1, 1, 12, 0, 0, 123_456, UTC)
    rows = [row(f"n{n:02}", day, big=n, at=noon + timedelta(days=n), price=n) for n, day in enumerate(days)]
    refill(store, facts, days, rows)
    load(store, place)
    asked = {
        "day = '2024-01-05'": (["n04"], 1),
        "day >= '2024-01-05' and day < '2024-01-08'": (["n04", "n05", "n06"], 3),
        "big = 7": (["n07"], 1),
        "name = 'n03'": (["n03"], 1),
        "price > 17": (["n18", "n19"], 2),
        "\"at\" >= '2024-01-20 12:00:00.123456+00:00'": (["n19"], 1),  # the log says .123 only
        "ratio > 1": ([], 20),  # nobody knows what is in a column of nulls without bounds
    }

    with opened(place) as table, duckdb_with_iceberg() as sql:
        for condition, (names, files) in asked.items():
            in_iceberg = condition.replace('"', "").replace(" 12:", "T12:")
            scan = table.scan(row_filter=in_iceberg, selected_fields=("name", "day"))  # docs/serving.md: the day too
            assert sorted(scan.to_arrow()["name"].to_pylist()) == names, condition
            planned = len(list(scan.plan_files()))
            assert planned == files or (not names and planned == 0), condition
            query = f"FROM iceberg_scan('{table.metadata_location}') WHERE {condition}"
            assert sorted(name for (name,) in sql.execute(f"SELECT name {query}").fetchall()) == names, condition
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            asked_of_polars = pl.scan_iceberg(table).filter(pl.col("day") == date(2024, 1, 5)).select("name").collect()
        assert asked_of_polars["name"].to_list() == ["n04"]
        plan = sql.execute(f"EXPLAIN ANALYZE SELECT * FROM iceberg_scan('{table.metadata_location}') WHERE big = 7")
        assert "Total Files Read: 1 " in plan.fetchall()[0][1]


def test_bounds_that_other_writers_left_hide_no_row(store: DeltaStore, place: Place) -> None:
    """Delta-rs and Spark cut points in time off to the millisecond, also the greatest, and pass over NaN."""
    refill(store, facts, [D1], [row("a", D1)])
    at = datetime(2024, 2, 28, 12, 0, 0, 123_456, UTC)
    foreign = [row("b", D2, at=at, ratio=1.0), row("c", D2, at=at, ratio=float("nan"))]
    schema = pa.schema(DeltaTable(store.path(facts)).schema())
    write_deltalake(store.path(facts), pa.Table.from_pylist(foreign, schema=schema), mode="append")
    load(store, place)

    with opened(place) as table:
        scan = table.scan(row_filter="at >= '2024-02-28T12:00:00.123456+00:00'")
        assert scan.to_arrow().num_rows == 2
        ratio = table.schema().find_field("ratio").field_id
        (foreign_file,) = [one.file for one in scan.plan_files()]
        assert ratio in foreign_file.lower_bounds
        assert ratio not in foreign_file.upper_bounds


def test_files_of_partitions_with_any_name_are_found(tmp_path: Path) -> None:
    rows = pa.table({"name": ["a b", "ä/ö", "50%", "x=y"], "big": [1, 2, 3, 4]})
    write_deltalake(tmp_path / "table", rows, partition_by=["name"])

    found = list(file_facts(Log(str(tmp_path / "table")), DeltaTable(tmp_path / "table")))

    assert sorted(one.partition("name") for one in found) == ["50%", "a b", "x=y", "ä/ö"]
    assert all(Path(one.location.removeprefix("file://")).is_file() for one in found)


@pytest.mark.parametrize("seed", range(5))
def test_no_bound_of_a_manifest_excludes_a_value_of_its_file(seed: int, store: DeltaStore, place: Place) -> None:
    random = Random(seed)
    refill(store, facts, [D1, D2], [one for day in (D1, D2) for one in some_rows(random, day, 60)])
    load(store, place)

    checked = 0
    with opened(place) as table:
        for task in table.scan().plan_files():
            stored = pq.read_table(task.file.file_path.removeprefix("file://"), partitioning=None)
            for field in table.schema().fields:
                values = (
                    [one for one in stored[field.name].to_pylist() if one is not None and one == one]
                    if field.name in stored.column_names
                    else []
                )
                for bounds, least in ((task.file.lower_bounds, True), (task.file.upper_bounds, False)):
                    if values and field.field_id in (bounds or {}):
                        found = from_bytes(_primitive(field.field_type), bounds[field.field_id])
                        values = [_comparable(value) for value in values]
                        assert found <= min(values) if least else found >= max(values), field.name
                        checked += 1
    assert checked > 10


def _primitive(kind: IcebergType) -> PrimitiveType:
    assert isinstance(kind, PrimitiveType)
    return kind


def _comparable(value: object) -> object:
    if isinstance(value, datetime):
        return (value - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    return (value - date(1970, 1, 1)).days if isinstance(value, date) else value


def test_what_readers_would_see_wrongly_is_refused(store: DeltaStore, place: Place) -> None:
    refill(store, facts, [D1], [row("a", D1)])
    path = Path(store.path(facts))
    shutil.rmtree(path)
    for features, reason in [(["deletionVectors"], "deletion vectors"), (["columnMapping"], "columns are mapped")]:
        write_deltalake(path, pa.table({"day": [D1], "name": ["a"]}), partition_by=["day"], mode="overwrite")
        first = path / "_delta_log" / f"{0:020}.json"
        protocol = (
            '{"protocol":{"minReaderVersion":3,"minWriterVersion":7,"readerFeatures":["%s"],"writerFeatures":["%s"]}}'
        )
        lines = [line for line in first.read_text().splitlines() if '"protocol"' not in line]
        first.write_text("\n".join([protocol % (features[0], features[0]), *lines]))

        with pytest.raises(CannotMirror, match=reason):
            load(store, place)
        shutil.rmtree(path)


def test_the_catalog_may_be_named_by_a_variable(store: DeltaStore, tmp_path: Path) -> None:
    board = sink_of(facts, Iceberg(namespace="shared", catalog_from="ICEBERG_CATALOG"))
    refill(store, facts, [D1], [row("a", D1)])
    with pytest.raises(SecretMissing, match="ICEBERG_CATALOG"):
        load(store, Place(tmp_path / "home", {}), board)
    uri, warehouse = f"sqlite:///{tmp_path / 'other.db'}", f"file://{tmp_path / 'other'}"
    said = f'{{"type": "sql", "uri": "{uri}", "warehouse": "{warehouse}"}}'

    load(store, Place(tmp_path / "home", {"ICEBERG_CATALOG": said}), board)

    with SqlCatalog("lake", uri=uri, warehouse=warehouse) as catalog:
        assert catalog.load_table("shared.board").scan().to_arrow()["name"].to_pylist() == ["a"]


def test_snapshots_are_promised_for_as_long_as_versions_of_the_table(
    store: DeltaStore, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        refill(store, facts, [D1], [row(f"a{number}", D1)])
        load(store, place)
    source = open_source(store, facts)
    assert source is not None
    assert IcebergTarget(BOARD, place).promise(source) is None
    assert len(snapshots(place)) == 3

    monkeypatch.setattr(iceberg_mirror, "datetime", Later)
    before = set((place.home / "iceberg").rglob("*.avro"))
    refill(store, facts, [D1], [row("b", D1)])
    newer, third = open_source(store, facts), store.table_log(facts).commit(3)
    assert newer is not None
    assert third is not None
    assert IcebergTarget(BOARD, place).promise(newer) == Promise("serving.board", third.committed_at)
    load(store, place)
    assert [one["delta.version"] for one in snapshots(place)] == ["4"]
    assert len(set((place.home / "iceberg").rglob("*.avro")) & before) < len(before)
    assert_shown(store, place)


class Later(datetime):
    """A clock that is a month ahead."""

    @classmethod
    def now(cls, tz: Any = None) -> Any:
        return datetime.now(tz) + timedelta(days=31)


KILLS = ["before_swap", "after_swap", "between"]


@contextmanager
def killed(where: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let what is published end at a point; `between` metadata that are written and the catalog that names them."""

    def kill(name: str, _sink: str) -> None:
        if name == where:
            raise Killed

    write = MetastoreCatalog._write_metadata

    def write_and_kill(*arguments: Any, **options: Any) -> None:
        write(*arguments, **options)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(iceberg_mirror, "failpoint", kill)
        if where == "between":
            patch.setattr(MetastoreCatalog, "_write_metadata", staticmethod(write_and_kill))
        try:
            yield
        except Killed:
            return


@pytest.mark.parametrize(
    "seed", [seed if seed < 3 else pytest.param(seed, marks=pytest.mark.soak) for seed in range(60)]
)
def test_after_any_series_of_changes_every_reader_sees_the_table(
    seed: int, store: DeltaStore, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = Random(seed)
    days = [date(2024, 2, 25) + timedelta(days=number) for number in range(6)]
    read = facts
    for _ in range(random.randrange(5, 12)):
        step = random.choice(
            ["backfill", "repair", "stream", "empty", "join", "grow", "publish", "kill", "lose", "anew"]
        )
        first, last = sorted(random.choices(range(6), k=2))
        chosen = days[first : last + 1]
        if step == "grow":
            read = grown
        board = sink_of(read, Iceberg())
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
        elif step == "join" and store.table_log(read).version() is not None:
            DeltaTable(store.path(read)).optimize.compact()
        elif step == "kill":
            with killed(random.choice(KILLS), monkeypatch):
                load(store, place, board)
        elif step == "lose":
            shutil.rmtree(place.home, ignore_errors=True)
        else:
            load(store, place, board, anew=step == "anew")
        assert set(is_due(board, survey_of(store, read), place).days) == other_days(store, place, read)
    refill(store, read, days[:1], some_rows(random, days[0], 2, with_note=read is grown))
    board = sink_of(read, Iceberg())

    load(store, place, board)

    assert other_days(store, place, read) == set()
    assert not is_due(board, survey_of(store, read), place).days
    assert load(store, place, board).days == {}
    assert_shown(store, place, board)


@pytest.mark.faults
@pytest.mark.parametrize(
    "point",
    [
        pytest.param("before_load", marks=pytest.mark.streams),
        pytest.param("before_swap", marks=pytest.mark.streams),
        "after_swap",
    ],
)
def test_a_publication_that_is_killed_shows_the_old_or_the_new_and_is_repeated(
    point: str, store: DeltaStore, place: Place, tmp_path: Path
) -> None:
    refill(store, facts, [D1], [row("a", D1)])
    load(store, place)
    refill(store, facts, [D1], [row("b", D1)])
    code = (
        "from pathlib import Path; from tests.lake.serve.test_iceberg import load;"
        "from tests.lakes import without_spark; from lake.serve.target import Place;"
        f"load(without_spark(Path({str(tmp_path / 'lake')!r})), Place(Path({str(place.home)!r}), {{}}))"
    )

    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, "LAKEHOUSE_FAILPOINT": point})

    assert done.returncode == -signal.SIGKILL
    shown = [one["name"] for one in by_pyiceberg(place, ["name"])]
    assert shown == (["b"] if point == "after_swap" else ["a"])
    load(store, place)
    assert_shown(store, place)
    assert load(store, place).days == {}
