"""Ask a cluster for single places of a topic, by librdkafka.

The places are where a stream begins, and that of one message. It is needed only where a message is passed over, because
Spark finds the beginning by itself, and refuses to read such a message.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING

from lake.declare.topic_source import Unread
from lake.errors import TopicUnreachable

if TYPE_CHECKING:
    from confluent_kafka import Consumer

__all__ = ["fetch", "first_offsets_at"]

_END = -1
"""Of a partition: behind its last message, for both clients."""


def first_offsets_at(conf: Mapping[str, str], topic: str, moment: datetime, patience: float) -> dict[int, int]:
    """Find the offset of each partition's first message from a moment on.

    -1 where there is none.

    Raises:
        TopicUnreachable: the cluster does not answer.
    """
    from confluent_kafka import TopicPartition

    with _client(conf, topic) as client:
        parts = client.list_topics(topic, timeout=patience).topics[topic].partitions
        asked = [TopicPartition(topic, part, int(moment.timestamp() * 1000)) for part in parts]
        found = client.offsets_for_times(asked, timeout=patience)
    return {place.partition: place.offset if place.offset >= 0 else _END for place in found}


def fetch(conf: Mapping[str, str], topic: str, partition: int, offset: int, patience: float) -> Unread | None:
    """Read the message at one place, if there is one.

    Raises:
        TopicUnreachable: the cluster does not answer.
    """
    from confluent_kafka import TopicPartition

    with _client(conf, topic) as client:
        if partition not in client.list_topics(topic, timeout=patience).topics[topic].partitions:
            return None
        first, end = client.get_watermark_offsets(TopicPartition(topic, partition), timeout=patience)
        if not first <= offset < end:
            return None
        client.assign([TopicPartition(topic, partition, offset)])
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            message = client.poll(0.5)
            if message is None:
                continue
            if message.error() is not None or message.offset() != offset:  # compacted away, or a transaction's mark
                return None
            return Unread(message.timestamp()[1], _text(message.key()), _text(message.value()))
    raise TopicUnreachable(topic, conf["bootstrap.servers"], f"no message within {patience:g} s")


@contextmanager
def _client(conf: Mapping[str, str], topic: str) -> Iterator[Consumer]:
    """Open a client that joins no group and commits nothing.

    The group's name is one that it has to be given.
    """
    from confluent_kafka import Consumer, KafkaException

    own = {"group.id": "lakehouse", "enable.auto.commit": False, "enable.partition.eof": True, "log_level": 0}
    client = Consumer({**conf, **own, "isolation.level": "read_committed"})
    try:
        yield client
    except KafkaException as error:
        raise TopicUnreachable(topic, conf["bootstrap.servers"], str(error)) from error
    finally:
        client.close()


def _text(given: bytes | str | None) -> str | None:
    return given.decode("utf-8", "replace") if isinstance(given, bytes) else given
