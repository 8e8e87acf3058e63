"""Say what became of tables in a run.

Dagster is not imported here, because a command with nothing to do needs none.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import date
from typing import Literal

from lake.declare.days import Days
from lake.declare.table import Table

__all__ = [
    "CheckResult",
    "OnResult",
    "Status",
    "TableResult",
    "partly_failed",
    "skipped_result",
]

Status = Literal["done", "failed", "skipped"]
OnResult = Callable[["TableResult"], None]


@dataclass(frozen=True)
class CheckResult:
    """The outcome of one check.

    It says whether the check passed, how bad a failure is (WARN, ERROR), and the first failing days.
    """

    name: str
    passed: bool
    severity: str
    description: str


@dataclass(frozen=True)
class TableResult:
    """The outcome of one table in one step.

    Attributes:
        table: `layer.name`.
        days: the days asked for; None for a table without days.
        run_id: the Dagster run.
        status: done; failed (some days were not written); skipped (a table that it reads failed).
        rows_in, rows_out, rejected, duplicates, disagreeing: over the days that were written.
        unchanged_days: computed and equal to what was stored, so not committed again.
        seconds: how long the refresh took.
        failed_days: the days that were not written.
        unreadable_days: those of them whose landing files cannot be read.
        checks: the verdicts of the checks; empty where the table failed.
        message: why it failed, with the next step.
        retryable: whether the same call may succeed later with nothing changed.
    """

    table: str
    days: Days | None
    run_id: str
    status: Status = "done"
    rows_in: int = 0
    rows_out: int = 0
    rejected: int = 0
    duplicates: int = 0
    disagreeing: int = 0
    unchanged_days: int = 0
    seconds: float = 0.0
    failed_days: tuple[date | None, ...] = ()
    unreadable_days: tuple[date | None, ...] = ()
    checks: tuple[CheckResult, ...] = ()
    message: str = ""
    retryable: bool = False

    @property
    def ok(self) -> bool:
        """Tell whether all days were written.

        Checks may still have something to say.
        """
        return self.status == "done"


def partly_failed(results: Iterable[TableResult]) -> dict[str, set[date | None]]:
    """Find the tables of which days failed by themselves, with these days.

    The others were written, or all have files that cannot be read.
    """
    by_table: dict[str, list[TableResult]] = {}
    for result in results:
        by_table.setdefault(result.table, []).append(result)
    partly: dict[str, set[date | None]] = {}
    for table, mine in by_table.items():
        failed = {day for one in mine for day in one.failed_days}
        unreadable = {day for one in mine for day in one.unreadable_days}
        days = {day for one in mine for day in one.days or ()}
        if failed and all(one.ok or one.failed_days for one in mine) and (failed < days or failed == unreadable):
            partly[table] = failed
    return partly


def skipped_result(table: Table, broken: Collection[Table], days: Days | None, run_id: str = "") -> TableResult:
    """Return the result of a table that was not computed.

    It was not because it reads tables that were not.
    """
    sources = [source.full_name for source in table.inputs if source in broken]
    reason = f"it reads {' and '.join(sources)}, which failed or was skipped" if sources else "its run ended before it"
    return TableResult(
        table.full_name, days if table.day else None, run_id, "skipped", message=f"not computed: {reason}"
    )
