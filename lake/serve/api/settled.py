"""Find the settled days of a table.

Batch has computed them, and no stream owns them or what they came from.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from lake.declare.days import Day
from lake.declare.table import Table
from lake.ownership.frontier import Frontier, FrontierTable
from lake.ownership.ledger import Entry, Ledger
from lake.write.store import DeltaStore

__all__ = ["Settled"]


@dataclass
class Settled:
    """The settled days of the tables of a lake.

    What was found is kept while the logs are as they were. A settled day that has become stale stays settled: its rows
    are those of the receipt, until it is computed again.

    Attributes:
        store: the lake.
    """

    store: DeltaStore
    _known: dict[str, tuple[object, object, object, frozenset[Day]]] = field(default_factory=dict, repr=False)

    def days(self, table: Table) -> frozenset[Day]:
        """Return the settled days.

        A table without days is settled as None. Ask before the version is chosen.
        """
        entries = Ledger(self.store).latest_by_table().get(table.full_name, {})
        frontier, touched = FrontierTable(self.store).state(), self._touched(table)
        known = self._known.get(table.full_name)
        if known is None or known[0] is not entries or known[1] is not touched or known[2] is not frontier:
            table_id = self.store.table_log(table).table_id()
            found = frozenset(
                day
                for day, entry in entries.items()
                if _is_computed(entry, table, table_id) and touched.get(day, -1) <= entry.version
            )
            known = (entries, touched, frontier, found - _early(table, frontier, found))
            self._known[table.full_name] = known
        return known[3]

    def days_at(self, table: Table, version: int, held: Collection[Day]) -> frozenset[Day]:
        """Return the days of a version that were settled by then.

        Batch had computed them by then, and no stream owns them now.
        """
        log = self.store.table_log(table)
        entries = Ledger(self.store).entries(table.full_name, held)
        computed = (one for one in entries if one.version <= version and _is_computed(one, table, log.table_id()))
        found = frozenset(one.day for one in computed)
        return found - _early(table, FrontierTable(self.store).state(), found)

    def _touched(self, table: Table) -> Mapping[Day, int]:
        if table.day is None:
            return {}
        touched: Mapping[Any, int] = self.store.table_log(table).newest_touch(table.day)
        return touched


def _is_computed(entry: Entry, table: Table, table_id: str | None) -> bool:
    return entry.outcome != "failed" and entry.is_about(table.full_name, table_id)


def _early(table: Table, frontier: Frontier | None, days: frozenset[Day]) -> frozenset[Day]:
    first = None if frontier is None else frontier.first_early_day(table)
    return frozenset(day for day in days if first is not None and day is not None and day >= first)
