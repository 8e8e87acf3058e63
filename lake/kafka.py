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

from lake.feed import TOPIC_FRAME, TopicFeed

__all__ = ["KafkaCluster", "KafkaSource", "plain_login"]


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
    """The topics of a cluster as a `lake.feed.TopicSource`; a feed's name is its topic's.

    The session needs the jars of the set `spark-kafka`.
    """

    cluster: KafkaCluster

    @property
    def redelivers(self) -> bool:
        """A broker gives each offset once to a checkpoint."""
        return False

    def read_topic(self, spark: SparkSession, feed: TopicFeed, first_day: date) -> DataFrame:
        """Every message from the first one on that the broker received on `first_day` or later.

        All that there is comes at once; a topic that was made anew or whose retention has passed the reader ends the
        query with an error instead of a jump.
        """
        midnight = datetime(first_day.year, first_day.month, first_day.day, tzinfo=UTC)
        reader = spark.readStream.format("kafka").options(**self.cluster.for_spark())
        reader = reader.option("subscribe", feed.name).option("failOnDataLoss", "true")
        # A partition without such a message is read from its end on: what it gets from now on is later.
        reader = reader.option("startingTimestamp", str(int(midnight.timestamp() * 1000)))
        reader = reader.option("startingOffsetsByTimestampStrategy", "latest")
        return reader.load().select(
            F.col("key").cast("string").alias("key"),
            F.col("value").cast("string").alias("value"),
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

    def lag(self, feed: TopicFeed, progress: Mapping[str, Any]) -> int | None:
        """Messages that the newest micro-batch left unread, over all partitions."""
        ends, latest = (_offsets(progress, name, feed.name) for name in ("endOffset", "latestOffset"))
        if ends is None or latest is None:
            return None
        return sum(max(newest - ends.get(partition, newest), 0) for partition, newest in latest.items())


def _offsets(progress: Mapping[str, Any], name: str, topic: str) -> dict[str, int] | None:
    """`{"partition": offset}` of one topic in Spark's progress report."""
    offsets = progress.get(name)
    if isinstance(offsets, str):
        offsets = json.loads(offsets)
    return offsets.get(topic) if isinstance(offsets, Mapping) else None
