"""Remember the days that a process need not judge again.

It found them up to date, and nothing of their evidence has changed since. Comparing evidence with that of the last look
costs some nanoseconds a day, judging a day some microseconds for each of its inputs. So the tenth year of a lake costs
about as much as its first month.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from lake.declare.days import Day

__all__ = ["ByDay", "Evidence", "Settled"]


@dataclass(frozen=True)
class ByDay:
    """Facts by day that a verdict depends on.

    Attributes:
        facts: by day.
        affected: the days that depend on one of them; None where it is that day alone.
    """

    facts: Mapping[Any, object]
    affected: Callable[[date], Iterable[date]] | None = None

    def changed_since(self, known: ByDay) -> Iterator[Day]:
        """Find the days that depend on a fact which is not as it was."""
        if self.facts is known.facts or self.facts == known.facts:
            return
        nothing = object()
        for day in self.facts.keys() | known.facts.keys():
            if self.facts.get(day, nothing) != known.facts.get(day, nothing):
                yield from self._reached(day)

    def _reached(self, day: Day) -> Iterable[Day]:
        return [day] if day is None or self.affected is None else self.affected(day)


@dataclass(frozen=True)
class Evidence:
    """All that days of one table are judged by.

    Attributes:
        whole: what each day depends on, and has to be equal.
        versions: of the table and its inputs; they never go down, unless a table was made anew or restored.
        by_day: the rest.
    """

    whole: Sequence[object]
    versions: Sequence[int]
    by_day: Sequence[ByDay]

    def follows(self, known: Evidence) -> bool:
        """Tell whether the days alone have changed since."""
        is_newer = all(now >= before for now, before in zip(self.versions, known.versions, strict=False))
        return is_newer and self.whole == known.whole and len(self.by_day) == len(known.by_day)


@dataclass(frozen=True)
class Settled:
    """The days of one table that a process has judged.

    Attributes:
        evidence: by which the days were judged last; None before.
        due: days that were not up to date then.
    """

    evidence: Evidence | None = None
    due: Collection[Day] = field(default=())

    def to_judge(self, now: Evidence) -> set[Day] | None:
        """Find the days that have to be judged, or None for all."""
        if self.evidence is None or not now.follows(self.evidence):
            return None
        pairs = zip(now.by_day, self.evidence.by_day, strict=True)
        return {*self.due, *(day for one, known in pairs for day in one.changed_since(known))}
