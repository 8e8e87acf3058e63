"""Read topics from Kafka as a stream reads them from their archive.

The rows are the same. One set of settings is rendered for both clients that need them: Spark's (Java) and librdkafka's
(Python). SASL_SSL with PLAIN is the shape that the Kafka endpoint of Azure Event Hubs and most hosted clusters ask for.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyspark.sql.functions as F
from pyspark.sql import Column, DataFrame, SparkSession

from lake.declare.days import utc_day
from lake.declare.feed import TOPIC_FRAME, TopicFeed
from lake.declare.topic_source import PassedMessage, Place, Received, Unread
from lake.engine.ports import HOST
from lake.errors import TopicUnreachable
from lake.stream.kafka_places import fetch, first_offsets_at
from lake.stream.topic_reader import TopicReader, missing, moment_of, topic_reader

__all__ = ["KafkaCluster", "KafkaSource", "local_cluster", "plain_login"]

_ANSWERS_WITHIN_SECONDS = 20.0
_NO_ID = "AAAAAAAAAAAAAAAAAAAAAA"
"""What a broker answers that knows no topic ids."""
_COMMITTED = {"kafka.isolation.level": "read_committed"}
"""By default Spark also gives messages of transactions that are open still, or were aborted."""
_WITH_HEADERS = {"includeHeaders": "true"}


@dataclass(frozen=True)
class KafkaCluster:
    """The address and login of a cluster.

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
        """Return the settings as confluent-kafka takes them."""
        conf = {"bootstrap.servers": self.bootstrap_servers}
        if self.username is None:
            return conf
        conf |= {"security.protocol": "SASL_SSL", "sasl.mechanism": "PLAIN"}
        conf |= {"sasl.username": self.username, "sasl.password": self.password}
        return conf | ({"ssl.ca.location": self.ca_file} if self.ca_file else {})

    def for_spark(self) -> dict[str, str]:
        """Return the settings as options of Spark's Kafka source."""
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


def local_cluster(folder: Path) -> KafkaCluster | None:
    """Return the broker that `lakehouse kafka up` started in a folder.

    None where it never did.
    """
    try:
        port = json.loads((folder / "broker.json").read_text())["port"]
    except (OSError, ValueError, LookupError):
        return None
    return KafkaCluster(f"{HOST}:{port}")


def plain_login(**options: str) -> str:
    """Return the JAAS line of a PLAIN login, whose values may hold anything."""
    quoted = (value.replace("\\", "\\\\").replace('"', '\\"') for value in options.values())
    pairs = " ".join(f'{name}="{value}"' for name, value in zip(options, quoted, strict=True))
    return f"org.apache.kafka.common.security.plain.PlainLoginModule required {pairs};"


