"""What Dagster is told of the commits of streams: logs written out here, commit by commit, and those of real ones."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from deltalake import DeltaTable
from pyspark.sql import SparkSession

from lake.declare.column_lineage import ColumnLineage
from lake.declare.column_origins import InputColumn
from lake.declare.table import Table
from lake.orchestration.checks import checks_of
from lake.orchestration.dagster_home import open_instance
from lake.orchestration.keys import asset_key
from lake.orchestration.open_lineage.sending import flush_all
from lake.orchestration.resource import LakehouseResource
from lake.orchestration.sensors import stream_commits
from lake.orchestration.sensors.stream_commits import build_stream_commits
from lake.project import known_lineage
from lake.project.settings import Settings
from lake.write.store import DeltaStore
from tests import recorded
from tests.definitions import definitions_of
from tests.open_lineage import assert_specified, receiving
from tests.quiet_dagster import QUIET_DAGSTER
from tests.sensors.streamed import D1, D2, D3, DEPARTURES, EVENTS, commit, follow
from tests.streaming import FOLLOWED, Lake, Messages, at

pytestmark = [QUIET_DAGSTER, pytest.mark.slow]

FLIGHTS = next(table for table in FOLLOWED if table.name == "flights")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.from_env({"LAKEHOUSE_HOME": str(tmp_path), "LAKEHOUSE_NOW": "2013-01-04T00:00:00Z"})


@dataclass
class Daemon:
    """Ticks the sensor with the cursor that Dagster would keep for it, and reads what it has reported."""

    instance: dg.DagsterInstance
    settings: Settings
    cursor: str | None = None
    seen: int = 0

    @property
    def store(self) -> DeltaStore:
        return LakehouseResource.from_settings(self.settings).store()

    def tick(self) -> list[tuple[str, str, int | None]]:
        """Table, day and version of each event of this tick."""
        return [(name, day, facts.get("version")) for name, day, facts in self.tick_in_full()]

    def tick_in_full(self) -> list[tuple[str, str, dict[str, Any]]]:
        resources = {"lakehouse": LakehouseResource.from_settings(self.settings)}
        definitions = definitions_of(self.settings, FOLLOWED)
        with dg.build_sensor_context(
            instance=self.instance, cursor=self.cursor, resources=resources, definitions=definitions
        ) as context:
            self.cursor = build_stream_commits(self.settings, FOLLOWED).evaluate_tick(context).cursor
        return list(self._news())

    def _news(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        found = [
            record
            for table in FOLLOWED
            for record in self.instance.fetch_materializations(asset_key(table), limit=1000).records
            if record.storage_id > self.seen
        ]
        self.seen = max((record.storage_id for record in found), default=self.seen)
        for record in sorted(found, key=lambda record: record.storage_id):
            event = record.asset_materialization
            assert event is not None
            assert record.run_id == ""
            yield event.asset_key.path[-1], event.partition or "", {k: v.value for k, v in event.metadata.items()}


@pytest.fixture
def daemon(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Daemon]:
    monkeypatch.setenv("DAGSTER_HOME", "")
    monkeypatch.setenv("LAKEHOUSE_HOME", "")
    with open_instance(settings) as instance:
        yield Daemon(instance, settings)


def forget(store: DeltaStore, table: Table, below: int) -> None:
    """Clean the log below a version, as Delta does when commits are older than its retention."""
    DeltaTable(store.path(table)).create_checkpoint()
    for file in (Path(store.path(table)) / "_delta_log").glob("*.json"):
        if int(file.stem) < below:
            file.unlink()


def test_where_no_stream_ever_ran_nothing_is_looked_at(daemon: Daemon) -> None:
    daemon.store.create(DEPARTURES)
    commit(daemon.store, DEPARTURES, {D1: 1})

    assert daemon.tick() == []
    assert daemon.cursor is None


def test_each_commit_of_a_stream_is_reported_once_for_each_of_its_days(daemon: Daemon) -> None:
    follow(daemon.store, DEPARTURES)
    assert daemon.tick() == []

    commit(daemon.store, DEPARTURES, {D2: 5})
    commit(daemon.store, DEPARTURES, {D2: 1, D3: 2}, maxima={"departed_at": "2013-01-01T00:04:00.000Z"})
    found = daemon.tick_in_full()

    assert [(day, facts["version"], facts["batch"], facts["rows written"]) for _, day, facts in found] == [
        ("2013-01-02", 1, "1", 5),
        ("2013-01-02", 2, "2", 1),
        ("2013-01-03", 2, "2", 2),
    ]
    assert [facts.get("lag in seconds") for _, _, facts in found] == [None, 60.0, 60.0]
    assert {facts["generation"] for _, _, facts in found} == {"1"}
    assert daemon.tick() == []


def test_a_receiver_of_openlineage_hears_of_commits_as_news_of_one_run(
    settings: Settings, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("URL", "CONFIG", "NAMESPACE", "API_KEY", "DISABLED"):
        monkeypatch.delenv(f"OPENLINEAGE_{name}", raising=False)
    follow(daemon.store, DEPARTURES)
    daemon.tick()
    with receiving() as heard:
        daemon.settings = replace(settings, openlineage=heard.url, openlineage_namespace="shop")
        commit(daemon.store, DEPARTURES, {D2: 5})
        commit(daemon.store, DEPARTURES, {D2: 1, D3: 2})
        daemon.tick()
        commit(daemon.store, DEPARTURES, {D3: 9}, streamed=False)
        daemon.tick()
        commit(daemon.store, DEPARTURES, {D3: 4})
        daemon.tick()
        flush_all()

    for one in heard.events:
        assert_specified({name: value for name, value in one.items() if name != "path"})
    job = ("silver.departures.stream", "RUNNING")
    assert [(one["job"]["name"], one["eventType"]) for one in heard.events] == [job, job]
    first, second = heard.events
    assert first["run"] == second["run"]
    assert "parent" not in first["run"]["facets"]
    assert first["job"]["facets"]["jobType"]["processingType"] == "STREAMING"
    assert [one["name"] for one in first["inputs"]] == [daemon.store.path(EVENTS)]
    said = [one["outputs"][0] for one in heard.events]
    assert [one["outputFacets"]["outputStatistics"]["rowCount"] for one in said] == [8, 4]
    assert [one["outputFacets"]["outputStatistics"]["size"] for one in said] == [3, 1]
    table_id = daemon.store.table_log(DEPARTURES).table_id()
    assert [one["facets"]["version"]["datasetVersion"] for one in said] == [f"{table_id}@2", f"{table_id}@4"]


def test_the_newest_event_of_a_tick_says_of_which_columns_a_table_is_made(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    carrier = InputColumn("bronze.departure_events", "value")
    found = ColumnLineage({"carrier": {carrier: frozenset({"computed"})}}, None)
    monkeypatch.setattr(known_lineage, "find_lineage", lambda *_: found)
    known_lineage.found_lineage(daemon.settings.home, DEPARTURES, lambda: None)  # type: ignore[arg-type, return-value]
    follow(daemon.store, DEPARTURES)
    daemon.tick()
    commit(daemon.store, DEPARTURES, {D1: 1})
    commit(daemon.store, DEPARTURES, {D2: 1})

    first, second = (facts for _, _, facts in daemon.tick_in_full())

    assert "dagster/column_lineage" not in first
    assert second["dagster/column_lineage"].deps_by_column == {
        "carrier": [dg.TableColumnDep(dg.AssetKey(["bronze", "departure_events"]), "value")]
    }


def test_of_a_replay_of_the_past_the_lag_is_measured_by_its_clock(daemon: Daemon) -> None:
    follow(daemon.store, EVENTS)
    daemon.tick()
    long_after: dict[str, Any] = {"info": {"timestamp": 1_790_000_000_000}}
    commit(daemon.store, EVENTS, {D3: 1}, maxima={"timestamp": "2013-01-03T23:59:30.000Z"}, **long_after)

    ((_, _, facts),) = daemon.tick_in_full()

    assert facts["lag in seconds"] == 30.0


def test_a_table_without_event_time_takes_the_newest_event_from_the_metadata_of_the_commit(daemon: Daemon) -> None:
    follow(daemon.store, FLIGHTS)
    daemon.tick()
    commit(daemon.store, FLIGHTS, {D2: 1})
    commit(daemon.store, FLIGHTS, {D2: 1}, metadata={"newest_event_at": "2013-01-01T00:03:00+00:00"})

    assert [facts.get("lag in seconds") for _, _, facts in daemon.tick_in_full()] == [None, 120.0]


@pytest.mark.parametrize(
    "other",
    [
        {"rows": {D2: 5}, "streamed": False},
        {"rows": {D2: 5}, "data_change": False, "info": {"operation": "OPTIMIZE"}},
        {"rows": {}, "info": {"operation": "VACUUM END"}},
        {"rows": {}},
    ],
    ids=["a batch run", "OPTIMIZE", "VACUUM", "a micro-batch without news"],
)
def test_other_commits_are_no_materializations(daemon: Daemon, other: dict[str, Any]) -> None:
    follow(daemon.store, DEPARTURES)
    daemon.tick()
    commit(daemon.store, DEPARTURES, **other)
    assert daemon.tick() == []

    commit(daemon.store, DEPARTURES, {D3: 1})
    assert daemon.tick() == [("departures", "2013-01-03", 2)]


@pytest.mark.parametrize("knows_a_place", [True, False])
def test_a_day_that_a_run_has_computed_since_is_not_told_again(daemon: Daemon, knows_a_place: bool) -> None:
    follow(daemon.store, DEPARTURES)
    if knows_a_place:
        daemon.tick()
    commit(daemon.store, DEPARTURES, {D1: 1, D2: 1, D3: 1})
    recorded.record(daemon.store, DEPARTURES, [D1], run_id="a run")
    recorded.record(daemon.store, DEPARTURES, [D2])  # beside the streams: no run tells of it

    assert [day for _, day, _ in daemon.tick()] == [str(D2), str(D3)]


def test_a_tick_takes_a_bounded_number_of_commits_and_the_next_goes_on(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_commits, "COMMITS_AT_ONCE", 2)
    follow(daemon.store, DEPARTURES)
    daemon.tick()
    for _ in range(5):
        commit(daemon.store, DEPARTURES, {D2: 1})

    versions = [[version for _, _, version in daemon.tick()] for _ in range(4)]

    assert versions == [[1, 2], [3, 4], [5], []]


def test_a_tick_that_is_killed_before_its_cursor_is_kept_reports_again(daemon: Daemon) -> None:
    follow(daemon.store, DEPARTURES)
    daemon.tick()
    commit(daemon.store, DEPARTURES, {D2: 1})
    before = daemon.cursor
    first = daemon.tick()

    daemon.cursor = before

    assert first == daemon.tick() == [("departures", "2013-01-02", 1)]


@pytest.mark.parametrize("cursor", [None, "", "{half", "[]", '{"silver.departures": 7}'])
def test_without_a_cursor_that_can_be_read_the_newest_state_of_each_day_is_reported(
    daemon: Daemon, cursor: str | None
) -> None:
    follow(daemon.store, DEPARTURES)
    commit(daemon.store, DEPARTURES, {D2: 5})
    commit(daemon.store, DEPARTURES, {D2: 1, D3: 2})
    commit(daemon.store, DEPARTURES, {D1: 9}, streamed=False)

    daemon.cursor = cursor
    found = daemon.tick_in_full()

    assert [(day, facts["version"], facts["dagster/partition_row_count"]) for _, day, facts in found] == [
        ("2013-01-02", 2, 6),
        ("2013-01-03", 2, 2),
    ]
    assert daemon.tick() == []


def test_a_table_that_was_made_anew_is_compared_in_full(daemon: Daemon) -> None:
    follow(daemon.store, DEPARTURES)
    for _ in range(3):
        commit(daemon.store, DEPARTURES, {D2: 1})
    daemon.tick()

    shutil.rmtree(daemon.store.path(DEPARTURES))
    assert daemon.tick() == [], "nothing is there"
    daemon.store.create(DEPARTURES)
    for _ in range(4):  # as many commits as before, and one more
        commit(daemon.store, DEPARTURES, {D3: 7})

    assert daemon.tick() == [("departures", "2013-01-03", 4)]
    assert daemon.tick() == []


def test_where_the_log_was_cleaned_every_open_day_is_reported_and_no_other(daemon: Daemon) -> None:
    follow(daemon.store, DEPARTURES)
    commit(daemon.store, DEPARTURES, {D1: 1})
    daemon.tick()
    commit(daemon.store, DEPARTURES, {D2: 2})
    commit(daemon.store, DEPARTURES, {D3: 3})
    forget(daemon.store, DEPARTURES, below=3)

    # Who wrote the first day, which is sealed, nobody can say; the second is the streams'.
    assert daemon.tick() == [("departures", "2013-01-02", 3), ("departures", "2013-01-03", 3)]
    assert daemon.tick() == []


def test_full_comparisons_take_turns(daemon: Daemon) -> None:
    follow(daemon.store, EVENTS, DEPARTURES)
    commit(daemon.store, EVENTS, {D2: 1})
    commit(daemon.store, DEPARTURES, {D2: 1})

    assert [daemon.tick() for _ in range(3)] == [
        [("departure_events", "2013-01-02", 1)],
        [("departures", "2013-01-02", 1)],
        [],
    ]


def test_days_that_the_calendar_does_not_have_are_left_out(daemon: Daemon) -> None:
    follow(daemon.store, DEPARTURES)
    daemon.tick()
    commit(daemon.store, DEPARTURES, {date(2099, 1, 1): 1, D3: 1})

    assert daemon.tick() == [("departures", "2013-01-03", 1)]


def test_it_is_on_by_itself(settings: Settings) -> None:
    assert build_stream_commits(settings, FOLLOWED).default_status == dg.DefaultSensorStatus.RUNNING


@pytest.mark.spark
@pytest.mark.streams
def test_what_real_streams_commit_is_what_dagster_shows(daemon: Daemon, spark: SparkSession) -> None:
    lake = Lake(daemon.settings.home, lambda: spark)
    said = Messages()
    days = [at(day, 12) for day in (1, 2, 2, 3)]
    lake.land(
        [said.departure(noon.date(), 10 + n, scheduled=noon, left=noon, sent=noon) for n, noon in enumerate(days)], "a"
    )
    lake.follow()
    found: list[tuple[str, str, dict[str, Any]]] = []
    while news := daemon.tick_in_full():
        found += news

    shown = {(name, day): facts for name, day, facts in found}
    assert shown.keys() >= {("departures", str(noon.date())) for noon in days}
    assert {day: shown["departures", day]["dagster/partition_row_count"] for _, day in shown if _ == "departures"} == {
        "2013-01-01": 1,
        "2013-01-02": 2,
        "2013-01-03": 1,
    }
    streamed = {"departures", "departure_events", "hourly_airport_performance"}
    assert streamed <= {name for name, _, _ in found}
    assert all(facts["lag in seconds"] == 12 * 3600 for name, _, facts in found if name in streamed)
    assert len(found) == len(shown), "each day once"

    one, three = at(3, 13), at(3, 15)
    left = said.departure(D3, 99, scheduled=one, left=one, sent=one)
    reached = said.arrival(D3, 99, scheduled=three, reached=three, sent=three)
    lake.land([left, reached], "b")
    lake.follow()
    news = daemon.tick_in_full()
    assert [(day, facts["rows written"]) for name, day, facts in news if name == "departures"] == [("2013-01-03", 1)]
    joined = [facts["lag in seconds"] for name, day, facts in news if (name, day) == ("flights", "2013-01-03")]
    assert joined == [9 * 3600], "the newest event of a joined row is its arrival"


def test_the_checks_are_told_with_the_commits_and_again_a_minute_later(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else Dagster shows them as not run, because the table has a newer materialization."""
    seconds = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: seconds[0])
    sensor = build_stream_commits(daemon.settings, FOLLOWED)

    def told() -> dict[str, int]:
        with dg.build_sensor_context(
            instance=daemon.instance,
            cursor=daemon.cursor,
            resources={"lakehouse": LakehouseResource.from_settings(daemon.settings)},
            definitions=definitions_of(daemon.settings, FOLLOWED),
        ) as context:
            daemon.cursor = sensor.evaluate_tick(context).cursor
        keys = [dg.AssetCheckKey(asset_key(DEPARTURES), check) for check in checks_of(DEPARTURES)]
        found = daemon.instance.event_log_storage.get_latest_asset_check_execution_by_key(keys)
        return {key.name: record.id for key, record in found.items()}

    follow(daemon.store, DEPARTURES)
    commit(daemon.store, DEPARTURES, {D2: 5})
    first = told()
    commit(daemon.store, DEPARTURES, {D2: 1})
    at_once = told()
    seconds[0] += 61
    later = told()
    seconds[0] += 61

    assert set(first) == {"key_unique", "contract", "row_count", "fresh", "streaming", "range_equals_day"}
    assert at_once == first
    assert all(later[name] > first[name] for name in first)
    assert told() == later, "nothing was committed since"


