"""Ask a cluster about a topic, partition by partition.

Where each begins and ends, and for single messages. Asked by librdkafka, which reads committed messages only. It joins
no group and commits nothing.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from lake.declare.topic_source import Received
from lake.errors import TopicMissing, TopicUnreachable

if TYPE_CHECKING:
    from confluent_kafka import Consumer, TopicPartition
    from confluent_kafka.admin import AdminClient

__all__ = ["TopicReader", "as_text", "missing", "moment_of", "topic_reader"]

_CONF = {
    "group.id": "lakehouse",  # the client wants the name of one
    "isolation.level": "read_committed",
    "enable.auto.commit": False,
    "enable.partition.eof": True,
    "auto.offset.reset": "error",
    "queued.min.messages": 1,
    "log_level": 0,
}
_REPLACED = re.compile("\ufffd+")


@contextmanager
def topic_reader(conf: Mapping[str, str], topic: str, patience: float) -> Iterator[TopicReader]:
    """Open a reader of one topic for as long as the block lasts.

    Args:
        conf: how to reach the cluster, as librdkafka takes it.
        topic: its name.
        patience: seconds within which the cluster has to answer.

    Raises:
        TopicMissing: the cluster has no topic of this name.
        TopicUnreachable: it does not answer.
    """
    from confluent_kafka import Consumer, KafkaException

    client = Consumer({**conf, **_CONF})
    try:
        yield TopicReader(client, topic, patience, conf["bootstrap.servers"])
    except KafkaException as error:
        raise TopicUnreachable(topic, conf["bootstrap.servers"], str(error)) from error
    finally:
        client.close()


class TopicReader:
    """Asks a cluster about one topic.

    Made by `topic_reader`.
    """

    def __init__(self, client: Consumer, topic: str, patience: float, address: str) -> None:
        self._client, self._topic, self._patience, self._address = client, topic, patience, address

    def bounds(self) -> dict[int, tuple[int, int]]:
        """Ask for the first offset and the one behind the last committed, by partition."""
        return {part: self._client.get_watermark_offsets(self._at(part), self._patience) for part in self._partitions()}

    def first_from(self, offsets: Mapping[int, int]) -> dict[int, Received]:
        """Read the first message at an offset or behind it, by partition."""
        first: dict[int, Received] = {}
        waiting = set(offsets)
        self._client.assign([self._at(part, offset) for part, offset in offsets.items()])
        deadline = time.monotonic() + self._patience
        while waiting:
            if time.monotonic() > deadline:
                raise TopicUnreachable(self._topic, self._address, f"no message within {self._patience:g} s")
            message = self._client.poll(0.5)
            if message is None or (part := message.partition()) not in waiting:
                continue
            waiting.discard(part)
            if message.error() is None and (offset := message.offset()) is not None:
                first[part] = Received(offset, message.timestamp()[1], as_text(message.value()))
        return first

    def _partitions(self) -> Sequence[int]:
        from confluent_kafka import KafkaError, KafkaException

        found = self._client.list_topics(self._topic, timeout=self._patience).topics[self._topic]
        if found.error is None:
            return sorted(found.partitions)
        if found.error.code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
            raise KafkaException(found.error)
        raise missing(self._client, self._topic, self._address, self._patience)

    def _at(self, partition: int, offset: int = -1) -> TopicPartition:
        from confluent_kafka import TopicPartition

        return TopicPartition(self._topic, partition, offset)


def missing(client: Consumer | AdminClient, topic: str, address: str, patience: float) -> TopicMissing:
    """Make the error, which names the topics that the cluster has.

    Those of Kafka itself are left out.
    """
    known = client.list_topics(timeout=patience).topics
    return TopicMissing(topic, address, sorted(name for name in known if not name.startswith("__")))


def as_text(value: bytes | str | None) -> str | None:
    """Read a value as text that can be compared.

    One U+FFFD stands for any number, because readers differ in how many they put for a broken byte.
    """
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    return None if text is None else _REPLACED.sub("\ufffd", text)


def moment_of(milliseconds: int) -> datetime | None:
    """Read a message's timestamp, UTC.

    None where a producer made one up that is no time.
    """
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None
