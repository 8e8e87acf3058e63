"""Tell people that a check found an error, once, and once more when it finds none: the run itself was green.

Looks at the newest verdict of each check in Dagster's event log, whoever started the run; a check that is only planned
still has the verdict before. Warnings are for the UI. The checks `fresh` and `streaming` have sensors of their own.

The cursor holds by address the checks that it was told of: {"1f0c...": ["silver.flights contract"]}. After downtime the
next tick finds whatever has changed since.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

import dagster as dg
from dagster._core.storage.asset_check_execution_record import (
    COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES,
    AssetCheckExecutionRecord,
)

from lake.table import Table
from lakehouse_assets.checks import LATE, checks_of
from lakehouse_assets.factory import asset_key
from resources.settings import Settings
from sensors.notify import Memory, Notifier, listed
from sensors.verdicts import undelivered

__all__ = ["build_failing_checks"]


def build_failing_checks(settings: Settings, tables: Iterable[Table]) -> dg.SensorDefinition:
    """The sensor `failing_checks`; it runs where LAKEHOUSE_ALERT_URLS is set."""
    notifier = Notifier(settings.alert_urls)
    watched = {
        dg.AssetCheckKey(asset_key(table), name): table
        for table in tables
        for name in checks_of(table)
        if name not in LATE
    }

    @dg.sensor(
        name="failing_checks",
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING if notifier.urls else dg.DefaultSensorStatus.STOPPED,
        description="Sends a message when a check finds an error, and another when it no longer does.",
    )
    def failing_checks(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        errors = {}
        for record in _verdicts(context.instance, list(watched)):
            found = record.evaluation
            if found and not found.passed and found.severity == dg.AssetCheckSeverity.ERROR:
                table = watched[record.key]
                name = f"{table.full_name} {record.key.name}"
                errors[name] = f"{name} ({table.owner}): {_first_and_last(found.description or '')}"
        memory = Memory.parse(json.loads(context.cursor or "{}"))
        spoken = listed(errors, "checks found errors", "checks find no error any more")
        silent = notifier.tell(memory, errors.keys(), *spoken)
        said = f"{len(errors)} checks found errors{undelivered(notifier, silent)}"
        return dg.SensorResult(skip_reason=said, cursor=json.dumps(memory.dump()))

    return failing_checks


def _verdicts(instance: dg.DagsterInstance, keys: list[dg.AssetCheckKey]) -> Iterator[AssetCheckExecutionRecord]:
    storage, completed = instance.event_log_storage, COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES
    for key, record in storage.get_latest_asset_check_execution_by_key(keys).items():
        if record.status in completed:
            yield record
        else:
            yield from storage.get_asset_check_execution_history(key, limit=1, status=completed)


def _first_and_last(description: str) -> str:
    """What is wrong, and the next step."""
    lines = description.splitlines() or [""]
    return "\n    ".join(dict.fromkeys([*lines[:2], lines[-1]]))
