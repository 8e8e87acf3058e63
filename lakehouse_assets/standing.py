"""What an earlier run found and nobody has mended since: a check that looks at chosen days keeps it in sight."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

import dagster as dg
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus

from lake.days import parse_day
from lake.ledger import Entry
from lakehouse_assets.checks import Verdict

__all__ = ["still_differs"]

_EVALUATED = {AssetCheckExecutionRecordStatus.SUCCEEDED, AssetCheckExecutionRecordStatus.FAILED}
_RECENT = 20
"""Runs that were interrupted before they came to the check leave a record without a verdict."""


def still_differs(
    instance: dg.DagsterInstance, check: dg.AssetCheckKey, entries: Mapping[date | None, Entry]
) -> Verdict | None:
    """The verdict of an earlier run about a day that nobody has computed again since; None where there is none.

    Args:
        instance: where verdicts are recorded.
        check: whose facts name a `day` and the `run` that wrote it.
        entries: the newest ledger entry of each day.
    """
    history = instance.event_log_storage.get_asset_check_execution_history(check, limit=_RECENT)
    found = next((one.event for one in history if one.status in _EVALUATED and one.event), None)
    event = found.dagster_event if found else None
    if event is None or event.asset_check_evaluation_data.passed:
        return None
    said = event.asset_check_evaluation_data
    facts = {name: str(value.value) for name, value in said.metadata.items() if name in ("day", "run")}
    day = parse_day(facts["day"])
    entry = entries.get(day)
    if entry is None or entry.run_id != facts["run"]:
        return None
    summary, shown, *_ = (said.description or "").splitlines()
    return Verdict(summary, {day: shown.removeprefix(f"{day}: ")}, facts=facts)
