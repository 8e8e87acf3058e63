"""Tell people once that a check found an error, and once when mended.

The run itself was green. Looks at the newest verdict of each check in Dagster's event log, whoever started the run; a
check that is only planned still has the verdict before. Warnings are for the UI. The checks `fresh` and `streaming`
have sensors of their own.

The cursor holds by address the checks that it was told of: {"1f0c...": ["silver.orders contract"]}. After downtime the
next tick finds whatever has changed since.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

import dagster as dg

from lake.declare.table import Table
from lake.orchestration.keys import name_of
from lake.orchestration.sensors.notify import Memory, Notifier, listed
from lake.orchestration.sensors.verdicts import undelivered
from lake.orchestration.standing import first_and_last, lasting_checks, standing_errors
from lake.project.settings import Settings

__all__ = ["build_failing_checks"]


def build_failing_checks(settings: Settings, tables: Iterable[Table]) -> dg.SensorDefinition:
    """Build the sensor `failing_checks`.

    It runs where LAKEHOUSE_ALERT_URLS is set.
    """
    notifier = Notifier(settings.alert_urls)
    watched = lasting_checks(tables)

    @dg.sensor(
        name="failing_checks",
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING if notifier.urls else dg.DefaultSensorStatus.STOPPED,
        description="Sends a message when a check finds an error, and another when it no longer does.",
    )
    def failing_checks(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        errors = {}
        for key, description in standing_errors(context.instance, list(watched)).items():
            table = watched[key]
            name = name_of(key.asset_key, key.name)
            errors[name] = f"{name} ({table.owner}): {first_and_last(description)}"
        memory = Memory.parse(json.loads(context.cursor or "{}"))
        spoken = listed(errors, "checks found errors", "checks find no error any more")
        silent = notifier.tell(memory, errors.keys(), *spoken)
        said = f"{len(errors)} checks found errors{undelivered(notifier, silent)}"
        return dg.SensorResult(skip_reason=said, cursor=json.dumps(memory.dump()))

    return failing_checks
