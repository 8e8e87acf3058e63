"""Keep a record of the messages that were passed over.

They were because Spark refuses to read them. The record is a table of the lake, written without a JVM.
"""

from __future__ import annotations

import getpass
import socket
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from lake.declare.topic_source import PassedMessage, Place
from lake.write.store import DeltaStore

__all__ = ["SCHEMA", "PassedOver", "this_user"]

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
        """Record, once, that a message is passed over now and by this user."""
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