@dataclass(frozen=True)
class KafkaSource:
    """The topics of a cluster as a `lake.declare.topic_source.TopicSource`.

    The session needs the jars of the set `spark-kafka`.

    Attributes:
        cluster: where they are.
        topics: the topic of a feed, where it is not called as the feed is.
        passed: messages that are passed over, by their places.
    """

    cluster: KafkaCluster
    topics: Mapping[str, str] = field(default_factory=dict)
    passed: Sequence[PassedMessage] = ()

    @property
    def redelivers(self) -> bool:
        """A broker gives each offset once to a checkpoint."""
        return False

    def read_topic(
        self, spark: SparkSession, feed: TopicFeed, first_day: date, without: Collection[str] = ()
    ) -> DataFrame:
        """Read every message that the broker received on `first_day` or later.

        All that there is comes at once, but for messages of a transaction that is still open, and those behind them in
        the partition; messages of an aborted one never come. Where messages are gone that were not read yet, the query
        ends with an error instead of a jump. Bytes that are not UTF-8 become U+FFFD: no reader of a table of text could
        read them. A broker has no files to be `without`.
        """
        del without
        reader = spark.readStream.format("kafka").options(**self.cluster.for_spark(), **_COMMITTED, **_WITH_HEADERS)
        reader = reader.option("subscribe", self.topic(feed)).option("failOnDataLoss", "true")
        return _as_topic_frame(reader.options(**self._beginning(feed, first_day)).load())

    def _beginning(self, feed: TopicFeed, first_day: date) -> dict[str, str]:
        """Return the options that say where Spark begins.

        It begins at the first message of a day, or behind the last one that is passed over.
        """
        passed = self._passed(feed)
        if not passed:
            # A partition without such a message is read from its end on: what it gets from now on is later.
            latest = {"startingOffsetsByTimestampStrategy": "latest"}
            return latest | {"startingTimestamp": str(int(_midnight(first_day).timestamp() * 1000))}
        begins = self._first_offsets_at(feed, first_day)
        begins |= {one.partition: max(begins.get(one.partition, 0), one.offset + 1) for one in passed}
        return {"startingOffsets": json.dumps({self.topic(feed): begins})}

    def message(self, feed: TopicFeed, partition: int, offset: int) -> Unread | None:
        """Fetch one message by librdkafka, which leaves its timestamp as it is.

        Raises:
            TopicUnreachable: the cluster does not answer.
        """
        conf = self.cluster.for_librdkafka()
        return fetch(conf, self.topic(feed), partition, offset, _ANSWERS_WITHIN_SECONDS)

    def passing(self, passed: Sequence[PassedMessage]) -> KafkaSource:
        """Return the same cluster, whose streams begin behind these messages."""
        return replace(self, passed=tuple(passed))

    def read_passed(self, spark: SparkSession, feed: TopicFeed, first_day: date) -> DataFrame | None:
        """Read what a stream behind the passed-over messages leaves out.

        The messages themselves are among it. None where none is passed over.
        """
        messages = [one for one in self.passed if one.place.topic == self.topic(feed)]
        if not messages:
            return None
        begins = self._first_offsets_at(feed, first_day)
        rows = spark.createDataFrame([_as_row(one) for one in messages], TOPIC_FRAME)
        for place in (one.place for one in messages):
            start = begins.get(place.partition, 0)
            if 0 <= start < place.offset:
                rows = rows.unionAll(self._read_range(spark, place, start))
            begins[place.partition] = max(start, place.offset + 1)
        return rows

    def _read_range(self, spark: SparkSession, place: Place, start: int) -> DataFrame:
        """Read the messages of one partition from an offset up to a place.

        The message at the place is not among them.
        """
        part = str(place.partition)
        reader = spark.read.format("kafka").options(**self.cluster.for_spark(), **_COMMITTED, **_WITH_HEADERS)
        reader = reader.option("assign", json.dumps({place.topic: [place.partition]}))
        reader = reader.option("startingOffsets", json.dumps({place.topic: {part: start}}))
        return _as_topic_frame(reader.option("endingOffsets", json.dumps({place.topic: {part: place.offset}})).load())

    def _passed(self, feed: TopicFeed) -> list[Place]:
        return [one.place for one in self.passed if one.place.topic == self.topic(feed)]

    def _first_offsets_at(self, feed: TopicFeed, day: date) -> dict[int, int]:
        conf = self.cluster.for_librdkafka()
        return first_offsets_at(conf, self.topic(feed), _midnight(day), _ANSWERS_WITHIN_SECONDS)

    def unreadable(self, feed: TopicFeed, first_day: date) -> Mapping[str, str]:
        """Return nothing, because there are no files."""
        del feed, first_day
        return {}

    def closed(self, feed: TopicFeed) -> Mapping[str, str]:
        """Return nothing, because there are no folders."""
        del feed
        return {}

    def delivered(self, feed: TopicFeed) -> Mapping[str, str]:
        """Return no marks, because messages never change."""
        del feed
        return {}

    def topic(self, feed: TopicFeed) -> str:
        """Return the name of a feed's topic."""
        return self.topics.get(feed.name, feed.name)

    def identity(self, feed: TopicFeed) -> str | None:
        """Ask for the id that the cluster gave to the topic.

        None where it gives none.

        Raises:
            TopicMissing: the cluster has no such topic.
            TopicUnreachable: the cluster does not answer.
        """
        from confluent_kafka import KafkaError, KafkaException, TopicCollection
        from confluent_kafka.admin import AdminClient

        name = self.topic(feed)
        admin = AdminClient({**self.cluster.for_librdkafka(), "log_level": 0})
        asked = admin.describe_topics(TopicCollection([name]), request_timeout=_ANSWERS_WITHIN_SECONDS)[name]
        try:
            topic_id = str(asked.result().topic_id)
        except KafkaException as error:
            code, address = error.args[0].code(), self.cluster.bootstrap_servers
            if code == KafkaError.UNSUPPORTED_VERSION:
                return None
            if code == KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise missing(admin, name, address, _ANSWERS_WITHIN_SECONDS) from error
            raise TopicUnreachable(name, address, str(error)) from error
        return None if topic_id == _NO_ID else topic_id

    def bounds(self, feed: TopicFeed) -> Mapping[int, tuple[int, int]]:
        """Ask for the first offset and the one behind the last, by partition.

        Raises:
            TopicMissing: the cluster has no such topic.
            TopicUnreachable: the cluster does not answer.
        """
        with self._reader(feed) as reader:
            return reader.bounds()

    def first_from(self, feed: TopicFeed, offsets: Mapping[int, int]) -> Mapping[int, Received]:
        """Read the first committed message from an offset on, by partition.

        Raises as `bounds` does.
        """
        with self._reader(feed) as reader:
            return reader.first_from(offsets)

    def first_day(self, feed: TopicFeed) -> date | None:
        """Find the day of the earliest among the partitions' first messages.

        Raises as `bounds` does.
        """
        with self._reader(feed) as reader:
            firsts = {part: first for part, (first, end) in reader.bounds().items() if first < end}
            sent = [moment_of(one.timestamp) for one in reader.first_from(firsts).values()]
        return min((utc_day(moment) for moment in sent if moment is not None), default=None)

    def count_before(self, feed: TopicFeed, day: date) -> int:
        """Count the offsets in front of where `read_topic` begins.

        Raises as `bounds` does.
        """
        begins = self._first_offsets_at(feed, day)
        return sum(
            (begins[part] if begins.get(part, -1) >= 0 else end) - first
            for part, (first, end) in self.bounds(feed).items()
        )

    def _reader(self, feed: TopicFeed) -> AbstractContextManager[TopicReader]:
        return topic_reader(self.cluster.for_librdkafka(), self.topic(feed), _ANSWERS_WITHIN_SECONDS)

    def lag(self, feed: TopicFeed, progress: Mapping[str, Any]) -> int | None:
        """Count the offsets that the newest micro-batch left unread.

        Those behind the first message of an open transaction are not counted: nobody can read them yet.
        """
        ends, latest = (_offsets(progress, name, self.topic(feed)) for name in ("endOffset", "latestOffset"))
        if ends is None or latest is None:
            return None
        return sum(max(newest - ends.get(partition, newest), 0) for partition, newest in latest.items())


