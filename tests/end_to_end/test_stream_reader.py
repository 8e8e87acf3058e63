"""Somebody who reads gold all the time sees whole commits only."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable
from pyspark.sql import SparkSession

from lake.commands.query import connect
from lake.testing.lakes import interpreted
from lakehouse_assets.bronze.arrival_events import arrival_events
from lakehouse_assets.bronze.departure_events import departure_events
from lakehouse_assets.gold.hourly_airport_performance import hourly_airport_performance
from lakehouse_assets.silver.arrivals import arrivals
from lakehouse_assets.silver.departures import departures
from tests.streaming import Lake, Message, Messages, at

pytestmark = [pytest.mark.streams, pytest.mark.spark, pytest.mark.slow, pytest.mark.faults]

JAN_1 = date(2013, 1, 1)
TABLES = [departure_events, arrival_events, departures, arrivals, hourly_airport_performance]
MINUTES = 4
AIRPORTS = [f"A{letter}A" for letter in "BCDEFGHIJKLM"]
"""A row of gold each, which every micro-batch of gold replaces: half of a commit would show."""


@pytest.fixture
def lake(tmp_path: Path, spark: SparkSession) -> Iterator[Lake]:
    with interpreted(spark):
        yield Lake(tmp_path / "home", lambda: spark, list(TABLES))


@dataclass
class Reader:
    """Reads gold again and again until told to stop, by two engines that know nothing of Spark."""

    lake: Lake
    stop: threading.Event = field(default_factory=threading.Event)
    sums: list[int] = field(default_factory=list)
    problems: list[object] = field(default_factory=list)

    def run(self) -> None:
        while not self.stop.is_set():
            try:
                self.read_by_arrow()
                self.read_by_duckdb()
            except Exception as error:
                self.problems.append(error)

    def read_by_arrow(self) -> None:
        rows = DeltaTable(self.lake.store.path(hourly_airport_performance)).to_pyarrow_table().to_pylist()
        self.note([(row["airport"], row["hour_at"]) for row in rows], sum(row["departures"] for row in rows))

    def read_by_duckdb(self) -> None:
        with connect(self.lake.store, [hourly_airport_performance]) as sql:
            rows = sql.sql("SELECT airport, hour_at, departures FROM gold.hourly_airport_performance").fetchall()
        self.note([row[:2] for row in rows], sum(row[2] for row in rows))

    def note(self, keys: list[tuple[object, ...]], departed: int) -> None:
        if len(set(keys)) != len(keys):
            self.problems.append(Counter(keys).most_common(1))
        self.sums.append(departed)


def rows_of_every_version(lake: Lake) -> set[int]:
    """How many departures silver has held, version by version."""
    log, counts, held = lake.store.table_log(departures), {0}, 0
    for version in range((log.version() or 0) + 1):
        commit = log.commit(version)
        held += commit.rows if commit else 0
        counts.add(held)
    return counts


@contextmanager
def polled(lake: Lake) -> Iterator[Reader]:
    """Somebody reads gold as long as the block lasts, and in the end has seen nothing strange."""
    reader = Reader(lake)
    reading = threading.Thread(target=reader.run)
    reading.start()
    try:
        yield reader
    finally:
        reader.stop.set()
        reading.join()
    assert not reader.problems


def test_whoever_polls_gold_sees_only_what_some_version_of_silver_says(lake: Lake) -> None:
    messages, sent = Messages(), list[Message]()

    def leave(minute: int) -> None:
        """One flight of each airport; always in the same hour, so that gold's rows are replaced again and again."""
        moment, flight = at(1, 9, minute), 1 + minute
        for airport in AIRPORTS:
            sent.append(
                messages.departure(JAN_1, flight, scheduled=moment, left=moment, sent=at(1, 9, minute), origin=airport)
            )
        sent.append(messages.arrival(JAN_1, flight, scheduled=moment, reached=moment, sent=at(1, 9, minute)))
        lake.land(sent[-len(AIRPORTS) - 1 :], f"{minute}.jsonl")

    leave(0)
    lake.follow(since=JAN_1)
    with polled(lake) as reader, lake.following() as running:
        for minute in range(1, MINUTES):
            leave(minute)
            running.until_read(lake, departures, len(AIRPORTS) * (minute + 1))
        everything = MINUTES * len(AIRPORTS)
        running.until(lambda: reader.sums[-1:] == [everything], "the reader has seen everything")
    assert set(reader.sums) <= rows_of_every_version(lake), "half of a commit was seen"
    assert len(set(reader.sums)) > 2, "the reader saw gold grow"
    lake.follow()  # the reader waited for departures only
    lake.check_equals_batch(sent)


def test_whoever_polls_gold_sees_a_new_generation_and_a_repair_whole(lake: Lake) -> None:
    """Each of them replaces days: of their rows there are all or none."""
    messages, sent = Messages(), list[Message]()

    def leave(day: int, flight: int, sent_day: int) -> None:
        """One flight of each airport, which arrives at once, reported on some day."""
        moment, told = at(day, 9), at(sent_day, 9, flight)
        shared: dict[str, Any] = {"scheduled": moment, "sent": told}
        sent.extend(messages.departure(moment.date(), flight, left=moment, origin=one, **shared) for one in AIRPORTS)
        sent.append(messages.arrival(moment.date(), flight, reached=moment, **shared))
        lake.land(sent[-len(AIRPORTS) - 1 :], f"{flight}.jsonl")

    def until_seen(times: int) -> None:
        deadline = time.monotonic() + 60
        while reader.sums[-1:] != [times * len(AIRPORTS)]:
            assert time.monotonic() < deadline, reader.sums[-1:]
            time.sleep(0.05)

    leave(1, 1, sent_day=1)
    lake.follow(since=JAN_1)
    with polled(lake) as reader:
        until_seen(1)
        lake.follow(new_generation=[hourly_airport_performance.full_name])
        leave(2, 2, sent_day=2)
        lake.follow()  # seals the first day
        until_seen(2)
        leave(1, 3, sent_day=2)
        lake.follow()
        until_seen(2)
        lake.settle(JAN_1)
        until_seen(3)
    assert set(reader.sums) == {times * len(AIRPORTS) for times in (1, 2, 3)}
    lake.check_equals_batch(sent)
