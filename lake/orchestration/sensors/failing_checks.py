"""Tell people once that a check found an error, and once when mended.

The run itself was green. Looks at the newest verdict of each check in Dagster's event log, whoever started the run; a
check that is only planned still has the verdict before. Warnings are for the UI. The checks `fresh` and `streaming`
have sensors of their own.

A check of a table whose input of the same days fails one is told with that (`causes.py`). The cursor holds the causes
with what stands behind each, and by address those that it was told of: {"causes": {"silver.orders contract":
{"behind": ["silver.orders contract"], "mended_at": null}}, "told": {"1f0c...": ["silver.orders contract"]}}. After
downtime the next tick finds whatever has changed since.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

import dagster as dg

from lake.declare.table import Table
from lake.orchestration.checks import RUNBOOK, lasting_checks
from lake.orchestration.keys import check_key, name_of
from lake.orchestration.sensors.alert_text import split_next
from lake.orchestration.sensors.causes import Causes, Finding
from lake.orchestration.sensors.notify import Memory, Notifier
from lake.orchestration.sensors.verdicts import Teller, undelivered
from lake.orchestration.standing import StandingError, standing_errors
from lake.project.settings import Settings

__all__ = ["build_failing_checks"]


def build_failing_checks(settings: Settings, tables: Iterable[Table]) -> dg.SensorDefinition:
    """Build the sensor `failing_checks`.

    It runs where LAKEHOUSE_ALERT_URLS is set.
    """
    by_name = {table.full_name: table for table in tables}
    notifier = Notifier(settings.alert_urls)
    watched = {check_key(name): table for name, table in lasting_checks(by_name.values()).items()}
    teller = Teller("failing_checks", settings, notifier, by_name, "finds no error any more")

    @dg.sensor(
        name="failing_checks",
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING if notifier.urls else dg.DefaultSensorStatus.STOPPED,
        description="Sends a message when a check finds an error, and another when it no longer does.",
    )
    def failing_checks(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        errors = standing_errors(context.instance, list(watched))
        listed = [_find(key, watched[key], error) for key, error in errors.items()]
        found = {one.name: one for one in listed}
        causes, memory = _parse(context.cursor)
        silent = teller.tell(found, causes, memory)
        said = f"{len(errors)} checks found errors{undelivered(notifier, silent)}"
        cursor = json.dumps({"causes": causes.dump(), "told": memory.dump()})
        return dg.SensorResult(skip_reason=said, cursor=cursor)

    return failing_checks


def _find(key: dg.AssetCheckKey, table: Table, error: StandingError) -> Finding:
    reason, step = split_next(error.description)
    return Finding(
        name_of(key.asset_key, key.name),
        f"fails its check {key.name}",
        table.full_name,
        error.days,
        table.owner,
        reason,
        step,
        RUNBOOK[key.name],
        error.run_id,
    )


def _parse(cursor: str | None) -> tuple[Causes, Memory]:
    said = json.loads(cursor or "{}")
    memory = Memory.parse(said.get("told", {}) if "causes" in said else said)
    return Causes.parse(said.get("causes"), memory.names), memory
