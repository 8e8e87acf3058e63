"""Keep in sight what an earlier run found and nobody has mended.

A check that looks at chosen days would lose sight of it otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import dagster as dg
from dagster._core.instance.utils import RUNLESS_RUN_ID
from dagster._core.storage.asset_check_execution_record import (
    COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES,
    AssetCheckExecutionRecord,
    AssetCheckExecutionRecordStatus,
)

from lake.declare.days import Days, parse_day
from lake.orchestration.checks import LATE, RANGE_CHECKS, Inspection, Verdict
from lake.orchestration.keys import name_of
from lake.ownership.ledger import Entry

__all__ = ["StandingError", "as_errors", "standing_errors", "verdict_of"]

_EVALUATED = {AssetCheckExecutionRecordStatus.SUCCEEDED, AssetCheckExecutionRecordStatus.FAILED}
_RECENT = 20
"""Runs that were interrupted before they came to the check leave a record without a verdict."""


def verdict_of(inspection: Inspection, check: dg.AssetCheckKey, instance: dg.DagsterInstance) -> Verdict:
    """Judge one check of a table.

    Where it has looked at no day, what an earlier run found and nobody has mended stands.
    """
    verdict = inspection.judge(check.name)
    if check.name in RANGE_CHECKS and not verdict.facts:
        return _still_differs(instance, check, inspection.entries) or verdict
    return verdict


def _still_differs(
    instance: dg.DagsterInstance, check: dg.AssetCheckKey, entries: Mapping[date | None, Entry]
) -> Verdict | None:
    """Return the verdict of an earlier run about a day not computed since.

    None where there is none.

    Args:
        instance: where verdicts are recorded.
        check: whose facts name a `day` and the `run` that wrote it.
        entries: the newest ledger entry of each day.
    """
    history = instance.event_log_storage.get_asset_check_execution_history(check, limit=_RECENT)
    newest = next((one.event for one in history if one.status in _EVALUATED and one.event), None)
    event = newest.dagster_event if newest else None
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


@dataclass(frozen=True)
class StandingError:
    """The newest verdict of a check, which is an error.

    Attributes:
        description: what the verdict says.
        days: those that fail; None where it is about the whole table, or about more days than it lists.
        run_id: the run that checked; empty where a sensor did.
    """

    description: str
    days: tuple[Days, ...] | None
    run_id: str


def standing_errors(
    instance: dg.DagsterInstance, checks: Sequence[dg.AssetCheckKey]
) -> dict[dg.AssetCheckKey, StandingError]:
    """Return the checks whose newest verdict is an error, whoever started the run."""
    found = ((record, record.evaluation) for record in _newest_verdicts(instance, checks))
    return {record.key: _standing(record.run_id, said) for record, said in found if said and _is_error(said)}


def _standing(run_id: str, said: dg.AssetCheckEvaluation) -> StandingError:
    facts = {name.replace("_", " "): str(value.value) for name, value in said.metadata.items()}  # older ones have _
    listed = [part for part in facts.get("first failing days", "").split(", ") if part[:1].isdigit()]
    is_whole = not listed or facts.get("failing days") != str(len(listed))
    days = None if is_whole else tuple(Days.ranges(map(parse_day, listed)))
    return StandingError(said.description or "", days, "" if run_id == RUNLESS_RUN_ID else run_id)


def as_errors(found: Iterable[dg.AssetCheckResult | dg.AssetCheckEvaluation]) -> dict[str, str]:
    """Map each check, by `name_of`, to what is wrong.

    The text is empty where nothing is an error. Checks that say when rows are late are left out.
    """
    return {
        name_of(said.asset_key, said.check_name): (said.description or "") if _is_error(said) else ""
        for said in found
        if said.asset_key and said.check_name and said.check_name not in LATE
    }


def _is_error(said: dg.AssetCheckResult | dg.AssetCheckEvaluation) -> bool:
    return not said.passed and said.severity == dg.AssetCheckSeverity.ERROR


def _newest_verdicts(
    instance: dg.DagsterInstance, checks: Sequence[dg.AssetCheckKey]
) -> Iterator[AssetCheckExecutionRecord]:
    """Return the newest verdict of each check.

    A check that is only planned has none yet, so the one before it counts.
    """
    storage, completed = instance.event_log_storage, COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES
    for key, record in storage.get_latest_asset_check_execution_by_key(checks).items():
        if record.status in completed:
            yield record
        else:
            yield from storage.get_asset_check_execution_history(key, limit=1, status=completed)
