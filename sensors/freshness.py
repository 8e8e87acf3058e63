"""Tell people that a table is late, once, and once more when it is not.

A table is late when the newest day that is due by now (its end plus `fresh_within`) was not computed; computing an
older day changes nothing about that. The verdict is that of the check `fresh`; where it changes, the sensor also
records it, so that the UI shows a table as late although no run looked at it.

The cursor holds the tables that are late: ["silver.flights"]. After downtime the next tick finds whatever has changed
since. A message that could not be delivered is tried again with the next tick.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

import dagster as dg

from lake.ledger import Ledger
from lake.table import Table
from lakehouse_assets.checks import Inspection, Verdict
from lakehouse_assets.factory import build_check_evaluation
from resources.lakehouse import LakehouseResource
from resources.settings import Settings
from sensors.alerts import Notifier, tell_changes

__all__ = ["build_freshness_alerts"]


def build_freshness_alerts(settings: Settings, tables: Iterable[Table]) -> dg.SensorDefinition:
    """The sensor `freshness_alerts`; it runs where LAKEHOUSE_ALERT_URLS is set."""
    notifier = Notifier(settings.alert_urls)
    watched = list(tables)

    @dg.sensor(
        name="freshness_alerts",
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.RUNNING if notifier.urls else dg.DefaultSensorStatus.STOPPED,
        description="Sends a message when the newest day of a table is overdue, and another when it is there.",
    )
    def freshness_alerts(context: dg.SensorEvaluationContext, lakehouse: LakehouseResource) -> dg.SensorResult:
        verdicts = _verdicts(settings, watched, lakehouse)
        if not verdicts:
            return dg.SensorResult(skip_reason="nothing was ever refreshed")
        known = set(json.loads(context.cursor or "[]"))
        late = {
            table.full_name: f"{table.full_name} ({table.owner}): {verdict.summary}"
            for table, verdict in verdicts.items()
            if not verdict.passed
        }
        if not tell_changes(notifier, known, late, became="tables late", ended="tables fresh again"):
            return dg.SensorResult(skip_reason="a message was not delivered; next tick")
        for table, verdict in verdicts.items():
            if table.full_name in known ^ late.keys():
                context.instance.report_runless_asset_event(build_check_evaluation(table, "fresh", verdict))
        return dg.SensorResult(skip_reason=f"{len(late)} tables late", cursor=json.dumps(sorted(late)))

    return freshness_alerts


def _verdicts(settings: Settings, tables: Iterable[Table], lakehouse: LakehouseResource) -> dict[Table, Verdict]:
    store = lakehouse.store()
    ledger = Ledger(store).latest_by_table()
    if not ledger:
        return {}
    return {
        table: Inspection(table, store, settings, ledger=ledger.get(table.full_name, {})).fresh() for table in tables
    }
