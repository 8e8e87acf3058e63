"""Count the rows with fields that their table does not know."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import date

from lake.declare.table import RESCUED, Table
from lake.write.store import DeltaStore

__all__ = ["count_rescued"]


def count_rescued(table: Table, store: DeltaStore) -> Mapping[date | None, int]:
    """Count by day the rows with fields that the table does not know.

    File statistics tell, so no JVM is needed.

    Args:
        table: counts none where its contract has no column `_rescued`.
        store: where it is stored; it may not be there yet.
    """
    opened = store.table_log(table).open() if RESCUED in table.contract.stored_names else None
    if opened is None:
        return {}
    actions = opened.get_add_actions(flatten=True)
    unknown = f"null_count.{RESCUED}"
    if unknown not in actions.schema.names:
        return {}
    rows, nulls = (actions.column(name).to_pylist() for name in ("num_records", unknown))
    days = actions.column(f"partition.{table.day}").to_pylist() if table.day else [None] * len(rows)
    found: Counter[date | None] = Counter()
    for day, held, null in zip(days, rows, nulls, strict=True):
        found[day] += (held or 0) - (null or 0)
    return +found
