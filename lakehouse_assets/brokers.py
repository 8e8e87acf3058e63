"""Which Kafka this environment speaks to, if any."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lake.errors import LakeError, Message
from lake.feed import TopicSource
from lake.jars import fetch
from lake.kafka import KafkaCluster, KafkaSource
from resources.kafka_broker import LocalBroker
from resources.settings import Settings

__all__ = ["NoBrokerError", "local_broker", "topic_source"]


@dataclass(eq=False)
class NoBrokerError(LakeError):
    """Streams shall read from Kafka, and there is none."""

    folder: Path

    def message(self) -> Message:
        return Message(
            "LAKEHOUSE_FEED=kafka",
            f"LAKEHOUSE_KAFKA names no cluster, and no broker runs in {self.folder}",
            "lakehouse kafka up, or set LAKEHOUSE_KAFKA=host:port",
        )


def local_broker(settings: Settings | None = None) -> LocalBroker:
    """The broker of this environment's folder, running or not."""
    return LocalBroker((settings or Settings.from_env()).kafka_folder)


def topic_source(settings: Settings) -> TopicSource:
    """Where this environment's streams read topics from: the landing folder, its cluster, or its local broker.

    Raises:
        NoBrokerError: Kafka was asked for and there is none.
        Offline, JarDamaged: the jars of Spark's Kafka source are not here and cannot be fetched.
    """
    if settings.feed == "files":
        return settings.landing
    fetch("spark-kafka", print)
    if settings.kafka is not None:
        return KafkaSource(settings.kafka, settings.kafka_topics)
    running = local_broker(settings).status()
    if running is None:
        raise NoBrokerError(settings.kafka_folder)
    return KafkaSource(KafkaCluster(running.address), settings.kafka_topics)
