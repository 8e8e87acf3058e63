"""Messages about checks that found an error in a run that ended well."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationPlanned
from dagster._core.events import DagsterEventType

from lake.orchestration.assets import build_check_evaluation
from lake.orchestration.checks import Severity, Verdict
from lake.orchestration.keys import asset_key
from lake.orchestration.sensors.failing_checks import build_failing_checks
from lake.project.settings import Settings
from tests.definitions import definitions_of
from tests.lakehouse_assets.small_lake import DAY, by_name, settings_for
from tests.quiet_dagster import QUIET_DAGSTER
from tests.sensors.webhook import QUIET_APPRISE, Webhook, webhook

pytestmark = [QUIET_DAGSTER, QUIET_APPRISE, pytest.mark.slow]

MEASUREMENTS = by_name("measurements")
TABLES = (by_name("readings"), MEASUREMENTS)


@pytest.fixture
def hook() -> Iterator[Webhook]:
    with webhook() as listening:
        yield listening


class Watch:
    """The sensor, with the cursor that Dagster would keep for it."""

    def __init__(self, instance: dg.DagsterInstance, settings: Settings) -> None:
        self.instance, self.settings = instance, settings
        self.cursor: str | None = None

    def tick(self) -> str:
        definitions = definitions_of(self.settings, TABLES)
        with dg.build_sensor_context(instance=self.instance, cursor=self.cursor, definitions=definitions) as context:
            found = build_failing_checks(self.settings, TABLES).evaluate_tick(context)
        self.cursor = found.cursor
        return found.skip_message or ""

    def find(self, check: str, *, passed: bool, severity: Severity = "ERROR") -> None:
        """Let a check of the measurements find something."""
        verdict = Verdict("3 of 10 rows rejected", {} if passed else {DAY: "3 of 10 rows rejected (30.0%)"}, severity)
        self.instance.report_runless_asset_event(build_check_evaluation(asset_key(MEASUREMENTS), check, verdict))


@pytest.fixture
def watch(instance: dg.DagsterInstance, tmp_path: Path, hook: Webhook) -> Watch:
    return Watch(instance, settings_for(tmp_path, LAKEHOUSE_ALERT_URLS=hook.url))


def test_an_error_is_told_once_with_the_next_command_and_once_more_when_it_is_over(watch: Watch, hook: Webhook) -> None:
    watch.tick()
    watch.find("contract", passed=True)
    watch.tick()
    assert hook.titles() == []

    watch.find("contract", passed=False)
    assert watch.tick() == "1 checks found errors"
    (told,) = hook.received
    title = f"Lakehouse {watch.settings.root.name} (dev): silver.measurements fails its check contract"
    assert (told["title"], told["type"]) == (title, "failure")
    lake, table, days, *reason, step, page, address = told["message"].strip().splitlines()
    assert lake == f"lake: {watch.settings.tables} (dev)"
    assert table == "table: silver.measurements (owner team:tests)"
    assert days == "days: 2020-01-01"
    assert reason == ["reason: 3 of 10 rows rejected", "  2020-01-01: 3 of 10 rows rejected (30.0%)"]
    assert step.startswith("next: lakehouse quarantine silver.measurements --days 2020-01-01 ")
    assert page == "runbook: docs/runbook.md#rows-are-in-quarantine"
    assert address == "page: http://127.0.0.1:3000/assets/silver/measurements"
    hook.received.clear()

    watch.find("contract", passed=False)
    watch.tick()
    watch.find("key_unique", passed=True)
    watch.tick()
    assert hook.titles() == []

    watch.find("contract", passed=True)
    watch.tick()
    watch.tick()
    (told,) = hook.received
    assert told["title"].endswith(": silver.measurements contract finds no error any more")
    assert told["type"] == "success"


def test_warnings_and_what_other_sensors_tell_are_left_alone(watch: Watch, hook: Webhook) -> None:
    watch.find("contract", passed=False, severity="WARN")
    watch.find("fresh", passed=False)
    watch.tick()

    assert hook.titles() == []


def test_a_check_that_is_only_planned_has_the_verdict_before(watch: Watch, hook: Webhook) -> None:
    watch.find("contract", passed=False)
    watch.tick()
    plan = dg.AssetCheckKey(asset_key(MEASUREMENTS), "contract")
    job = definitions_of(watch.settings, TABLES).resolve_implicit_global_asset_job_def()
    run = watch.instance.create_run_for_job(job)
    event = dg.DagsterEvent(
        DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED.value,
        job.name,
        event_specific_data=AssetCheckEvaluationPlanned(asset_key=plan.asset_key, check_name=plan.name),
    )
    watch.instance.report_dagster_event(event, run.run_id)
    (newest,) = watch.instance.event_log_storage.get_latest_asset_check_execution_by_key([plan]).values()
    assert newest.status.value == "PLANNED"

    watch.tick()

    (title,) = hook.titles()
    assert title.endswith("silver.measurements fails its check contract")


def test_without_an_address_the_sensor_is_off(tmp_path: Path) -> None:
    assert build_failing_checks(settings_for(tmp_path), TABLES).default_status == dg.DefaultSensorStatus.STOPPED
