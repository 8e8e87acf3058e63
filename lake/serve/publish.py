"""Publish a sink: load what is due, and nothing else.

A repeat finds nothing to do.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from lake.batch.survey import Survey
from lake.declare.days import Day, Days
from lake.declare.sink import Sink
from lake.engine.failpoints import failpoint
from lake.serve.plan import Due, find_allowed, find_due
from lake.serve.source import open_for, open_source
from lake.serve.target import Load, Place, open_follower, open_target
from lake.storage.retention import Promise
from lake.write.store import DeltaStore

__all__ = ["Published", "find_promises", "is_due", "publish"]


@dataclass(frozen=True)
class Published:
    """The outcome of one publication.

    Attributes:
        sink: which.
        version: of the table that was read; None where it was never written.
        days: what was loaded, in order.
        reasons: why each day was.
        seconds: how long it took.
    """

    sink: Sink
    version: int | None
    days: Mapping[Day, Load] = field(default_factory=dict)
    reasons: Mapping[Day, str] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def rows(self) -> int:
        """The number of rows that were loaded."""
        return sum(load.rows for load in self.days.values())


def is_due(sink: Sink, survey: Survey, place: Place) -> Due:
    """Look what is due, without loading it."""
    if sink.to.follows_log:
        allowed, source = find_allowed(sink, survey), open_for(sink, survey.store, place.secret)
        due = open_follower(sink, place).due(source, allowed) if source else {}
        return Due(sink, source, due, source.held if source else ())
    return find_due(sink, survey, place, open_target(sink, place).loads())


def publish(sink: Sink, survey: Survey, place: Place, days: Days | None = None, *, anew: bool = False) -> Published:
    """Load what is due of a sink.

    Args:
        sink: which.
        survey: of the lake that holds its table.
        place: of its destination.
        days: load these in any case, and no others; None for what is due. What follows the log holds all or nothing.
        anew: begin with an empty table at the destination.

    Raises:
        PublishError: the destination holds what it held before.
        LogDamaged: the table cannot be read.
    """
    began = time.monotonic()
    if sink.to.follows_log:
        return _follow(sink, survey, place, began, anew=anew)
    target = open_target(sink, place, anew=anew)
    failpoint("before_load", sink.full_name)
    due = find_due(sink, survey, place, target.loads(), days)
    version = due.source.version if due.source else None
    if due.source is None or not due.days:
        return Published(sink, version, seconds=time.monotonic() - began)
    loaded = target.replace(due.source, list(due.days), whole=not sink.is_by_day)
    return Published(sink, version, loaded, due.days, time.monotonic() - began)


def _follow(sink: Sink, survey: Survey, place: Place, began: float, *, anew: bool) -> Published:
    """Bring a destination that follows the log up to its newest version."""
    follower = open_follower(sink, place, anew=anew)
    failpoint("before_load", sink.full_name)
    allowed = find_allowed(sink, survey)  # before the version is chosen, so that a day is no earlier than it says
    source = open_for(sink, survey.store, place.secret)
    loaded = follower.load(source, allowed) if source else {}
    reasons = dict.fromkeys(loaded, "its files changed")
    return Published(sink, source.version if source else None, loaded, reasons, time.monotonic() - began)


def find_promises(sinks: Iterable[Sink], store: DeltaStore, place: Place) -> dict[str, list[Promise]]:
    """Say, by table, what `lake.batch.maintain` has to keep for the readers of sinks."""
    found: dict[str, list[Promise]] = {}
    for one in sinks:
        source = open_source(store, one.reads) if one.to.follows_log else None
        if source and (promise := open_follower(one, place).promise(source)):
            found.setdefault(one.reads.full_name, []).append(promise)
    return found
