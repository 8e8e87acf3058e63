"""Tell how new the events are that a micro-batch has read.

Its checkpoint and the commits of its inputs say so, without a JVM. A row that groups or joins events does not say when
the newest of them happened. Spark knows only when the micro-batch is over, which is after its commit. But before it
begins, Spark writes down up to which version of each input it reads, and the commits of an input say what events they
brought.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from lake.declare.table import Table
from lake.storage.commits import Commit
from lake.stream.stream_inputs import StreamInputs

__all__ = ["NEWEST_EVENT", "InputEvents", "lag_seconds", "newest_event"]

NEWEST_EVENT = "newest_event_at"
"""Under this name a commit's metadata say it."""
_MOST_COMMITS = 20
"""Commits of an input that are looked at, the newest; a stream that keeps up reads one or two at a time."""


def newest_event(table: Table, commit: Commit) -> datetime | None:
    """Return the newest event that was read for a commit.

    For bronze it is the newest message. None where nobody says it. The commit's files say it of tables that declare an
    event time, its metadata of those that group or join events.
    """
    return commit.newest(table.event_time or "timestamp") or commit.moment(NEWEST_EVENT)


def lag_seconds(table: Table, commit: Commit, now: datetime) -> float | None:
    """Return the seconds from the newest event that was read for a commit to the commit.

    None where nobody knows that event. It is never below 0.

    Args:
        table: which a stream wrote.
        commit: of the stream.
        now: the lake's clock; in a replay of the past a commit is no later than the replay's.
    """
    newest = newest_event(table, commit)
    if newest is None:
        return None
    return round(max((min(commit.committed_at, now) - newest).total_seconds(), 0.0), 1)


@dataclass(frozen=True)
class InputEvents:
    """The events that the micro-batches of one query read from other tables."""

    inputs: StreamInputs

    def newest(self, batch_id: int) -> datetime | None:
        """Return the newest event that was read for a micro-batch.

        Where it read nothing new, the newest for the one before.
        """
        ends, starts = self._ends(batch_id), self._ends(batch_id - 1)
        events = [event for name, end in ends.items() for event in self._events(name, starts.get(name, -1), end)]
        return max(events, default=None)

    def _events(self, name: str, start: int, end: int) -> Iterator[datetime]:
        """Give the events of the commits behind `start` up to `end`.

        And of `end` at the least.
        """
        table, log = self.inputs.by_id[name]
        first = max(start, end - _MOST_COMMITS) + 1
        for version in range(min(first, end), end + 1):
            commit = log.commit(version)
            event = newest_event(table, commit) if commit is not None else None
            if event is not None:
                yield event

    def _ends(self, batch_id: int) -> dict[str, int]:
        """Return the newest version read of each input, after a micro-batch.

        By the id of the input.
        """
        ends = self.inputs.read_up_to(batch_id)
        return {name: end for name, end in ends.items() if name in self.inputs.by_id}
