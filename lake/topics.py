"""Topics: whether a stream still reads the topic that it read so far, and whether that still holds what was not read.

A message is its topic, partition and offset. A topic that was removed and made anew counts from zero again, and
retention may remove what no stream has read; Kafka's clients tell neither from a topic that merely grew. So the id of
each topic is kept beside the checkpoints, and before streams start, the first offsets that the topic holds are compared
with the last ones that bronze holds.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyspark.sql.functions as F

from lake.durable import write_whole
from lake.errors import MessagesGone, TopicReplaced
from lake.feed import TopicFeed, TopicSource
from lake.store import DeltaStore
from lake.table import Table

__all__ = ["TopicGuard"]


@dataclass(frozen=True)
class TopicGuard:
    """Guards the topics of the followed tables.

    Attributes:
        tables: what is followed.
        source: where topics are read from.
        store: where bronze is.
        folder: where the topics' ids are kept.
    """

    tables: Sequence[Table]
    source: TopicSource
    store: DeltaStore
    folder: Path

    def admit(self, accept_loss: Collection[str]) -> list[str]:
        """Check every topic before streams start; returns the bronze tables whose topic has another name than before.

        Args:
            accept_loss: bronze tables (`layer.name`) that go on although messages are gone for good.

        Raises:
            TopicReplaced: a topic is not the one that was read so far.
            MessagesGone: a topic lost messages that were not read.
            TopicUnreachable: its cluster does not answer.
        """
        renamed = []
        for table, feed in self._topics():
            identity = self.source.identity(feed)
            known = self._known(table)
            self._refuse_replaced(table, feed, identity, known)
            accepted = self._refuse_gaps(table, feed, known, accept=table.full_name in accept_loss)
            topic = self.source.topic(feed)
            if known.get("topic", topic) != topic:
                renamed.append(table.full_name)
            if identity is not None:
                self._keep(table, {"topic": topic, "id": identity, "accepted": accepted})
        return renamed

    def watch(self) -> None:
        """Check while streams run that each topic is still the same.

        Raises:
            TopicReplaced: one is not.
            TopicUnreachable: its cluster does not answer.
        """
        for table, feed in self._topics():
            known = self._known(table)
            if "id" in known:
                self._refuse_replaced(table, feed, self.source.identity(feed), known)

    def _topics(self) -> Iterator[tuple[Table, TopicFeed]]:
        for table in self.tables:
            for read in table.reads:
                if isinstance(read.source, TopicFeed):
                    yield table, read.source

    def _refuse_replaced(self, table: Table, feed: TopicFeed, identity: str | None, known: Mapping[str, Any]) -> None:
        topic = self.source.topic(feed)
        # Archives have no id, and some clusters give none.
        if identity is not None and known.get("topic") == topic and known["id"] != identity:
            raise TopicReplaced(table.full_name, topic, known["id"], identity)

    def _refuse_gaps(self, table: Table, feed: TopicFeed, known: Mapping[str, Any], *, accept: bool) -> dict[str, int]:
        """The first offsets that were accepted, by partition, after this check."""
        topic = self.source.topic(feed)
        accepted = dict(known.get("accepted", {})) if known.get("topic") == topic else {}
        first = {part: offset for part, offset in self.source.first_offsets(feed).items() if offset > 0}
        if not first:  # nothing was ever removed
            return accepted
        next_of = {part: max(offset, accepted.get(str(part), 0)) for part, offset in self._next(table, topic).items()}
        gaps = {part: (next_of[part], at - 1) for part, at in first.items() if part in next_of and at > next_of[part]}
        if gaps and not accept:
            raise MessagesGone(table.full_name, topic, gaps)
        return accepted | {str(part): first[part] for part in gaps}

    def _next(self, table: Table, topic: str) -> dict[int, int]:
        """The offset after the last one that bronze holds, by partition."""
        held = self.store.read(table).where(F.col("topic") == topic)
        return {row[0]: row[1] + 1 for row in held.groupBy("partition").agg(F.max("offset")).collect()}

    def _file(self, table: Table) -> Path:
        return self.folder / f"{table.full_name}.json"

    def _known(self, table: Table) -> dict[str, Any]:
        try:
            found = json.loads(self._file(table).read_text())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _keep(self, table: Table, facts: Mapping[str, Any]) -> None:
        write_whole(self._file(table), json.dumps(facts))
