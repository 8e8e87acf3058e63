"""Refuse to follow bronze that is gone together with its source.

A bronze table that was removed begins anew from its topic, and its readers replace their open days by what they find in
it. Where the topic has gone as well, that would be nothing. Needs no JVM.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from lake.declare.days import Day
from lake.declare.feed import TopicFeed
from lake.declare.table import Table
from lake.declare.topic_source import TopicSource
from lake.errors import BronzeLost
from lake.ownership.ledger import Entry, Ledger
from lake.storage.store_path import AnyPath
from lake.stream.generation import DELIVERED, Checkpoints, noted_table
from lake.stream.progress import micro_batches
from lake.stream.read_offsets import Offsets, began_at
from lake.write.store import DeltaStore

__all__ = ["read_from", "refuse_lost_bronze"]


def refuse_lost_bronze(
    tables: Iterable[Table],
    source: TopicSource,
    store: DeltaStore,
    checkpoints: Checkpoints,
    accept: Collection[str] = (),
) -> None:
    """Refuse a bronze table that is gone with what it came from.

    Args:
        tables: what is followed.
        source: where topics are read from.
        store: where the tables are.
        checkpoints: what streams have noted of them.
        accept: bronze tables (`layer.name`) that begin anew from what is left.

    Raises:
        BronzeLost: nothing was changed.
    """
    for table in tables:
        for feed in table.topics:
            seen = _Seen(table, feed, store, checkpoints.root / table.layer / table.name)
            if table.full_name not in accept and seen.is_anew:
                seen.refuse_without(source)


def read_from(folder: AnyPath, topic: str, store: DeltaStore, table: Table) -> Offsets:
    """Return the offsets from which a lost bronze table is read again.

    It was removed or made anew. By partition; empty where it is still the one that streams have written, or nobody
    knows.

    Args:
        folder: holds the checkpoints of its generations.
        topic: its topic.
        store: where it is.
        table: which.
    """
    return began_at(folder, topic) if _is_anew(folder, store, table) else {}


def _is_anew(folder: AnyPath, store: DeltaStore, table: Table) -> bool:
    """Tell whether a table is another one than streams have written.

    Where none has, whether it holds no row.
    """
    log = store.table_log(table)
    made = {found[0] for checkpoint in folder.glob("g*") if (found := noted_table(checkpoint)) is not None}
    return log.table_id() not in made if made else not log.has_rows()


@dataclass(frozen=True)
class _Seen:
    """The records of a bronze table outside of the table itself."""

    table: Table
    feed: TopicFeed
    store: DeltaStore
    folder: AnyPath

    @property
    def is_anew(self) -> bool:
        return _is_anew(self.folder, self.store, self.table)

    def refuse_without(self, source: TopicSource) -> None:
        """Raise where what a bronze table was read from is gone.

        Files are gone that it was read from, or there is nothing to read it from.
        """
        is_archive = not source.bounds(self.feed)
        gone = sorted({*self._delivered, *self._booked} - source.delivered(self.feed).keys()) if is_archive else []
        rows = self._rows if gone or source.first_day(self.feed) is None else 0
        if gone or rows:
            raise BronzeLost(self.table.full_name, source.topic(self.feed), rows, gone)

    @property
    def _delivered(self) -> Iterable[str]:
        """The files that its streams were given."""
        file = self.folder / DELIVERED
        said: dict[str, str] = json.loads(file.read_text()) if file.is_file() else {}
        return said

    @property
    def _booked(self) -> Iterator[str]:
        """The files that batch has read."""
        for day, entry in self._entries.items():
            recorded = entry.inputs.get(f"feed:{self.feed.name}") if entry.rows_out else None
            yield from (f"landed_on={day}/{name}" for name in recorded or ()) if isinstance(recorded, Mapping) else ()

    @cached_property
    def _entries(self) -> Mapping[Day, Entry]:
        return Ledger(self.store).latest_by_table().get(self.table.full_name, {})

    @property
    def _rows(self) -> int:
        """The number of rows that it held, as far as anybody wrote down."""
        streamed = (one.counts.rows_out for one in micro_batches(self.store) if one.table == self.table.full_name)
        return sum(streamed) + sum(entry.rows_out for entry in self._entries.values())
