"""Times that a producer made up: they end in quarantine, seal nothing, and every other message goes its way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.admin._resource import ResourceType
from pyspark.sql import SparkSession

from lake.declare.days import Days
from lake.declare.table import Table
from lake.declare.topic_source import Place
from lake.errors import StreamBroken
from lake.ownership.passed_over import PassedOver
from lake.ownership.reopening import is_ahead, reopen
from lake.stream.progress import micro_batches
from lake.testing.lakes import interpreted
from lakehouse_assets.bronze.arrival_events import arrival_events
from lakehouse_assets.bronze.departure_events import departure_events
from lakehouse_assets.gold.hourly_airport_performance import hourly_airport_performance
from lakehouse_assets.silver.arrivals import arrivals
from lakehouse_assets.silver.departures import departures
from tests.kafka import Kafka
from tests.streaming import Lake, Message, Messages, at

pytestmark = [pytest.mark.streams, pytest.mark.spark, pytest.mark.slow]

TABLES = [departure_events, arrival_events, departures, arrivals, hourly_airport_performance]
CALENDAR = Days.parse("2012-12-31..2030-12-31")
TEN_YEARS = timedelta(days=3652)


@pytest.fixture
def lake(spark: SparkSession, tmp_path: Path) -> Iterator[Lake]:
    with interpreted(spark):
        yield Lake(tmp_path, lambda: spark, TABLES)


def flown(messages: Messages, number: int, left: datetime) -> list[Message]:
    """A departure and an arrival two hours later, reported a minute after."""
    times = {"scheduled": left, "sent": left + timedelta(hours=2, minutes=1)}
    return [
        messages.departure(left.date(), number, left=left, **times),
        messages.arrival(left.date(), number, reached=left + timedelta(hours=2), **times),
    ]


def numbers(lake: Lake, table: Table) -> list[int]:
    return sorted(row["flight"] for row in lake.store.read(table).select("flight").collect())


def movements(lake: Lake) -> int:
    hours = lake.store.read(hourly_airport_performance).collect()
    return sum(row["departures"] + row["arrivals"] for row in hours)


def rejected(lake: Lake, table: Table) -> dict[str, list[str]]:
    """The rules that the quarantine names, by the day under which it files a row."""
    return {str(row["day"]): row["rules"] for row in lake.store.read_quarantine(table).collect()}


def check_counts(lake: Lake) -> None:
    """What went in came out, table by table, and bronze and its quarantine hold what was read."""
    totals: Counter[str] = Counter()
    for receipt in micro_batches(lake.store):
        counts = receipt.counts
        assert counts.rows_in == counts.rows_out + counts.rejected + counts.duplicates
        totals[receipt.table] += counts.rejected
    for table in lake.tables:
        assert lake.store.read_quarantine(table).count() == totals[table.full_name]


def test_a_message_of_each_feed_ten_years_ahead_seals_nothing_and_stops_nothing(lake: Lake) -> None:
    """In a folder of its own day, and beside others in a folder of today: an archive may put it anywhere."""
    messages = Messages()
    now = at(2, 12)
    first = [*flown(messages, 1, at(1, 9)), *flown(messages, 2, at(2, 9))]
    ahead = flown(messages, 66, at(2, 9) + TEN_YEARS)
    lake.land([*first, *ahead], "a.jsonl")
    state = lake.follow(since=date(2013, 1, 1), now=lambda: now, calendar=CALENDAR).frontier
    assert (state.first_open, state.stream_from) == (date(2013, 1, 2), date(2013, 1, 1))
    for bronze in (departure_events, arrival_events):
        assert rejected(lake, bronze) == {"2013-01-02": ["timestamp:not_after_clock"]}
        assert lake.store.table_log(bronze).days("landed_on") == {date(2013, 1, 1), date(2013, 1, 2)}

    later = flown(messages, 3, at(2, 10))
    lake.land(later, "b.jsonl")
    assert lake.follow(now=lambda: at(2, 13), calendar=CALENDAR).frontier.first_open == date(2013, 1, 2)
    assert numbers(lake, departures) == numbers(lake, arrivals) == [1, 2, 3]
    assert movements(lake) == 6
    lake.check([*first, *later])
    check_counts(lake)


def test_a_lake_that_was_sealed_ten_years_ahead_is_opened_again(lake: Lake) -> None:
    """The clock of the lake itself was wrong for an hour, and believed a producer whose clock was too."""
    messages, wrong = Messages(), at(2, 12) + TEN_YEARS
    first = [*flown(messages, 1, at(2, 9)), *flown(messages, 66, at(2, 9) + TEN_YEARS)]
    lake.land(first, "a.jsonl")
    state = lake.follow(since=date(2013, 1, 1), now=lambda: wrong, calendar=CALENDAR).frontier
    assert state.first_open == at(2).date() + TEN_YEARS
    later = flown(messages, 2, at(2, 10))
    lake.land(later, "b.jsonl")
    state = lake.follow(now=lambda: at(2, 13), calendar=CALENDAR).frontier
    assert is_ahead(state, at(2, 13))
    assert numbers(lake, departures) == [1, 66]  # the later message is in bronze only

    reopen(lake.frontier, lake.tables, date(2013, 1, 2), at(2, 14))
    state = lake.follow(now=lambda: at(2, 14), calendar=CALENDAR).frontier

    assert (state.first_open, state.generations["silver.departures"]) == (date(2013, 1, 2), 3)
    assert numbers(lake, departures) == numbers(lake, arrivals) == [1, 2]
    assert movements(lake) == 4
    assert rejected(lake, departures) == {"2023-01-02": ["departed_at:not_after_clock"]}
    lake.check([*first, *later])
    more = flown(messages, 3, at(3, 10))
    lake.land(more, "c.jsonl")
    assert lake.follow(now=lambda: at(3, 13), calendar=CALENDAR).frontier.first_open == date(2013, 1, 3)
    assert movements(lake) == 6


def takes_any_time(kafka: Kafka, topic: str) -> None:
    """Let a topic take messages from the future; a broker refuses those of more than an hour ahead by itself."""
    setting, value = "message.timestamp.after.max.ms", str(2**63 - 1)
    any_time = ConfigEntry(setting, value, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[any_time])
    kafka.admin.incremental_alter_configs([resource])[resource].result(30)


def send(kafka: Kafka, messages: Iterable[tuple[Message, int]]) -> None:
    """Send each to the first partition of its topic, with this timestamp."""
    producer = Producer({**kafka.cluster.for_librdkafka(), "enable.idempotence": True, "log_level": 0})
    refused: list[object] = []
    for message, timestamp in messages:
        producer.produce(
            message["topic"], message["value"].encode(), b"k", 0, timestamp=timestamp,
            on_delivery=lambda error, _: refused.append(error) if error else None,
        )  # fmt: skip
    assert producer.flush(60) == 0
    assert refused == []


def sent_in_time(message: Message) -> tuple[Message, int]:
    return message, int(datetime.fromisoformat(message["timestamp"]).timestamp() * 1000)


def test_every_unit_of_time_that_a_producer_can_get_wrong_ends_in_quarantine_and_the_feed_goes_on(
    lake: Lake, kafka: Kafka
) -> None:
    kafka.create("arrivals")
    for topic in ("departures", "arrivals"):
        takes_any_time(kafka, topic)
    messages, options = Messages(), {"source": kafka.source, "now": lambda: at(2, 14), "calendar": CALENDAR}
    one, two, three, four = (flown(messages, number, at(2, 8 + number)) for number in (1, 2, 3, 4))
    wrong = flown(messages, 66, at(2, 11))
    milliseconds = sent_in_time(wrong[0])[1]
    ahead = int(TEN_YEARS.total_seconds() * 1000) + milliseconds
    send(kafka, map(sent_in_time, one))
    send(
        kafka, [(wrong[0], milliseconds // 1000), (wrong[0], milliseconds * 1000), (wrong[0], ahead), (wrong[1], ahead)]
    )
    send(kafka, map(sent_in_time, two))

    state = lake.follow(since=date(2013, 1, 1), **options).frontier

    assert (state.first_open, state.stream_from) == (date(2013, 1, 2), date(2013, 1, 1))
    not_now = "timestamp:not_after_clock"
    told = Counter({("landed_on:in_calendar",): 1, ("landed_on:in_calendar", not_now): 1, (not_now,): 1})
    assert quarantined(lake, departure_events) == told
    assert quarantined(lake, arrival_events) == Counter({(not_now,): 1})
    assert lake.store.table_log(departure_events).days("landed_on") == {date(2013, 1, 2)}
    assert numbers(lake, departures) == numbers(lake, arrivals) == [1, 2]

    send(kafka, [sent_in_time(three[0]), (wrong[0], milliseconds * 1_000_000), *map(sent_in_time, [*four, three[1]])])
    with pytest.raises(StreamBroken, match="--pass-over departures:0:6"):
        lake.follow(**options)

    lake.follow(passing=[Place("departures", 0, 6)], **options)

    assert numbers(lake, departures) == numbers(lake, arrivals) == [1, 2, 3, 4]
    assert movements(lake) == 8
    told[("timestamp:not_null", "days_off_landing:not_null")] = 1
    assert quarantined(lake, departure_events) == told
    (passed,) = PassedOver(lake.store).all()
    assert (passed.timestamp, passed.value) == (milliseconds * 1_000_000, wrong[0]["value"])

    lake.follow(new_generation=["bronze.departure_events"], **options)
    assert quarantined(lake, departure_events) == told
    assert lake.store.read(departure_events).count() == 4
    assert quarantined(lake, arrival_events) == Counter({(not_now,): 1})


def quarantined(lake: Lake, table: Table) -> Counter[tuple[str, ...]]:
    """How many rows broke which rules, all filed under the clock's day with their raw message."""
    rows = lake.store.read_quarantine(table).collect()
    assert all("departed_at" in row["raw"] or "arrived_at" in row["raw"] for row in rows)
    assert {str(row["day"]) for row in rows if "timestamp:not_null" not in row["rules"]} == {"2013-01-02"}
    return Counter(tuple(row["rules"]) for row in rows)
