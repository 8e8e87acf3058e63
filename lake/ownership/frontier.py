"""Decide whether streams or batch own a day: the frontier.

Streams own open days, batch owns sealed ones; nobody else ever writes.

    open (streams write) -> sealed (batch owns, not yet recomputed) -> settled (recomputed from all that bronze holds)

One small Delta table, `lake/frontier`, holds it, written without a JVM and under its lock; each version is one step. No
frontier: no stream was ever started, and batch owns every day. Sealing has two durable steps. `closing` makes streams
drop rows of those days from their next micro-batch on; when every micro-batch that had already begun is over, the seal
itself is published, and batch obeys only that.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa
from deltalake import write_deltalake
from pyarrow import compute as pc

from lake.declare.days import Days, utc_day
from lake.declare.graph import topics_of
from lake.declare.table import Table, can_be_early, stream_reads
from lake.engine.failpoints import failpoint
from lake.errors import DayIsOpen
from lake.storage.log import Place, Remembered
from lake.storage.own_format import DESCRIPTION, readable
from lake.write.horizon import Horizon
from lake.write.own_rows import rows_of
from lake.write.store import DeltaStore

__all__ = [
    "Frontier",
    "FrontierTable",
    "event_progress",
    "seal",
    "seal_pending",
    "sealable_before",
    "with_streamed_upstream",
]

LAST_DAY = date(9999, 12, 30)
_SEAL_WAITS_SECONDS = 20.0

SCHEMA = pa.schema(
    [
        pa.field("stream_from", pa.date32(), nullable=False),
        pa.field("first_open", pa.date32(), nullable=False),
        pa.field("closing", pa.date32()),
        pa.field("claimed", pa.string(), nullable=False),
        pa.field("generations", pa.string(), nullable=False),
        pa.field("cause", pa.string(), nullable=False),
        pa.field("recorded_at", pa.timestamp("us", tz="UTC"), nullable=False),
    ]
)
"""Columns of the frontier's table: one row. `claimed` is a JSON list of tables, `generations` a JSON object."""


# Which tables stream, and what they read as streams


def with_streamed_upstream(tables: Iterable[Table]) -> list[Table]:
    """These tables and every one that they read as a stream, upstream first."""
    found: list[Table] = []
    for table in tables:
        upstream = [read.source for read in stream_reads(table) if isinstance(read.source, Table)]
        found += [one for one in [*with_streamed_upstream(upstream), table] if one not in found]
    return found


