"""`lakehouse follow` that reads a real Kafka is killed around its appends: bronze holds every message exactly once.

A broker gives each offset once to a checkpoint, so bronze appends without looking: that nothing is there twice after a
crash is the work of the transaction ids alone.
"""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import date
from itertools import count
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from lakehouse_assets.bronze.departure_events import departure_events
from lakehouse_assets.silver.departures import departures
from tests.following import LOG
from tests.kafka import Kafka
from tests.streaming import Lake, Message, Messages, at

pytestmark = [pytest.mark.spark, pytest.mark.slow, pytest.mark.faults, pytest.mark.timeout(1800)]

SILVER = departures.full_name
KILLED_AT = [
    "after_commit",  # the first of all, which inserts by key
    "before_write:3",
    "after_files:3",
    "after_commit:3",
    "before_checkpoint:3",
    "before_write",
    "after_files",
    "after_commit",
    "before_checkpoint",
]
"""Around bronze. The first micro-batch of a process is written by Spark; the next ones, small, by this process."""
BETWEEN_TWO_COMMITS = ["after_commit:5", "after_commit:6", "before_checkpoint:3", "after_commit:1", "after_commit:2"]
"""As above, while messages of a landing day that batch owns, which are inserted by key, are among the others."""


@pytest.fixture
def lake(session: Callable[[], SparkSession], tmp_path: Path) -> Lake:
    return Lake(tmp_path / "home", session, [departure_events, departures])


def moments(messages: Messages, *, slow: bool = False) -> Iterator[list[Message]]:
    """What is sent in one of many moments: two departures, one again, one broken; and one with an older timestamp."""
    for number in count():
        sent = at(2, 8 + number // 60, number % 60)
        both = [
            messages.departure(date(2013, 1, 2), 2 * number + n, scheduled=sent, left=sent, sent=sent) for n in (0, 1)
        ]
        found = [*both, messages.again(both[0], sent), messages.broken("departures", "{nope", sent)]
        if slow:
            yesterday = at(1, 8 + number // 60, number % 60)
            old = {"scheduled": yesterday, "left": yesterday, "sent": yesterday}
            found.append(messages.departure(date(2013, 1, 1), 1 + number, **old))
        yield found


def feed_until_killed(
    lake: Lake, kafka: Kafka, process: subprocess.Popen[bytes], more: Iterator[list[Message]]
) -> list[Message]:
    """Send messages, a few at a time, until the process is gone; returns them."""
    sent: list[Message] = []
    deadline = time.monotonic() + 240
    while process.poll() is None:
        assert time.monotonic() < deadline, (lake.home / LOG).read_text()[-3000:]
        landed = next(more)
        kafka.send(landed)
        sent += landed
        time.sleep(1)
    return sent


def kill_at_each(lake: Lake, kafka: Kafka, points: list[str], more: Iterator[list[Message]]) -> list[Message]:
    """Start the command again and again, each time to be killed at the next of these points around bronze."""
    sent: list[Message] = []
    for point in points:
        name, _, passes = point.partition(":")
        armed = f"{name}@{departure_events.full_name}:{passes or 1}"
        with kafka.follower(lake.home, SILVER, "--since", "2013-01-02", failpoint=armed) as process:
            sent += feed_until_killed(lake, kafka, process, more)
        log = (lake.home / LOG).read_text()
        assert process.returncode == -signal.SIGKILL, f"{point}: not killed\n{log[-3000:]}"
    return sent


def go_on_to_the_end(lake: Lake, kafka: Kafka, sent: list[Message], more: Iterator[list[Message]]) -> None:
    """Send once more and follow until all is read; the lake equals one of batch."""
    last = next(more)
    kafka.send(last)
    lake.follow(source=kafka.source)

    lake.check_equals_batch([*sent, *last])


def small_appends(lake: Lake) -> int:
    """How many commits of bronze were made without Spark."""
    log = lake.store.table_log(departure_events)
    commits = [log.commit(version) for version in range((log.version() or 0) + 1)]
    folder = Path(lake.store.path(departure_events)) / "_delta_log"
    streamed = [commit.version for commit in commits if commit is not None and "follow" in commit.metadata]
    # Spark names the codec in the names of its files.
    return sum(".snappy" not in (folder / f"{version:020d}.json").read_text() for version in streamed)


@pytest.mark.streams
def test_killed_behind_the_commit_of_a_small_append_no_message_is_there_twice(lake: Lake, kafka: Kafka) -> None:
    more = moments(Messages())
    sent = kill_at_each(lake, kafka, ["after_commit:3"], more)
    assert small_appends(lake) == 2

    go_on_to_the_end(lake, kafka, sent, more)


@pytest.mark.soak
def test_killed_at_any_point_around_appends_the_lake_equals_batch(lake: Lake, kafka: Kafka) -> None:
    more = moments(Messages())
    sent = kill_at_each(lake, kafka, KILLED_AT, more)
    assert small_appends(lake) >= 7

    go_on_to_the_end(lake, kafka, sent, more)


@pytest.mark.soak
def test_killed_between_the_two_commits_of_a_micro_batch_the_lake_equals_batch(lake: Lake, kafka: Kafka) -> None:
    """A message of a landing day before the streams' first is inserted by key, in a commit of its own."""
    messages = Messages()
    sent = kill_at_each(lake, kafka, ["before_checkpoint"], moments(messages))
    more = moments(messages, slow=True)
    sent += kill_at_each(lake, kafka, BETWEEN_TWO_COMMITS, more)

    go_on_to_the_end(lake, kafka, sent, more)
