"""A real Kafka for tests: its topic, what is sent to it, and the command that follows it."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from lake.kafka import KafkaCluster, KafkaSource
from resources.kafka_broker import LocalBroker
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

    def create(self, topic: str = TOPIC) -> None:
        self.admin.create_topics([NewTopic(topic, num_partitions=PARTITIONS)])[topic].result(30)

    def recreate(self) -> None:
        self.admin.delete_topics([TOPIC])[TOPIC].result(30)
        while TOPIC in self.admin.list_topics(timeout=10).topics:
            time.sleep(0.2)
        self.create()

    def send(self, messages: Sequence[Message], topic: str = TOPIC) -> None:
        """Each to its partition, with its timestamp; in the order of their offsets, so the broker gives the same."""
        producer = Producer({**self.cluster.for_librdkafka(), "enable.idempotence": True, "log_level": 0})
        for message in messages:
            sent_at = datetime.strptime(message["timestamp"], "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
            value = message["value"]
            producer.produce(
                topic,
                value if value is None or isinstance(value, bytes) else value.encode(),
                message["key"].encode(),
                message["partition"],
                timestamp=int(sent_at.timestamp() * 1000),
            )
        assert producer.flush(60) == 0

    def remove_before(self, offset: int, partition: int) -> None:
        """What retention does."""
        self.admin.delete_records([TopicPartition(TOPIC, partition, offset)])[
            TopicPartition(TOPIC, partition, offset)
        ].result(30)

    def follower(
        self, home: Path, *arguments: str, failpoint: str | None = None
    ) -> AbstractContextManager[subprocess.Popen[bytes]]:
        """`lakehouse follow --feed kafka` in a process of its own."""
        address = self.cluster.bootstrap_servers
        return follower(home, "--feed", "kafka", *arguments, failpoint=failpoint, KAFKA=address)
