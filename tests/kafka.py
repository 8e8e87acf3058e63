"""A real Kafka for tests: its topic, what is sent to it, and the command that follows it."""

from __future__ import annotations

import subprocess
import time
import uuid
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions, NewTopic

from lake.commands.kafka_broker import LocalBroker
from lake.stream.kafka import KafkaCluster, KafkaSource
from tests.following import follower
from tests.streaming import PARTITIONS, Message

__all__ = ["TOPIC", "Kafka"]

TOPIC = "departures"


@dataclass
class Kafka:
    """A broker of a test, and its topic."""

    broker: LocalBroker

    @property
    def cluster(self) -> KafkaCluster:
        running = self.broker.status()
        assert running is not None
        return KafkaCluster(running.address)

    @property
    def source(self) -> KafkaSource:
        return KafkaSource(self.cluster)

    @cached_property
    def admin(self) -> AdminClient:
        """One for all calls: the answers to its questions come only as long as it lives."""
        return AdminClient({**self.cluster.for_librdkafka(), "log_level": 0})

    def create(self, topic: str = TOPIC, config: dict[str, str] | None = None) -> None:
        self.admin.create_topics([NewTopic(topic, num_partitions=PARTITIONS, config=config or {})])[topic].result(30)

    def recreate(self) -> None:
        self.admin.delete_topics([TOPIC])[TOPIC].result(30)
        while TOPIC in self.admin.list_topics(timeout=10).topics:
            time.sleep(0.2)
        self.create()

    def send(self, messages: Sequence[Message], topic: str = TOPIC) -> None:
        """Each to its partition, with its timestamp; in the order of their offsets, so the broker gives the same."""
        producer = self._producer({"enable.idempotence": True})
        _produce(producer, messages, topic)
        assert producer.flush(60) == 0

    def begin_transaction(self, messages: Sequence[Message], topic: str = TOPIC) -> Producer:
        """Send messages in a transaction that is still open."""
        producer = self._producer({"transactional.id": uuid.uuid4().hex})
        producer.init_transactions(60)
        producer.begin_transaction()
        _produce(producer, messages, topic)
        assert producer.flush(60) == 0
        return producer

    def _producer(self, conf: dict[str, Any]) -> Producer:
        # More than a megabyte, since Python's client by default takes less than the broker.
        return Producer({**self.cluster.for_librdkafka(), **conf, "message.max.bytes": 2_000_000, "log_level": 0})

    def add_partition(self, count: int, topic: str = TOPIC) -> None:
        self.admin.create_partitions([NewPartitions(topic, count)])[topic].result(30)

    def remove_before(self, offset: int, partition: int) -> None:
        """What retention does; `OFFSET_END` for all."""
        self.admin.delete_records([TopicPartition(TOPIC, partition, offset)])[
            TopicPartition(TOPIC, partition, offset)
        ].result(30)

    def follower(
        self, home: Path, *arguments: str, failpoint: str | None = None
    ) -> AbstractContextManager[subprocess.Popen[bytes]]:
        """`lakehouse follow --feed kafka` in a process of its own."""
        address = self.cluster.bootstrap_servers
        return follower(home, "--feed", "kafka", *arguments, failpoint=failpoint, KAFKA=address)


def _produce(producer: Producer, messages: Sequence[Message], topic: str) -> None:
    for message in messages:
        sent_at = datetime.strptime(message["timestamp"], "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
        value, key = message["value"], message["key"]
        producer.produce(
            topic,
            value if value is None or isinstance(value, bytes) else value.encode(),
            None if key is None else key.encode(),
            message["partition"],
            timestamp=int(sent_at.timestamp() * 1000),
            headers=message.get("headers"),
        )
