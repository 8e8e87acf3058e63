"""A backfill as the web UI launches and retries it, by the same calls, and as Dagster's daemon carries it out."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import date
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.events import DagsterEvent
from dagster._core.execution.api import execute_run
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import ModuleTarget
from dagster._daemon.backfill import execute_backfill_iteration
from dagster_graphql.test.utils import execute_dagster_graphql
from pyspark.sql import SparkSession

from lake.declare.days import Days
from lake.orchestration.keys import asset_key
from lake.orchestration.partitions import days_of_run
from lake.orchestration.resource import LakehouseResource
from lake.ownership.ledger import Ledger
from lake.project.settings import Settings
from tests.definitions import definitions_of
from tests.lakehouse_assets.small_lake import DAY, TABLES, by_name, land
from tests.quiet_dagster import QUIET_DAGSTER

pytestmark = [
    pytest.mark.spark,
    pytest.mark.slow,
    QUIET_DAGSTER,
    # Dagster's web server uses a deprecated function of its own.
    pytest.mark.filterwarnings("ignore:Function `AssetSelection:DeprecationWarning"),
]

CODE = "tests.lakehouse_assets.small_lake_code"
FIVE_DAYS = Days.between(DAY, date(2020, 1, 5))
BROKEN = Days.parse("2020-01-03")

LAUNCH = """mutation ($params: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $params) {
    __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""
RETRY = """mutation ($params: ReexecutionParams) { reexecutePartitionBackfill(reexecutionParams: $params) {
    __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""


@pytest.fixture
def workspace(
    instance: dg.DagsterInstance, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> Iterator[WorkspaceProcessContext]:
    """The small lake, loaded in a process of its own as `lakehouse up` loads the real one."""
    for name, value in (("FIRST_DAY", "2020-01-01"), ("LAST_DAY", "2020-01-31"), ("NOW", "2020-01-06T08:00:00Z")):
        monkeypatch.setenv(f"LAKEHOUSE_{name}", value)
    with WorkspaceProcessContext(instance, ModuleTarget(CODE, None, None, "lakehouse")) as context:
        yield context


def ask(workspace: WorkspaceProcessContext, mutation: str, params: dict[str, Any]) -> str:
    """What a click in the web UI sends; returns the id of the backfill."""
    answer = execute_dagster_graphql(workspace.create_request_context(), mutation, {"params": params}).data
    (found,) = answer.values()
    assert found["__typename"] == "LaunchBackfillSuccess", found
    return str(found["backfillId"])


def carry_out(workspace: WorkspaceProcessContext, backfill_id: str) -> list[tuple[str, Days | None]]:
    """Do what the daemon does until the backfill has ended; returns its runs and their days."""
    instance, ran = workspace.instance, list[tuple[str, Days | None]]()
    for _ in range(5):
        for error in execute_backfill_iteration(workspace, logging.getLogger()):
            assert error is None, error
        for run in instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.QUEUED])):
            execute(instance, run)
            ran.append((run.run_id, days_of_run(run.tags)))
        backfill = instance.get_backfill(backfill_id)
        if backfill is not None and backfill.status.value.startswith("COMPLETED"):
            return ran
    raise AssertionError(f"the backfill never ended: {ran}")


def execute(instance: dg.DagsterInstance, run: dg.DagsterRun) -> None:
    """What the worker of a run does, in this process, where Spark runs already."""
    instance.report_dagster_event(DagsterEvent("PIPELINE_STARTING", run.job_name), run.run_id)
    job = definitions_of(Settings.from_env(), TABLES).resolve_implicit_global_asset_job_def()
    started = instance.get_run_by_id(run.run_id)
    assert started is not None
    execute_run(InMemoryJob(job.get_subset(asset_selection=run.asset_selection)), started, instance)


def test_a_retry_of_a_backfill_takes_exactly_the_failed_days(
    spark: SparkSession, workspace: WorkspaceProcessContext, settings: Settings
) -> None:
    exact = by_name("exact_measurements")
    selection = [{"path": asset_key(table).path} for table in (by_name("readings"), exact)]
    land(settings, {day: [f"a {day} 1", *([f"b {day} -1"] if day in BROKEN else [])] for day in FIVE_DAYS})
    params = {"assetSelection": selection[1:], "partitionNames": [str(day) for day in FIVE_DAYS]}

    carry_out(workspace, ask(workspace, LAUNCH, {**params, "assetSelection": selection[:1]}))
    launched = ask(workspace, LAUNCH, params)
    ((first, first_days),) = carry_out(workspace, launched)
    land(settings, {day: [f"a {day} 1"] for day in BROKEN})
    carry_out(workspace, ask(workspace, LAUNCH, {"assetSelection": selection[:1], "partitionNames": [str(BROKEN)]}))
    ((second, second_days),) = carry_out(
        workspace, ask(workspace, RETRY, {"parentRunId": launched, "strategy": "FROM_FAILURE"})
    )

    assert (first_days, second_days) == (FIVE_DAYS, BROKEN)
    entries = Ledger(LakehouseResource.from_settings(settings).store()).latest(exact.full_name)
    assert {day: entry.run_id for day, entry in entries.items()} == {
        day: second if day in BROKEN else first for day in FIVE_DAYS
    }
    assert {entry.outcome for entry in entries.values()} == {"written"}
