"""Open days again that were sealed too far.

That happens because a clock was wrong or an older release believed one that was. Nothing else moves the frontier back.
Streams then own these days once more, and replace them by what bronze holds.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import date, datetime

from lake.declare.days import utc_day
from lake.declare.table import Table
from lake.errors import DayAhead
from lake.ownership.frontier import Frontier, FrontierTable
from lake.ownership.shared_lease import shared_lease
from lake.storage.lease import lease

__all__ = ["is_ahead", "reopen"]


def is_ahead(frontier: Frontier, now: datetime) -> bool:
    """Tell whether days are sealed, or left to batch, that have not come.

    No stream writes such days.
    """
    today = utc_day(now)
    return any(day > today for day in (frontier.first_open, frontier.closing, frontier.stream_from) if day)


def reopen(frontier: FrontierTable, tables: Iterable[Table], day: date, now: datetime) -> Frontier | None:
    """Let streams own every day from `day` on again.

    The next `follow` replaces these days by what bronze holds.

    Args:
        frontier: the frontier's table.
        tables: the lake's tables. Bronze goes on from its checkpoint: it has kept every message meanwhile.
        day: the first day to open. Where it is open already, nothing changes.
        now: the clock.

    Returns:
        The frontier afterwards; None where no stream was ever started.

    Raises:
        DayAhead: `day` lies after the clock.
        AlreadyFollowed: a process runs the streams.
    """
    if day > utc_day(now):
        raise DayAhead(day, utc_day(now))
    replaced = [table.full_name for table in tables if not table.write.keeps_everything]

    def step(state: Frontier | None) -> Frontier:
        assert state is not None, "the frontier's table was removed meanwhile"
        return _reopened(state, replaced, day, now)

    with lease(frontier.store.locks), shared_lease(frontier.store):
        return frontier.change(step, f"reopened from {day} on") if frontier.state() is not None else None


def _reopened(state: Frontier, replaced: Iterable[str], day: date, now: datetime) -> Frontier:
    """Return the frontier with fewer sealed days.

    A generation that has no checkpoint begins anew at the next start.
    """
    if state.first_open <= day and not is_ahead(state, now):
        return state
    is_unread = state.stream_from > utc_day(now)  # messages before that day were left to an archive
    anew = state.claimed if is_unread else state.claimed.intersection(replaced)
    return replace(
        state,
        stream_from=day if is_unread else state.stream_from,
        first_open=min(state.first_open, day),
        closing=None,
        generations={name: number + (name in anew) for name, number in state.generations.items()},
    )