@dataclass(frozen=True)
class Frontier:
    """One state of the frontier.

    Attributes:
        stream_from: landing day from which bronze comes from the stream; before it, from archived files.
        first_open: first day of the lake that is not sealed. A table is open from `first_open_day(table)` on.
        closing: the last day that streams no longer write though it is not sealed yet; None between seals.
        claimed: the tables (`layer.name`) whose open days the streams own; empty when released.
        generations: how often each table's stream has begun anew.
    """

    stream_from: date
    first_open: date
    closing: date | None = None
    claimed: frozenset[str] = frozenset()
    generations: Mapping[str, int] = field(default_factory=dict)

    def first_open_day(self, table: Table) -> date | None:
        """Return the first day of a table that streams own.

        None where batch owns every day.
        """
        return self._first_day(table, self.first_open) if table.full_name in self.claimed else None

    def first_writable_day(self, table: Table) -> date:
        """Return the first day that the table's stream may still write.

        Days that are closing are over for the stream.
        """
        after_closing = self.closing + timedelta(days=1) if self.closing else self.first_open
        return self._first_day(table, max(self.first_open, after_closing))

    def was_followed(self, table: Table) -> bool:
        """Tell whether a stream has ever written the table."""
        return table.full_name in self.generations

    def first_followed_day(self, table: Table) -> date | None:
        """Return the first day of a table that the process which runs streams writes.

        It owns the open days of a stream, and computes those of a batch-only table early. None where there is none.
        """
        return self.first_early_day(table) if can_be_early(table) else self.first_open_day(table)

    def first_early_day(self, table: Table) -> date | None:
        """Return the first day of any table that depends on an open day.

        The table need not be followed. None where no day depends on one. From there on its rows are early: a table that
        batch computes from open days is worth computing once they are sealed.
        """
        days = [self.first_open_day(table)]
        for read in table.reads:
            if isinstance(read.source, Table) and not read.source.write.keeps_everything:
                first = self.first_early_day(read.source)
                days.append(first and read.affected(first).start)
        return min((day for day in days if day is not None), default=None)

    def batch_days(self, table: Table, days: Days) -> Days:
        """Return those of these days that batch owns."""
        first = self.first_open_day(table)
        return days if first is None else days.intersect(Days(min(days.start, first), first))

    def refuse_open(self, table: Table, days: Days) -> None:
        """Raise where streams own one of the days.

        Raises:
            DayIsOpen: batch must not write them; there is no force.
        """
        first = self.first_open_day(table)
        if first is not None and days.end > first and days:
            raise DayIsOpen(table.full_name, str(days), first, first - timedelta(days=1))

    def _first_day(self, table: Table, first_open: date) -> date:
        """Return the first day of a table that is not over.

        Day D of a table is over when all days of its inputs that D is computed from are over, so this follows the
        reads.
        """
        if table.write.keeps_everything:
            return self.stream_from
        days = [
            self._first_day(read.source, first_open) - timedelta(days=read.after)
            for read in stream_reads(table)
            if isinstance(read.source, Table) and not read.source.write.keeps_everything
        ]
        return min(days, default=first_open)


_READ = Remembered[Frontier | None]()
"""Every micro-batch asks, and it changes a few times a day."""


class FrontierTable:
    """The Delta table that keeps the frontier of one store."""

    name = "lake.frontier"

    def __init__(self, store: DeltaStore) -> None:
        self.store = store
        self._location = store.log(f"{store.tables}/lake/frontier").location

    def state(self) -> Frontier | None:
        """Read the frontier as it is now, without a JVM.

        None where no stream was ever started.
        """
        return _READ.get(self.store.log(self._location), self._as_of)

    def _as_of(self, place: Place) -> Frontier | None:
        log = self.store.log(self._location)
        rows = rows_of(log, readable("frontier", log.at(place[0]))).to_pylist()
        return _from_row(rows[0]) if rows else None

    def change(self, step: Callable[[Frontier | None], Frontier], cause: str) -> Frontier:
        """Compute the next state from the current one and commit it.

        Nothing is committed where they are equal.
        """
        with self.store.lock(self.name):
            before = self.state()
            after = step(before)
            if after != before:
                with self.store.flushed(self._location):
                    write_deltalake(
                        self._location,
                        pa.Table.from_pylist([_to_row(after, cause)], schema=SCHEMA),
                        mode="overwrite",
                        description=DESCRIPTION,
                        storage_options=dict(self.store.storage_options),
                    )
        return after


def _from_row(row: Mapping[str, Any]) -> Frontier:
    return Frontier(
        stream_from=row["stream_from"],
        first_open=row["first_open"],
        closing=row["closing"],
        claimed=frozenset(json.loads(row["claimed"])),
        generations=json.loads(row["generations"]),
    )


def _to_row(state: Frontier, cause: str) -> dict[str, Any]:
    return {
        "stream_from": state.stream_from,
        "first_open": state.first_open,
        "closing": state.closing,
        "claimed": json.dumps(sorted(state.claimed)),
        "generations": json.dumps(dict(state.generations), sort_keys=True),
        "cause": cause,
        "recorded_at": datetime.now(UTC),
    }


# When a day is over


