"""A real Kafka: streams read from it what they would read from the archive, over an open and a secure listener."""

from __future__ import annotations

import socket
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession
from rich.console import Console

from airline.producing import paced, produce, produce_with_progress
from airline.replay import messages, replay
from airline.replay.topics import TOPICS
from lake.commands.brokers import NotDeliveredError, create_topics
from lake.commands.kafka_broker import BrokerNotReadyError, Listener, LocalBroker, RunningBroker
from lake.declare.days import Days
from lake.engine.java import find_java
from lake.engine.ports import free_ports
from lake.project.settings import Settings
from lake.stream.kafka import KafkaCluster, KafkaSource
from lake.testing.lakes import interpreted
from tests.airline_lakes import cut_source
from tests.streaming import FOLLOWED, Lake, multiset

pytestmark = [pytest.mark.streams, pytest.mark.spark, pytest.mark.slow]

DAYS = Days.parse("2013-01-01..2013-01-03")
DISORDER: dict[str, Any] = {"late": 0.05, "duplicates": 0.1, "malformed": 0.05, "seed": 7}
TABLES = FOLLOWED[:4]
"""Those that read a topic, and those that read these: what follows knows nothing of where messages came from."""

USER = "$ConnectionString"
PASSWORD = 'Endpoint=sb://ns.servicebus.windows.net/;SharedAccessKeyName=Root;SharedAccessKey=a "quoted" \\ secret='
"""As for the Kafka endpoint of Azure Event Hubs, and with more to escape than that has."""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return cut_source(tmp_path_factory.mktemp("source") / "cut", Days.parse("2013-01-01..2013-01-02"), one_of=20)


@pytest.fixture(scope="module")
def listener(tmp_path_factory: pytest.TempPathFactory) -> tuple[Listener, Path]:
    """A keystore for 127.0.0.1 and its certificate."""
    folder = tmp_path_factory.mktemp("secrets")
    keytool = str(find_java().home / "bin" / "keytool")
    store, certificate = folder / "broker.p12", folder / "ca.pem"
    shared = ["-alias", "broker", "-keystore", str(store), "-storepass", "changeit"]
    made = ["-keyalg", "RSA", "-dname", "CN=127.0.0.1", "-ext", "SAN=IP:127.0.0.1", "-storetype", "PKCS12"]
    subprocess.run([keytool, "-genkeypair", *shared, *made], check=True, capture_output=True)
    subprocess.run(
        [keytool, "-exportcert", "-rfc", *shared, "-file", str(certificate)], check=True, capture_output=True
    )
    return Listener(store, "changeit", USER, PASSWORD), certificate


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory, listener: tuple[Listener, Path]) -> Iterator[RunningBroker]:
    local = LocalBroker(tmp_path_factory.mktemp("kafka"))
    yield local.up(listener[0])
    assert local.down()
    assert local.status() is None


@pytest.fixture
def lake(spark: SparkSession, tmp_path: Path) -> Iterator[Lake]:
    with interpreted(spark):
        yield Lake(tmp_path / "streamed", lambda: spark, list(TABLES))


def test_a_topic_read_from_kafka_gives_the_rows_of_its_archive(
    spark: SparkSession,
    lake: Lake,
    broker: RunningBroker,
    listener: tuple[Listener, Path],
    source: Path,
    tmp_path: Path,
) -> None:
    cluster = KafkaCluster(broker.address)
    secure = KafkaCluster(f"127.0.0.1:{broker.secure_port}", USER, PASSWORD, str(listener[1]))
    create_topics(cluster, TOPICS)
    sent = list(messages(None, DAYS, source, **DISORDER))
    half = len(sent) // 2

    assert len(list(produce(sent[:half], cluster))) == half
    lake.follow(since=DAYS.start, source=KafkaSource(cluster))
    assert len(list(produce(sent[half:], secure))) == len(sent) - half
    lake.follow(source=KafkaSource(secure))
    assert [file for file in lake.home.rglob("*") if file.is_file() and b"SharedAccessKey" in file.read_bytes()] == []

    archived = Lake(tmp_path / "archived", lambda: spark, list(TABLES))
    replay(archived.landing.root, DAYS, source, **DISORDER)
    archived.follow(since=DAYS.start)
    for table in TABLES:
        if table.layer == "bronze":
            assert received(lake, table) == received(archived, table), table.full_name
    first_open = lake.frontier.state()
    assert first_open is not None
    lake.settle(date(2012, 12, 30))
    archived.settle(date(2012, 12, 30))
    for table in TABLES[2:]:
        before = first_open.first_open_day(table)
        assert lake.rows(table, before) == archived.rows(table, before), table.full_name


