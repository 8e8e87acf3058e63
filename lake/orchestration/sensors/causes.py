"""Group what is wrong by cause, so that one broken day is one message.

A finding is about a table and some of its days. Where an input of these days is in an open cause, the finding is a
consequence: it stands behind that cause and is not told by itself. A cause is over when all that stood behind it is.
What still stands behind a root that was mended an hour ago has a cause of its own.

Sensors share what they have told in `alerts.json` in the lake's home: a table that is late because its run failed is
one message, that of the run. Lateness is a symptom, so it hides nothing that other sensors find.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import time
from typing import Any

from lake.declare.days import Days
from lake.declare.table import Table
from lake.storage.noted import Noted

__all__ = ["Cause", "Causes", "Finding", "Ranges", "Told", "is_behind"]

MENDED_FOR_SECONDS = 3600.0
"""How long consequences of a mended root have to be mended too."""
SYMPTOMS = frozenset({"freshness_alerts"})

Ranges = tuple[Days, ...] | None
"""Days of a table; None is the whole table, or days that nobody knows."""


@dataclass(frozen=True)
class Finding:
    """Something that is wrong with a table.

    Attributes:
        name: what tells it from other findings of a sensor.
        what: what is wrong, in a few words: "is late".
        table: `layer.name`; another name where a file was left out, or where no table is known.
        days: the days that it is about.
        owner: who answers for the table.
        reason: what was found, in lines, the first one first.
        next: the next command.
        runbook: the page and section that say more.
        run: id of the run that found it; empty where none did.
        beside: what else it keeps from being computed, with its days.
        origin: what several findings have in common, as a process that died: they are one cause.
    """

    name: str
    what: str
    table: str
    days: Ranges = None
    owner: str = ""
    reason: str = ""
    next: str = ""
    runbook: str = ""
    run: str = ""
    beside: Mapping[str, Ranges] = field(default_factory=dict)
    origin: str = ""

    @property
    def places(self) -> dict[str, Ranges]:
        """The tables and days that it is about."""
        return {self.table: self.days, **self.beside}


@dataclass
class Cause:
    """Something that went wrong, with what stands behind it.

    Attributes:
        behind: names of the findings, that of the root included while it holds.
        mended_at: when the root ceased to hold, in seconds since 1970; None while it holds.
    """

    behind: set[str]
    mended_at: float | None = None


@dataclass
class Causes:
    """The causes that are open, by the name of the finding at their root."""

    open: dict[str, Cause] = field(default_factory=dict)

    @classmethod
    def parse(cls, said: Mapping[str, Any] | None, told: Iterable[str] = ()) -> Causes:
        """Read what `dump` gave.

        In a cursor of an older release each thing that was told is a cause.
        """
        if said is None:
            return cls({name: Cause({name}) for name in told})
        return cls({root: Cause(set(one["behind"]), one["mended_at"]) for root, one in said.items()})

    def dump(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return {
            root: {"behind": sorted(cause.behind), "mended_at": cause.mended_at}
            for root, cause in sorted(self.open.items())
        }

    def update(
        self, found: Mapping[str, Finding], tables: Mapping[str, Table], elsewhere: Mapping[str, Sequence[Ranges]]
    ) -> None:
        """Take in what is wrong now.

        Args:
            found: by name.
            tables: all tables by `layer.name`, upstream first.
            elsewhere: what other sensors have told of, days by table.
        """
        self._forget(found.keys())
        order = {name: place for place, name in enumerate(tables)}
        fresh = [one for name, one in found.items() if not any(name in cause.behind for cause in self.open.values())]
        told = [(table, days) for table, ranges in elsewhere.items() for days in ranges]
        for one in sorted(fresh, key=lambda one: (order.get(one.table, -1), one.name)):
            if any(is_behind(one, table, days, tables) for table, days in told):
                continue
            self.open.setdefault(self._root_of(one, found, tables) or one.name, Cause(set())).behind.add(one.name)

    def findings(self, found: Mapping[str, Finding]) -> list[Finding]:
        """Return the findings that stand behind open causes."""
        return [found[name] for cause in self.open.values() for name in cause.behind]

    def _forget(self, holds: Iterable[str]) -> None:
        held = set(holds)
        for root, cause in list(self.open.items()):
            cause.behind &= held
            cause.mended_at = None if root in cause.behind else cause.mended_at or time()
            is_old = cause.mended_at is not None and time() - cause.mended_at > MENDED_FOR_SECONDS
            if not cause.behind or is_old:
                del self.open[root]

    def _root_of(self, one: Finding, found: Mapping[str, Finding], tables: Mapping[str, Table]) -> str | None:
        for root, cause in self.open.items():
            others = [found[name] for name in cause.behind]
            places = (place for other in others for place in other.places.items())
            is_one = one.origin and any(one.origin == other.origin for other in others)
            if is_one or any(is_behind(one, table, days, tables) for table, days in places):
                return root
        return None


def is_behind(one: Finding, table: str, days: Ranges, tables: Mapping[str, Table]) -> bool:
    """Tell whether a finding is about these days of a table.

    What is computed from them counts too.
    """
    if one.table == table:
        return _overlap(one.days, days)
    reader = tables.get(one.table)
    return reader is not None and table in tables and any(_reached(reader, one.days, table, days))


def _reached(reader: Table, wanted: Ranges, table: str, days: Ranges) -> Iterator[bool]:
    for read in reader.reads:
        source = read.source
        if isinstance(source, Table):
            has_days = wanted is not None and reader.day is not None and source.day is not None
            needed = tuple(map(read.needed, wanted or ())) if has_days else None
            if source.full_name == table:
                yield _overlap(needed, days)
            yield from _reached(source, needed, table, days)


def _overlap(some: Ranges, others: Ranges) -> bool:
    return some is None or others is None or any(one.intersect(other) for one in some for other in others)


@dataclass(frozen=True)
class Told:
    """The file in which sensors keep what they have told.

    Attributes:
        home: folder of the lake.
    """

    home: Path

    @property
    def _noted(self) -> Noted:
        return Noted(self.home / "alerts.json")

    def elsewhere(self, sensor: str) -> dict[str, list[Ranges]]:
        """Return the days by table that other sensors have told of."""
        found: dict[str, list[Ranges]] = {}
        for name, places in self._noted.read().items():
            for table, ranges in places if name not in {sensor, *SYMPTOMS} else ():
                days = None if ranges is None else tuple(map(Days.parse, ranges))
                found.setdefault(table, []).append(days)
        return found

    def note(self, sensor: str, findings: Iterable[Finding]) -> None:
        """Note what a sensor has told and still holds."""
        places = [(table, days) for one in findings for table, days in one.places.items()]
        said = sorted([table, None if days is None else list(map(str, days))] for table, days in places)
        if said != self._noted.read().get(sensor, []):
            self._noted.note({sensor: said})
