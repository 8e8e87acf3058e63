"""Find the Kafka that this environment speaks to, if any."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from lake.commands.kafka_broker import LocalBroker
from lake.declare.feed import TopicFeed
from lake.declare.graph import feeds_of
from lake.declare.table import Table
from lake.declare.topic_source import TopicSource
from lake.engine.jars import fetch
from lake.engine.packages import require_extra
from lake.errors import LakeError, Message
from lake.project.settings import Settings
from lake.storage.archive import TopicArchive
from lake.stream.kafka import KafkaCluster, KafkaSource

__all__ = [
    "NoBrokerError",
    "NotDeliveredError",
    "create_topics",
    "local_broker",
    "topic_source",
    "topics_of",
]

_ANSWERS_WITHIN_SECONDS = 15.0
_PARTITIONS = 4
"""Of a topic that is made here: as many tasks can read it at once."""


class NoBrokerError(LakeError, runbook="docs/runbook-streams.md#the-broker-does-not-answer"):
    """Streams shall read from Kafka, and there is none."""

    folder: Path

    def message(self) -> Message:
        return Message(
            "LAKEHOUSE_FEED=kafka",
            f"LAKEHOUSE_KAFKA names no cluster, and no broker runs in {self.folder}",
            "lakehouse kafka up, or set LAKEHOUSE_KAFKA=host:port",
        )


class NotDeliveredError(LakeError, runbook="docs/runbook-streams.md#the-broker-does-not-answer"):
    """A broker did not take messages.

    Attributes:
        address: of the broker.
        reason: what it, or the client, says.
    """

    address: str
    reason: str
    retryable = True

    def message(self) -> Message:
        return Message(
            f"Kafka at {self.address}",
            self.reason,
            "lakehouse kafka status; LAKEHOUSE_KAFKA_USERNAME and _PASSWORD where it wants a login; then send again",
        )


def topics_of(tables: Iterable[Table], settings: Settings) -> list[str]:
    """Name the topics that these tables read, as the cluster calls them."""
    topics = (feed.name for feed in feeds_of(tables) if isinstance(feed, TopicFeed))
    return sorted(settings.kafka_topics.get(name, name) for name in topics)


def create_topics(cluster: KafkaCluster, topics: Iterable[str], partitions: int = _PARTITIONS) -> None:
    """Create topics where they do not exist.

    Raises:
        NotDeliveredError: the broker does not answer, or refuses.
    """
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient
    from confluent_kafka.cimpl import NewTopic

    admin = AdminClient({**cluster.for_librdkafka(), "log_level": 0})
    try:
        there = admin.list_topics(timeout=_ANSWERS_WITHIN_SECONDS).topics
        new = [NewTopic(topic, num_partitions=partitions) for topic in topics if topic not in there]
        for made in admin.create_topics(new).values() if new else ():
            made.result(timeout=_ANSWERS_WITHIN_SECONDS)
    except KafkaException as error:
        raise NotDeliveredError(cluster.bootstrap_servers, str(error)) from error


def local_broker(settings: Settings | None = None) -> LocalBroker:
    """Return the broker of this environment's folder, running or not.

    Raises:
        ExtraNotInstalledError: nothing here could speak to it.
    """
    require_extra("kafka")
    return LocalBroker((settings or Settings.from_env()).kafka_folder)


def topic_source(settings: Settings) -> TopicSource:
    """Return the source from which this environment's streams read topics.

    It is the landing folder, its cluster, or its local broker.

    Raises:
        ExtraNotInstalledError: the environment was made without it.
        NoBrokerError: Kafka was asked for and there is none.
        Offline, JarDamaged: the jars of Spark's Kafka source are not here and cannot be fetched.
    """
    if settings.feed == "files":
        return TopicArchive(settings.landing)
    require_extra("kafka")
    fetch("spark-kafka", print)
    if settings.kafka is not None:
        return KafkaSource(settings.kafka, settings.kafka_topics)
    running = local_broker(settings).status()
    if running is None:
        raise NoBrokerError(settings.kafka_folder)
    return KafkaSource(KafkaCluster(running.address), settings.kafka_topics)
