"""A real Kafka for tests: its topic, what is sent to it, and the command that follows it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from lake.failpoints import VARIABLE
from lake.kafka import KafkaCluster, KafkaSource
from resources.kafka_broker import LocalBroker
from tests.streaming import PARTITIONS, Message

__all__ = ["TOPIC", "Kafka"]

ROOT = Path(__file__).parents[1]
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

    @contextmanager
    def follower(self, home: Path, *arguments: str, failpoint: str | None = None) -> Iterator[subprocess.Popen[bytes]]:
        """`lakehouse follow --feed kafka` in a process of its own; what it prints goes to `follow.log` in its home.

        The clock stands still on the day of the messages, so that a silent topic seals nothing.
        """
        env = {"LAKEHOUSE_HOME": str(home), "LAKEHOUSE_KAFKA": self.cluster.bootstrap_servers, "TZ": "UTC"}
        env |= {"LAKEHOUSE_SPARK_MASTER": "local[2]", "LAKEHOUSE_NOW": "2013-01-02T12:00:00Z", "PYTHONPATH": str(ROOT)}
        env |= {VARIABLE: failpoint} if failpoint else {}
        command = [sys.executable, "-m", "lakehouse_assets.cli", "follow", "--feed", "kafka", *arguments]
        home.mkdir(exist_ok=True)
        with (home / "follow.log").open("wb") as log:
            process = subprocess.Popen(command, env=os.environ | env, cwd=home, stdout=log, stderr=log)
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
