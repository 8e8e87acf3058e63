"""Compute a lake as streams, to compare it with one from batch.

Both are computed from the same landing files.
"""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, time
from pathlib import Path

import pytest

from lake.declare.graph import readers_of
from lake.declare.table import Table, is_followable, stream_reads
from lake.ownership.frontier import FrontierTable
from lake.stream.follow import follow
from lake.stream.generation import plan_stream
from lake.testing.lakes import open_lake, refresh_all, stored_rows
from lake.testing.laws import ComputedTwice
from lake.write.store import DeltaStore

__all__ = ["compute_as_streams", "streams_give_the_rows_of_batch"]


def compute_as_streams(lakes: ComputedTwice, root: Path) -> DeltaStore:
    """Follow every table that can be, until nothing is left to read.

    It reads the landing files of a lake.

    Args:
        lakes: from whose landing files.
        root: an empty folder.
    """
    store = open_lake(root, lakes.spark)
    shutil.copytree(lakes.store.landing.root, store.landing.root)
    known = list(lakes.tables.values())
    # Tables that streams join without streaming them are read as they are.
    followed = [table for table in known if is_followable(table)]
    reading = readers_of(followed, known)
    refresh_all(store, [lakes.days], [table for table in known if table not in {*followed, *reading}])
    follow(
        followed,
        store,
        FrontierTable(store),
        home=root / "home",
        until_idle=True,
        since=lakes.days.start,
        now=lambda: datetime.combine(lakes.days.end, time(), UTC),
        tell=lambda _: None,
    )
    return store


def streams_give_the_rows_of_batch(lakes: ComputedTwice, streamed: DeltaStore, table: Table) -> None:
    """Assert that streams and batch give equal rows for open days.

    Open are the days that streams own. A join of several streams is left out: it gives a row once both are behind the
    watermark.
    """
    if len(stream_reads(table)) > 1 and plan_stream(table, lakes.spark).is_stateful:
        pytest.skip("a join of streams gives its rows later")
    first, day = lakes.days.start, table.day
    of_batch = [row for row in stored_rows(lakes.store, table) if day is None or row[day] >= first]
    of_streams = [row for row in stored_rows(streamed, table) if day is None or row[day] >= first]

    assert of_streams == of_batch
