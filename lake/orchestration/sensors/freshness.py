"""Tell people once that a table is late, and once that it is not.

A table is late when the newest day that is due by now (its end plus `fresh_within`) was not computed, or not from all
that the feeds were to deliver for it; computing an older day changes nothing about that. The verdict is that of the
check `fresh`; where it changes, the sensor also records it, so that the UI shows a table as late although no run looked
at it.

Tables that are late because one that they read is are one message (`causes.py`). Each address is told by itself
(`notify.py`). After downtime the next tick finds whatever has changed since.
"""

from __future__ import annotations

from collections.abc import Iterable

import dagster as dg

from lake.batch.freshness import Freshness, FreshnessJudge
from lake.batch.survey import Survey
from lake.declare.broken_files import BrokenFile
from lake.declare.days import Days
from lake.declare.table import Table
from lake.orchestration.checks import judge_fresh
from lake.orchestration.resource import Lakehouse, LakehouseResource
from lake.orchestration.sensors.causes import Finding, Ranges
from lake.orchestration.sensors.notify import Notifier
from lake.orchestration.sensors.verdicts import Teller, find_late, tell_verdicts
from lake.project.settings import Settings

__all__ = ["build_freshness_alerts"]

_LEFT_OUT = "docs/runbook.md#a-table-is-left-out"


def build_freshness_alerts(
    settings: Settings, tables: Iterable[Table], broken: Iterable[BrokenFile] = ()
) -> dg.SensorDefinition:
    """Build the sensor `freshness_alerts`.

    It runs where LAKEHOUSE_ALERT_URLS is set. A table that was left out counts as late.
    """
    notifier = Notifier(settings.alert_urls)
    watched = list(tables)
    by_name = {table.full_name: table for table in watched}
    teller = Teller("freshness_alerts", settings, notifier, by_name, "is fresh again")
    left_out = {one.table: _left_out(one) for one in broken}

    @dg.sensor(
        name="freshness_alerts",
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.RUNNING if notifier.urls else dg.DefaultSensorStatus.STOPPED,
        description="Sends a message when the newest day of a table is overdue, and another when it is there.",
    )
    def freshness_alerts(context: dg.SensorEvaluationContext, lakehouse: Lakehouse) -> dg.SensorResult:
        judge = _judge(settings, watched, lakehouse)
        if judge is None:
            return dg.SensorResult(skip_reason="nothing was ever refreshed or followed")
        verdicts = {table: judge_fresh(table, judge) for table in watched}
        days = {table: _missing(judge.judge(table)) for table in verdicts}
        return tell_verdicts(
            context, teller, "fresh", verdicts, {**find_late("fresh", verdicts, days, "is late"), **left_out}
        )

    return freshness_alerts


def _left_out(broken: BrokenFile) -> Finding:
    return Finding(
        broken.table, "is left out", broken.table, reason=str(broken), next="lakehouse doctor", runbook=_LEFT_OUT
    )


def _judge(settings: Settings, tables: Iterable[Table], lakehouse: LakehouseResource) -> FreshnessJudge | None:
    survey = Survey(list(tables), lakehouse.store(), settings.calendar())
    if not survey.view.ledger and survey.view.frontier is None:
        return None
    return FreshnessJudge(survey, settings.now())


def _missing(found: Freshness) -> Ranges:
    if found.first_missing is None or found.due_day is None or found.is_whole:
        return None
    return (Days.between(found.first_missing, found.due_day),)
