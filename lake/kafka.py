"""Kafka as a source of topics: what a stream reads from a broker is what it would read from the topic's archive.

One set of settings is rendered for both clients that need them: Spark's (Java) and librdkafka's (Python). SASL_SSL with
PLAIN is the shape that the Kafka endpoint of Azure Event Hubs and most hosted clusters ask for.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

import pyspark.sql.functions as F
from pyspark.sql import DataFrame, SparkSession

from lake.errors import TopicUnreachable
from lake.feed import TOPIC_FRAME, TopicFeed

__all__ = ["KafkaCluster", "KafkaSource", "plain_login"]

_ANSWERS_WITHIN_SECONDS = 20.0
_NO_ID = "AAAAAAAAAAAAAAAAAAAAAA"
"""What a broker answers that knows no topic ids."""


@dataclass(frozen=True)
class KafkaCluster:
    """How to reach a cluster.

    Attributes:
        bootstrap_servers: `host:port`, or several with commas.
        username: for SASL_SSL with PLAIN (Event Hubs: `$ConnectionString`); None for an open listener.
        password: its secret (Event Hubs: the connection string); never shown.
        ca_file: PEM file of the authority that signed the brokers' certificates; None for the system's own.
    """

    bootstrap_servers: str
    username: str | None = None
    password: str = field(default="", repr=False)
    ca_file: str | None = None

    def for_librdkafka(self) -> dict[str, str]:
        """The settings as confluent-kafka takes them."""
        conf = {"bootstrap.servers": self.bootstrap_servers}
        if self.username is None:
            return conf
        conf |= {"security.protocol": "SASL_SSL", "sasl.mechanism": "PLAIN"}
        conf |= {"sasl.username": self.username, "sasl.password": self.password}
        return conf | ({"ssl.ca.location": self.ca_file} if self.ca_file else {})

    def for_spark(self) -> dict[str, str]:
        """The settings as options of Spark's Kafka source."""
        conf = {"kafka.bootstrap.servers": self.bootstrap_servers}
        if self.username is None:
            return conf
        conf |= {
            "kafka.security.protocol": "SASL_SSL",
            "kafka.sasl.mechanism": "PLAIN",
            "kafka.sasl.jaas.config": plain_login(username=self.username, password=self.password),
        }
        if self.ca_file:
            conf |= {"kafka.ssl.truststore.type": "PEM", "kafka.ssl.truststore.location": self.ca_file}
        return conf


def plain_login(**options: str) -> str:
    """The JAAS line of a PLAIN login; values may hold anything."""
    quoted = (value.replace("\\", "\\\\").replace('"', '\\"') for value in options.values())
    pairs = " ".join(f'{name}="{value}"' for name, value in zip(options, quoted, strict=True))
    return f"org.apache.kafka.common.security.plain.PlainLoginModule required {pairs};"


@dataclass(frozen=True)
class KafkaSource:
    """The topics of a cluster as a `lake.feed.TopicSource`.

    The session needs the jars of the set `spark-kafka`.

    Attributes:
        cluster: where they are.
        topics: the topic of a feed, where it is not called as the feed is.
    """

    cluster: KafkaCluster
    topics: Mapping[str, str] = field(default_factory=dict)

    @property
    def redelivers(self) -> bool:
        """A broker gives each offset once to a checkpoint."""
        return False

    def read_topic(self, spark: SparkSession, feed: TopicFeed, first_day: date) -> DataFrame:
        """Every message from the first one on that the broker received on `first_day` or later.

        All that there is comes at once; where messages are gone that were not read yet, the query ends with an error
        instead of a jump. Bytes that are not UTF-8 become U+FFFD: no reader of a table of text could read them.
        """
        midnight = datetime(first_day.year, first_day.month, first_day.day, tzinfo=UTC)
        reader = spark.readStream.format("kafka").options(**self.cluster.for_spark())
        reader = reader.option("subscribe", self.topic(feed)).option("failOnDataLoss", "true")
        # A partition without such a message is read from its end on: what it gets from now on is later.
        reader = reader.option("startingTimestamp", str(int(midnight.timestamp() * 1000)))
        reader = reader.option("startingOffsetsByTimestampStrategy", "latest")
        return reader.load().select(
            F.make_valid_utf8(F.col("key").cast("string")).alias("key"),
            F.make_valid_utf8(F.col("value").cast("string")).alias("value"),
            "topic",
            "partition",
            "offset",
            "timestamp",
            F.lit(None).cast(TOPIC_FRAME["_raw"].dataType).alias("_raw"),
            F.to_date("timestamp").alias("_landed_on"),
        )

    def delivered(self, feed: TopicFeed) -> Mapping[str, str]:
        """Nothing: messages never change."""
        del feed
        return {}

    def topic(self, feed: TopicFeed) -> str:
        """The name of a feed's topic."""
        return self.topics.get(feed.name, feed.name)

    def identity(self, feed: TopicFeed) -> str | None:
        """The id that the cluster gave to the topic when it was made; None where it gives none, or has no such topic.

        Raises:
            TopicUnreachable: the cluster does not answer.
        """
        from confluent_kafka import KafkaError, KafkaException, TopicCollection
        from confluent_kafka.admin import AdminClient

        name = self.topic(feed)
        admin = AdminClient({**self.cluster.for_librdkafka(), "log_level": 0})
        asked = admin.describe_topics(TopicCollection([name]), request_timeout=_ANSWERS_WITHIN_SECONDS)[name]
        try:
            found = str(asked.result().topic_id)
        except KafkaException as error:
            if error.args[0].code() in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.UNSUPPORTED_VERSION):
                return None
            raise TopicUnreachable(name, self.cluster.bootstrap_servers, str(error)) from error
        return None if found == _NO_ID else found

    def first_offsets(self, feed: TopicFeed) -> Mapping[int, int]:
        """The offset of the first message that each partition still holds, or of the next where it holds none.

        Raises:
            TopicUnreachable: the cluster does not answer.
        """
        from confluent_kafka import Consumer, KafkaException, TopicPartition

        name, patience = self.topic(feed), _ANSWERS_WITHIN_SECONDS
        # It joins no group and commits nothing; the client wants the name of one.
        reader = Consumer({**self.cluster.for_librdkafka(), "group.id": "lakehouse", "log_level": 0})
        try:
            known = reader.list_topics(name, timeout=patience).topics[name].partitions
            return {
                part: reader.get_watermark_offsets(TopicPartition(name, part), timeout=patience)[0] for part in known
            }
        except KafkaException as error:
            raise TopicUnreachable(name, self.cluster.bootstrap_servers, str(error)) from error
        finally:
            reader.close()

    def lag(self, feed: TopicFeed, progress: Mapping[str, Any]) -> int | None:
        """Messages that the newest micro-batch left unread, over all partitions."""
        ends, latest = (_offsets(progress, name, self.topic(feed)) for name in ("endOffset", "latestOffset"))
        if ends is None or latest is None:
            return None
        return sum(max(newest - ends.get(partition, newest), 0) for partition, newest in latest.items())


def _offsets(progress: Mapping[str, Any], name: str, topic: str) -> dict[str, int] | None:
    """`{"partition": offset}` of one topic in Spark's progress report."""
    offsets = progress.get(name)
    if isinstance(offsets, str):
        offsets = json.loads(offsets)
    return offsets.get(topic) if isinstance(offsets, Mapping) else None
