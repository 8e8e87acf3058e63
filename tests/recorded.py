"""Lakes made by hand without Spark: what tables hold, and what the ledger says of it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Any

from lake.ledger import Entry, Ledger
from lake.store import DeltaStore
from lake.table import Table
from tests.sensors.streamed import commit

__all__ = ["hold", "record"]


def hold(store: DeltaStore, table: Table, days: Iterable[date], rows: int = 1) -> None:
    """Let a table hold so many rows of each day."""
    if store.version(table) is None:
        store.create(table)
    commit(store, table, dict.fromkeys(days, rows))


def record(store: DeltaStore, table: Table, days: Iterable[date | None], rows: int = 1, **facts: Any) -> None:
    """Record days of a table as computed."""
    known: dict[str, Any] = {
        "outcome": "written",
        "inputs": {},
        "version": 9,
        "code_version": "x",
        "seconds": 0.0,
        **facts,
    }
    counts: dict[str, Any] = {"rows_in": rows, "rows_out": rows, "rejected": 0, "duplicates": 0}
    Ledger(store).record(Entry(table=table.full_name, day=day, **counts, **known) for day in days)
