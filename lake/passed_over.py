"""Keep which messages were passed over, because Spark refuses to read them; a table of the lake, without a JVM."""

from __future__ import annotations

import getpass
import re
import socket
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from lake.errors import CannotPassOver
from lake.store import DeltaStore

__all__ = ["SCHEMA", "PassedMessage", "PassedOver", "Place", "this_user"]

_PLACE = re.compile(r"([A-Za-z0-9._-]{1,249}):([0-9]{1,9}):([0-9]{1,18})", re.ASCII)

SCHEMA = pa.schema(
    [
        pa.field("topic", pa.string(), nullable=False),
        pa.field("partition", pa.int32(), nullable=False),
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("timestamp", pa.int64(), nullable=False),
        pa.field("key", pa.string()),
        pa.field("value", pa.string()),
        pa.field("passed_at", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("passed_by", pa.string(), nullable=False),
    ]
)
"""Columns of `lake/passed_over`: the message, with its timestamp as the producer gave it; when and by whom."""


@dataclass(frozen=True, order=True)
class Place:
    """Where a message lies."""

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
class PassedOver:
    """The record of one lake."""

    store: DeltaStore

    def all(self) -> list[PassedMessage]:
        """Read the messages that were passed over, by their places."""
        stored = self.store.rows_in_lake("passed_over")
        rows = [] if stored is None else stored.to_pylist()
        return sorted(map(_from_row, rows), key=lambda one: one.place)

    def add(self, place: Place, timestamp: int, key: str | None, value: str | None) -> None:
        """Write down that a message is passed over, now and by this user; once."""
        if any(one.place == place for one in self.all()):
            return
        message = {"timestamp": timestamp, "key": key, "value": value}
        passed = {"passed_at": datetime.now(UTC), "passed_by": this_user()}
        row = {"topic": place.topic, "partition": place.partition, "offset": place.offset, **message, **passed}
        self.store.append_to_lake("passed_over", lambda _: pa.Table.from_pylist([row], schema=SCHEMA))


def this_user() -> str:
    """Name who decides here: user and host."""
    return f"{getpass.getuser()}@{socket.gethostname()}"


def _from_row(row: dict[str, Any]) -> PassedMessage:
    place = Place(*(row.pop(name) for name in ("topic", "partition", "offset")))
    return PassedMessage(place, **row)
