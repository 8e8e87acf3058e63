"""Rows of days that nobody computed: another program wrote them. Needs no JVM.

The ledger has an entry for each day that batch computed, and each commit of this project carries the mark of its write.
So a day without an entry, whose newest change has no such mark, holds rows that no declaration gives.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

from lake.commits import Log

__all__ = ["foreign_days"]


def foreign_days(log: Log, column: str, is_known: Callable[[date], bool]) -> dict[date | None, str]:
    """Find the days that hold rows of another program, each with what is wrong.

    Args:
        log: of the table.
        column: its day column.
        is_known: whether a day is not looked at, because batch computed it or will.
    """
    touched = {day: version for day, version in log.newest_touch(column).items() if not is_known(day)}
    is_own = {version: _is_own(log, version) for version in set(touched.values())}
    strange = {day: version for day, version in sorted(touched.items()) if not is_own[version]}
    held = log.rows_by_day(column) if strange else {}
    said = "{:,} rows that nobody computed: another program wrote version {}"
    return {day: said.format(held[day], version) for day, version in strange.items() if held.get(day)}


def _is_own(log: Log, version: int) -> bool:
    """Tell whether this project made a commit.

    One that maintenance has removed passes, because nobody can say.
    """
    commit = log.commit(version)
    return commit is None or commit.is_own
