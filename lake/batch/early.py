"""Compute early the days of a table that depend on days of streams.

Batch leaves them alone until they are sealed. Whoever wants them before has them computed by the same code, and again
where an input has changed since: so they hold the rows that a refresh of that moment gives. Ownership stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from lake.batch.refresh import Receipt, refresh
from lake.batch.rejected import rejected_rules
from lake.batch.survey import Survey
from lake.declare.days import Days
from lake.declare.table import Table
from lake.errors import ContractBroken
from lake.write.horizon import Horizon
from lake.write.store import DeltaStore

__all__ = ["compute_early"]


def compute_early(
    table: Table, store: DeltaStore, calendar: Days, horizon: Horizon, *, patience: float | None = None
) -> Iterator[Receipt]:
    """Compute the early days of a table that are due, range by range.

    Args:
        table: what to compute, one that can be early.
        store: where the tables are.
        calendar: the days that have come.
        horizon: which times are believed.
        patience: how many seconds to wait for another process that writes the table; as the store says by default.

    Raises:
        ContractBroken: early days of a `fail` table cannot be written, now or since an earlier call.
        TableLocked: another process kept writing the table.
    """
    if patience is not None:
        store = replace(store, lock_timeout_seconds=patience, on_wait=lambda _: None)
    survey = Survey([table], store, calendar)
    if due := survey.early_due(table):
        for days in Days.ranges(due):
            yield refresh(table, store, days, unless_equal=True, horizon=horizon, followed=True)
        survey = Survey([table], store, calendar)
    _refuse_failed(survey)


def _refuse_failed(survey: Survey) -> None:
    """Raise where early days broke the contract when they were computed last."""
    (table,) = survey.tables
    entries = survey.view.ledger.get(table.full_name, {})
    failed = {day: e for day, e in entries.items() if e.outcome == "failed" and survey.is_early(table, day)}
    if failed:
        rejected = {day or "the whole table": entry.rejected for day, entry in failed.items()}
        raise ContractBroken(table.full_name, rejected, rejected_rules(survey.store, table, failed))
