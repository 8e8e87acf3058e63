"""Read commits of a table's log, without a JVM.

They say which days the versions a..b of a table touched. Delta writes one JSON file a commit. Its `add` and `remove`
actions carry the partition values (the days) and, in their statistics, the number of rows; OPTIMIZE marks its actions
`dataChange: false`, VACUUM adds none.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from typing import Any

from lake.declare.days import parse_day, parse_moment
from lake.errors import BadDay

__all__ = ["MERGE_MARK", "WRITE_MARK", "Commit", "parse_commit", "read_days"]

Partition = tuple[tuple[str, str | None], ...]


WRITE_MARK = "write"
"""Under this name the metadata of every commit of this project hold what tells one write from another."""
MERGE_MARK = "merged_by_key"
"""The same of a commit that writes rows anew which its files held beside those that it replaces."""


@dataclass(frozen=True)
class Commit:
    """One version of a table.

    Attributes:
        version: its number.
        timestamp_ms: when it was committed, milliseconds since 1970 UTC.
        operation: Delta's name for it: WRITE, OPTIMIZE, RESTORE, ...
        metadata: what the writer left in it; empty where it left nothing or something else than a JSON object.
        added: rows added, by partition. Rows of files without statistics count as 0.
        touched: every partition whose rows it changed.
        maxima: the greatest value that its files say they hold, by column; text columns and timestamps only.
        size: bytes of the files added.
    """

    version: int
    timestamp_ms: int
    operation: str
    metadata: Mapping[str, Any]
    added: Mapping[Partition, int] = field(repr=False)
    touched: frozenset[Partition] = field(repr=False)
    maxima: Mapping[str, str] = field(default_factory=dict, repr=False)
    size: int = 0

    @property
    def committed_at(self) -> datetime:
        """When it was committed, UTC."""
        return datetime.fromtimestamp(self.timestamp_ms / 1000, UTC)

    def newest(self, column: str) -> datetime | None:
        """Return the newest value of a TIMESTAMP column that it added.

        To the millisecond; None where statistics lack it.
        """
        return parse_moment(self.maxima.get(column))

    def moment(self, name: str) -> datetime | None:
        """Return a point in time that the writer left in the metadata.

        UTC; None where it left none.
        """
        return parse_moment(self.metadata.get(name))

    def days(self, column: str) -> set[date]:
        """Return the values of a DATE partition column whose rows this commit changed."""
        return read_days(dict(partition).get(column) for partition in self.touched)

    def rows_by_day(self, column: str) -> dict[date, int]:
        """Return the rows added, by the values of a DATE partition column."""
        rows: Counter[date] = Counter()
        for partition, count in self.added.items():
            for day in read_days([dict(partition).get(column)]):
                rows[day] += count
        return dict(rows)

    @property
    def rows(self) -> int:
        """Rows added in all."""
        return sum(self.added.values())

    def joined(self, earlier: Commit) -> Commit:
        """Return two commits of one micro-batch as one."""
        added, touched = {**earlier.added, **self.added}, self.touched | earlier.touched
        return replace(self, added=added, touched=touched, size=self.size + earlier.size)

    @property
    def is_own(self) -> bool:
        """Tell whether this project made it, because each of its writes leaves a mark."""
        return WRITE_MARK in self.metadata

    @property
    def is_foreign(self) -> bool:
        """Tell whether another program changed rows by it."""
        return bool(self.touched) and not self.is_own


def read_days(texts: Iterable[str | None]) -> set[date]:
    """Read the days of partitions.

    Rows without a day lie in a partition that is none.
    """
    found: set[date] = set()
    for text in filter(None, texts):
        try:
            found.add(parse_day(text))
        except BadDay:
            continue  # the partition of rows without a day
    return found


def parse_commit(version: int, actions: Sequence[Mapping[str, Any]]) -> Commit:
    """Read a commit from the actions of its file."""
    info: dict[str, Any] = next((action["commitInfo"] for action in actions if "commitInfo" in action), {})
    added: Counter[Partition] = Counter()
    touched: set[Partition] = set()
    maxima: dict[str, str] = {}
    size = 0
    for action in actions:
        change = action.get("add") or action.get("remove")
        if not change or not change.get("dataChange", True):
            continue
        partition = tuple(sorted((change.get("partitionValues") or {}).items()))
        touched.add(partition)
        if "add" in action:
            stats = json.loads(change.get("stats") or "{}")
            added[partition] += stats.get("numRecords", 0)
            size += change.get("size") or 0
            texts = {name: text for name, text in (stats.get("maxValues") or {}).items() if isinstance(text, str)}
            maxima |= {name: max(text, maxima.get(name, "")) for name, text in texts.items()}
    return Commit(
        version=version,
        timestamp_ms=int(info.get("timestamp", 0)),
        operation=str(info.get("operation", "")),
        metadata=_json_object(info.get("userMetadata")),
        added=dict(added),
        touched=frozenset(touched),
        maxima=maxima,
        size=size,
    )


def _json_object(text: Any) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (TypeError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
