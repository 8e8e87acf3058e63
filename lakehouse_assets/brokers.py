"""Which Kafka this environment speaks to, if any."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from lake.errors import LakeError, Message, SetupError
from lake.feed import TopicSource
from lake.jars import fetch
from lake.kafka import KafkaCluster, KafkaSource
from lake.settings import Settings
from resources.kafka_broker import LocalBroker

__all__ = ["KafkaClientMissingError", "NoBrokerError", "local_broker", "require_client", "topic_source"]


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


@dataclass(eq=False)
class KafkaClientMissingError(SetupError):
    """The environment was made without the extra that speaks to Kafka."""

    def message(self) -> Message:
        return Message("Kafka", "the package confluent-kafka is not installed here", "pip install 'lakehouse[kafka]'")


def require_client() -> None:
    """Check that the client of Kafka is installed.

    Raises:
        KafkaClientMissingError: it is not.
    """
    if find_spec("confluent_kafka") is None:
        raise KafkaClientMissingError


def local_broker(settings: Settings | None = None) -> LocalBroker:
    """The broker of this environment's folder, running or not.

    Raises:
        KafkaClientMissingError: nothing here could speak to it.
    """
    require_client()
    return LocalBroker((settings or Settings.from_env()).kafka_folder)


def topic_source(settings: Settings) -> TopicSource:
    """Where this environment's streams read topics from: the landing folder, its cluster, or its local broker.

    Raises:
        KafkaClientMissingError: the environment was made without it.
        NoBrokerError: Kafka was asked for and there is none.
        Offline, JarDamaged: the jars of Spark's Kafka source are not here and cannot be fetched.
    """
    if settings.feed == "files":
        return settings.landing
    require_client()
    fetch("spark-kafka", print)
    if settings.kafka is not None:
        return KafkaSource(settings.kafka, settings.kafka_topics)
    running = local_broker(settings).status()
    if running is None:
        raise NoBrokerError(settings.kafka_folder)
    return KafkaSource(KafkaCluster(running.address), settings.kafka_topics)
