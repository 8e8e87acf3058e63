"""Name what streams need of a source of topics.

A source is the landing folder or a broker. Rows are the same either way.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Protocol

from pyspark.sql import DataFrame, SparkSession

from lake.declare.feed import TopicFeed
from lake.errors import CannotPassOver

__all__ = ["PassedMessage", "Place", "Received", "TopicSource", "Unread"]

_PLACE = re.compile(r"([A-Za-z0-9._-]{1,249}):([0-9]{1,9}):([0-9]{1,18})", re.ASCII)


@dataclass(frozen=True, order=True)
class Place:
    """The place of a message in a topic."""

    topic: str
    partition: int
    offset: int

    @classmethod
    def parse(cls, text: str) -> Place:
        """Parse `topic:partition:offset`.

        Raises:
            CannotPassOver: for anything else.
        """
        found = _PLACE.fullmatch(text)
        if found is None:
            raise CannotPassOver(text, "expected TOPIC:PARTITION:OFFSET, as the message of the stopped stream names it")
        return cls(found[1], int(found[2]), int(found[3]))

    def __str__(self) -> str:
        return f"{self.topic}:{self.partition}:{self.offset}"


@dataclass(frozen=True)
class PassedMessage:
    """A message that was passed over.

    Attributes:
        place: where it lies.
        timestamp: as its producer gave it; Kafka takes it for milliseconds since 1970.
        key: as text; U+FFFD for bytes that are none.
        value: as text, likewise.
        passed_at: when, UTC.
        passed_by: user and host.
    """

    place: Place
    timestamp: int
    key: str | None
    value: str | None
    passed_at: datetime
    passed_by: str


@dataclass(frozen=True)
class Unread:
    """A message as a client other than Spark reads it.

    Attributes:
        timestamp: as its producer gave it, in Kafka's milliseconds.
        key: as text; U+FFFD for bytes that are none.
        value: as text, likewise.
    """

    timestamp: int
    key: str | None
    value: str | None


@dataclass(frozen=True)
class Received:
    """A message that a topic holds.

    Attributes:
        offset: in its partition.
        timestamp: as its producer gave it, in Kafka's milliseconds.
        value: as text that can be compared.
    """

    offset: int
    timestamp: int
    value: str | None


class TopicSource(Protocol):
    """A source that streams read topics from.

    It is the landing folder or a broker. Rows are the same either way.
    """

    @property
    def redelivers(self) -> bool:
        """Tell whether one checkpoint may get an offset twice.

        A file may be delivered twice. A broker gives an offset once.
        """

    def read_topic(
        self, spark: SparkSession, feed: TopicFeed, first_day: date, without: Collection[str] = ()
    ) -> DataFrame:
        """Read messages that landed on `first_day` or later as an unbounded frame.

        Its columns are `TOPIC_FRAME`; at first all come at once. Those of the files named stay out.
        """

    def unreadable(self, feed: TopicFeed, first_day: date) -> Mapping[str, str]:
        """Say why files of `first_day` or later cannot be read.

        A broker has none.
        """

    def closed(self, feed: TopicFeed) -> Mapping[str, str]:
        """Say, by path, which folders of landing days cannot be looked into."""

    def delivered(self, feed: TopicFeed) -> Mapping[str, str]:
        """Return a mark for every delivery that may still change.

        A stream reads a delivery only once. A broker has none.
        """

    def topic(self, feed: TopicFeed) -> str:
        """Return the name of a feed's topic."""

    def identity(self, feed: TopicFeed) -> str | None:
        """Return what tells a topic from a later one of the same name.

        None where nothing does.
        """

    def bounds(self, feed: TopicFeed) -> Mapping[int, tuple[int, int]]:
        """Tell the first offset and the one behind the last, by partition.

        Empty where nothing is ever removed.
        """

    def first_from(self, feed: TopicFeed, offsets: Mapping[int, int]) -> Mapping[int, Received]:
        """Find the first message at an offset or behind it, by partition.

        A partition is left out where there is none, or where nobody can say.
        """

    def first_day(self, feed: TopicFeed) -> date | None:
        """Tell the landing day of the first message, if it holds one."""

    def count_before(self, feed: TopicFeed, day: date) -> int:
        """Count the messages, at most, in front of the first of a landing day.

        0 where batch loads those.
        """

    def message(self, feed: TopicFeed, partition: int, offset: int) -> Unread | None:
        """Fetch the message at one place, without Spark.

        None where there is none, or no such place.
        """

    def passing(self, passed: Sequence[PassedMessage]) -> TopicSource:
        """Give the same source, whose streams begin behind these messages."""

    def read_passed(self, spark: SparkSession, feed: TopicFeed, first_day: date) -> DataFrame | None:
        """Read the passed-over messages and what lies in front of them.

        The frame is one of `TOPIC_FRAME`; the passed messages are without their time, which Spark cannot hold. None
        where no message is passed over.
        """

    def lag(self, feed: TopicFeed, progress: Mapping[str, Any]) -> int | None:
        """Return the number of messages not read yet, if it can be told.

        `progress` is the source's part of Spark's progress report.
        """
