"""Compute a lake as streams, to compare it with one from batch.

Both are computed from the same landing files.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time
from pathlib import Path

import pytest

from lake.batch.early import compute_early
from lake.batch.plan import steps_to_date
from lake.batch.refresh import Receipt, refresh
from lake.batch.survey import Survey
from lake.declare.graph import early_of, readers_of, upstream_of, with_upstream
from lake.declare.table import Table, is_followable, stream_reads
from lake.ownership.frontier import FrontierTable
from lake.stream.early import Early
from lake.stream.follow import follow, release
from lake.stream.generation import plan_stream
from lake.testing.lakes import Row, open_lake, refresh_all, stored_rows
from lake.testing.laws import ComputedTwice
from lake.write.horizon import Horizon
from lake.write.store import DeltaStore

__all__ = ["compute_as_streams", "streams_give_the_rows_of_batch"]


def compute_as_streams(lakes: ComputedTwice, root: Path) -> DeltaStore:
    """Follow every table that can be, until nothing is left to read.

    It reads the landing files of a lake. Then open days of tables that declare `early_every` are computed early.

    Args:
        lakes: from whose landing files.
        root: an empty folder.
    """
    store = open_lake(root, lakes.spark)
    shutil.copytree(lakes.store.landing.root, store.landing.root)
    known, now = list(lakes.tables.values()), datetime.combine(lakes.days.end, time(), UTC)
    # Tables that streams join without streaming them are read as they are.
    followed = [table for table in known if is_followable(table)]
    reading = readers_of(followed, known)
    refresh_all(store, [lakes.days], [table for table in known if table not in {*followed, *reading}])
    early = early_of(table for table in known if table.early_every)
    in_batch = reading.difference(followed, early)

    def compute(table: Table, patience: float | None) -> Iterator[Receipt]:
        refresh_all(store, [lakes.days], [one for one in upstream_of(table) if one in in_batch])
        return compute_early(table, store, lakes.days, Horizon(now), patience=patience)

    follow(
        followed,
        store,
        FrontierTable(store),
        home=root / "home",
        until_idle=True,
        since=lakes.days.start,
        now=lambda: now,
        tell=lambda _: None,
        early=Early(early, compute),
    )
    return store


def streams_give_the_rows_of_batch(lakes: ComputedTwice, streamed: DeltaStore, table: Table) -> None:
    """Assert that streams and batch give equal rows for open days.

    Open are the days that streams own. A join of several streams is left out: it gives a row once both are behind the
    watermark. Of a table that declares `early_every` these are the days that are computed early, and all its days must
    hold the rows of batch once batch owns them and has computed what is due.
    """
    if table.early_every:
        _early_days_give_the_rows_of_batch(lakes, streamed, table)
    elif _joins_streams(table, lakes):
        pytest.skip("a join of streams gives its rows later")
    else:
        assert _rows(streamed, table, lakes.days.start) == _rows(lakes.store, table, lakes.days.start)


def _early_days_give_the_rows_of_batch(lakes: ComputedTwice, streamed: DeltaStore, table: Table) -> None:
    state = FrontierTable(streamed).state()
    first = state and state.first_early_day(table)
    assert first, f"no day of {table.full_name} is open"
    if not any(_joins_streams(one, lakes) for one in with_upstream([table])):
        first = max(first, lakes.days.start)
        assert _rows(streamed, table, first) == _rows(lakes.store, table, first)
    settled = _settled(lakes, streamed, table)
    assert _rows(settled, table, lakes.days.start) == _rows(lakes.store, table, lakes.days.start)


def _joins_streams(table: Table, lakes: ComputedTwice) -> bool:
    return len(stream_reads(table)) > 1 and plan_stream(table, lakes.spark).is_stateful


def _rows(store: DeltaStore, table: Table, first: date) -> Sequence[Row]:
    """Read the rows of a day on; none where the table was never written."""
    day, rows = table.day, stored_rows(store, table) if store.version(table) is not None else []
    return [row for row in rows if day is None or row[day] >= first]


def _settled(lakes: ComputedTwice, streamed: DeltaStore, table: Table) -> DeltaStore:
    """Hand the days of a copy to batch, which computes what is due of a table.

    It is a copy, because other laws are about what streams have written.
    """
    home = Path(streamed.tables).parent
    store = open_lake(home / "settled", lakes.spark)
    for name in ("tables", "landing"):
        if not (home / "settled" / name).exists():
            shutil.copytree(home / name, home / "settled" / name)
    release(FrontierTable(store))
    while steps := steps_to_date(Survey(list(lakes.tables.values()), store, lakes.days), [table]):
        for step in steps:
            for one in step.tables:
                refresh(one, store, step.days, unless_equal=step.unless_equal).check()
    return store
