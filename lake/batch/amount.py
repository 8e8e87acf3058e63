"""Judge before Spark starts whether what is to be computed is little.

The JVM of a process that computes little is started for a short life: `lake.engine.compiling`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from lake.batch.lake_view import LakeView
from lake.declare.days import Day, Days
from lake.declare.delta_feed import DeltaFeed
from lake.declare.feed import Feed
from lake.declare.table import Read, Table
from lake.errors import LakeError

__all__ = ["is_little"]

_MOST_ROWS = 1_000_000
"""A thorough compiler pays from about so many rows on: docs/benchmarks.md."""
_BYTES_OF_A_ROW = 256
"""In a file as it landed."""


def is_little(view: LakeView, due: Mapping[Table, Collection[Day]]) -> bool:
    """Tell whether computing these days of tables reads few rows.

    Rows of tables are counted by their logs, rows of feeds are guessed by the size of the files. False where a log or a
    folder cannot be read. Needs no JVM.
    """
    rows = 0
    try:
        for table, days in due.items():
            rows += sum(_rows(view, read, table, days) for read in table.reads)
            if rows > _MOST_ROWS:
                return False
    except (LakeError, OSError):
        return False
    return True


def _rows(view: LakeView, read: Read, table: Table, days: Collection[Day]) -> int:
    """Count the rows that some days of a table read of one input.

    Rows that are still to be computed are not counted.
    """
    if isinstance(read.source, Feed):
        return _landed_rows(view, read.source, None if table.day is None else set(days))
    log, column = view.store.table_log(read.source), read.source.read_by
    if table.day is None or column is None:
        return log.rows()
    by_day = log.rows_by_day(column)
    wanted = {one for part in Days.ranges(day for day in days if day) for one in read.selected(part)}
    return sum(by_day.get(day, 0) for day in wanted)


def _landed_rows(view: LakeView, feed: Feed, days: set[Day] | None) -> int:
    by_day = view.landed(feed)
    chosen = by_day.keys() if days is None else by_day.keys() & days
    if isinstance(feed, DeltaFeed):
        return sum(view.store.landing.count_rows(feed, day) for day in chosen)
    return sum(file.size for day in chosen for file in by_day[day].values()) // _BYTES_OF_A_ROW
