"""Show some rejected rows of a table beside the check that counts them."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from datetime import date
from typing import Any

from lake.batch.rejected import rejected_rows
from lake.declare.table import Table
from lake.declare.words import breakable
from lake.write.store import DeltaStore

__all__ = ["place_of", "show_rejected"]

_SHOWN = 3
_LONGEST = 300


def show_rejected(table: Table, store: DeltaStore, days: Collection[date | None]) -> dict[str, str]:
    """Show the first rejected rows of some days.

    Returns, by `rejected_row_1` and so on, the rules that a row breaks, the place that it came from, and the row.
    """
    rows = rejected_rows(store, table, days, _SHOWN)
    return {f"rejected_row_{number}": _told(row) for number, row in enumerate(rows, 1)}


def _told(row: Mapping[str, Any]) -> str:
    place, text = place_of(row["row"]), str(row["raw"] or row["row"])
    shown = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
    return f"{', '.join(row['rules'])}{f'; {place}' if place else ''}: {breakable(shown)}"


def place_of(row: str) -> str:
    """Return where a rejected row came from, by its lineage columns.

    Empty where it has none.
    """
    try:
        said = json.loads(row)
    except ValueError:
        return ""
    if not isinstance(said, dict):
        return ""
    said = {name.removeprefix("_"): value for name, value in said.items()}
    if said.get("offset") is not None:
        return f"{said.get('topic')}, partition {said.get('partition')}, offset {said['offset']}"
    if said.get("file") is not None:
        return f"{said['file']}, line {said.get('line_number')}"
    return ""
