"""Guard topics: is it still the one that a stream read so far?

And does it still hold what was not read?

A message is its topic, partition and offset. A topic that was removed and made anew counts from zero again, one whose
broker came back from a backup goes on from an earlier offset, and retention may remove what no stream has read; Kafka's
clients tell none of them from a topic that merely grew. So the id of each topic is kept beside the checkpoints, and
before streams start, the first and last offsets of the topic are compared with how far it was read, and the last
message that bronze holds with the one at its offset.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import reduce
from operator import or_
from typing import Any

import pyspark.sql.functions as F

from lake.declare.feed import TopicFeed
from lake.declare.table import Table
from lake.declare.topic_source import Received, TopicSource
from lake.errors import MessagesGone, OtherMessage, TopicReplaced, TopicShorter
from lake.storage.store_path import AnyPath, write_text
from lake.stream.lost_bronze import read_from
from lake.stream.read_offsets import furthest, noted, read_by_checkpoint
from lake.stream.topic_reader import as_text, moment_of
from lake.write.store import DeltaStore

__all__ = ["TopicGuard"]


@dataclass(frozen=True)
class TopicGuard:
    """Guards the topics of the followed tables.

    Attributes:
        tables: what is followed.
        source: where topics are read from.
        store: where bronze is.
        checkpoints: where the checkpoints lie, and beside them what is known of topics.
        newest: the newest message of each partition when `watch` looked last, by table.
    """

    tables: Sequence[Table]
    source: TopicSource
    store: DeltaStore
    checkpoints: AnyPath
    newest: dict[str, dict[int, Received]] = field(default_factory=dict)

    def admit(self, accept_loss: Collection[str]) -> list[str]:
        """Check every topic before streams start.

        Args:
            accept_loss: bronze tables (`layer.name`) that go on although messages are gone for good.

        Returns:
            The bronze tables whose topic has another name than before.

        Raises:
            TopicMissing: there is no such topic.
            TopicReplaced: a topic is not the one that was read so far.
            OtherMessage: nor is it, or its broker came back from a backup: it has another message where bronze has one.
            TopicShorter: a topic ends before what was read of it.
            MessagesGone: a topic lost messages that were not read.
            TopicUnreachable: its cluster does not answer.
        """
        renamed = []
        for table, feed in self._topics():
            identity = self.source.identity(feed)
            known = self._known(table)
            self._refuse_replaced(table, feed, identity, known)
            accepted = self._admit_bounds(table, feed, known, accept=table.full_name in accept_loss)
            topic = self.source.topic(feed)
            if known.get("topic", topic) != topic:
                renamed.append(table.full_name)
            if identity is not None:
                self._keep(table, {"topic": topic, "id": identity, "accepted": accepted})
        return renamed

    def watch(self) -> None:
        """Check while streams run that each topic goes on from where it was.

        A broker that comes back from a backup is noticed by where its topic ends, or, where that has grown past what
        was read, by the message that was the newest when this looked last.

        Raises:
            TopicReplaced: one is not.
            TopicShorter: one ends before what was read of it.
            OtherMessage: one has another message where there was one.
            TopicMissing: one is not there any more.
            TopicUnreachable: its cluster does not answer.
        """
        for table, feed in self._topics():
            known = self._known(table)
            if "id" in known:
                self._refuse_replaced(table, feed, self.source.identity(feed), known)
                self._refuse_gone_back(table, feed)

    def _refuse_gone_back(self, table: Table, feed: TopicFeed) -> None:
        topic = self.source.topic(feed)
        read_to = read_by_checkpoint(self.checkpoints / table.layer / table.name, topic)
        bounds = self.source.bounds(feed)  # after it: the topic may have grown meanwhile, never shrunk
        _refuse_shorter(table, topic, bounds, read_to)
        newest = self.newest.setdefault(table.full_name, {})
        self._refuse_other_messages(table, feed, bounds, newest)
        lasts = {part: end - 1 for part, (first, end) in bounds.items() if first < end}
        newest.update(self.source.first_from(feed, lasts) if lasts else {})

    def tell_of_older(self, stream_from: date, tell: Callable[[str], None], *, is_first: bool) -> None:
        """Say how many messages the streams of a first claim leave unread.

        And how they are read, because that needs another claim. Of a topic that is empty nobody knows what will come.
        """
        for table, feed in self._topics():
            if is_first and _is_empty(self.source.bounds(feed)):
                tell(
                    f"{table.full_name}: topic {self.source.topic(feed)} holds no message yet; streams own days from "
                    f"{stream_from} on. Messages of earlier days are kept in bronze, and batch computes those days. To "
                    "have streams compute them: lakehouse follow --release; lakehouse follow --since DAY"
                )
                continue
            older = self.source.count_before(feed, stream_from)
            first = self.source.first_day(feed) if older else None
            if first is not None:
                tell(
                    f"{table.full_name}: topic {self.source.topic(feed)} holds up to {older:,} messages from before "
                    f"{stream_from}, the first of {first}; they are not read. To read them: "
                    f"lakehouse follow --release; lakehouse follow --since {first}"
                )

    def _topics(self) -> Iterator[tuple[Table, TopicFeed]]:
        for table in self.tables:
            yield from ((table, topic) for topic in table.topics)

    def _refuse_replaced(self, table: Table, feed: TopicFeed, identity: str | None, known: Mapping[str, Any]) -> None:
        topic = self.source.topic(feed)
        # Archives have no id, and some clusters give none.
        if identity is not None and known.get("topic") == topic and known["id"] != identity:
            raise TopicReplaced(table.full_name, topic, known["id"], identity)

    def _admit_bounds(self, table: Table, feed: TopicFeed, known: Mapping[str, Any], *, accept: bool) -> dict[str, int]:
        """Compare what a topic holds with what was read of it.

        Returns the first offsets that were accepted although messages before them are gone, by partition.
        """
        topic = self.source.topic(feed)
        accepted = dict(known.get("accepted", {})) if known.get("topic") == topic else {}
        bounds = self.source.bounds(feed)
        if not bounds:  # such a source removes nothing
            return accepted
        held = self._last_held(table, topic)
        self._refuse_other_messages(table, feed, bounds, held)
        read_to = self._read_to(table, topic, held)
        _refuse_shorter(table, topic, bounds, read_to)
        # All that a removed table held has to be read again.
        needed = read_from(self.checkpoints / table.layer / table.name, topic, self.store, table) or read_to
        return self._refuse_gaps(table, topic, bounds, needed, accepted, accept=accept)

    def _refuse_gaps(
        self,
        table: Table,
        topic: str,
        bounds: Mapping[int, tuple[int, int]],
        read_to: Mapping[int, int],
        accepted: Mapping[str, int],
        *,
        accept: bool,
    ) -> dict[str, int]:
        next_of = {part: max(offset, accepted.get(str(part), 0)) for part, offset in read_to.items()}
        firsts = {part: first for part, (first, _) in bounds.items()}
        gaps = {part: (next_of[part], at - 1) for part, at in firsts.items() if part in next_of and at > next_of[part]}
        if gaps and not accept:
            raise MessagesGone(table.full_name, topic, gaps)
        return {**accepted, **{str(part): firsts[part] for part in gaps}}

    def _refuse_other_messages(
        self, table: Table, feed: TopicFeed, bounds: Mapping[int, tuple[int, int]], held: Mapping[int, Received]
    ) -> None:
        """Raise where the topic has another message than bronze under one offset.

        A message that retention or compaction removed is compared with nothing.
        """
        none = (0, 0)
        asked = {part: one.offset for part, one in held.items() if _holds(bounds.get(part, none), one.offset)}
        found = self.source.first_from(feed, asked) if asked else {}
        topic = self.source.topic(feed)
        differing = [
            f"{topic}, {part}, {one.offset}: {_differing(one, held[part])}"
            for part, one in sorted(found.items())
            if one.offset == held[part].offset and one != held[part]
        ]
        if differing:
            raise OtherMessage(table.full_name, differing)

    def _last_held(self, table: Table, topic: str) -> dict[int, Received]:
        """Return the last message that bronze holds of each partition."""
        if self.store.version(table) is None:
            return {}
        rows = self.store.read_current(table).where(F.col("topic") == topic)
        last = [tuple(row) for row in rows.groupBy("partition").agg(F.max("offset")).collect()]
        if not last:
            return {}
        # Literal offsets, so that Delta reads the files alone that may hold them.
        ends = ((F.col("partition") == part) & (F.col("offset") == offset) for part, offset in last)
        found = rows.where(reduce(or_, ends)).select("partition", "offset", F.unix_millis("timestamp"), "value")
        return {row[0]: Received(row[1], row[2], as_text(row[3])) for row in found.collect()}

    def _read_to(self, table: Table, topic: str, held: Mapping[int, Received]) -> dict[int, int]:
        """Find the next offset to read, by partition.

        It lies behind what was read, and behind what an archive has delivered.
        """
        return furthest(
            [
                read_by_checkpoint(self.checkpoints / table.layer / table.name, topic),
                noted(self.store.table_log(table), topic),
                {part: one.offset + 1 for part, one in held.items()},
            ]
        )

    def _file(self, table: Table) -> AnyPath:
        return self.checkpoints / "topics" / f"{table.full_name}.json"

    def _known(self, table: Table) -> dict[str, Any]:
        try:
            found = json.loads(self._file(table).read_text())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _keep(self, table: Table, facts: Mapping[str, Any]) -> None:
        write_text(self._file(table), json.dumps(facts))


def _refuse_shorter(
    table: Table, topic: str, bounds: Mapping[int, tuple[int, int]], read_to: Mapping[int, int]
) -> None:
    ends = {part: (to, bounds[part][1]) for part, to in read_to.items() if part in bounds and to > bounds[part][1]}
    if ends:
        raise TopicShorter(table.full_name, topic, ends)


def _is_empty(bounds: Mapping[int, tuple[int, int]]) -> bool:
    """Tell whether a broker holds nothing of a topic.

    Of files nobody can say.
    """
    return bool(bounds) and all(first == end for first, end in bounds.values())


def _holds(bounds: tuple[int, int], offset: int) -> bool:
    first, end = bounds
    return first <= offset < end


def _differing(found: Received, held: Received) -> str:
    """Say how two messages under one offset differ."""
    if found.timestamp != held.timestamp:
        return f"sent at {moment_of(found.timestamp)}, held is {moment_of(held.timestamp)}"
    return f"both sent at {moment_of(held.timestamp)}, with other values"
