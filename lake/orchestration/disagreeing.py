"""Find days of bronze whose landed files and kept rows differ."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from lake.declare.days import Day
from lake.declare.table import Table
from lake.errors import first_few
from lake.ownership.ledger import Entry, Ledger
from lake.storage.landed_files import changed_in_place
from lake.write.store import DeltaStore

__all__ = ["find_disagreeing"]


def find_disagreeing(table: Table, store: DeltaStore, entries: Mapping[Day, Entry]) -> dict[Day, str]:
    """Find days of bronze whose landed rows differ from the kept ones.

    Tables of other kinds have none.
    """
    if not table.write.keeps_everything:
        return {}
    found = {day: entry.disagreeing for day, entry in entries.items() if entry.disagreeing}
    changed = _changed_in_place(table, store, found) if found else {}
    return {
        day: f"{rows:,} rows of landed files differ from those that are kept{changed[day]}"
        for day, rows in found.items()
    }


def _changed_in_place(table: Table, store: DeltaStore, days: Collection[Day]) -> dict[Day, str]:
    """Name the first changed files of each day."""
    read: dict[Day, list[Mapping[str, object]]] = {day: [] for day in days}
    for entry in Ledger(store).entries(table.full_name, days):
        read[entry.day].append(entry.inputs)
    feeds = [f"feed:{one.name}" for one in table.feeds]
    found = {day: [n for f in feeds for n in changed_in_place(i.get(f) for i in said)] for day, said in read.items()}
    return {day: f"; changed in place: {first_few(names)}" if names else "" for day, names in found.items()}