def _as_topic_frame(records: DataFrame) -> DataFrame:
    """Return the records of Spark's Kafka source in the columns of a topic's frame."""
    return records.select(
        F.make_valid_utf8(F.col("key").cast("string")).alias("key"),
        F.make_valid_utf8(F.col("value").cast("string")).alias("value"),
        "topic",
        "partition",
        "offset",
        "timestamp",
        F.to_json(F.transform("headers", _header)).alias("headers"),
        F.lit(None).cast(TOPIC_FRAME["_raw"].dataType).alias("_raw"),
        F.to_date("timestamp").alias("_landed_on"),
    )


def _header(header: Column) -> Column:
    """Give one header, as base64 where it is no text."""
    value = header["value"]
    text = F.when(F.is_valid_utf8(value.cast("string")), value.cast("string"))
    return F.struct(
        F.make_valid_utf8(header["key"]).alias("key"),
        text.alias("value"),
        F.when(text.isNull(), F.base64(value)).alias("base64"),
    )


def _as_row(message: PassedMessage) -> tuple[Any, ...]:
    """Return a passed-over message in the columns of a topic's frame.

    It has no time, and landed when it was passed.
    """
    place = (message.place.topic, message.place.partition, message.place.offset)
    return (message.key, message.value, *place, None, None, None, utc_day(message.passed_at))


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _offsets(progress: Mapping[str, Any], name: str, topic: str) -> dict[str, int] | None:
    """Return the offsets of one topic in Spark's progress report.

    As `{"partition": offset}`.
    """
    offsets = progress.get(name)
    if isinstance(offsets, str):
        offsets = json.loads(offsets)
    return offsets.get(topic) if isinstance(offsets, Mapping) else None
