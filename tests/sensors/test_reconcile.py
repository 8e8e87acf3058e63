"""What the reconciling sensor asks for, and what it leaves alone."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import pyspark.sql.functions as F
import pytest
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.definitions.sensor_definition import SensorType
from dagster._core.remote_origin import (
    ManagedGrpcPythonEnvCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import InstigatorState, InstigatorStatus, SensorInstigatorData
from dagster._core.storage.tags import RUN_KEY_TAG, SENSOR_NAME_TAG
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from deltalake import DeltaTable
from pyspark.sql import SparkSession

from lake.batch.plan import Step
from lake.batch.refresh import refresh
from lake.batch.survey import Survey, TableState
from lake.declare.days import Days
from lake.orchestration.assets import CAUSE
from lake.orchestration.dagster_home import open_instance
from lake.orchestration.partitions import days_of_run
from lake.orchestration.resource import LakehouseResource
from lake.orchestration.runs import fail_runs_of_dead_processes
from lake.orchestration.sensors.reconcile import EVIDENCE, _rests, build_reconcile
from lake.orchestration.warm.hand_over import IDLE, listening
from lake.orchestration.warm.settle import Settling
from lake.ownership.frontier import Frontier, FrontierTable
from lake.ownership.ledger import Entry, Ledger
from lake.project.automation import switch_automation
from lake.project.settings import Settings
from lake.write.store import DeltaStore
from tests.definitions import definitions_of
from tests.lakehouse_assets.small_lake import DAY, SENSORS, TABLES, by_name, land, settings_for
from tests.quiet_dagster import QUIET_DAGSTER
from tests.sensors.small_lake_process import settle, settling

pytestmark = [QUIET_DAGSTER, pytest.mark.spark]

DAYS = Days.between(DAY, date(2020, 1, 3))
REPAIRED = "2020-01-01..2020-01-02"
"""What is computed again for a late line of the first day: that and the next, whose totals have it."""


class Daemon:
    """Ticks the sensor and runs what it asks for, in this process."""

    def __init__(self, instance: dg.DagsterInstance, settings: Settings) -> None:
        self.instance, self.settings = instance, settings
        self.cursor: str | None = None
        self.keys: set[str] = set()

    def tick(self) -> list[dg.RunRequest]:
        definitions = definitions_of(self.settings, TABLES)
        resources = {"lakehouse": LakehouseResource.from_settings(self.settings)}
        with dg.build_sensor_context(
            instance=self.instance, cursor=self.cursor, resources=resources, definitions=definitions
        ) as context:
            data = build_reconcile(self.settings, TABLES).evaluate_tick(context)
        self.cursor = data.cursor
        new = [request for request in data.run_requests or () if request.run_key not in self.keys]
        self.keys |= {str(request.run_key) for request in new}
        return list(new)

    def run(self, requests: Sequence[dg.RunRequest]) -> None:
        job = definitions_of(self.settings, TABLES).resolve_job_def("reconcile")
        for request in requests:
            job.execute_in_process(
                instance=self.instance,
                asset_selection=request.asset_selection,
                tags=dict(request.tags),
                raise_on_error=False,
            )

    def until_quiet(self) -> list[tuple[list[str], str]]:
        """Tick and run until nothing is asked for; returns tables and days of each run."""
        asked = []
        for _ in range(10):
            requests = self.tick()
            asked += [outline(request) for request in requests]
            if not requests:
                return asked
            self.run(requests)
        raise AssertionError(f"it never ends: {asked}")


def outline(request: dg.RunRequest) -> tuple[list[str], str]:
    tables = [key.path[-1] for key in request.asset_selection or ()]
    return tables, str(days_of_run(request.tags) or "whole")


@pytest.fixture
def daemon(
    spark: SparkSession, instance: dg.DagsterInstance, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> Daemon:
    """Its days do not rest."""
    monkeypatch.setattr("lake.orchestration.sensors.reconcile.RESTS", timedelta(0))
    return Daemon(instance, settings)


def store_of(settings: Settings) -> DeltaStore:
    return LakehouseResource.from_settings(settings).store()


@pytest.fixture(scope="module")
def quiet_lake(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A lake in which all of three days was computed, and the cursor with which it is quiet; made once, and copied."""
    home = tmp_path_factory.mktemp("quiet")
    settings = settings_for(home)
    land(settings, {day: [f"a {day} 1"] for day in DAYS})
    with pytest.MonkeyPatch.context() as patch, dg.DagsterInstance.ephemeral() as instance:
        patch.setattr("lake.orchestration.sensors.reconcile.RESTS", timedelta(0))
        daemon = Daemon(instance, settings)
        daemon.until_quiet()
    assert daemon.cursor is not None
    return home, daemon.cursor


