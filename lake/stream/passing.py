"""Pass over a message that Spark refuses to read.

So its feed goes on; an operator asks for it by the message's place. Spark's Kafka source fails at a timestamp that
microseconds of 64 bits cannot hold, whatever columns are read: producers that send nanoseconds stop a feed for good. A
stream cannot leave an offset out, so the bronze table begins a new generation behind it. What lies in front of it, and
the message itself without its time, is written before that.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lake.declare.feed import TopicFeed
from lake.declare.table import Table
from lake.declare.topic_source import Place, TopicSource
from lake.errors import CannotPassOver
from lake.ownership.passed_over import PassedOver
from lake.write.store import DeltaStore

__all__ = ["LAST_READABLE", "pass_over"]

LAST_READABLE = (2**63 - 1) // 1000
"""The last timestamp, in milliseconds since 1970, that Spark reads."""


def pass_over(places: Iterable[Place], tables: Sequence[Table], source: TopicSource, store: DeltaStore) -> list[str]:
    """Record that these messages are passed over.

    Returns:
        The bronze tables that have to begin anew.

    Raises:
        CannotPassOver: no table reads the topic, it has no such message, or Spark can read it.
        TopicUnreachable: its cluster does not answer.
    """
    begin_anew = []
    for place in places:
        table, feed = _reader(place, tables, source)
        message = source.message(feed, place.partition, place.offset)
        if message is None:
            raise CannotPassOver(str(place), "the topic holds no message at this place")
        if -LAST_READABLE <= message.timestamp <= LAST_READABLE:
            raise CannotPassOver(str(place), "Spark can read this message, so nothing is in the way")
        PassedOver(store).add(place, message.timestamp, message.key, message.value)
        begin_anew.append(table.full_name)
    return begin_anew


def _reader(place: Place, tables: Sequence[Table], source: TopicSource) -> tuple[Table, TopicFeed]:
    feeds = [(table, topic) for table in tables for topic in table.topics]
    topics = {source.topic(feed): (table, feed) for table, feed in feeds}
    if place.topic not in topics:
        raise CannotPassOver(str(place), f"the topics of the followed tables are {', '.join(sorted(topics))}")
    return topics[place.topic]