def test_a_range_that_was_found_to_differ_stays_red_while_streams_commit(daemon: Daemon) -> None:
    """What streams write is no range, so they neither mend a day of batch nor hide it."""
    check = dg.AssetCheckKey(asset_key(DEPARTURES), "range_equals_day")

    def told() -> dg.AssetCheckEvaluation | None:
        daemon.tick()
        found = daemon.instance.event_log_storage.get_latest_asset_check_execution_by_key([check])
        event = found[check].event if check in found else None
        return event.dagster_event.asset_check_evaluation_data if event and event.dagster_event else None

    follow(daemon.store, DEPARTURES)
    commit(daemon.store, DEPARTURES, {D2: 5})
    green = told()
    assert green is not None
    assert green.passed
    assert (green.description or "").startswith("it does not apply")

    recorded.record(daemon.store, DEPARTURES, [D1], run_id="a run")
    said, facts = f"2 rows of a range differ from its day\n{D1}: by itself 1", {"day": str(D1), "run": "a run"}
    red = dg.AssetCheckEvaluation(check.asset_key, check.name, passed=False, metadata=facts, description=said)
    daemon.instance.report_runless_asset_event(red)
    commit(daemon.store, DEPARTURES, {D2: 1})
    still = told()
    assert still is not None
    assert (still.passed, still.metadata["run"].value) == (False, "a run")

    recorded.record(daemon.store, DEPARTURES, [D1], run_id="another run")
    commit(daemon.store, DEPARTURES, {D2: 1})
    again = told()
    assert again is not None
    assert again.passed
