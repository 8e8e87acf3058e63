"""Judge before Spark starts how much is to be computed.

For little work Spark starts in another way: `lake.engine.compiling`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from lake.batch.lake_view import LakeView
from lake.declare.days import Day, Days
from lake.declare.delta_feed import DeltaFeed
from lake.declare.feed import Feed
from lake.declare.table import Read, Table
from lake.engine.compiling import Work
from lake.errors import LakeError

__all__ = ["work_of"]

_MOST_ROWS: Mapping[Work, int] = {Work.TINY: 5_000, Work.LITTLE: 1_000_000}
"""From about so many rows on generated code pays, and a thorough compiler: docs/benchmarks.md."""
_BYTES_OF_A_ROW = 256
"""In a file as it landed."""


def work_of(view: LakeView, due: Mapping[Table, Collection[Day]]) -> Work:
    """Judge by the rows that are read how much work these days are.

    Rows of tables are counted by their logs, rows of feeds are guessed by the size of the files. It is `MUCH` where a
    log or a folder cannot be read. Needs no JVM.
    """
    rows = 0
    try:
        for table, days in due.items():
            rows += sum(_rows(view, read, table, days) for read in table.reads)
            if rows > _MOST_ROWS[Work.LITTLE]:
                return Work.MUCH
    except (LakeError, OSError):
        return Work.MUCH
    return Work.TINY if rows <= _MOST_ROWS[Work.TINY] else Work.LITTLE


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
