"""Tell people once that a table is late, and once that it is not.

A table is late when the newest day that is due by now (its end plus `fresh_within`) was not computed, or not from all
that the feeds were to deliver for it; computing an older day changes nothing about that. The verdict is that of the
check `fresh`; where it changes, the sensor also records it, so that the UI shows a table as late although no run looked
at it.

Each address is told by itself (`notify.py`). After downtime the next tick finds whatever has changed since.
"""

from __future__ import annotations

from collections.abc import Iterable

import dagster as dg

from lake.batch.freshness import FreshnessJudge
from lake.batch.survey import Survey
from lake.declare.broken_files import BrokenFile
from lake.declare.table import Table
from lake.orchestration.checks import Verdict, judge_fresh
from lake.orchestration.resource import Lakehouse, LakehouseResource
from lake.orchestration.sensors.notify import Notifier
from lake.orchestration.sensors.verdicts import tell_verdicts
from lake.project.settings import Settings

__all__ = ["build_freshness_alerts"]


def build_freshness_alerts(
    settings: Settings, tables: Iterable[Table], broken: Iterable[BrokenFile] = ()
) -> dg.SensorDefinition:
    """Build the sensor `freshness_alerts`.

    It runs where LAKEHOUSE_ALERT_URLS is set. A table that was left out counts as late.
    """
    notifier = Notifier(settings.alert_urls)
    watched = list(tables)
    left_out = {one.table: str(one) for one in broken}

    @dg.sensor(
        name="freshness_alerts",
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.RUNNING if notifier.urls else dg.DefaultSensorStatus.STOPPED,
        description="Sends a message when the newest day of a table is overdue, and another when it is there.",
    )
    def freshness_alerts(context: dg.SensorEvaluationContext, lakehouse: Lakehouse) -> dg.SensorResult:
        verdicts = _verdicts(settings, watched, lakehouse)
        if not verdicts:
            return dg.SensorResult(skip_reason="nothing was ever refreshed or followed")
        return tell_verdicts(
            context, notifier, "fresh", verdicts, became="tables late", ended="tables fresh again", beside=left_out
        )

    return freshness_alerts


def _verdicts(settings: Settings, tables: Iterable[Table], lakehouse: LakehouseResource) -> dict[Table, Verdict]:
    survey = Survey(list(tables), lakehouse.store(), settings.calendar())
    if not survey.view.ledger and survey.view.frontier is None:
        return {}
    judge = FreshnessJudge(survey, settings.now())
    return {table: judge_fresh(table, judge) for table in survey.tables}