@pytest.fixture
def still(daemon: Daemon, quiet_lake: tuple[Path, str], tmp_path: Path) -> Daemon:
    """The daemon of a lake of its own that needs nothing."""
    home, daemon.cursor = quiet_lake
    shutil.copytree(home, tmp_path, dirs_exist_ok=True)
    return daemon


def test_what_landed_goes_down_to_gold_and_then_it_is_quiet(daemon: Daemon) -> None:
    land(daemon.settings, {day: [f"a {day} 1"] for day in DAYS})

    asked = daemon.until_quiet()

    assert asked[0] == (["readings"], str(DAYS))
    assert {name for tables, _ in asked for name in tables} == {table.name for table in TABLES}
    totals = store_of(daemon.settings).read(by_name("daily_totals")).orderBy("measured_on").collect()
    assert [row["total"] for row in totals if row["measured_on"] in DAYS] == [2, 3, 2]
    assert daemon.tick() == []


def test_a_late_line_asks_for_its_days_alone_and_a_compaction_for_none(still: Daemon) -> None:
    land(still.settings, {date(2020, 1, 5): ["b 2020-01-01 5"]})
    asked = {tables[0]: days for tables, days in still.until_quiet()}

    assert asked["readings"] == "2020-01-05"
    assert asked["measurements"] == REPAIRED

    store_of(still.settings).compact(by_name("measurements"), DAYS)
    assert still.tick() == []


def said_of(runs: Sequence[dg.DagsterRun]) -> list[tuple[list[str], str]]:
    """Tables and days of each run."""
    return [
        (sorted(key.path[-1] for key in run.asset_selection or ()), str(days_of_run(run.tags) or "whole"))
        for run in runs
    ]


def test_the_warm_process_goes_on_to_gold_by_the_runs_that_the_sensor_would_ask_for(still: Daemon) -> None:
    land(still.settings, {date(2020, 1, 5): ["b 2020-01-01 5", "b 2020-01-03 4"]})

    done = said_of(settle(still.instance, still.settings))

    assert done[0] == (["readings"], "2020-01-05")
    computed = {(table, days) for tables, days in done for table in tables}
    assert ("measurements", "2020-01-01..2020-01-03") in computed, "one run, over the computed day between"
    totals = store_of(still.settings).read(by_name("daily_totals")).orderBy("measured_on").collect()
    assert [row["total"] for row in totals if row["measured_on"] in DAYS] == [7, 12, 6]
    assert still.tick() == [], "it left nothing to the sensor"
    runs = still.instance.get_runs(dg.RunsFilter(job_name="reconcile"))
    assert len(runs) == len(done)
    assert {run.tags[CAUSE] for run in runs} == {"reconcile"}
    assert all(EVIDENCE in run.tags and RUN_KEY_TAG in run.tags for run in runs)


