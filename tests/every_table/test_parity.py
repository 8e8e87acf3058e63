"""Stream of the open days, then seal and repair = batch, for every table that streams.

One run holds many independent worlds, each with its own airports and flight numbers, so that fifty seeds cost one set
of queries. Each world is a set of messages that are out of order, duplicate, contradictory, late within the lateness
and beyond it, broken or from the future, with events on the exact edges of hours and days. They land in several
portions, and each portion is read by queries that start anew, while batch settles what was sealed.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from lake.days import Days
from tests.streaming import FOLLOWED, Lake, Message, Messages, at

pytestmark = [pytest.mark.soak, pytest.mark.spark, pytest.mark.slow]

WORLDS, PORTIONS = 50, 3
FIRST, LAST_FLIGHT_DAY, AFTER = date(2013, 1, 1), 6, date(2013, 1, 16)
CONTRADICTIONS: list[dict[str, str | None]] = [
    {}, {}, {"tail_number": "N99999"}, {"tail_number": None}, {"dest": None},
]  # fmt: skip
EDGES = [(0, 0, 0), (8, 59, 59), (9, 0, 0), (23, 59, 59), (12, 30, 0), (12, 31, 0)]


class World:
    """The messages of one seed. Its airports and flight numbers are its own; the offsets are everybody's."""

    def __init__(self, number: int, seed: int, messages: Messages) -> None:
        self.number, self.random, self.messages = number, random.Random(seed), messages
        letters = chr(65 + number // 26) + chr(65 + number % 26)
        self.origin, self.dest = f"A{letters}", f"Z{letters}"

    def sent(self) -> Iterator[Message]:
        for flight in range(1, self.random.randint(3, 9)):
            yield from self.flight(self.number * 10 + flight)
        if self.random.random() < 0.3:
            yield from self.burst()
        for _ in range(self.random.randint(0, 2)):
            topic = self.random.choice(["departures", "arrivals"])
            yield self.messages.broken(topic, self.random.choice(["{nope", "[]", None, "{}"]), self.moment())

    def flight(self, number: int) -> Iterator[Message]:
        left = self.moment()
        flight_date = (left - timedelta(days=self.random.choice([0, 0, 0, 1]))).date()
        scheduled = left - timedelta(minutes=self.random.choice([-5, 0, 14, 15, 29, 30, 31, 200]))
        others = {"origin": self.origin, "dest": self.dest}
        departure = self.messages.departure(
            flight_date, number, scheduled=scheduled, left=left, sent=self.delivered(left), **others
        )
        yield from self.repeated(departure)
        if self.random.random() < 0.8:
            flown = self.random.choice([timedelta(hours=2), timedelta(minutes=59), timedelta(hours=24)])
            reached = left + flown + timedelta(seconds=self.random.choice([0, 0, 1]))
            arrival = self.messages.arrival(
                flight_date, number, scheduled=reached - timedelta(minutes=self.random.choice([0, 20])),
                reached=reached, sent=self.delivered(reached), **others,
            )  # fmt: skip
            yield from self.repeated(arrival)

    def burst(self) -> Iterator[Message]:
        """Four to six departures of one hour, 30 minutes late give or take one: an alert or nearly one."""
        hour = at(self.random.randint(1, LAST_FLIGHT_DAY), 14)
        for number in range(self.random.randint(4, 6)):
            left = hour + timedelta(minutes=self.random.choice([0, 10, 59]))
            scheduled = left - timedelta(minutes=self.random.choice([29, 30, 30, 30, 31]))
            yield self.messages.departure(
                left.date(), 1000 + self.number * 10 + number, scheduled=scheduled, left=left,
                sent=self.delivered(left), origin=self.origin, dest=self.dest,
            )  # fmt: skip

    def repeated(self, message: Message) -> Iterator[Message]:
        yield message
        for _ in range(self.random.choice([0, 0, 0, 1, 2])):
            sent = datetime.fromisoformat(message["timestamp"]) + timedelta(hours=self.random.choice([0, 1, 30]))
            yield self.messages.again(message, sent, **self.random.choice(CONTRADICTIONS))

    def moment(self) -> datetime:
        return at(self.random.randint(1, LAST_FLIGHT_DAY), *self.random.choice(EDGES))

    def delivered(self, happened: datetime) -> datetime:
        """Soon, late but within the lateness, days later, or before it happened."""
        return happened + self.random.choice(
            [timedelta(seconds=20)] * 6
            + [timedelta(hours=2, minutes=59), timedelta(hours=20), timedelta(days=3), timedelta(seconds=-1)]
        )


def heartbeat(messages: Messages) -> list[Message]:
    """Both feeds much later: whatever came before is over."""
    later = at(20, 12)
    sent = later + timedelta(seconds=20)
    return [
        messages.departure(date(2013, 1, 20), 9999, scheduled=later, left=later, sent=sent),
        messages.arrival(date(2013, 1, 20), 9999, scheduled=later, reached=later, sent=sent),
    ]


def portions(sent: list[Message], seed: int) -> list[list[Message]]:
    """The messages as they are delivered, cut at random places."""
    ordered = sorted(sent, key=lambda message: (message["timestamp"], message["offset"]))
    cuts = sorted(random.Random(seed).sample(range(1, len(ordered)), PORTIONS - 1))
    return [ordered[start:end] for start, end in zip([0, *cuts], [*cuts, len(ordered)], strict=True)]


@settings(
    max_examples=1, phases=[Phase.explicit, Phase.generate], derandomize=True, deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
@given(seed=st.integers(min_value=1, max_value=2**31))
def test_stream_then_seal_and_repair_equals_batch(
    spark: SparkSession, tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    messages = Messages()
    sent = [m for number in range(WORLDS) for m in World(number, seed + number, messages).sent()]
    streamed = Lake(tmp_path_factory.mktemp("streamed"), lambda: spark)
    for number, portion in enumerate(portions(sent, seed)):
        streamed.land(portion, f"{number}.jsonl")
        streamed.follow(since=FIRST)
        if number == 0:
            streamed.settle(FIRST)
    streamed.land(heartbeat(messages), "heartbeat.jsonl")
    state = streamed.follow().frontier
    streamed.settle(date(2012, 12, 30))

    over = max(m["timestamp"] for m in sent)[:10]
    assert str(state.first_open) > over
    whole = batch(tmp_path_factory.mktemp("whole"), spark, sent, [Days.between(date(2012, 12, 30), AFTER)])
    for table in FOLLOWED:
        before = AFTER if table.layer == "bronze" else min(state.first_open_day(table) or AFTER, AFTER)
        expected = whole.rows(table, before)
        assert expected, f"{table.full_name}: this seed shows nothing"
        assert streamed.rows(table, before) == expected, f"{table.full_name}: stream, seal and repair differ from batch"
        if table.layer != "gold":
            assert streamed.rejects(table, before) == whole.rejects(table, before), f"{table.full_name}: rejects"


def batch(folder: Path, spark: SparkSession, sent: list[Message], ranges: list[Days]) -> Lake:
    lake = Lake(folder, lambda: spark)
    lake.land(sorted(sent, key=lambda m: (m["timestamp"], m["offset"])), "all.jsonl")
    for days in ranges:
        lake.refresh(days)
    return lake
