"""Make the messages of the two topics, departures and arrivals.

The module decides what a message says, when it is sent, and which offset it gets.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date, datetime, timedelta
from json import JSONEncoder
from typing import Any, Literal, NamedTuple, get_args
from zlib import crc32

from airline.replay.errors import TooManyMessages
from airline.replay.schedule import Flight

__all__ = ["OFFSETS_PER_DAY", "PARTITIONS", "TOPICS", "Message", "Post", "Report", "Topic", "as_json"]

Topic = Literal["departures", "arrivals"]
TOPICS: tuple[Topic, ...] = get_args(Topic)
PARTITIONS = 4

OFFSETS_PER_DAY = 1_000_000
"""Every landing day has its own block of offsets, so that they do not depend on which days are replayed."""

LATE_DELIVERIES = OFFSETS_PER_DAY // 2
"""Where in a day's block the offsets of messages begin that `deliver_late` adds after the day was replayed."""

OFFSETS_START = date(2000, 1, 1)
LONGEST_LAG_SECONDS = 90

as_json = JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


def as_utc(at: datetime, precision: Literal["seconds", "milliseconds"] = "seconds") -> str:
    """Write a UTC timestamp as `2013-01-01T10:15:00Z`.

    It may come with or without its zone.
    """
    return at.isoformat(timespec=precision).removesuffix("+00:00") + "Z"


class Message(NamedTuple):
    """A message as a consumer of Kafka gets it.

    `value` is JSON text, unless it was broken on purpose.
    """

    key: str
    value: str
    topic: Topic
    partition: int
    offset: int
    timestamp: datetime

    @property
    def line(self) -> str:
        """The message as one line of a topic archive, without its line end."""
        # Written out because encoding a dict takes five times as long, and a year has 650,000 messages.
        return (
            f'{{"key":{as_json(self.key)},"value":{as_json(self.value)},"topic":"{self.topic}",'
            f'"partition":{self.partition},"offset":{self.offset},'
            f'"timestamp":"{as_utc(self.timestamp, "milliseconds")}"}}'
        )


class Report(NamedTuple):
    """The report of an airline when a flight leaves or reaches its gate.

    `key` is the text of the flight's key, `event` names the field of `value` that holds the moment itself, `sent_at` is
    in UTC.
    """

    topic: Topic
    key: str
    value: dict[str, Any]
    event: str
    sent_at: datetime


def report(flight: Flight) -> Iterator[Report]:
    """Give the reports of a flight.

    There are none if it was cancelled, and no arrival if it was diverted. A report holds only what is known when it is
    sent: the departure says nothing of the arrival.
    """
    key = str(flight.key)
    if departed_at := flight.departed_at:
        value = flight.identity
        value["scheduled_departure_at"] = as_utc(flight.scheduled_departure_at)
        value["departed_at"] = as_utc(departed_at)
        yield Report("departures", key, value, "departed_at", _sent_at("departures", key, departed_at))
    if arrived_at := flight.arrived_at:
        value = flight.identity
        value["scheduled_arrival_at"] = as_utc(flight.scheduled_arrival_at)
        value["arrived_at"] = as_utc(arrived_at)
        value["air_time_minutes"] = flight.air_time_minutes
        yield Report("arrivals", key, value, "arrived_at", _sent_at("arrivals", key, arrived_at))


def _sent_at(topic: Topic, key: str, event_at: datetime) -> datetime:
    """Return when a message is sent, 1 to 90 seconds after its event.

    It is always the same for the same message.
    """
    return event_at + timedelta(seconds=1 + crc32(f"{topic}|{key}".encode()) % LONGEST_LAG_SECONDS)


class Post(NamedTuple):
    """A message on its way, without partition and offset.

    Posts sort by the order in which they are received. `copy` orders messages of one flight at one moment; `injected`
    is the kind and detail of what was done to it.
    """

    sent_at: datetime
    key: str
    copy: int
    value: str
    topic: Topic
    undisturbed_day: date
    injected: tuple[str, str] | None = None


def number(posts: Iterable[Post], day: date, first: int = 0) -> list[Message]:
    """Give the posts of one day and topic their partitions and offsets.

    The order is kept.

    Args:
        posts: sorted by `sent_at`.
        day: the landing day, which decides the block of offsets.
        first: where in the block to begin.

    Raises:
        TooManyMessages: a partition's messages do not fit into its block.
    """
    start = (day - OFFSETS_START).days * OFFSETS_PER_DAY + first
    following = [start] * PARTITIONS
    messages = []
    for post in posts:
        partition = crc32(post.key.encode()) % PARTITIONS
        messages.append(Message(post.key, post.value, post.topic, partition, following[partition], post.sent_at))
        following[partition] += 1
    if max(following) > start + LATE_DELIVERIES:
        raise TooManyMessages(messages[0].topic, str(day), LATE_DELIVERIES)
    return messages
