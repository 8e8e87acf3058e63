"""Lakes made by hand without Spark: what tables hold, and what the ledger says of it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Any

from lake.declare.table import Table
from lake.ownership.frontier import Frontier, FrontierTable
from lake.ownership.ledger import Entry, Ledger
from lake.write.store import DeltaStore

__all__ = ["COMMITTED_AT", "D1", "D2", "D3", "commit", "follow", "hold", "record"]

D1, D2, D3 = (date(2013, 1, day) for day in (1, 2, 3))
COMMITTED_AT = 1_356_998_700_000
"""2013-01-01T00:05:00Z."""


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


def follow(store: DeltaStore, *tables: Table) -> None:
    """The frontier as it is while streams own these tables' days from the second one on."""
    names = [table.full_name for table in tables]
    state = Frontier(D1, D2, claimed=frozenset(names), generations=dict.fromkeys(names, 1))
    FrontierTable(store).change(lambda _: state, "test")
    for table in tables:
        store.create(table)


def commit(store: DeltaStore, table: Table, rows: dict[date, int], *, streamed: bool = True, **facts: Any) -> int:
    """Add a commit to a table's log by hand, with this many rows by day; returns its version."""
    version = (store.version(table) or 0) + 1
    metadata = {"follow": table.full_name, "generation": 1, "batch": version} if streamed else {"refresh": "x"}
    metadata |= facts.pop("metadata", {})
    info = {
        "timestamp": COMMITTED_AT,
        "operation": "WRITE",
        "userMetadata": json.dumps(metadata),
        **facts.pop("info", {}),
    }
    actions: list[dict[str, Any]] = [{"commitInfo": info}]
    for day, count in rows.items():
        partition = dict.fromkeys(table.partition_columns, str(day))
        statistics = json.dumps({"numRecords": count, "maxValues": facts.get("maxima", {})})
        add = {"path": f"{version}-{day}.parquet", "size": 1, "modificationTime": COMMITTED_AT, "stats": statistics}
        actions.append({"add": {**add, "partitionValues": partition, "dataChange": facts.get("data_change", True)}})
    log = Path(store.path(table)) / "_delta_log" / f"{version:020d}.json"
    log.write_text("".join(json.dumps(action) + "\n" for action in actions))
    return version
