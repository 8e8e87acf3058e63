"""Show verdicts of sensors in the UI where they change, and tell people.

Sensors reach these verdicts themselves.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import dagster as dg

from lake.declare.table import Table
from lake.orchestration.assets import build_check_evaluation
from lake.orchestration.checks import Verdict
from lake.orchestration.sensors.notify import Memory, Notifier, listed

__all__ = ["tell_verdicts", "undelivered"]


def tell_verdicts(
    context: dg.SensorEvaluationContext,
    notifier: Notifier,
    check: str,
    verdicts: Mapping[Table, Verdict],
    *,
    became: str,
    ended: str,
    beside: Mapping[str, str] | None = None,
) -> dg.SensorResult:
    """Record and tell which tables a check began or ceased to fail for.

    The UI does not wait for any address.

    The cursor holds the tables that fail, and by address those that it was told of:
    {"failing": ["silver.orders"], "told": {"1f0c...": ["silver.orders"]}}.

    Args:
        context: of the tick.
        notifier: where to.
        check: the name of the check.
        verdicts: of each table, now.
        became: what is said of tables that began to fail, after their number.
        ended: likewise of those that ceased to.
        beside: more that fails, by name with a line each, and that no check of a table can show.
    """
    failing, memory = _parse(context.cursor)
    lines = {
        table.full_name: f"{table.full_name} ({table.owner}): {verdict.summary}"
        for table, verdict in verdicts.items()
        if not verdict.passed
    }
    for table, verdict in verdicts.items():
        if (table.full_name in failing) != (table.full_name in lines):
            context.instance.report_runless_asset_event(build_check_evaluation(table, check, verdict))
    shown = sorted(lines)
    lines |= beside or {}
    silent = notifier.tell(memory, lines.keys(), *listed(lines, became, ended))
    cursor = json.dumps({"failing": shown, "told": memory.dump()})
    return dg.SensorResult(skip_reason=f"{len(lines)} {became}{undelivered(notifier, silent)}", cursor=cursor)


def undelivered(notifier: Notifier, silent: set[str]) -> str:
    """Say how many addresses did not take a message."""
    if not silent:
        return ""
    return f"; a message was not delivered to {len(silent)} of {len(notifier.urls)} addresses, next tick"


def _parse(cursor: str | None) -> tuple[set[str], Memory]:
    said = json.loads(cursor or "[]")
    if isinstance(said, list):  # a cursor of an older release
        return set(said), Memory.parse(said)
    return set(said["failing"]), Memory.parse(said["told"])
