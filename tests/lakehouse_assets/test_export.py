"""A DuckDB file for other tools shows what the tables hold, offline and without any extension."""

from __future__ import annotations

import shutil
from datetime import UTC, date, datetime
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from lake.project.opening import open_store
from lake.project.settings import Settings
from lake.write.store import DeltaStore, Txn
from lakehouse_assets.bronze.weather_files import weather_files
from lakehouse_assets.silver.departures import departures
from tests.lakehouse_assets.conftest import Lakehouse

pytestmark = pytest.mark.slow

D1, D2 = date(2013, 1, 1), date(2013, 1, 2)
OFFLINE: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
}
LANDED = datetime(2013, 1, 1, 10, tzinfo=UTC)


def rows_of(day: date, flights: range) -> pa.Table:
    schema = departures.contract.arrow_schema
    known = {"carrier": "UA", "origin": "EWR", "departed_on": day, "flight_date": day}
    rows = []
    for flight in flights:
        cells: dict[str, object] = {}
        for field in schema:
            empty = LANDED if pa.types.is_timestamp(field.type) else 0 if pa.types.is_integer(field.type) else "x"
            cells[field.name] = known.get(field.name, None if field.nullable else empty)
        rows.append(cells | {"flight": flight})
    return pa.Table.from_pylist(rows, schema=schema)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home whose name means something to SQL."""
    return tmp_path / "it's a home"


@pytest.fixture
def store(home: Path) -> DeltaStore:
    store = open_store(Settings.from_env({"LAKEHOUSE_HOME": str(home)}))
    store.append(departures, rows_of(D1, range(1, 4)), Txn("test", 0), {})
    store.append(departures, rows_of(D2, range(4, 6)), Txn("test", 1), {})
    store.create(weather_files)
    return store


def asked(file: Path, query: str) -> list[tuple[object, ...]]:
    with duckdb.connect(str(file), read_only=True, config=OFFLINE) as opened:
        return opened.sql(query).fetchall()


@pytest.mark.parametrize("how", [[], ["--copy"]])
@pytest.mark.usefixtures("store")
def test_the_file_shows_rows_types_and_descriptions(
    lakehouse: Lakehouse, tmp_path: Path, home: Path, how: list[str]
) -> None:
    file = tmp_path / "it's.duckdb"
    file.write_text("what was there before")

    done = lakehouse(home, "export", "--duckdb", str(file), *how)

    kind = "copies" if how else "views"
    assert (done.returncode, done.stdout) == (0, f"wrote 2 {kind} to {file}\n"), done.stderr
    assert asked(
        file, "select departed_on, count(*), min(flight) from silver.departures group by all order by all"
    ) == [
        (D1, 3, 1),
        (D2, 2, 4),
    ]
    assert asked(file, "select count(*) from bronze.weather_files") == [(0,)]
    types = asked(file, "select column_name, data_type from duckdb_columns() where table_name = 'departures'")
    assert {("departed_at", "TIMESTAMP WITH TIME ZONE"), ("departed_on", "DATE"), ("flight", "INTEGER")} <= set(types)
    comment = "select comment from duckdb_columns() where table_name = 'departures' and column_name = 'departed_on'"
    (described,) = (column.description for column in departures.contract.columns if column.name == "departed_on")
    assert asked(file, comment) == [(described,)]
    assert asked(file, "select name, version from lake.exported order by name") == [
        ("bronze.weather_files", 0),
        ("silver.departures", 2),
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([home.name, file.name])


@pytest.mark.usefixtures("store")
def test_a_copy_needs_no_other_file_and_a_view_does(lakehouse: Lakehouse, tmp_path: Path, home: Path) -> None:
    view, copy = tmp_path / "view.duckdb", tmp_path / "copy.duckdb"
    lakehouse(home, "export", "silver.departures", "--duckdb", str(view))
    lakehouse(home, "export", "silver.departures", "--copy", "--duckdb", str(copy))
    shutil.rmtree(home)

    assert asked(copy, "select count(*) from silver.departures") == [(5,)]
    with pytest.raises(duckdb.IOException):
        asked(view, "select count(*) from silver.departures")


def test_a_view_stays_at_the_version_that_was_exported(
    lakehouse: Lakehouse, tmp_path: Path, home: Path, store: DeltaStore
) -> None:
    file = tmp_path / "lake.duckdb"
    lakehouse(home, "export", "--duckdb", str(file))
    store.append(departures, rows_of(D2, range(6, 9)), Txn("test", 2), {})
    before = asked(file, "select count(*) from silver.departures")
    lakehouse(home, "export", "--duckdb", str(file))

    assert (before, asked(file, "select count(*) from silver.departures")) == ([(5,)], [(8,)])


def test_a_lake_without_tables_gives_an_empty_file(lakehouse: Lakehouse, tmp_path: Path) -> None:
    done = lakehouse(tmp_path, "export", "--duckdb", str(tmp_path / "lake.duckdb"))

    assert (done.returncode, done.stdout) == (0, f"wrote 0 views to {tmp_path / 'lake.duckdb'}\n")


@pytest.mark.usefixtures("store")
def test_a_file_that_cannot_be_written_is_explained(lakehouse: Lakehouse, tmp_path: Path, home: Path) -> None:
    done = lakehouse(home, "export", "--duckdb", str(tmp_path / "no" / "lake.duckdb"))

    assert done.returncode == 1
    assert "there is no folder" in done.stderr


def test_views_of_tables_on_an_object_store_are_refused(
    lakehouse: Lakehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DeltaStore, "is_shared", property(lambda _: True))

    done = lakehouse(tmp_path, "export", "--duckdb", str(tmp_path / "lake.duckdb"))

    assert (done.returncode, "add --copy" in done.stderr) == (1, True)
