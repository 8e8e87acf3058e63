"""What can happen to a broker and its topics while streams read them: nothing is lost, and nothing is passed over."""

from __future__ import annotations

import json
import shutil
import signal
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from deltalake import DeltaTable
from pyspark.sql import SparkSession

from lake.batch.refresh import refresh
from lake.declare.days import Days
from lake.errors import STREAM_RUNBOOK, MessagesGone, OtherMessage, StreamBroken, TopicReplaced, TopicUnreachable
from lake.stream.kafka import KafkaCluster, KafkaSource
from lake.testing.lakes import interpreted, quarantined, stored_rows
from lakehouse_assets.bronze.departure_events import departure_events
from lakehouse_assets.silver.departures import departures
from tests.kafka import TOPIC, Kafka
from tests.streaming import PARTITIONS, Lake, Message, Messages, at

pytestmark = [pytest.mark.spark, pytest.mark.slow, pytest.mark.faults, pytest.mark.timeout(1800)]

JAN_1, JAN_2 = date(2013, 1, 1), date(2013, 1, 2)


@pytest.fixture
def lake(spark: SparkSession, tmp_path: Path) -> Iterator[Lake]:
    with interpreted(spark):
        yield Lake(tmp_path / "home", lambda: spark, [departure_events, departures])


def left(messages: Messages, day: int, number: int, *, sent_day: int | None = None) -> Message:
    moment = at(day, 9, number % 60)
    sent = at(sent_day, 9, number % 60, 30) if sent_day else at(day, 9, number % 60, 30)
    return messages.departure(date(2013, 1, day), number, scheduled=at(day, 9), left=moment, sent=sent)


def flights(lake: Lake) -> list[int]:
    return sorted(row["flight"] for row in stored_rows(lake.store, departures))


def offsets_held(lake: Lake) -> int:
    return sum(lake.store.table_log(departure_events).rows_by_day("landed_on").values())


# The broker


@pytest.mark.soak
def test_a_broker_that_is_killed_and_one_that_stands_still_cost_no_message(lake: Lake, kafka: Kafka) -> None:
    messages = Messages()
    sent = [left(messages, 1, number) for number in range(1, 5)]
    kafka.send(sent)
    with lake.following(source=kafka.source, since=JAN_1) as running:
        running.until_read(lake, departures, 4)

        before = kafka.broker.status()
        assert before is not None
        process = before.process
        assert process is not None
        process.kill()
        process.wait(30)
        again = kafka.broker.up()
        assert again.port == before.port
        sent += [left(messages, 1, number) for number in range(5, 9)]
        kafka.send(sent[4:])
        running.until_read(lake, departures, 8)

        process = again.process
        assert process is not None
        process.send_signal(signal.SIGSTOP)
        try:
            time.sleep(60)  # the clients give up a request after 30
        finally:
            process.send_signal(signal.SIGCONT)
        sent += [left(messages, 1, number) for number in range(9, 13)]
        kafka.send(sent[8:])
        running.until_read(lake, departures, 12)
    lake.check_equals_batch(sent)


