"""Find the days that cannot be computed because days of an input were not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from lake.declare.days import Day
from lake.declare.table import Table

__all__ = ["held_back"]


def held_back(tables: Iterable[Table], failed: Mapping[Table, set[Day]]) -> dict[Table, set[Day]]:
    """Find the days that read days which were not computed, directly or through others.

    A table without days is computed from what its inputs hold, so none of it is held back.

    Args:
        tables: upstream first.
        failed: days that were not computed; they are in the result too.
    """
    found = {table: set(days) for table, days in failed.items()}
    for table in tables:
        for read in table.reads if table.day else ():
            for day in found.get(read.source, set()) if isinstance(read.source, Table) else set[Day]():
                found.setdefault(table, set()).update(read.affected(day) if day else ())
    return found
