"""The data dictionary agrees with the declarations, as pandera and the files of the packages have them."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

import lakehouse_assets
from lake.commands.dictionary import DictionaryColumn, dictionary_of
from lake.declare.column_lineage import ColumnLineage
from lake.declare.column_origins import InputColumn
from lake.declare.contract import Contract
from lake.declare.table import Table
from lake.project import known_lineage as known
from lake.project.environment import Environment
from lake.project.opening import open_store
from lake.project.settings import Settings
from lake.storage.noted import Noted
from lakehouse_assets.gold.daily_carrier_performance import DailyCarrierPerformance
from lakehouse_assets.silver.departures import Departures
from lakehouse_assets.silver.flights import Flights
from tests import tiny
from tests.lakehouse_assets.conftest import Lakehouse
from tests.people import people

PACKAGE = Path(str(lakehouse_assets.__file__)).parent
CONTRACTS: dict[str, type[Contract]] = {
    "silver.departures": Departures,
    "silver.flights": Flights,
    "gold.daily_carrier_performance": DailyCarrierPerformance,
}


def environment_of(home: Path, *tables: Table) -> Environment:
    settings = Settings.from_env({"LAKEHOUSE_HOME": str(home)})
    return Environment(settings, {table.full_name: table for table in tables}, open_store(settings))


def files_of(folder: str) -> set[str]:
    return {file.stem for file in (PACKAGE / folder).glob("*.py") if "@table(" in file.read_text()}


@pytest.fixture
def airline(lakehouse: Lakehouse, tmp_path: Path) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(lakehouse(tmp_path, "docs", "--json").stdout)
    return said


def test_every_table_and_feed_of_the_airline_is_in_it_as_pandera_has_it(airline: dict[str, Any]) -> None:
    tables = {table["name"]: table for table in airline["tables"]}
    files = {f"{layer}.{name}" for layer in ("bronze", "silver", "gold") for name in files_of(layer)}
    feeds = {file.stem for file in (PACKAGE / "feeds").glob("*.py")} - {"__init__"}

    assert files <= tables.keys()
    assert {feed["name"] for feed in airline["feeds"]} == feeds
    for name, contract in CONTRACTS.items():
        schema = contract.to_schema()
        columns = tables[name]["columns"]
        assert {c["name"]: c["nullable"] for c in columns} == {c: one.nullable for c, one in schema.columns.items()}
        assert {c["name"]: c["description"] for c in columns} == {c: o.description for c, o in schema.columns.items()}
        assert {c["name"]: sorted(one["check"] for one in c["constraints"]) for c in columns} == {
            c: sorted(str(check.name) for check in one.checks) for c, one in schema.columns.items()
        }


def test_a_table_of_the_airline_says_its_days_sinks_and_checks(airline: dict[str, Any]) -> None:
    tables = {table["name"]: table for table in airline["tables"]}
    departures = tables["silver.departures"]

    assert departures["key"] == ["flight_date", "carrier", "flight", "origin", "departed_on"]
    assert (departures["owner"], departures["day"], departures["write"]) == (
        "team:operations", "departed_on", "InsertNew"
    )  # fmt: skip
    assert departures["fresh_within_seconds"] == 26 * 3600
    early = {name: one["early_every_seconds"] for name, one in tables.items() if one["early_every_seconds"] is not None}
    assert early == {"gold.flight_delay_features": 30.0, "gold.flight_delay_scores": 30.0}
    assert departures["reads"] == [
        {"source": "bronze.departure_events", "days_before": 0, "days_after": 1, "span": None}
    ]
    column = {one["name"]: one for one in departures["columns"]}["days_off_event_date"]
    assert (column["stored"], column["constraints"]) == (False, [{"check": "equal_to", "text": "= 0"}])
    assert "serving.carrier_days" in [one["name"] for one in tables["gold.daily_carrier_performance"]["sinks"]]


def test_a_feed_says_its_kind_and_what_it_delivers(airline: dict[str, Any]) -> None:
    feeds = {feed["name"]: feed for feed in airline["feeds"]}

    assert (feeds["departures"]["kind"], feeds["departures"]["format"]) == ("topic", None)
    assert (feeds["weather"]["kind"], feeds["weather"]["read_by"]) == ("files", ["bronze.weather_files"])
    assert feeds["weather"]["owners"]


def test_a_tiny_project_is_in_it_whole(tmp_path: Path) -> None:
    said = dictionary_of(environment_of(tmp_path, tiny.mark_files, tiny.marks, tiny.totals))

    assert [table.name for table in said.tables] == ["bronze.mark_files", "silver.marks", "gold.totals"]
    assert [table.feeds for table in said.tables] == [["marks_feed"], [], []]
    assert [table.reads[0].source for table in said.tables] == ["feeds.marks_feed", "bronze.mark_files", "silver.marks"]
    assert [(table.reads[0].days_before, table.reads[0].days_after) for table in said.tables] == [
        (0, 0),
        (0, 1),
        (1, 0),
    ]
    assert [(feed.name, feed.format, feed.every_day, feed.rows_at_least) for feed in said.feeds] == [
        ("marks_feed", "Lines", True, 1)
    ]
    assert list(tmp_path.iterdir()) == []


def columns_of(home: Path, table: Table) -> dict[str, DictionaryColumn]:
    return {column.name: column for column in dictionary_of(environment_of(home, table)).tables[0].columns}


def test_columns_say_what_they_tell_of_a_person(tmp_path: Path) -> None:
    said = {name: column.pii for name, column in columns_of(tmp_path, people).items()}

    assert (said["email"], said["born_on"], said["salary"], said["visits"]) == ("direct", "quasi", "sensitive", None)


def test_lineage_is_said_where_a_run_has_found_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [column.made_of for column in columns_of(tmp_path, tiny.totals).values()] == [None, None]

    points = InputColumn("silver.marks", "points")
    found = ColumnLineage({"day": None, "points": {points: frozenset({"aggregated"})}}, None)
    monkeypatch.setattr(known, "find_lineage", lambda *_: found)
    known.found_lineage(tmp_path, tiny.totals, lambda: None)  # type: ignore[arg-type, return-value]

    said = columns_of(tmp_path, tiny.totals)
    assert said["day"].made_of is None
    assert [asdict(one) for one in said["points"].made_of or ()] == [
        {"source": "silver.marks", "column": "points", "how": ["aggregated"]}
    ]


def test_it_is_either_the_dictionary_or_the_contracts(lakehouse: Lakehouse, tmp_path: Path) -> None:
    assert lakehouse(tmp_path, "docs", "--json", "--odcs", str(tmp_path / "contracts")).returncode == 2
    assert not (tmp_path / "contracts").exists()


def test_what_runs_have_found_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    whole = Noted.read

    def counted(noted: Noted) -> dict[str, Any]:
        read.append(noted.file.name)
        return whole(noted)

    monkeypatch.setattr(Noted, "read", counted)

    dictionary_of(environment_of(tmp_path, tiny.mark_files, tiny.marks, tiny.totals))

    assert read == ["column_lineage.json"]
