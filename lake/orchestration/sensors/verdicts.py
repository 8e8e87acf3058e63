"""Show verdicts of sensors in the UI where they change, and tell people.

Sensors reach these verdicts themselves.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import dagster as dg

from lake.declare.table import Table
from lake.declare.words import counted
from lake.orchestration.assets import build_check_evaluation
from lake.orchestration.checks import RUNBOOK, Verdict, next_step
from lake.orchestration.keys import asset_key
from lake.orchestration.sensors.alert_text import Spelling
from lake.orchestration.sensors.causes import Causes, Finding, Ranges, Told
from lake.orchestration.sensors.notify import Memory, Notifier
from lake.project.settings import Settings

__all__ = ["Teller", "find_late", "tell_verdicts", "undelivered"]


@dataclass(frozen=True)
class Teller:
    """Tells of the causes that one sensor finds.

    Attributes:
        sensor: its name.
        settings: of the lake.
        notifier: where to.
        tables: all tables by `layer.name`, upstream first.
        good: what is said of a finding where a cause is over.
    """

    sensor: str
    settings: Settings
    notifier: Notifier
    tables: Mapping[str, Table]
    good: str

    def tell(
        self,
        found: Mapping[str, Finding],
        causes: Causes,
        memory: Memory,
        over: Mapping[str, str] | None = None,
        beside: Iterable[str] = (),
    ) -> set[str]:
        """Tell each address of causes that began, and of those that are over.

        Args:
            found: all that is wrong now, by name.
            causes: those that were open, changed in place.
            memory: what addresses were told, changed in place.
            over: what is to be said of causes that are over.
            beside: addresses not to try now.

        Returns:
            The addresses that did not take a message.
        """
        told, spelling = Told(self.settings.home), Spelling(self.settings, self.good)
        causes.update(found, self.tables, told.elsewhere(self.sensor))
        silent = self.notifier.tell(
            memory,
            causes.open.keys(),
            began=lambda names: spelling.began(causes, found, names),
            ended=lambda names: spelling.ended(over or {}, names),
            beside=set(beside),
        )
        told.note(self.sensor, causes.findings(found) if self.notifier.urls else [])
        return silent


def find_late(
    check: str, verdicts: Mapping[Table, Verdict], days: Mapping[Table, Ranges], what: str
) -> dict[str, Finding]:
    """Return a finding for each table whose verdict is bad.

    Args:
        check: the name of the check.
        verdicts: of each table.
        days: those that each finding is about.
        what: what is wrong, in a few words.
    """
    return {
        table.full_name: Finding(
            table.full_name,
            what,
            table.full_name,
            days.get(table),
            table.owner,
            verdict.summary,
            next_step(table.full_name, check, verdict),
            RUNBOOK[check],
        )
        for table, verdict in verdicts.items()
        if not verdict.passed
    }


def tell_verdicts(
    context: dg.SensorEvaluationContext,
    teller: Teller,
    check: str,
    verdicts: Mapping[Table, Verdict],
    found: Mapping[str, Finding],
) -> dg.SensorResult:
    """Record and tell which tables a check began or ceased to fail for.

    The UI does not wait for any address.

    The cursor holds the tables that fail, the causes with what stands behind each, and by address those causes that it
    was told of: {"failing": ["silver.orders"], "causes": {"silver.orders": {"behind": ["silver.orders"], "mended_at":
    null}}, "told": {"1f0c...": ["silver.orders"]}}.

    Args:
        context: of the tick.
        teller: tells.
        check: the name of the check.
        verdicts: of each table, now.
        found: what to tell: the tables that fail, and more that no check of a table can show.
    """
    failing, causes, memory = _parse(context.cursor)
    for table, verdict in verdicts.items():
        if (table.full_name in failing) == verdict.passed:
            context.instance.report_runless_asset_event(build_check_evaluation(asset_key(table), check, verdict))
    shown = sorted(table.full_name for table, verdict in verdicts.items() if not verdict.passed)
    silent = teller.tell(found, causes, memory)
    cursor = json.dumps({"failing": shown, "causes": causes.dump(), "told": memory.dump()})
    open_causes = counted(len(causes.open), "cause")
    said = f"{len(found)} found, {open_causes}{undelivered(teller.notifier, silent)}"
    return dg.SensorResult(skip_reason=said, cursor=cursor)


def undelivered(notifier: Notifier, silent: set[str]) -> str:
    """Say how many addresses did not take a message."""
    if not silent:
        return ""
    return f"; a message was not delivered to {len(silent)} of {len(notifier.urls)} addresses, next tick"


def _parse(cursor: str | None) -> tuple[set[str], Causes, Memory]:
    said = json.loads(cursor or "[]")
    if isinstance(said, list):  # a cursor of an older release
        return set(said), Causes.parse(None, said), Memory.parse(said)
    memory = Memory.parse(said["told"])
    return set(said["failing"]), Causes.parse(said.get("causes"), memory.names), memory