def event_progress(table: Table, store: DeltaStore, now: datetime) -> datetime | None:
    """Find the newest validated event time in a table.

    It comes from file statistics, without a JVM. What lies after the clock, `now`, says nothing, because no event can:
    an older release may have kept such rows. None where the table holds no other.
    """
    if table.event_time is None or store.version(table) is None:
        return None
    actions = store.table_log(table).require().get_add_actions(flatten=True)
    name = f"max.{table.event_time}"
    if name not in actions.schema.names:
        return None
    times = pa.chunked_array(actions.column(name)).cast(pa.timestamp("us", "UTC"))
    newest: datetime | None = pc.max(times.filter(pc.less_equal(times, pa.scalar(Horizon(now).latest(table))))).as_py()
    return newest


def sealable_before(
    tables: Sequence[Table], store: DeltaStore, *, now: datetime, at_end: Iterable[str] = ()
) -> date | None:
    """Return the first day that may not be sealed yet.

    Every earlier day is over in every feed, the feed's lateness included.

    Args:
        tables: the followed tables; those that declare an event time speak for their feeds.
        store: where they are.
        now: the clock (the replay's in a replay): no day is over before it says so, and a silent feed is idle by it.
        at_end: names of the feeds whose streams have read everything there is. One that lags, or whose broker cannot
            be reached, is not among them and never counts as idle: that is a stall, to be alerted and not sealed.

    Returns:
        None where some feed has no event yet.
    """
    ends = set(at_end)
    marks = []
    for table in tables:
        if table.event_time is None or table.lateness is None:
            continue
        newest = _with_idleness(table, event_progress(table, store, now), now, ends)
        if newest is None:
            return None
        marks.append(newest - table.lateness)
    return utc_day(min([*marks, now])) if marks else None


def _with_idleness(table: Table, newest: datetime | None, now: datetime, at_end: set[str]) -> datetime | None:
    feeds = [feed for _, feed in topics_of(table)]
    limits = [feed.idle_after for feed in feeds if feed.idle_after is not None and feed.name in at_end]
    if newest is None or len(limits) < len(feeds) or not limits:
        return newest
    return max(newest, now - max(limits))


def seal(frontier: FrontierTable, tables: Sequence[Table], before: date | None) -> Frontier | None:
    """Seal every day before `before`, or finish a seal that was begun.

    Sealing has two durable steps. It is called by the process that runs the streams, while they run.

    Args:
        frontier: the frontier's table.
        tables: every claimed table; the lock of each is taken once, so that no micro-batch that began before is left.
        before: from `sealable_before`; None seals nothing new.

    Raises:
        TableLocked: a table stayed locked; the seal is begun and the next call finishes it.
    """
    state = frontier.state()
    if state is None:
        return None
    if before is not None and before > state.first_open and not (state.closing and before <= state.closing):
        last = before - timedelta(days=1)
        state = frontier.change(lambda now: replace(_known(now), closing=last), f"closing {last}")
        failpoint("after_closing")
    if state.closing is None:
        return state
    # A long refresh may hold a table: do not wait it out, the seal is finished by a later call.
    patience = min(_SEAL_WAITS_SECONDS, frontier.store.lock_timeout_seconds)
    store = replace(frontier.store, lock_timeout_seconds=patience, on_wait=lambda _: None)
    for table in tables:
        with store.lock(table.full_name):
            pass
    failpoint("before_sealing")
    return seal_pending(frontier)


def seal_pending(frontier: FrontierTable) -> Frontier | None:
    """Publish a seal whose first step is done.

    It need not wait right after a start, because no write is under way.
    """
    state = frontier.state()
    if state is None or state.closing is None:
        return state
    sealed = frontier.change(_sealed, f"sealed {state.closing}")
    failpoint("after_sealing")
    return sealed


def _sealed(state: Frontier | None) -> Frontier:
    now = _known(state)
    first = now.closing + timedelta(days=1) if now.closing else now.first_open
    return replace(now, first_open=max(first, now.first_open), closing=None)


def _known(state: Frontier | None) -> Frontier:
    if state is None:
        raise RuntimeError("the frontier's table was removed while streams run")
    return state