def test_what_has_to_wait_in_the_sensor_waits_in_the_warm_process_too(
    still: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    land(still.settings, {date(2020, 1, 5): ["b 2020-01-01 5"]})
    monkeypatch.setattr("lake.orchestration.sensors.reconcile.RESTS", timedelta(days=1))

    assert said_of(settle(still.instance, still.settings)) == [(["readings"], "2020-01-05")]


def test_while_the_warm_process_goes_on_the_sensor_asks_for_nothing(still: Daemon) -> None:
    land(still.settings, {date(2020, 1, 5): ["b 2020-01-01 5"]})
    home = still.settings.dagster_home
    home.mkdir(parents=True, exist_ok=True)

    with listening(home, lambda *_: "planning"):
        assert still.tick() == []
    assert len(still.tick()) == 1


def test_what_is_due_is_left_to_a_warm_process_that_looks_by_itself(still: Daemon) -> None:
    land(still.settings, {date(2020, 1, 5): ["b 2020-01-01 5"]})
    home = still.settings.dagster_home
    home.mkdir(parents=True, exist_ok=True)

    with listening(home, lambda *_: IDLE):
        assert still.tick() == []
    assert len(still.tick()) == 1, "it is asked for once that process is gone"


@pytest.fixture
def warm(still: Daemon, monkeypatch: pytest.MonkeyPatch) -> Settling:
    """What a warm process sees of that lake; it looks whenever it is asked to."""
    for wait in ("_PART_OF_THE_TIME", "_WAITS_SECONDS"):
        monkeypatch.setattr(f"lake.orchestration.warm.settle.{wait}", 0.0)
    return settling(still.instance, still.settings)


def test_a_warm_process_finds_a_late_line_by_itself_and_asks_as_the_sensor_would(still: Daemon, warm: Settling) -> None:
    assert list(warm.due()) == []
    land(still.settings, {date(2020, 1, 5): ["b 2020-01-01 5"]})

    (found,) = warm.due()

    (asked,) = still.tick()
    assert (found.run_key, found.asset_selection) == (asked.run_key, asked.asset_selection)
    assert {**found.tags, SENSOR_NAME_TAG: "reconcile"} == asked.tags


def test_a_warm_process_starts_nothing_while_reconcile_is_off_or_a_run_is_under_way(
    still: Daemon, warm: Settling
) -> None:
    land(still.settings, {date(2020, 1, 5): ["b 2020-01-01 5"]})
    switch_automation(still.settings, on=False)
    assert list(warm.due()) == []

    switch_automation(still.settings, on=True)
    job = definitions_of(still.settings, TABLES).resolve_job_def("daily")
    run = still.instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
    assert list(warm.due()) == []

    still.instance.report_run_failed(run)
    assert len(warm.due()) == 1, "it had not forgotten"


def test_a_warm_process_never_starts_again_what_has_changed_nothing(still: Daemon, warm: Settling) -> None:
    land(still.settings, {date(2020, 1, 5): ["b 2020-01-01 5"]})
    (found,) = warm.due()
    job, tags = definitions_of(still.settings, TABLES).resolve_job_def("daily"), {RUN_KEY_TAG: str(found.run_key)}
    still.instance.create_run_for_job(job, status=dg.DagsterRunStatus.SUCCESS, tags=tags)

    assert list(warm.due()) == []


def test_a_run_that_was_recorded_by_a_process_that_was_killed_holds_up_nothing(
    still: Daemon, warm: Settling, monkeypatch: pytest.MonkeyPatch
) -> None:
    land(still.settings, {date(2020, 1, 5): ["b 2020-01-01 5"]})
    run = next(warm.all_of(warm.due()))()
    assert still.tick() == []

    monkeypatch.setattr("lake.orchestration.runs._is_alive", lambda _: False)
    monkeypatch.setattr("lake.orchestration.sensors.reconcile._PAUSES_SECONDS", (0.0,))

    assert len(still.tick()) == 1
    found = still.instance.get_run_by_id(run.run_id)
    assert found is not None
    assert found.status == dg.DagsterRunStatus.FAILURE


def test_a_look_that_goes_wrong_says_so_once_and_the_next_is_taken(
    still: Daemon, warm: Settling, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    land(still.settings, {date(2020, 1, 5): ["b 2020-01-01 5"]})
    with monkeypatch.context() as broken:
        broken.setattr("lake.orchestration.warm.settle.due_requests", lambda *_: Path("/nowhere").stat())
        assert [list(warm.due()), list(warm.due())] == [[], []]

    assert capsys.readouterr().out.count("ERROR: what is due cannot be told") == 1
    assert len(warm.due()) == 1


def test_what_was_switched_by_hand_counts_more_than_the_start(still: Daemon, warm: Settling) -> None:
    location = ManagedGrpcPythonEnvCodeLocationOrigin(LoadableTargetOrigin(module_name="x"), location_name="here")
    origin = RemoteInstigatorOrigin(RemoteRepositoryOrigin(location, "__repository__"), "reconcile")
    data = SensorInstigatorData(min_interval=2, sensor_type=SensorType.STANDARD)
    state = InstigatorState(origin, InstigatorType.SENSOR, InstigatorStatus.STOPPED, data)
    still.instance.add_instigator_state(state)
    assert not warm._is_switched_on()
    assert replace(warm, location=replace(warm.location, name="elsewhere"))._is_switched_on()

    switch_automation(still.settings, on=False)
    still.instance.update_instigator_state(state.with_status(InstigatorStatus.RUNNING))
    assert warm._is_switched_on()


def rows_of(home: Path) -> dict[str, list[str]]:
    """All rows of a lake, as delta-rs reads them."""
    read = {table.full_name: DeltaTable(str(home / "tables" / table.path)).to_pyarrow_table() for table in TABLES}
    # Columns in one order, because a table may keep its own.
    return {name: sorted(map(repr, rows.select(sorted(rows.column_names)).to_pylist())) for name, rows in read.items()}


def in_a_process(way: str, home: Path, failpoint: str = "") -> int:
    env = {**os.environ, "LAKEHOUSE_FAILPOINT": failpoint}
    command = [sys.executable, "-m", "tests.sensors.small_lake_process", way, str(home)]
    return subprocess.run(command, env=env, timeout=300).returncode


@pytest.mark.streams
@pytest.mark.slow
@pytest.mark.faults
def test_a_late_line_gives_the_rows_of_a_refresh_also_where_the_warm_process_is_killed_on_the_way(
    still: Daemon, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    land(still.settings, {date(2020, 1, 5): ["b 2020-01-01 5", "b 2020-01-02 4"]})
    refreshed, killed = tmp_path_factory.mktemp("refreshed"), tmp_path_factory.mktemp("killed")
    for copy in (refreshed, killed):
        shutil.copytree(tmp_path, copy, dirs_exist_ok=True)

    settle(still.instance, still.settings)
    assert in_a_process("refresh", refreshed) == 0
    assert rows_of(tmp_path) == rows_of(refreshed)

    assert in_a_process("warm", killed, "after_commit@silver.exact_measurements") == -signal.SIGKILL
    assert rows_of(killed) != rows_of(refreshed)
    settings = settings_for(killed)
    with open_instance(settings) as instance:
        assert len(fail_runs_of_dead_processes(instance)) == 1
        monkeypatch.setattr("lake.orchestration.sensors.reconcile._PAUSES_SECONDS", (0.0,))
        settle(instance, settings)
    assert rows_of(killed) == rows_of(refreshed)


def test_a_day_rests_after_it_was_computed_so_that_a_burst_of_late_lines_shares_its_next_run(
    still: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lake.orchestration.sensors.reconcile.RESTS", timedelta(hours=1))
    for number, line in enumerate(["b 2020-01-01 5", "c 2020-01-01 6"]):
        land(still.settings, {date(2020, 1, 5 + number): [line]})
        still.run(still.tick())  # what has landed was never computed: it does not wait
        assert still.tick() == [], "measurements of the day were computed just now"

    monkeypatch.setattr("lake.orchestration.sensors.reconcile.RESTS", timedelta(0))

    asked = [outline(request) for request in still.tick()]
    assert [days for tables, days in asked if "measurements" in tables] == [REPAIRED], "one run for both lines"


@pytest.mark.parametrize(("ago", "rests"), [(5, True), (11, False), (-5, False), (-315_360_000, False)])
def test_a_day_that_a_clock_which_was_ahead_computed_does_not_rest_for_as_long_as_that(
    settings: Settings, ago: int, rests: bool
) -> None:
    table = by_name("measurements")
    at = datetime.now(UTC) - timedelta(seconds=ago)
    entry = Entry(table.full_name, DAY, "written", 1, 1, 0, 0, {}, 1, "abc", 0.5, recorded_at=at)
    survey = Survey([table], store_of(settings), DAYS)
    survey.states = {table.full_name: TableState(table, {DAY: entry}, stale={DAY: "an input changed"})}

    assert _rests(survey, Step((table,), Days.of(DAY))) is rests


@pytest.fixture
def quick_vacuum(spark: SparkSession) -> Iterator[None]:
    conf = {
        "spark.databricks.delta.retentionDurationCheck.enabled": "false",
        "spark.databricks.delta.vacuum.logging.enabled": "true",
        "spark.sql.sources.parallelPartitionDiscovery.parallelism": "2",  # 10,000 tasks otherwise
    }
    for name, value in conf.items():
        spark.conf.set(name, value)
    yield
    for name in conf:
        spark.conf.unset(name)


@pytest.mark.usefixtures("quick_vacuum")
def test_optimize_vacuum_and_a_repair_that_changes_nothing_start_no_run(still: Daemon, spark: SparkSession) -> None:
    store, quiet = store_of(still.settings), still.cursor
    before = {table.full_name: store.version(table) for table in TABLES}

    for table in TABLES:
        spark.sql(f"OPTIMIZE delta.`{store.path(table)}`").collect()
        if table.name in ("readings", "known_sensors"):  # one with days and one without: VACUUM takes seconds
            spark.sql(f"VACUUM delta.`{store.path(table)}` RETAIN 0 HOURS").collect()
        assert still.tick() == []
    assert any((store.version(table) or 0) > (before[table.full_name] or 0) for table in TABLES)
    assert still.cursor != quiet, "it has looked"

    versions = {table.full_name: store.version(table) for table in TABLES}
    refresh(by_name("measurements"), store, DAYS, unless_equal=True)
    assert still.tick() == []
    assert {table.full_name: store.version(table) for table in TABLES} == versions


def test_a_table_that_was_made_anew_is_computed_again_with_what_reads_it_and_nothing_else(still: Daemon) -> None:
    store = store_of(still.settings)
    totals = store.read(by_name("daily_totals")).orderBy("measured_on").collect()

    shutil.rmtree(store.path(by_name("exact_measurements")))
    asked = [(name, days) for tables, days in still.until_quiet() for name in tables]

    assert asked[0] == ("exact_measurements", str(DAYS))
    assert {name for name, _ in asked} <= {"exact_measurements", "daily_totals"}
    assert len(asked) == len(set(asked)), "each range once"
    assert store.read(by_name("exact_measurements")).count() == 3
    assert store.read(by_name("daily_totals")).orderBy("measured_on").collect() == totals
    assert still.tick() == []


def test_where_the_log_was_cleaned_days_are_compared_and_what_is_known_stays_quiet(still: Daemon) -> None:
    store, readings = store_of(still.settings), by_name("readings")

    log = Path(store.path(readings)) / "_delta_log"
    DeltaTable(store.path(readings)).create_checkpoint()
    newest = store.version(readings)
    for file in log.glob("*.json"):
        if int(file.stem) < (newest or 0):
            file.unlink()
    still.cursor = None
    assert still.tick() == []

    land(still.settings, {date(2020, 1, 5): ["b 2020-01-01 5"]})
    asked = {tables[0]: days for tables, days in still.until_quiet()}
    assert (asked["readings"], asked["measurements"]) == ("2020-01-05", REPAIRED)


def test_each_contiguous_range_of_a_table_is_one_run(daemon: Daemon) -> None:
    land(daemon.settings, {date(2020, 1, day): [f"a 2020-01-{day:02d} 1"] for day in (1, 2, 3, 5)})

    first = [outline(request) for request in daemon.tick()]

    assert first == [(["readings"], "2020-01-01..2020-01-03"), (["readings"], "2020-01-05")]


def test_a_lost_cursor_compares_everything_and_asks_for_nothing(still: Daemon) -> None:
    still.cursor = None

    assert still.tick() == []
    assert still.cursor is not None


def test_nothing_is_asked_for_while_a_run_is_under_way(daemon: Daemon) -> None:
    land(daemon.settings, {DAY: [f"a {DAY} 1"]})
    somebody_else = definitions_of(daemon.settings, TABLES).resolve_job_def("daily")
    run = daemon.instance.create_run_for_job(somebody_else, status=dg.DagsterRunStatus.STARTED)

    daemon.instance.create_run_for_job(somebody_else, status=dg.DagsterRunStatus.NOT_STARTED)  # and never will be

    assert daemon.tick() == []

    daemon.instance.report_run_failed(run)
    assert [outline(request) for request in daemon.tick()] == [(["readings"], str(DAY))]


def fail(daemon: Daemon, request: dg.RunRequest) -> float:
    """A run of a request that fails; returns when it ended, in seconds since 1970."""
    job = definitions_of(daemon.settings, TABLES).resolve_job_def("reconcile")
    run = daemon.instance.create_run_for_job(job, tags=dict(request.tags), status=dg.DagsterRunStatus.STARTED)
    daemon.instance.report_run_failed(run)
    (record,) = daemon.instance.get_run_records(dg.RunsFilter(run_ids=[run.run_id]))
    return record.end_time or record.create_timestamp.timestamp()


def test_a_failed_run_is_asked_for_again_after_a_pause_that_doubles_up_to_an_hour(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    land(daemon.settings, {DAY: [f"a {DAY} 1"]})
    (request,) = daemon.tick()
    now = [1_600_000_000.0]
    monkeypatch.setattr("lake.orchestration.sensors.reconcile.time.time", lambda: now[0])

    evidence = request.tags[EVIDENCE]
    for attempt, pause in enumerate((60, 120, 240, 480, 960, 1920, 3600, 3600), start=1):
        ended = fail(daemon, request)
        now[0] = ended + pause - 1
        assert daemon.tick() == [], f"it waits {pause} s"
        now[0] = ended + pause
        (request,) = daemon.tick()
        assert request.run_key == f"{evidence}#{attempt}"


def test_a_run_that_somebody_stopped_is_asked_for_again_after_a_pause(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dagster launches a run key once: asked for by the same key, the days would wait for ever."""
    land(daemon.settings, {DAY: [f"a {DAY} 1"]})
    (request,) = daemon.tick()
    job = definitions_of(daemon.settings, TABLES).resolve_job_def("reconcile")
    run = daemon.instance.create_run_for_job(job, tags=dict(request.tags), status=dg.DagsterRunStatus.STARTED)
    daemon.instance.report_run_canceled(run)
    (record,) = daemon.instance.get_run_records(dg.RunsFilter(run_ids=[run.run_id]))
    ended = record.end_time or record.create_timestamp.timestamp()

    monkeypatch.setattr("lake.orchestration.sensors.reconcile.time.time", lambda: ended + 59)
    assert daemon.tick() == []

    monkeypatch.setattr("lake.orchestration.sensors.reconcile.time.time", lambda: ended + 60)
    assert [again.run_key for again in daemon.tick()] == [f"{request.tags[EVIDENCE]}#1"]


def test_what_happens_to_other_days_does_not_shorten_the_pause(daemon: Daemon) -> None:
    """Else a failing repair would be started at every tick while streams write the same tables."""
    store, other = store_of(daemon.settings), date(2020, 1, 5)
    land(daemon.settings, {DAY: [f"a {DAY} 1"], other: [f"a {other} 1"]})
    refresh(by_name("readings"), store, Days.between(DAY, other))
    asked = {outline(request)[1]: request for request in daemon.tick()}
    fail(daemon, asked[str(DAY)])
    assert daemon.tick() == [], "it waits, and the other was asked for"

    land(daemon.settings, {other: [f"a {other} 1", f"b {other} 2"]})
    refresh(by_name("readings"), store, Days.of(other))

    assert {outline(request)[1] for request in daemon.tick()} == {str(other), "whole"}  # the sensors, of all days


def test_a_day_that_breaks_its_contract_waits_however_often_its_input_has_new_versions(daemon: Daemon) -> None:
    """Each attempt leaves a receipt with the versions of that moment, which are no reason for the next."""
    store, other = store_of(daemon.settings), date(2020, 1, 5)
    land(daemon.settings, {DAY: [f"a {DAY} -1"], other: [f"a {other} 1"]})
    refresh(by_name("readings"), store, Days.between(DAY, other))
    refresh(by_name("exact_measurements"), store, Days.of(DAY))
    assert Ledger(store).latest("silver.exact_measurements")[DAY].outcome == "failed"
    (request,) = (one for one in daemon.tick() if "exact_measurements" in outline(one)[0] and days_of(one) == DAY)

    fail(daemon, request)
    land(daemon.settings, {other: [f"a {other} 1", f"b {other} 2"]})
    refresh(by_name("readings"), store, Days.of(other))
    refresh(by_name("exact_measurements"), store, Days.of(DAY))

    assert not [
        outline(one) for one in daemon.tick() if "exact_measurements" in outline(one)[0] and days_of(one) == DAY
    ]


def days_of(request: dg.RunRequest) -> date | None:
    """The first day that a request is for."""
    days = days_of_run(request.tags)
    return days.start if days else None


def test_a_file_of_the_newest_landing_day_that_grows_in_place_is_noticed(still: Daemon) -> None:
    (file,) = still.settings.landing.folder(SENSORS, DAYS.last).iterdir()

    with file.open("a") as growing:
        growing.write(f"b {DAYS.last} 2\n")

    assert [outline(request) for request in still.tick()] == [(["readings"], str(DAYS.last))]


def test_a_day_is_asked_for_once_it_is_sealed_and_not_while_streams_own_it(still: Daemon) -> None:
    store, names = store_of(still.settings), {"bronze.readings", "silver.measurements"}
    first, second, third = DAYS
    followed = Frontier(first, second, claimed=frozenset(names), generations=dict.fromkeys(names, 1))
    FrontierTable(store).change(lambda _: followed, "streams begin")
    assert still.until_quiet() == []
    # What a stream would write: the days of its table change, and no ledger says so.
    rows = store.read(by_name("measurements")).where("measured_on >= '2020-01-02'").withColumn("value", F.lit(7))
    store.replace(by_name("measurements"), rows, [Days.between(second, third)], {"follow": "silver.measurements"})
    assert still.until_quiet() == []

    FrontierTable(store).change(lambda _: replace(followed, first_open=third), "sealed")

    asked = [(name, days) for tables, days in still.until_quiet() for name in tables]
    assert asked[0] == ("measurements", str(second))
    assert len(asked) == len(set(asked)), "each range once"
    held = {row["measured_on"]: row["value"] for row in store.read(by_name("measurements")).collect()}
    assert held == {first: 1, second: 1, third: 7}


def test_a_backfill_upstream_asks_for_the_days_that_read_it(still: Daemon) -> None:
    refresh(by_name("exact_measurements"), store_of(still.settings), Days.of(DAYS.last))

    (asked,) = still.until_quiet()
    assert asked[0] == ["daily_totals"]


def test_it_is_off_until_somebody_switches_it_on(tmp_path: Path) -> None:
    assert build_reconcile(settings_for(tmp_path), TABLES).default_status == dg.DefaultSensorStatus.STOPPED


def test_a_damaged_log_keeps_no_other_table_waiting(daemon: Daemon) -> None:
    land(daemon.settings, {day: [f"a {day} 1"] for day in DAYS})
    log = Path(store_of(daemon.settings).path(by_name("known_sensors")), "_delta_log")
    log.mkdir(parents=True)
    (log / f"{0:020d}.json").write_text('{"commitInfo"')

    assert [outline(request) for request in daemon.tick()] == [(["readings"], str(DAYS))]
