"""How a cluster is reached: what both clients are told, and that nobody else is told the secret."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from lake.commands.brokers import NotDeliveredError, create_topics
from lake.errors import TopicUnreachable
from lake.stream.kafka import KafkaCluster, KafkaSource, plain_login
from tests.tiny_topics import calls_feed

USER = "$ConnectionString"
KEY = 's3cr3t+/k"e\\y='
CONNECTION = (
    f"Endpoint=sb://ns.servicebus.windows.net/;SharedAccessKeyName=RootManageSharedAccessKey;SharedAccessKey={KEY}"
)
NOBODY_THERE = "127.0.0.1:1"


def login_that_kafka_reads(spark: SparkSession, line: str) -> dict[str, str]:
    """The options in a JAAS line, by the parser of Kafka's own client."""
    jvm = spark._jvm
    assert jvm is not None
    conf = jvm.java.util.HashMap()
    conf["sasl.jaas.config"] = jvm.org.apache.kafka.common.config.types.Password(line)
    (entry,) = jvm.org.apache.kafka.common.security.JaasContext.loadClientContext(conf).configurationEntries()
    return dict(entry.getOptions())


def test_kafka_reads_a_connection_string_as_it_was_given(spark: SparkSession) -> None:
    line = KafkaCluster("ns.servicebus.windows.net:9093", USER, CONNECTION).for_spark()["kafka.sasl.jaas.config"]

    assert login_that_kafka_reads(spark, line) == {"username": USER, "password": CONNECTION}


@settings(deadline=None, max_examples=50)
@given(st.text(st.characters(min_codepoint=32, exclude_categories=["Cs", "Cc"])))
def test_kafka_reads_every_secret_as_it_was_given(spark: SparkSession, secret: str) -> None:
    assert login_that_kafka_reads(spark, plain_login(password=secret)) == {"password": secret}


def test_what_describes_a_cluster_does_not_show_its_secret() -> None:
    cluster = KafkaCluster(NOBODY_THERE, USER, CONNECTION)

    for shown in (repr(cluster), str(cluster), repr(KafkaSource(cluster)), f"{KafkaSource(cluster)}"):
        assert USER in shown
        assert "SharedAccessKey" not in shown


def test_a_cluster_that_does_not_answer_is_told_without_its_secret(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("lake.stream.kafka._ANSWERS_WITHIN_SECONDS", 1.0)
    monkeypatch.setattr("lake.commands.brokers._ANSWERS_WITHIN_SECONDS", 1.0)
    cluster = KafkaCluster(NOBODY_THERE, USER, CONNECTION)
    source = KafkaSource(cluster)

    with pytest.raises(TopicUnreachable, match=NOBODY_THERE) as unnamed:
        source.identity(calls_feed)
    with pytest.raises(TopicUnreachable, match=NOBODY_THERE) as unread:
        source.bounds(calls_feed)
    with pytest.raises(NotDeliveredError, match=NOBODY_THERE) as unsent:
        create_topics(cluster, ["calls"])

    printed = capfd.readouterr()
    for shown in (unnamed.value, unread.value, unsent.value, printed.out, printed.err):
        assert "SharedAccessKey" not in f"{shown} {shown!r}"


def test_the_plan_of_a_read_does_not_show_the_secret(spark: SparkSession) -> None:
    rows = KafkaSource(KafkaCluster(NOBODY_THERE, USER, CONNECTION)).read_topic(spark, calls_feed, date(2013, 1, 1))

    plan = rows._jdf.queryExecution().toString()

    assert "kafka" in plan.lower()
    assert "SharedAccessKey" not in plan
