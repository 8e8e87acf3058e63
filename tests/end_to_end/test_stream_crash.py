"""Streams that are killed at named points of the write path, again and again, lose nothing and double nothing.

Each victim is a process of its own with its own JVM; it is killed with SIGKILL and its successor goes on in the same
lake.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from datetime import date, timedelta
from itertools import count
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from lake.declare.days import Days
from lake.declare.table import Table
from lake.engine.failpoints import VARIABLE
from lake.storage.commits import MERGE_MARK
from lakehouse_assets.bronze.arrival_events import arrival_events
from lakehouse_assets.bronze.departure_events import departure_events
from lakehouse_assets.gold.aircraft_last_seen import aircraft_last_seen
from lakehouse_assets.gold.delay_alerts import delay_alerts
from lakehouse_assets.gold.hourly_airport_performance import hourly_airport_performance
from lakehouse_assets.silver.arrivals import arrivals
from lakehouse_assets.silver.departures import departures
from lakehouse_assets.silver.flights import flights
from tests.following import logged
from tests.streaming import Lake, Message, Messages, at, multiset

pytestmark = [pytest.mark.spark, pytest.mark.slow, pytest.mark.faults, pytest.mark.timeout(1800)]

ROOT = Path(__file__).parents[2]
TABLES = [departure_events, departures, delay_alerts]
CURRENT = [departure_events, arrival_events, departures, arrivals, aircraft_last_seen]
"""A table of current rows, with all that leads to it."""
JAN_1 = date(2013, 1, 1)

VICTIM = """
import sys
from pathlib import Path
from lake.engine.session import build_session
from tests.streaming import Lake
from tests.end_to_end.test_stream_crash import TABLES
session = lambda: build_session(app_name="victim", master="local[2]")
Lake(Path(sys.argv[1]), session, list(TABLES)).follow()
"""

RUNNING = """
import sys
from pathlib import Path
from lake.engine.session import build_session
from lake.stream.follow import follow
from tests.streaming import Lake
session = lambda: build_session(app_name="victim", master="local[2]")
lake = Lake(Path(sys.argv[1]), session)
wanted = sys.argv[2:] or [table.full_name for table in lake.tables]
lake.tables = [table for table in lake.tables if table.full_name in wanted]
follow(lake.tables, lake.store, lake.frontier, home=lake.home)
"""

WRITING = [
    "before_write@silver.departures",
    "after_files@bronze.departure_events",
    "after_files@silver.departures",
    "after_commit@bronze.departure_events",
    "after_commit@silver.departures",
    "after_commit@quarantine.silver.departures",
    "before_checkpoint@gold.delay_alerts",
]
BETWEEN_SMALL_ONES = [
    "after_files@silver.departures:4",
    "after_commit@silver.departures:4",
    "after_files@gold.hourly_airport_performance:4",
    "after_commit@gold.hourly_airport_performance:4",
    "before_checkpoint@gold.hourly_airport_performance:4",
    "before_checkpoint@silver.flights:4",
    "after_commit@gold.aircraft_last_seen:4",
]
"""The first micro-batch of a process is written by Spark; the next, if small, by this process itself."""
SEALING = ["after_claim", "after_closing", "before_sealing", "after_sealing"]
AT_CURRENT_ROWS = [
    "after_files@gold.aircraft_last_seen:3",
    "after_commit@gold.aircraft_last_seen:3",
    "before_checkpoint@gold.aircraft_last_seen:3",
]
FEW = ["after_files@silver.departures", "after_commit@quarantine.silver.departures", "before_sealing"]


def portion(messages: Messages, day: int) -> list[Message]:
    """A day: six late departures of one hour (an alert), one on time, one broken, and one of the day before."""
    found = [messages.broken("departures", "{nope", at(day, 10))]
    for number in range(1, 8):
        left = at(day, 9, 40 + number)
        scheduled = at(day, 9, 5) if number < 7 else left
        sent = at(day, 9, 40 + number, 30)
        found.append(messages.departure(date(2013, 1, day), number, scheduled=scheduled, left=left, sent=sent))
    late = at(day, 0, 5)
    yesterday = at(day - 1, 22)
    found.append(messages.departure(yesterday.date(), 70 + day, scheduled=yesterday, left=yesterday, sent=late))
    return found


def environment(failpoint: str | None) -> dict[str, str]:
    return os.environ | {"TZ": "UTC", "PYTHONPATH": str(ROOT)} | ({VARIABLE: failpoint} if failpoint else {})


def run_victim(home: Path, failpoint: str | None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", VICTIM, str(home)]
    return subprocess.run(command, env=environment(failpoint), cwd=home, capture_output=True, text=True, timeout=900)


@pytest.mark.parametrize(
    "points",
    [
        pytest.param(FEW, id="at a few points", marks=pytest.mark.streams),
        pytest.param(WRITING, id="around writes", marks=pytest.mark.soak),
        pytest.param(SEALING, id="around claims and seals", marks=pytest.mark.soak),
    ],
)
def test_killed_at_any_point_the_lake_equals_batch(
    tmp_path: Path, session: Callable[[], SparkSession], points: list[str]
) -> None:
    messages, sent = Messages(), list[Message]()
    lake = Lake(tmp_path / "streamed", session, list(TABLES))
    lake.home.mkdir()
    for number, point in enumerate(points):
        more = portion(messages, 1 + number)
        sent += more
        lake.land(more, f"{number}.jsonl")
        victim = run_victim(lake.home, point)
        assert victim.returncode == -signal.SIGKILL, f"{point}: not killed\n{victim.stderr[-3000:]}"
    survivor = run_victim(lake.home, None)
    assert survivor.returncode == 0, survivor.stderr[-3000:]
    lake.check(sent)
    state = lake.frontier.state()
    assert state is not None
    assert state.closing is None

    lake.settle(date(2012, 12, 30))  # the sealed days; the open ones are as the streams have left them
    whole = Lake(tmp_path / "batch", session, list(TABLES))
    whole.land(sent, "all.jsonl")
    whole.refresh(Days.between(date(2012, 12, 30), date(2013, 1, 31)))
    for table in TABLES:
        assert lake.rows(table) == whole.rows(table), table.full_name
    rejects = multiset(whole.store.read_quarantine(departures).collect())
    assert lake.rejects(departures) == rejects


def minutes(messages: Messages, number: int) -> list[Message]:
    """What is reported in one of many moments: a departure, an arrival, one of the two again, something broken."""
    now = at(1, 8) + timedelta(minutes=5 * number)
    left, reached = now, now - timedelta(minutes=2)
    departed = messages.departure(JAN_1, 1 + number, scheduled=left - timedelta(minutes=31), left=left, sent=now)
    arrived = messages.arrival(
        JAN_1, max(1, number - 30), scheduled=reached - timedelta(minutes=number % 30), reached=reached, sent=now
    )
    return [departed, arrived, messages.again(departed, now), messages.broken("arrivals", "{nope", now)]


def victim(
    home: Path, failpoint: str | None, tables: Iterable[Table] = ()
) -> AbstractContextManager[subprocess.Popen[bytes]]:
    """Streams of some tables (all) that run in a process of their own until something kills it."""
    names = [table.full_name for table in tables]
    return logged(["-c", RUNNING, str(home), *names], environment(failpoint), home / "victim.log")


def feed_until_killed(lake: Lake, process: subprocess.Popen[bytes], more: Iterator[list[Message]]) -> list[Message]:
    """Let messages land, a few at a time, until the process is gone; returns them."""
    sent: list[Message] = []
    deadline = time.monotonic() + 240
    while process.poll() is None:
        assert time.monotonic() < deadline, (lake.home / "victim.log").read_text()[-3000:]
        landed = next(more)
        sent += landed
        lake.land(landed, f"{landed[0]['partition']}-{landed[0]['offset']}.jsonl")
        time.sleep(1.5)
    return sent


def kill_once_it_streams(lake: Lake, process: subprocess.Popen[bytes]) -> None:
    """Kill the driver alone, so that its JVM outlives it for a moment, when gold has seen two more micro-batches."""
    gold = lake.store.table_log(hourly_airport_performance)
    before = gold.version() or 0
    while process.poll() is None and (gold.version() or 0) < before + 3:
        time.sleep(0.3)
    process.kill()


def check_open_days(lake: Lake, sent: list[Message], whole: Lake) -> None:
    """What streams have written of open days equals batch, but for flights whose arrival may still come.

    Days that were sealed meanwhile are batch's; there are others.
    """
    state = lake.frontier.state()
    assert state is not None
    lake.settle(date(2012, 12, 1))
    whole.land(sent, "all.jsonl")
    whole.refresh(Days.between(date(2012, 12, 1), date(2013, 1, 31)))
    for table in lake.tables:
        if table is not flights:
            has_open = not table.day or lake.rows(table) != lake.rows(table, state.first_open)
            assert has_open, f"{table.full_name} has no open row"
            assert lake.rows(table) == whole.rows(table), table.full_name
            assert lake.rejects(table) == whole.rejects(table), f"quarantine of {table.full_name}"


@pytest.mark.soak
def test_killed_between_small_micro_batches_the_lake_equals_batch(
    tmp_path: Path, session: Callable[[], SparkSession]
) -> None:
    """As above while messages keep coming: all eight tables, those with state and the upserted ones among them."""
    messages, sent = Messages(), list[Message]()
    lake = Lake(tmp_path / "streamed", session)
    lake.home.mkdir()
    more = (minutes(messages, number) for number in count())
    for point in [*BETWEEN_SMALL_ONES, None]:
        with victim(lake.home, point) as process:
            if point is None:
                threading.Thread(target=kill_once_it_streams, args=(lake, process), daemon=True).start()
            sent += feed_until_killed(lake, process, more)
        log = (lake.home / "victim.log").read_text()
        assert process.returncode == -signal.SIGKILL, f"{point}: not killed\n{log[-3000:]}"
    for table in (departures, flights, hourly_airport_performance):
        commits = (Path(lake.store.path(table)) / "_delta_log").glob("*.json")
        texts = [commit.read_text() for commit in commits]
        # Spark names the codec in the names of its files.
        is_small = ['"add"' in text and ".snappy" not in text for text in texts]
        assert any(is_small), f"{table.full_name}: none was a small one"

    lake.follow()
    check_open_days(lake, sent, Lake(tmp_path / "in batch", session))

    later = messages.departure(date(2013, 1, 9), 1, scheduled=at(9, 9), left=at(9, 9), sent=at(9, 9))
    last = messages.arrival(date(2013, 1, 9), 1, scheduled=at(9, 12), reached=at(9, 12), sent=at(9, 12))
    lake.land([later, last], "last.jsonl")
    lake.follow()
    lake.check_equals_batch([*sent, later, last], early=[flights])


def moves(messages: Messages, number: int) -> list[Message]:
    """What five aircraft do in one of many moments: one leaves, one arrives, one did so days ago and is told late."""
    now, days_ago = at(3, 8) + timedelta(minutes=5 * number), timedelta(days=number % 3)
    others = [{"tail_number": f"N{(number + place) % 5}AA", "dest": f"AA{'ABCDE'[number % 5]}"} for place in range(3)]
    left, reached, late = now, now - timedelta(minutes=2), now - days_ago
    return [
        messages.departure(left.date(), 1 + number, scheduled=left, left=left, sent=now, **others[0]),
        messages.arrival(reached.date(), 1 + number, scheduled=reached, reached=reached, sent=now, **others[1]),
        messages.departure(late.date(), 2000 + number, scheduled=late, left=late, sent=now, **others[2]),
        messages.broken("departures", "{nope", now),
    ]


@pytest.mark.streams
def test_current_rows_of_streams_that_are_killed_equal_batch(
    tmp_path: Path, session: Callable[[], SparkSession]
) -> None:
    """Every stream dies at once, while a small micro-batch replaces rows by their keys, and at last at any moment."""
    messages, sent = Messages(), list[Message]()
    lake = Lake(tmp_path / "streamed", session, CURRENT)
    lake.home.mkdir()
    more = (moves(messages, number) for number in count())
    for point in AT_CURRENT_ROWS:
        with victim(lake.home, point, CURRENT) as process:
            sent += feed_until_killed(lake, process, more)
        log = (lake.home / "victim.log").read_text()
        assert process.returncode == -signal.SIGKILL, f"{point}: not killed\n{log[-3000:]}"
    log_of_rows = lake.store.table_log(aircraft_last_seen)
    commits = [log_of_rows.commit(version) for version in range((log_of_rows.version() or 0) + 1)]
    assert any(commit and commit.metadata.get(MERGE_MARK) for commit in commits), "none was a small one"

    lake.follow()
    lake.check(sent)
    check_open_days(lake, sent, Lake(tmp_path / "in batch", session, CURRENT))
