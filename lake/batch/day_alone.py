"""Compute one day of a range by itself and compare it with the range.

A range is not always its days: see `lake.declare.across_days`. What no plan shows, rows do.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import pyspark.sql.functions as F
from pyspark.sql import DataFrame

from lake.declare.days import Days
from lake.declare.table import Table
from lake.ownership.ledger import Entry
from lake.write.enforce import enforce
from lake.write.horizon import Horizon
from lake.write.store import DeltaStore

__all__ = ["DayAlone", "can_differ", "compute_again", "computed_alone_and_compared", "differing_rows"]

SAMPLED = 0.1
"""The share of range runs after which a table is looked at that reads its own days only."""

Row = Mapping[str, Any]
_SIGN = "_sign"


@dataclass(frozen=True)
class DayAlone:
    """A day of a range, computed once more by itself.

    Attributes:
        day: which.
        differing: rows that are not there equally often in both.
        alone, stored: of the first key that differs, the row of either; None where it has none.
    """

    day: date
    differing: int = 0
    alone: Row | None = None
    stored: Row | None = None


def can_differ(table: Table) -> bool:
    """Tell whether a range of the table could differ from its days.

    Bronze cannot: each landing day is read from its own folder.
    """
    return table.day is not None and not table.feeds


def compute_again(
    table: Table,
    store: DeltaStore,
    run_id: str,
    entries: Mapping[date | None, Entry],
    horizon: Horizon | None = None,
) -> DayAlone | None:
    """Compute once more one day that a run wrote, and compare.

    The day is computed by itself, from the same input as the run's; nothing is written. The run's id decides which day,
    and for tables that do not read around their day whether any.

    Args:
        table: which.
        store: where it is.
        run_id: of the run.
        entries: the newest ledger entry of each day.
        horizon: which times the run has believed; None: all.

    Returns:
        What was found; None where there was nothing to look at.
    """
    of_run = {day: one for day, one in entries.items() if one.run_id == run_id and one.outcome != "failed"}
    written = sorted(day for day in of_run if day is not None)
    choice = random.Random(f"{run_id} {table.full_name}")
    is_looked_at = any(read.is_widened for read in table.reads) or choice.random() < SAMPLED
    if len(written) < 2 or not is_looked_at or not can_differ(table):
        return None
    return computed_alone_and_compared(table, store, entries[choice.choice(written)], horizon)


def computed_alone_and_compared(
    table: Table, store: DeltaStore, entry: Entry, horizon: Horizon | None = None
) -> DayAlone | None:
    """Compute the day of an entry again and compare it with what is stored.

    It is computed by itself. None where an input did not exist then.
    """
    alone = _computed_alone(table, store, entry, horizon)
    return None if alone is None else _compared(table, store, alone, entry)


def _computed_alone(table: Table, store: DeltaStore, entry: Entry, horizon: Horizon | None) -> DataFrame | None:
    """Return the rows of a day, computed from the versions in its entry.

    None where an input did not exist then.
    """
    frames = []
    assert entry.day is not None
    for source in (read.source for read in table.reads):
        if not isinstance(source, Table) or entry.version_read(source.full_name) < 0:
            return None
    for read in table.reads:
        assert isinstance(read.source, Table)
        around = read.selected(Days.of(entry.day)) if read.source.day else None
        frames.append(store.read(read.source, around, version=entry.version_read(read.source.full_name)))
    return enforce(table, table(*frames), Days.of(entry.day), partitions=1, horizon=horizon).accepted()


def _compared(table: Table, store: DeltaStore, alone: DataFrame, entry: Entry) -> DayAlone:
    assert entry.day is not None
    assert table.day is not None
    stored = store.read(table, Days.of(entry.day), version=entry.version, by=table.day)
    differing = differing_rows(alone, stored)
    rows = differing.orderBy(*table.key).limit(2).collect()
    if not rows:
        return DayAlone(entry.day)
    first = [row.asDict() for row in rows if all(row[name] == rows[0][name] for name in table.key)]
    one, two = (next((_without_sign(row) for row in first if row[_SIGN] * sign > 0), None) for sign in (1, -1))
    return DayAlone(entry.day, differing.count(), one, two)


def _without_sign(row: Row) -> Row:
    return {name: value for name, value in row.items() if name != _SIGN}


def differing_rows(one: DataFrame, other: DataFrame) -> DataFrame:
    """Return the rows that two frames do not hold equally often.

    The frames have equal columns. A last column says by how many the first has more.
    """
    both = one.withColumn(_SIGN, F.lit(1)).unionAll(other.withColumn(_SIGN, F.lit(-1)))
    return both.groupBy(*other.columns).agg(F.sum(_SIGN).alias(_SIGN)).where(F.col(_SIGN) != 0)
