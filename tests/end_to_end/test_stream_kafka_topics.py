"""Topics as Kafka makes them: transactions, backups, history, and messages of every kind; on a real broker."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import OFFSET_END
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from pyspark.sql import SparkSession

from lake.commands.kafka_broker import LocalBroker
from lake.declare.days import Days
from lake.errors import STREAM_RUNBOOK, MessagesGone, OtherMessage, StreamError, TopicMissing, TopicShorter
from lake.stream.kafka import KafkaSource
from lake.stream.progress import micro_batches, read_statuses
from lake.testing.lakes import interpreted, quarantined, stored_rows
from lakehouse_assets.bronze.departure_events import departure_events
from lakehouse_assets.silver.departures import departures
from tests.kafka import TOPIC, Kafka
from tests.streaming import PARTITIONS, Lake, Message, Messages, at

pytestmark = [pytest.mark.spark, pytest.mark.slow, pytest.mark.timeout(600)]

BRONZE = departure_events.full_name
JAN_1, JAN_31 = date(2013, 1, 1), date(2013, 1, 31)


@pytest.fixture
def lake(spark: SparkSession, tmp_path: Path) -> Iterator[Lake]:
    with interpreted(spark):
        yield Lake(tmp_path / "home", lambda: spark, [departure_events, departures])


def left(messages: Messages, number: int, *, day: int = 1, **others: Any) -> Message:
    moment = at(day, 9, number % 60)
    times = {"scheduled": at(day, 9), "left": moment, "sent": moment}
    return messages.departure(date(2013, 1, day), number, **times, **others)


def several(messages: Messages, first: int, last: int, *, day: int = 1) -> list[Message]:
    return [left(messages, number, day=day) for number in range(first, last + 1)]


def end_of_transaction(messages: Messages, sent: list[Message]) -> None:
    """Its mark takes an offset in each partition that it wrote to."""
    for partition in {message["partition"] for message in sent}:
        messages._next[TOPIC, partition] += 1


def flights(lake: Lake) -> list[int]:
    return sorted(row["flight"] for row in stored_rows(lake.store, departures))


def lag(lake: Lake) -> int | None:
    return read_statuses(lake.home / "streams")[BRONZE].lag_messages


# Transactions


@pytest.mark.streams
def test_aborted_and_open_transactions_give_no_row_and_what_was_read_of_them_is_never_missed(
    lake: Lake, kafka: Kafka
) -> None:
    messages = Messages()
    plain, committed, aborted = several(messages, 1, 4), several(messages, 5, 8), []
    kafka.send(plain)
    kafka.begin_transaction(committed).commit_transaction(60)
    end_of_transaction(messages, committed)
    aborted = several(messages, 101, 108)
    kafka.begin_transaction(aborted).abort_transaction(60)
    end_of_transaction(messages, aborted)

    lake.follow(source=kafka.source, since=JAN_1)

    sent = [*plain, *committed]
    lake.check(sent)
    assert (flights(lake), lag(lake)) == ([*range(1, 9)], 0)

    open_ones = several(messages, 9, 12)
    producer = kafka.begin_transaction(open_ones)
    end_of_transaction(messages, open_ones)
    behind = several(messages, 13, 20)
    marks = {message["partition"] for message in open_ones}
    kafka.send([message for message in behind if message["partition"] not in marks])
    lake.follow(source=kafka.source)
    lake.check([*sent, *(message for message in behind if message["partition"] not in marks)])
    assert lag(lake) == 0, "nobody can read what is open"

    producer.commit_transaction(60)
    kafka.send([message for message in behind if message["partition"] in marks])
    lake.follow(source=kafka.source)
    sent += [*open_ones, *behind]
    lake.check(sent)

    aborted = several(messages, 201, 240)
    assert {message["partition"] for message in aborted} == set(range(PARTITIONS))
    kafka.begin_transaction(aborted).abort_transaction(60)
    end_of_transaction(messages, aborted)
    lake.follow(source=kafka.source)
    for partition in range(PARTITIONS):
        kafka.remove_before(OFFSET_END, partition)
    lake.follow(source=kafka.source)
    shutil.rmtree(lake.home / "checkpoints")
    lake.follow(source=kafka.source)
    lake.check(sent)

    unread = several(messages, 21, 24)
    kafka.send(unread)
    for partition in range(PARTITIONS):
        kafka.remove_before(OFFSET_END, partition)
    with pytest.raises(MessagesGone) as refused:
        lake.follow(source=kafka.source)
    gone = {m["partition"]: [n["offset"] for n in unread if n["partition"] == m["partition"]] for m in unread}
    assert refused.value.gaps == {partition: (min(them), max(them)) for partition, them in gone.items()}


# The broker's backup


@pytest.mark.streams
@pytest.mark.parametrize(("grown", "error"), [(0, TopicShorter), (5, OtherMessage)])
def test_a_broker_that_comes_back_from_a_backup_stops_the_streams_that_read_it(
    lake: Lake, tmp_path: Path, grown: int, error: type[StreamError]
) -> None:
    """Its topic is shorter than what was read, or has grown past that by other messages."""
    lake.tables = [departure_events]
    broker = LocalBroker(tmp_path / "kafka")
    broker.up()
    try:
        kafka, messages = Kafka(broker), Messages()
        kafka.create()
        kafka.send([left(messages, 1) | {"partition": 0}])
        broker.down()
        shutil.copytree(broker.folder / "data", tmp_path / "backup")
        broker.up()
        kafka = Kafka(broker)
        kafka.send([left(messages, number) | {"partition": 0} for number in (2, 3)])
        with lake.following(source=kafka.source, since=JAN_1) as running:
            running.until(lambda: bool(micro_batches(lake.store)), "somebody has looked at the topic")
            broker.down()
            restore(broker, tmp_path, [left(messages, number) | {"partition": 0} for number in range(40, 40 + grown)])
            broker.up()
            with pytest.raises(error, match="'A topic was made anew'" if grown else "lacks 2 offsets that were read"):
                running.until_ended()
            running.error = None
        status = read_statuses(lake.home / "streams")[BRONZE]
        assert status.state == "failed"
        assert (status.last_error or "").startswith(error.__name__)
    finally:
        broker.down()


def restore(broker: LocalBroker, folder: Path, others: list[Message]) -> None:
    """Put a broker back to its backup, and to other messages that came after it, before anybody sees it."""
    elsewhere = LocalBroker(folder / "elsewhere")  # on other ports
    shutil.copytree(folder / "backup", elsewhere.folder / "data")
    if others:
        elsewhere.up()
        try:
            Kafka(elsewhere).send(others)
        finally:
            elsewhere.down()
    shutil.rmtree(broker.folder / "data")
    shutil.copytree(elsewhere.folder / "data", broker.folder / "data")


@pytest.mark.streams
def test_a_broker_that_came_back_from_a_backup_is_refused_and_a_new_topic_loses_nothing(
    lake: Lake, tmp_path: Path
) -> None:
    broker = LocalBroker(tmp_path / "kafka")
    broker.up()
    try:
        kafka, messages = Kafka(broker), Messages()
        kafka.create()
        before = several(messages, 1, 8)
        kafka.send(before)
        broker.down()
        shutil.copytree(broker.folder / "data", tmp_path / "backup")
        broker.up()
        kafka = Kafka(broker)
        lost = several(messages, 9, 18)
        kafka.send(lost)
        lake.follow(source=kafka.source, since=JAN_1)
        lake.check([*before, *lost])
        broker.down()
        shutil.rmtree(broker.folder / "data")
        shutil.copytree(tmp_path / "backup", broker.folder / "data")
        broker.up()
        kafka = Kafka(broker)

        with pytest.raises(TopicShorter, match="lacks 10 offsets that were read") as refused:
            lake.follow(source=kafka.source)
        assert f"({STREAM_RUNBOOK}, 'A broker came back from a backup')" in str(refused.value)
        ends = {m["partition"]: 0 for m in lost}
        for message in before:
            ends[message["partition"]] = message["offset"] + 1
        found = {p: (max(m["offset"] for m in lost if m["partition"] == p) + 1, ends[p]) for p in ends}
        assert refused.value.ends == found

        regrown = Messages()
        several(regrown, 1, 8)
        since = [left(regrown, number) for number in range(40, 80)]
        kafka.send(since)
        with pytest.raises(OtherMessage, match="A topic was made anew"):
            lake.follow(source=kafka.source)
        lake.check([*before, *lost])

        kafka.create("departures_2")
        anew = Messages()
        kafka.send([left(anew, number) for number in range(40, 80)], "departures_2")
        lake.follow(source=KafkaSource(kafka.cluster, {TOPIC: "departures_2"}))
        assert flights(lake) == [*range(1, 19), *range(40, 80)]
    finally:
        broker.down()


# The first start


@pytest.mark.streams
def test_the_first_start_begins_with_the_first_message_or_says_how_many_it_leaves(
    lake: Lake, kafka: Kafka, tmp_path: Path, spark: SparkSession
) -> None:
    messages, told = Messages(), list[str]()
    sent = [*several(messages, 1, 6, day=2), *several(messages, 7, 12, day=4)]
    kafka.send(sent)
    clock = {"now": lambda: at(20), "tell": told.append, "source": kafka.source}

    lake.follow(**clock)
    assert flights(lake) == [*range(1, 13)]
    assert told == []

    later = Lake(tmp_path / "later", lambda: spark, lake.tables)
    later.follow(calendar=Days.between(date(2013, 1, 3), JAN_31), **clock)
    assert flights(later) == [*range(7, 13)]
    assert told == [
        "bronze.departure_events: topic departures holds up to 6 messages from before 2013-01-03, the first of "
        "2013-01-02; they are not read. To read them: lakehouse follow --release; lakehouse follow --since 2013-01-02"
    ]
    later.follow(**clock)
    assert len(told) == 1, "only a first start says so"


@pytest.mark.streams
def test_a_first_start_on_an_empty_topic_says_from_which_day_on_streams_own_days_and_loses_no_earlier_message(
    lake: Lake, kafka: Kafka
) -> None:
    lake.tables = [departure_events]
    told: list[str] = []
    clock = {"now": lambda: at(20), "tell": told.append, "source": kafka.source}
    lake.follow(**clock)
    assert told == [
        "bronze.departure_events: topic departures holds no message yet; streams own days from 2013-01-20 on. Messages "
        "of earlier days are kept in bronze, and batch computes those days. To have streams compute them: lakehouse "
        "follow --release; lakehouse follow --since DAY"
    ]
    messages = Messages()
    for day, numbers in ((2, (1, 6)), (4, (7, 12))):  # the first micro-batch, and one that only appends
        kafka.send(several(messages, *numbers, day=day))
        lake.follow(**clock)
    everything = Messages()
    lake.check([*several(everything, 1, 6, day=2), *several(everything, 7, 12, day=4)])
    assert len(told) == 1, "only a first start says so"


@pytest.mark.streams
def test_a_topic_that_does_not_exist_is_told_as_such_with_those_that_do(lake: Lake, kafka: Kafka) -> None:
    with pytest.raises(TopicMissing) as refused:
        lake.follow(source=KafkaSource(kafka.cluster, {TOPIC: "departurse"}))

    assert refused.value.known == ["departures"]
    assert f"({STREAM_RUNBOOK}, 'A topic does not exist')" in str(refused.value)
    assert lake.frontier.state() is None
    source = KafkaSource(kafka.cluster, {TOPIC: "departurse"})
    for asked in (source.bounds, source.first_day):
        with pytest.raises(TopicMissing):
            asked(kafka_feed())


def kafka_feed() -> Any:
    (read,) = departure_events.reads
    return read.source


# Messages


@pytest.mark.streams
def test_messages_of_every_kind_and_a_partition_that_is_added_while_streams_run(lake: Lake, kafka: Kafka) -> None:
    messages = Messages()
    keyless = left(messages, 1) | {"key": None}
    headed, headers = left(messages, 2), [("source", b"gate 7"), ("source", None), ("bytes", b"\xff")]
    tombstone = messages.broken(TOPIC, None, at(1, 9, 3))
    large = left(messages, 3, remark="x" * 1_040_000)
    archived = [{"key": "source", "value": "gate 7"}, {"key": "source"}, {"key": "bytes", "base64": "/w=="}]
    sent = [keyless, headed | {"headers": archived}, tombstone, large]
    kafka.send([keyless, headed | {"headers": headers}, tombstone, large])

    with lake.following(source=kafka.source, since=JAN_1) as running:
        running.until_read(lake, departures, 3)
        kafka.add_partition(PARTITIONS + 1)
        added = [left(messages, number) | {"partition": PARTITIONS, "offset": number - 4} for number in range(4, 8)]
        kafka.send(added)
        running.until_read(lake, departures, 7)
    sent += added

    lake.check(sent)
    assert flights(lake) == [*range(1, 8)]
    held = {(row["partition"], row["offset"]): row for row in stored_rows(lake.store, departure_events)}
    of_keyless, of_tombstone, of_large = (held[m["partition"], m["offset"]] for m in (keyless, tombstone, large))
    assert (of_keyless["key"], of_tombstone["value"], len(of_large["value"])) == (None, None, len(large["value"]))
    assert [json.loads(row["headers"]) for row in held.values() if row["headers"]] == [archived]
    assert len(quarantined(lake.store, departures)) == 1, "the tombstone"
    lake.check_equals_batch(sent)


@pytest.mark.streams
def test_a_compacted_topic_gives_what_it_still_holds(lake: Lake, kafka: Kafka) -> None:
    """A message that a later one of its key replaced before it was read is never seen, and nobody can tell."""
    messages = Messages()
    broker = ConfigResource(ConfigResource.Type.BROKER, "1")
    broker.add_incremental_config(
        ConfigEntry("log.cleaner.backoff.ms", "200", incremental_operation=AlterConfigOpType.SET)
    )
    kafka.admin.incremental_alter_configs([broker])[broker].result(30)
    kafka.create("compacted", {"cleanup.policy": "compact", "segment.ms": "1", "min.cleanable.dirty.ratio": "0.001"})
    source = KafkaSource(kafka.cluster, {TOPIC: "compacted"})
    sent = [
        left(messages, number) | {"key": f"key {number % 3}", "partition": 0, "offset": number}
        for number in range(1, 13)
    ]
    kafka.send(sent[:6], "compacted")
    lake.follow(source=source, since=JAN_1)
    assert flights(lake) == [*range(1, 7)]

    for message in sent[6:]:  # each in a segment of its own, of which all but the newest are compacted
        kafka.send([message], "compacted")
    until_compacted(source, offset=6)
    lake.follow(source=source)
    left_over = {row["offset"] for row in stored_rows(lake.store, departure_events)}

    assert left_over >= {*range(6), 9, 10, 11}
    assert 6 not in left_over
    assert lag(lake) == 0

    # The last message that bronze holds may be gone, too: then there is nothing to compare it with.
    for number, key in ((13, sent[-1]["key"]), (14, "another")):
        kafka.send([left(messages, number) | {"key": key, "partition": 0}], "compacted")
    until_compacted(source, offset=11)
    lake.follow(source=source)
    assert flights(lake)[-3:] == [12, 13, 14]


def until_compacted(source: KafkaSource, offset: int) -> None:
    deadline = time.monotonic() + 60  # a second, where the machine is free
    while source.first_from(kafka_feed(), {0: offset})[0].offset == offset:
        assert time.monotonic() < deadline, "nothing was compacted"
        time.sleep(0.2)
