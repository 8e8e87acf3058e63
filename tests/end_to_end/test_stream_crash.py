"""Streams that are killed at named points of the write path, again and again, lose nothing and double nothing.

Each victim is a process of its own with its own JVM; it is killed with SIGKILL and its successor goes on in the same
lake.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from lake.days import Days
from lake.failpoints import VARIABLE
from lakehouse_assets.bronze.departure_events import departure_events
from lakehouse_assets.gold.delay_alerts import delay_alerts
from lakehouse_assets.silver.departures import departures
from tests.streaming import Lake, Message, Messages, at, multiset

pytestmark = [pytest.mark.soak, pytest.mark.spark, pytest.mark.slow, pytest.mark.faults, pytest.mark.timeout(1800)]

ROOT = Path(__file__).parents[2]
TABLES = [departure_events, departures, delay_alerts]

VICTIM = """
import sys
from pathlib import Path
from lake.session import build_session
from tests.streaming import Lake
from tests.end_to_end.test_stream_crash import TABLES
session = lambda: build_session(app_name="victim", master="local[2]")
Lake(Path(sys.argv[1]), session, list(TABLES)).follow()
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
SEALING = ["after_claim", "after_closing", "before_sealing", "after_sealing"]


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


def run_victim(home: Path, failpoint: str | None) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"TZ": "UTC", "PYTHONPATH": str(ROOT)} | ({VARIABLE: failpoint} if failpoint else {})
    command = [sys.executable, "-c", VICTIM, str(home)]
    return subprocess.run(command, env=environment, cwd=home, capture_output=True, text=True, timeout=900)


@pytest.mark.parametrize("points", [WRITING, SEALING], ids=["around writes", "around claims and seals"])
def test_killed_at_any_point_the_lake_equals_batch(
    tmp_path: Path, request: pytest.FixtureRequest, points: list[str]
) -> None:
    def session() -> SparkSession:
        """Only when the victims are dead: two JVMs at once are one too many for a small machine."""
        found: SparkSession = request.getfixturevalue("spark")
        return found

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

    lake.settle(date(2012, 12, 30))
    whole = Lake(tmp_path / "batch", session, list(TABLES))
    whole.land(sent, "all.jsonl")
    whole.refresh(Days.between(date(2012, 12, 30), date(2013, 1, 31)))
    for table in TABLES:
        first_open = state.first_open_day(table) if table.layer != "bronze" else None
        assert lake.rows(table, first_open) == whole.rows(table, first_open), table.full_name
    rejects = multiset(whole.store.read_quarantine(departures).collect())
    assert lake.rejects(departures) == rejects
