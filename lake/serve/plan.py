"""Find the days of a sink that are due.

They are those of which the table's log says more than the destination does.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from lake.batch.survey import Survey
from lake.declare.days import Day, Days, in_order
from lake.declare.sink import Sink
from lake.serve.source import Source, open_for
from lake.serve.target import Load, Place

__all__ = ["Due", "find_allowed", "find_due"]


@dataclass(frozen=True)
class Due:
    """The days that are to be loaded into one sink.

    Attributes:
        sink: for whom.
        source: the table at its newest version; None where it was never written.
        days: what is to be replaced, in order, with the reason.
        loadable: all days that the sink may hold.
    """

    sink: Sink
    source: Source | None = None
    days: Mapping[Day, str] = field(default_factory=dict)
    loadable: Collection[Day] = ()


def find_due(sink: Sink, survey: Survey, place: Place, loads: Mapping[Day, Load], asked: Days | None = None) -> Due:
    """Compare what a destination holds with the log of its table.

    Args:
        sink: which.
        survey: says which days are settled.
        place: of the destination.
        loads: what the destination says.
        asked: days to load in any case, and no others; None for what is due.

    Raises:
        LogDamaged: nobody can say what is due.
        SecretMissing: the sink hashes, and its secret is not set.
    """
    settled = _settled(sink, survey)  # before the version is chosen, so that a day is no earlier than it says
    source = open_for(sink, survey.store, place.secret)
    if source is None:
        return Due(sink)
    touched = _touched(source)
    known = {day for day in {*touched, *source.held, *loads} if settled is None or day in settled}
    loadable = in_order(day for day in known if day in source.held or day in loads)
    reasons = {day: _reason(source, loads.get(day), touched.get(day)) for day in loadable}
    due = {day: reason for day, reason in reasons.items() if reason}
    if asked is not None:
        due = {day: "asked for" for day in loadable if day is None or day in asked}
    if due and not sink.is_by_day:
        due = {day: due.get(day, "the whole is loaded") for day in loadable}
    return Due(sink, source, due, loadable)


def _touched(source: Source) -> Mapping[Any, int | None]:
    """Return the newest version that changed each day."""
    day = source.table.day
    return {None: source.log.newest_change()} if day is None else source.log.newest_touch(day)


def find_allowed(sink: Sink, survey: Survey) -> set[Day] | None:
    """Return the days that a follower of the log may hold, None for any.

    A day that batch has computed once stays, though it may be due again: what follows a log shows one version of it.
    """
    state = survey.states[sink.reads.full_name]
    if state.unreadable:
        raise state.unreadable
    if not sink.settled_only:
        return None
    return {day for day in state.entries if not survey.is_early(sink.reads, day)}


def _settled(sink: Sink, survey: Survey) -> set[Day] | None:
    """Return the days that may be loaded, None for any."""
    allowed, state = find_allowed(sink, survey), survey.states[sink.reads.full_name]
    return None if allowed is None else allowed - {*state.missing, *state.stale}


def _reason(source: Source, load: Load | None, touched: int | None) -> str:
    """Return why a day is due, or "" where it is not."""
    if load is None:
        return "never loaded"
    if load.table_id != source.table_id:
        return "the table was made anew"
    commit, _, shown = load.commit.partition("+")
    if load.version > source.version or source.log.fingerprint(load.version) not in (None, commit):
        return "the table's log is another one"
    if shown != source.mask.stamp:
        return "what is personal is shown otherwise"
    if touched is not None and touched > load.version:
        return f"changed by version {touched}"
    return ""
