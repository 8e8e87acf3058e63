"""Read rejected rows of a table, without a JVM."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lake.declare.days import Day, Days
from lake.declare.table import Table
from lake.write.store import DeltaStore, day_predicate

__all__ = ["rejected_rows", "rejected_rules"]


def rejected_rows(
    store: DeltaStore, table: Table, days: Iterable[Day] | None = None, limit: int | None = None
) -> list[dict[str, Any]]:
    """Read rows of a table's quarantine in the order of day and row.

    Args:
        store: the lake.
        table: whose quarantine.
        days: rows that are filed under these; None, or the day of a table without days, for all.
        limit: how many at most; None for all.
    """
    where = _within(days)
    most = "" if limit is None else f" LIMIT {limit}"
    log = store.log(store.quarantine_path(table))
    return log.query(f'SELECT day, rules, raw, "row" FROM stored{where} ORDER BY day NULLS LAST, "row"{most}')


def rejected_rules(store: DeltaStore, table: Table, days: Iterable[Day] | None = None) -> dict[str, int]:
    """Count the rows of a table's quarantine that broke each rule, most first.

    Days as for `rejected_rows`.
    """
    broken = f"SELECT unnest(rules) AS rule FROM stored{_within(days)}"
    log = store.log(store.quarantine_path(table))
    found = log.query(f"SELECT rule, count(*) AS times FROM ({broken}) GROUP BY rule ORDER BY times DESC, rule")
    return {row["rule"]: row["times"] for row in found}


def _within(days: Iterable[Day] | None) -> str:
    ranges = Days.ranges(day for day in days or () if day)
    return f" WHERE {day_predicate('day', ranges)}" if ranges else ""
