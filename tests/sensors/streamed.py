"""Logs of tables that streams write, made by hand, commit by commit."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

from lake.frontier import Frontier, FrontierTable
from lake.store import DeltaStore
from lake.table import Table
from lakehouse_assets.bronze.departure_events import departure_events
from lakehouse_assets.silver.departures import departures

__all__ = ["COMMITTED_AT", "D1", "D2", "D3", "DEPARTURES", "EVENTS", "commit", "follow"]

EVENTS, DEPARTURES = departure_events, departures
D1, D2, D3 = (date(2013, 1, day) for day in (1, 2, 3))
COMMITTED_AT = 1_356_998_700_000
"""2013-01-01T00:05:00Z."""


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