def received(lake: Lake, table: Any) -> Counter[str]:
    """Bronze rows without their offsets, which are the broker's."""
    return multiset(lake.store.read(table).drop("offset").collect())


def test_the_clock_of_the_lake_follows_what_is_sent(
    broker: RunningBroker, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAKEHOUSE_HOME", str(tmp_path))
    none: dict[str, Any] = dict.fromkeys(("late", "duplicates", "malformed"), 0.0)

    sent = produce_with_progress(Console(), broker.address, DAYS, source, seed=0, speed=None, **none)

    assert sent > 0
    assert Settings.from_env().now() == datetime(2013, 1, 4, tzinfo=UTC)


def test_a_broker_is_up_once_and_found_again_on_its_ports(tmp_path: Path) -> None:
    local = LocalBroker(tmp_path / "kafka")
    first = local.up()
    try:
        assert local.up() == first
        assert LocalBroker(local.folder).status() == first
    finally:
        assert local.down()
    assert not local.down()

    again = local.up()
    try:
        assert (again.port, again.cluster_id) == (first.port, first.cluster_id)
        create_topics(KafkaCluster(again.address), TOPICS)
    finally:
        local.down()


def test_a_broker_takes_other_ports_where_somebody_has_taken_its_own(tmp_path: Path) -> None:
    local = LocalBroker(tmp_path / "kafka")
    before = local.up()
    local.down()
    with socket.create_server(("127.0.0.1", before.port)):
        again = local.up()
        try:
            assert again.port != before.port
            assert again.cluster_id == before.cluster_id
            create_topics(KafkaCluster(again.address), TOPICS)
        finally:
            local.down()


def test_another_broker_that_answers_on_the_port_does_not_make_ours_ready(
    broker: RunningBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One took the port between the look and the start: ours ends, though the port answers as Kafka."""
    monkeypatch.setattr("lake.commands.kafka_broker.free_ports", lambda _: [broker.port, *free_ports(2)])
    local = LocalBroker(tmp_path / "kafka")

    with pytest.raises(BrokerNotReadyError, match="it ended with exit code"):
        local.up()
    assert local.status() is None


def test_a_broker_of_another_cluster_is_never_ours(
    broker: RunningBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lake.commands.kafka_broker._READY_WITHIN_SECONDS", 3.0)
    claimed = replace(broker, cluster_id="another")
    with subprocess.Popen(["sleep", "60"]) as process:
        try:
            with pytest.raises(BrokerNotReadyError, match="does not answer"):
                LocalBroker(tmp_path)._await_ready(process, claimed)
            LocalBroker(tmp_path)._await_ready(process, broker)
        finally:
            process.kill()


def test_a_broker_that_is_not_there_is_an_error_with_the_next_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lake.commands.brokers._ANSWERS_WITHIN_SECONDS", 1.0)

    with pytest.raises(NotDeliveredError, match="lakehouse kafka status"):
        create_topics(KafkaCluster("127.0.0.1:1"), TOPICS)


def test_messages_are_sent_at_the_pace_at_which_they_were_sent(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = list(messages("departures", Days.parse("2013-01-01"), source))[:5]
    now = [100.0]
    monkeypatch.setattr("airline.producing.time.monotonic", lambda: now[0])
    monkeypatch.setattr("airline.producing.time.sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))

    times = [now[0] for _ in paced(sent, speed=60.0)]

    expected = [100.0 + (message.timestamp - sent[0].timestamp).total_seconds() / 60 for message in sent]
    assert times == pytest.approx(expected)
