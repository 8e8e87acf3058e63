"""Send the messages of a replay to Kafka, in real time or faster."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from confluent_kafka import KafkaError, Producer
from confluent_kafka import Message as Delivered
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from airline.replay import messages
from airline.replay.landing import LandingFolder
from airline.replay.topics import PARTITIONS, TOPICS, Message
from lake.commands.brokers import NotDeliveredError, create_topics
from lake.declare.days import Days, utc_day
from lake.project.settings import Settings
from lake.stream.kafka import KafkaCluster

__all__ = ["clocked", "produce", "produce_with_progress"]

OnDelivery = Callable[[KafkaError | None, Delivered], None]

_DELIVERED_WITHIN_SECONDS = 120.0
_SHOWN_EVERY = 20
_CLOCK_TICKS = timedelta(minutes=1)


def produce(sent: Iterable[Message], cluster: KafkaCluster) -> Iterator[Message]:
    """Send messages in their order, each once, and yield each.

    A message goes to the partition and with the timestamp that it says. Its offset is the broker's. When the iterator
    is exhausted the broker has taken everything.

    Raises:
        NotDeliveredError: the broker did not take a message.
    """
    failed: list[KafkaError] = []

    def on_delivery(error: KafkaError | None, _message: Delivered) -> None:
        if error is not None:
            failed.append(error)

    conf = {**cluster.for_librdkafka(), "enable.idempotence": True, "linger.ms": 5, "log_level": 0}
    producer = Producer(conf)
    for message in sent:
        _send(producer, message, on_delivery)
        if failed:
            break
        yield message
    left = producer.flush(_DELIVERED_WITHIN_SECONDS)
    if failed or left:
        reason = failed[0].str() if failed else f"{left:,} messages were not taken in time"
        raise NotDeliveredError(cluster.bootstrap_servers, reason)


def _send(producer: Producer, message: Message, on_delivery: OnDelivery) -> None:
    while True:
        try:
            producer.produce(
                message.topic,
                message.value.encode(),
                message.key.encode(),
                message.partition,
                on_delivery=on_delivery,
                timestamp=int(message.timestamp.timestamp() * 1000),
            )
        except BufferError:
            producer.poll(0.1)
        else:
            producer.poll(0)
            return


def paced(sent: Iterable[Message], speed: float | None) -> Iterator[Message]:
    """Give each message when its time has come.

    `speed` times as fast as they were sent; None does not wait.
    """
    started, first = time.monotonic(), None
    for message in sent:
        first = first or message.timestamp
        if speed:
            due = started + (message.timestamp - first).total_seconds() / speed
            time.sleep(max(0.0, due - time.monotonic()))
        yield message


def clocked(sent: Iterable[Message], landing: LandingFolder) -> Iterator[Message]:
    """Set the clock of a landing folder before each message is sent.

    It shows the time of the message, to the minute.
    """
    shown: datetime | None = None
    for message in sent:
        if shown is None or message.timestamp - shown >= _CLOCK_TICKS:
            shown = landing.advance_clock(message.timestamp)
        yield message


def produce_with_progress(
    console: Console,
    address: str,
    days: Days | None,
    source: Path | None,
    *,
    late: float,
    duplicates: float,
    malformed: float,
    seed: int,
    speed: float | None,
) -> int:
    """Send the messages that `replay` would land, and return how many.

    The clock of the landing folder goes with them, as in a replay to files: the lake's time is theirs. Login and
    certificate are those of LAKEHOUSE_KAFKA_USERNAME, _PASSWORD and _CA_FILE.

    Raises:
        NotDeliveredError: the broker did not take a message.
    """
    settings = Settings.from_env()
    cluster = replace(settings.kafka or KafkaCluster(address), bootstrap_servers=address)
    create_topics(cluster, TOPICS, PARTITIONS)
    sent = messages(None, days, source, late, duplicates, malformed, seed)
    columns = (TextColumn("to Kafka {task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    settings.make_folders()
    landing = LandingFolder(settings.landing.root)
    count = 0
    day: date | None = None
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=len(days) if days else None)
        for count, message in enumerate(produce(clocked(paced(sent, speed), landing), cluster), start=1):
            day = utc_day(message.timestamp)
            if count % _SHOWN_EVERY == 0:
                bar.update(task, completed=_days_since(days, message), description=_told(message, count))
    if day is not None:
        landing.advance_clock(day)
    return count


def _days_since(days: Days | None, message: Message) -> float | None:
    """Return how far a message is into the days asked for.

    In days and parts of days.
    """
    if days is None:
        return None
    return (message.timestamp - datetime.combine(days.start, datetime.min.time(), UTC)) / timedelta(days=1)


def _told(message: Message, count: int) -> str:
    return f"{message.timestamp:%Y-%m-%d %H:%M}, {count:,} messages"
