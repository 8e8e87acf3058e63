"""Refreshing several tables in this process, with Dagster as the witness."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from datetime import date
from typing import Any

import dagster as dg
import pytest
from dagster._core.events import DagsterEventType
from pyspark.sql import SparkSession

from lake.batch.plan import Step
from lake.declare.days import Days
from lake.orchestration import assets
from lake.orchestration.assets import CAUSE, PID, WORKER, this_process
from lake.orchestration.resource import LakehouseResource
from lake.orchestration.results import TableResult
from lake.orchestration.runs import fail_runs_of_dead_processes, record_refresh
from lake.project.calendar import OutsideCalendar
from lake.project.settings import Settings
from tests.definitions import definitions_of
from tests.lakehouse_assets.small_lake import DAY, TABLES, by_name, land
from tests.quiet_dagster import QUIET_DAGSTER

pytestmark = [QUIET_DAGSTER, pytest.mark.slow]

THREE_DAYS = Days.between(DAY, date(2020, 1, 3))


def step(*names: str, days: Days | None = THREE_DAYS, unless_equal: bool = False) -> Step:
    return Step(tuple(by_name(name) for name in names), days, unless_equal)


def outline(result: TableResult) -> tuple[str, str, int, int, int]:
    return result.table, result.status, result.rows_in, result.rows_out, result.rejected


@pytest.mark.spark
def test_steps_run_in_order_and_each_table_is_reported_when_it_is_checked(
    spark: SparkSession, instance: dg.DagsterInstance, settings: Settings
) -> None:
    land(settings, {day: [f"a {day} 1", f"b {day} -1", f"b {day} -2"] for day in THREE_DAYS})
    told: list[str] = []
    steps = [step("readings", "measurements"), step("known_sensors", days=None)]

    results = record_refresh(
        instance, definitions_of(settings, TABLES), steps, lambda result: told.append(result.table), cause="test"
    )

    assert [outline(result) for result in results] == [
        ("bronze.readings", "done", 9, 9, 0),
        ("silver.measurements", "done", 9, 3, 6),
        ("silver.known_sensors", "done", 2, 2, 0),
    ]
    assert told == [result.table for result in results]
    assert [(check.name, check.passed) for check in results[1].checks] == [
        ("key_unique", True),
        ("contract", False),
        ("row_count", True),
        ("fresh", False),
        ("range_equals_day", True),
    ]
    runs = [instance.get_run_by_id(run_id) for run_id in dict.fromkeys(result.run_id for result in results)]
    assert [(run.status.value, run.tags[CAUSE]) for run in runs if run] == [("SUCCESS", "test"), ("SUCCESS", "test")]
    assert results[2].days is None
    first = results[0].run_id
    (told_whole,) = [e for e in instance.all_logs(first) if e.dagster_event_type == DagsterEventType.ENGINE_EVENT
                     and "rows written" in e.message]  # fmt: skip
    assert re.sub(r"[0-9.]+ s\b", "N s", told_whole.message) == (
        "2 tables: 12 rows written, 6 rejected\n"
        f"bronze.readings      {THREE_DAYS}  done: 9 read, 9 written, 0 rejected, 0 duplicates, N s; "
        "failed checks: fresh\n"
        f"silver.measurements  {THREE_DAYS}  done: 9 read, 3 written, 6 rejected, 0 duplicates, N s; "
        "failed checks: contract, fresh"
    )
    evaluations = instance.all_logs(first, of_type=DagsterEventType.ASSET_CHECK_EVALUATION)
    found = [event.get_dagster_event().asset_check_evaluation_data for event in evaluations]
    (contract,) = [one for one in found if one.check_name == "contract" and one.asset_key.path[0] == "silver"]
    assert str(contract.metadata["rejected row 1"].value).startswith("value:")
    for key in ("bronze/readings", "silver/measurements"):
        days = instance.fetch_materializations(dg.AssetKey(key.split("/")), limit=10).records
        assert len({round(record.timestamp, 3) for record in days}) == len(days) == 3, "one line each in the UI"
        samples = {record.partition_key: record.asset_materialization for record in days}
        assert [day for day, told in samples.items() if told and "sample" in told.metadata] == [str(THREE_DAYS.last)], (
            "of the newest day"
        )
        newest = samples[str(THREE_DAYS.last)]
        lineage = newest.metadata["dagster/column_lineage"].value if newest else None
        assert isinstance(lineage, dg.TableColumnLineage)
        if key == "silver/measurements":
            assert {dep.asset_key.to_user_string() for deps in lineage.deps_by_column.values() for dep in deps} == {
                "bronze/readings"
            }
    (landed,) = instance.fetch_observations(dg.AssetKey(["feeds", "sensors"]), limit=1).records
    facts = landed.asset_observation.metadata if landed.asset_observation else {}
    assert facts["landing days"].value == 3
    assert facts["newest landing day"].value == str(THREE_DAYS.last)


@pytest.mark.spark
def test_what_reads_a_failed_table_is_skipped_also_in_later_steps(
    spark: SparkSession, instance: dg.DagsterInstance, settings: Settings
) -> None:
    land(settings, {day: [f"a {day} {-1 if day.day == 2 else 1}"] for day in THREE_DAYS})
    steps = [step("readings", "exact_measurements"), step("daily_totals"), step("measurements")]

    results = record_refresh(instance, definitions_of(settings, TABLES), steps)

    assert [(result.table, result.status) for result in results] == [
        ("bronze.readings", "done"),
        ("silver.exact_measurements", "failed"),
        ("gold.daily_totals", "skipped"),
        ("silver.measurements", "done"),
    ]
    failed = results[1]
    assert failed.failed_days == (date(2020, 1, 2),)
    assert failed.rows_out == 2
    assert "1 row broke the contract" in failed.message
    assert [(check.name, check.passed) for check in failed.checks] == [("contract", False)]


@pytest.mark.spark
def test_a_second_run_of_the_same_days_commits_nothing_if_nothing_differs(
    spark: SparkSession, instance: dg.DagsterInstance, settings: Settings
) -> None:
    land(settings, {day: [f"a {day} 1"] for day in THREE_DAYS})
    definitions = definitions_of(settings, TABLES)
    record_refresh(instance, definitions, [step("readings")])
    version = LakehouseResource.from_settings(settings).store().version(by_name("readings"))

    (result,) = record_refresh(instance, definitions, [step("readings", unless_equal=True)])

    assert (result.status, result.unchanged_days) == ("done", 3)
    assert LakehouseResource.from_settings(settings).store().version(by_name("readings")) == version


@pytest.mark.parametrize(
    "days", [Days.between(date(2019, 12, 31), DAY), Days.of(date(2020, 1, 7)), Days.of(date(2031, 1, 1))]
)
def test_days_beyond_the_calendar_are_refused_before_anything_runs(
    instance: dg.DagsterInstance, settings: Settings, days: Days
) -> None:
    with pytest.raises(OutsideCalendar, match=r"the calendar of the tables is 2020-01-01\.\.2020-01-06"):
        record_refresh(instance, definitions_of(settings, TABLES), [step("readings"), step("readings", days=days)])

    assert instance.get_runs() == []


@pytest.mark.parametrize("names", [["readings"], ["readings", "measurements"]], ids=["alone", "computed ahead"])
def test_ctrl_c_while_waiting_for_a_table_leaves_a_canceled_run(
    names: list[str],
    instance: dg.DagsterInstance,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    def tell_and_press(*said: Any) -> None:
        tell(*said)
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()

    tell = assets._tell
    monkeypatch.setattr(assets, "_tell", tell_and_press)
    definitions = definitions_of(settings, TABLES)
    before = signal.getsignal(signal.SIGINT)

    with LakehouseResource.from_settings(settings).store().lock("bronze.readings"), pytest.raises(KeyboardInterrupt):
        record_refresh(instance, definitions, [step(*names)])

    assert [run.status for run in instance.get_runs()] == [dg.DagsterRunStatus.CANCELED]
    assert "bronze.readings: waiting for pid" in capfd.readouterr().err
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.spark
@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_between_two_runs_stops_the_second(
    spark: SparkSession, instance: dg.DagsterInstance, settings: Settings, by: signal.Signals
) -> None:
    def stop(_: TableResult) -> None:
        os.kill(os.getpid(), by)

    land(settings, {day: [f"a {day} 1"] for day in THREE_DAYS})
    definitions = definitions_of(settings, TABLES)
    handlers = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        with pytest.raises(KeyboardInterrupt):
            record_refresh(instance, definitions, [step("readings"), step("measurements")], stop)
    finally:
        for one, handler in handlers.items():
            signal.signal(one, handler)

    assert [run.is_finished for run in instance.get_runs()] == [True], "the first alone, and it is not left open"


def test_runs_of_dead_processes_are_closed_and_others_are_not(instance: dg.DagsterInstance, settings: Settings) -> None:
    job = definitions_of(settings, TABLES).resolve_implicit_global_asset_job_def()
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()

    def started(tags: dict[str, str], before: str | None = None) -> str:
        run = instance.create_run_for_job(
            job, tags=tags, status=dg.DagsterRunStatus.STARTED, parent_run_id=before, root_run_id=before
        )
        return run.run_id

    killed = started({PID: f"{ended.pid}@1.00"})
    same_id_again = started({PID: f"{os.getpid()}@1.00"})
    worker = started({WORKER: f"{ended.pid}@1.00"})
    started_again = started({WORKER: f"{ended.pid}@1.00"}, before=worker)
    alive = started({PID: this_process()})
    just_begun = started({})

    assert set(fail_runs_of_dead_processes(instance)) == {killed, same_id_again, worker}

    states = {run.run_id: run.status for run in instance.get_runs()}
    assert states[killed] == states[same_id_again] == states[worker] == dg.DagsterRunStatus.FAILURE
    assert states[alive] == states[just_begun] == states[started_again] == dg.DagsterRunStatus.STARTED