@pytest.mark.streams
def test_a_broker_that_does_not_answer_is_named_at_once(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lake.stream.kafka._ANSWERS_WITHIN_SECONDS", 2.0)
    with pytest.raises(TopicUnreachable, match="lakehouse kafka status") as refused:
        lake.follow(source=KafkaSource(KafkaCluster("127.0.0.1:1")))
    assert f"({STREAM_RUNBOOK}, 'The broker does not answer')" in str(refused.value)
    assert lake.frontier.state() is None


# The topic


@pytest.mark.streams
def test_a_topic_that_was_made_anew_is_refused_though_it_has_grown_past_the_reader(lake: Lake, kafka: Kafka) -> None:
    """Kafka's clients see nothing: there are more messages than they have read, so they would go on in the middle."""
    messages = Messages()
    sent = [left(messages, 1, number) for number in range(1, 5)]
    kafka.send(sent)
    lake.follow(source=kafka.source, since=JAN_1)
    kafka.recreate()
    others = [left(Messages(), 1, number) for number in range(101, 121)]
    kafka.send(others)

    for options in ({}, {"new_generation": ["bronze.departure_events"]}):
        with pytest.raises(TopicReplaced) as refused:
            lake.follow(source=kafka.source, **options)
        assert f"({STREAM_RUNBOOK}, 'A topic was made anew')" in str(refused.value)
    lake.check(sent)

    kafka.create("departures_2")
    moved = Messages()
    kafka.send([left(moved, 1, number) for number in range(101, 121)], "departures_2")
    lake.follow(source=KafkaSource(kafka.cluster, {TOPIC: "departures_2"}))
    assert flights(lake) == [*range(1, 5), *range(101, 121)]


@pytest.mark.soak
def test_a_topic_that_was_made_anew_is_refused_when_its_id_was_lost_too(lake: Lake, kafka: Kafka) -> None:
    messages = Messages()
    sent = [left(messages, 1, number) for number in range(1, 5)]
    kafka.send(sent)
    lake.follow(source=kafka.source, since=JAN_1)
    kafka.recreate()
    shutil.rmtree(lake.home / "checkpoints")
    other = Messages()
    kafka.send([left(other, 1, number) for number in range(101, 121)])

    with pytest.raises(OtherMessage, match="A topic was made anew"):
        lake.follow(source=kafka.source)
    lake.check(sent)


@pytest.mark.soak
def test_streams_that_run_notice_that_a_topic_was_made_anew(lake: Lake, kafka: Kafka) -> None:
    messages = Messages()
    sent = [left(messages, 1, number) for number in range(1, 5)]
    kafka.send(sent)

    def follow_while_it_is_made_anew() -> None:
        with lake.following(source=kafka.source, since=JAN_1) as running:
            running.until_read(lake, departures, 4)
            kafka.recreate()
            running.until_ended()

    with pytest.raises((TopicReplaced, StreamBroken)):
        follow_while_it_is_made_anew()
    lake.check(sent)


def until_in_partition(messages: Messages, partition: int, count: int) -> list[Message]:
    """Departures from the second on, as many as it takes until so many of them go to one partition."""
    found: list[Message] = []
    while sum(message["partition"] == partition for message in found) < count:
        found.append(left(messages, 1, len(found) + 2))
    return found


@pytest.mark.soak
def test_messages_that_retention_removed_unread_are_never_passed_over(lake: Lake, kafka: Kafka) -> None:
    messages = Messages()
    sent = [left(messages, 1, 1)]
    kafka.send(sent)
    lake.follow(source=kafka.source, since=JAN_1)
    partition = sent[0]["partition"]
    sent += (more := until_in_partition(messages, partition, 4))
    kafka.send(more)
    same = [message for message in more if message["partition"] == partition]
    gone = same[:2]
    kafka.remove_before(same[2]["offset"], partition)

    for options in ({}, {"new_generation": ["bronze.departure_events"]}):
        with pytest.raises(MessagesGone) as refused:
            lake.follow(source=kafka.source, **options)
        assert refused.value.gaps == {partition: (1, 2)}
        assert f"({STREAM_RUNBOOK}, 'Messages are gone from the topic')" in str(refused.value)
    assert flights(lake) == [1]

    lake.follow(source=kafka.source, accept_loss=["bronze.departure_events"])
    lake.follow(source=kafka.source)  # what was accepted is not asked again
    lake.check([message for message in sent if message not in gone])


@pytest.mark.soak
def test_bronze_that_is_gone_with_messages_of_its_topic_is_refused_until_that_is_accepted(
    lake: Lake, kafka: Kafka
) -> None:
    messages = Messages()
    sent = until_in_partition(messages, 0, 4)
    kafka.send(sent)
    lake.follow(source=kafka.source, since=JAN_1)
    kafka.remove_before(2, 0)
    lake.follow(source=kafka.source)  # bronze holds what is gone
    shutil.rmtree(lake.store.path(departure_events))

    with pytest.raises(MessagesGone) as refused:
        lake.follow(source=kafka.source)
    assert refused.value.gaps == {0: (0, 1)}

    lake.follow(source=kafka.source, accept_loss=["bronze.departure_events"])
    lake.follow(source=kafka.source)
    lake.check([message for message in sent if message["partition"] or message["offset"] > 1])


@pytest.mark.soak
def test_messages_that_retention_removes_under_streams_that_run_end_them(lake: Lake, kafka: Kafka) -> None:
    """Retention passes a reader that waits: somebody else holds bronze while a micro-batch was planned, not read."""
    messages = Messages()
    sent = [left(messages, 1, 1)]
    partition = sent[0]["partition"]
    kafka.send(sent)

    def follow_while_retention_passes() -> None:
        with lake.following(source=kafka.source, since=JAN_1) as running:
            running.until_read(lake, departures, 1)
            planned = len(micro_batches_planned(lake))
            with lake.store.lock(departure_events.full_name):
                sent.extend(until_in_partition(messages, partition, 4))
                kafka.send(sent[1:])
                running.until(lambda: len(micro_batches_planned(lake)) > planned, "a micro-batch waits for bronze")
                same = [message for message in sent if message["partition"] == partition]
                kafka.remove_before(same[3]["offset"], partition)
            running.until_ended()

    with pytest.raises(StreamBroken) as stopped:
        follow_while_retention_passes()
    assert stopped.value.table == departure_events.full_name
    assert f"({STREAM_RUNBOOK}, 'Messages are gone from the topic')" in str(stopped.value)
    lake.check(sent[:1])

    with pytest.raises(MessagesGone) as refused:
        lake.follow(source=kafka.source)
    assert refused.value.gaps == {partition: (1, 2)}
    lake.check(sent[:1])


def micro_batches_planned(lake: Lake) -> list[Path]:
    """The offsets that the query of bronze means to read, or has read, by micro-batch."""
    return list((lake.home / "checkpoints/bronze/departure_events").glob("*/offsets/[0-9]*"))


@pytest.mark.soak
def test_messages_that_retention_removed_and_the_archive_delivered_are_there(lake: Lake, kafka: Kafka) -> None:
    messages = Messages()
    sent = [left(messages, 1, 1)]
    kafka.send(sent)
    lake.follow(source=kafka.source, since=JAN_1)
    sent += [left(messages, 2, number) for number in range(2, 30)]
    kafka.send(sent[1:])
    for partition in range(PARTITIONS):
        kafka.remove_before(max(m["offset"] for m in sent if m["partition"] == partition), partition)
    with pytest.raises(MessagesGone):
        lake.follow(source=kafka.source)

    lake.land(sent, "archive.jsonl")
    lake.follow(new_generation=["bronze.departure_events"])  # from the archive ...
    lake.follow(new_generation=["bronze.departure_events"], source=kafka.source)  # ... and back to the topic
    lake.check_equals_batch(sent)


@pytest.mark.soak
def test_the_topic_and_its_archive_give_each_message_once_in_both_orders(lake: Lake, kafka: Kafka) -> None:
    """Messages of a landing day that batch owns, met by the stream long after its first micro-batch."""
    messages = Messages()
    old = [left(messages, 1, number) for number in range(1, 9)]  # landed the day before streams took over
    lake.land(old, "first.jsonl")
    refresh(departure_events, lake.store, Days.of(JAN_1))
    new = [left(messages, 2, number) for number in range(11, 19)]
    kafka.send([*old, *new])
    lake.follow(source=kafka.source, since=JAN_2)
    assert offsets_held(lake) == 16

    # A producer was slow: its messages say that they are of the day before. The archive has some, and batch loads them.
    slow = [left(messages, 1, number) for number in range(21, 37)]
    lake.land(slow[:8], "slow.jsonl")
    refresh(departure_events, lake.store, Days.of(JAN_1))
    assert offsets_held(lake) == 24
    kafka.send(slow)
    lake.follow(source=kafka.source)  # the stream meets all, among them eight that are there
    lake.check([*old, *new, *slow])
    lake.land(slow[8:], "more.jsonl")
    refresh(departure_events, lake.store, Days.of(JAN_1))  # and batch eight that came from the stream
    lake.check_equals_batch([*old, *new, *slow])


@pytest.mark.soak
def test_an_archive_that_numbers_messages_otherwise_is_refused_before_one_is_lost(lake: Lake, kafka: Kafka) -> None:
    archived, sent = Messages(), Messages()
    lake.land([left(archived, 1, number) for number in range(1, 9)], "archive.jsonl")
    refresh(departure_events, lake.store, Days.of(JAN_1))
    before = lake.rows(departure_events)
    kafka.send([left(sent, 1, number) for number in range(8, 0, -1)])

    with pytest.raises(OtherMessage):
        lake.follow(source=kafka.source, since=JAN_1)
    assert lake.rows(departure_events) == before


# Messages


@pytest.mark.soak
def test_bytes_that_are_no_text_are_kept_readable_and_end_in_quarantine(lake: Lake, kafka: Kafka) -> None:
    messages = Messages()
    poison = [b"\xff\xfe\x00\x80", b"\xc3\x28", b"\x00" * 64, b"", None, b'{"carrier":"\xed\xa0\x80"}', b"x" * 900_000]
    sent = [left(messages, 1, 1), *(messages.broken(TOPIC, None, at(1, 9, 5)) | {"value": value} for value in poison)]
    sent.append(left(messages, 1, 2))
    kafka.send(sent)
    lake.follow(source=kafka.source, since=JAN_1)
    assert flights(lake) == [1, 2]
    assert len(quarantined(lake.store, departures)) == len(poison)
    values = DeltaTable(lake.store.path(departure_events)).to_pyarrow_table().column("value").to_pylist()
    assert "\ufffd(" in values
    json.dumps(values)
    lake.check(sent)
