"""When a stream is stalled: literal statuses, frontiers and moments."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import lake.stream.stalled
from lake.declare.table import Table
from lake.ownership.frontier import Frontier, FrontierTable
from lake.storage.landing import Landing
from lake.storage.lease import Driver, lease, read_driver
from lake.stream.progress import StreamStatus, write_status
from lake.stream.stalled import Evidence, StreamWatch, judge_stream
from lake.write.store import DeltaStore
from tests.tiny_topics import call_events, calls, hourly_calls
from tests.tiny_topics import calls_feed as topic

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
CLOCK = datetime(2013, 1, 3, 12, 0, tzinfo=UTC)
TABLE = replace(calls, fresh_within=timedelta(hours=26))
OPEN = Frontier(date(2013, 1, 1), date(2013, 1, 2), claimed=frozenset({TABLE.full_name, hourly_calls.full_name}))
ALIVE = Driver(7, NOW - timedelta(hours=1), is_alive=True)
GONE = replace(ALIVE, is_alive=False)


def ago(**length: float) -> str:
    return (NOW - timedelta(**length)).isoformat()


def status(**said: Any) -> StreamStatus:
    """A stream of process 7 that moves, apart from `said`."""
    moving: dict[str, Any] = {"pid": 7, "batches": 5, "seen_at": ago(seconds=1), "last_batch_at": ago(seconds=9)}
    return StreamStatus(TABLE.full_name, **{**moving, **said})


def judged(
    said: StreamStatus | None = None,
    driver: Driver | None = ALIVE,
    frontier: Frontier | None = OPEN,
    *,
    table: Table = TABLE,
    waits: timedelta | None = None,
    knows_waiting: bool = True,
) -> str | None:
    found = Evidence(said, driver, NOW - waits if waits else None, knows_waiting)
    stall = judge_stream(table, frontier, found, now=NOW, clock=CLOCK)
    return str(stall) if stall else None


def test_a_stream_that_moves_or_rests_between_two_messages_is_not_stalled() -> None:
    assert judged(status()) is None
    assert judged(status(last_batch_at=ago(days=3), lag_messages=0)) is None
    assert judged(status(busy_since=ago(seconds=40), lag_messages=900, last_batch_at=ago(seconds=40))) is None


@pytest.mark.parametrize(
    ("frontier", "driver"),
    [(None, None), (replace(OPEN, claimed=frozenset()), None), (replace(OPEN, claimed=frozenset()), GONE)],
    ids=["never started", "released", "released after a crash"],
)
def test_where_streams_own_no_day_none_is_stalled(frontier: Frontier | None, driver: Driver | None) -> None:
    assert judged(status(state="failed", seen_at=ago(days=9)), driver, frontier) is None
    assert judged(None, driver, frontier) is None


@pytest.mark.parametrize(
    ("said", "driver", "expected"),
    [
        (
            status(state="failed", last_error="StreamBroken: no space left\nat java"),
            None,
            "failed: StreamBroken: no space left",
        ),
        (status(state="failed"), None, "failed: it says no more"),
        (status(seen_at=ago(seconds=119)), GONE, None),
        (status(seen_at=ago(seconds=121)), GONE, "dead: its process 7 has gone without ending it"),
        (status(seen_at=ago(seconds=120)), GONE, None),
        (status(seen_at=ago(seconds=120)), ALIVE, None),
        (status(seen_at="nonsense"), GONE, None),
        (status(seen_at=ago(minutes=3)), None, "dead: its process 7 has gone without ending it"),
        (status(seen_at=ago(minutes=3)), ALIVE, "silent: process 7 has said nothing for 3 min"),
        (None, None, "dead: streams own its days, and no process runs it"),
        (None, GONE, "dead: streams own its days, and no process runs it"),
    ],
)
def test_a_failed_a_dead_and_a_silent_stream(said: StreamStatus | None, driver: Driver, expected: str | None) -> None:
    assert judged(said, driver) == expected


@pytest.mark.parametrize("state", ["running", "stopped", "failed"])
def test_a_process_that_has_just_started_has_time_to_say_something(state: str) -> None:
    before = status(state=state, pid=6, seen_at=ago(days=1))
    young = Driver(7, NOW - timedelta(seconds=100), is_alive=True)

    assert judged(before, young) is None
    assert judged(None, young) is None
    assert judged(None, Driver(7, NOW - timedelta(minutes=2), is_alive=True)) is None
    expected = "silent: process 7, which runs streams, has not run this one for 60 min"
    assert judged(before, ALIVE) == expected


@pytest.mark.parametrize(
    ("said", "waits", "expected"),
    [
        (status(busy_since=ago(minutes=6)), None, "stuck: a micro-batch has not ended for 6 min"),
        (status(busy_since=ago(minutes=5)), None, None),
        (status(lag_messages=1200, last_batch_at=ago(minutes=5)), None, None),
        (status(), timedelta(minutes=5), None),
        (status(busy_since=ago(minutes=6), batches=0), None, None),
        (status(busy_since=ago(hours=27), batches=0), None, "stuck: a micro-batch has not ended for 27 h"),
        (
            status(lag_messages=1200, last_batch_at=ago(minutes=7)),
            None,
            "stuck: 1,200 messages wait, and it has read none for 7 min",
        ),
        (status(lag_messages=None, last_batch_at=ago(minutes=7)), None, None),
        (status(), timedelta(minutes=4), None),
        (status(), timedelta(minutes=6), "stuck: what has landed waits unread for 6 min"),
    ],
)
def test_a_stream_without_progress_while_something_waits(
    said: StreamStatus, waits: timedelta | None, expected: str | None
) -> None:
    assert judged(said, waits=waits) == expected


@pytest.mark.parametrize(
    ("watermark", "expected"),
    [
        ("2013-01-03T09:00:00.000Z", None),
        ("2013-01-02T07:00:00.000Z", None),
        ("2013-01-02T06:59:59.000Z", "behind: its watermark is 29 h old, of which 3 h are for late messages"),
        ("2012-12-31T06:00:00.000Z", "behind: its watermark is 3 days old, of which 3 h are for late messages"),
        ("1970-01-01T00:00:00.000Z", None),
        ("nonsense", None),
    ],
)
def test_a_watermark_is_judged_by_the_clock_of_the_environment(watermark: str, expected: str | None) -> None:
    table = replace(hourly_calls, fresh_within=timedelta(hours=26))

    assert judged(status(watermark=watermark), table=table) == expected


def test_what_is_no_watermark_is_not_old() -> None:
    assert judged(status(watermark="nonsense"), table=replace(hourly_calls, fresh_within=timedelta(0))) is None


def test_an_input_that_declares_no_lateness_has_none() -> None:
    said = status(watermark="2013-01-02T09:00:00.000Z")
    assert judged(said) == "behind: its watermark is 27 h old, of which 0 s are for late messages"


@pytest.mark.parametrize(
    ("waits", "said"),
    [
        (timedelta(seconds=119), "119 s"),
        (timedelta(seconds=120), "2 min"),
        (timedelta(seconds=7199), "119 min"),
        (timedelta(hours=2), "2 h"),
        (timedelta(seconds=72 * 3600 - 1), "71 h"),
        (timedelta(hours=72), "3 days"),
        (timedelta(days=100_000), "100000 days"),
    ],
)
def test_a_length_is_told_in_the_largest_unit_that_says_enough(waits: timedelta, said: str) -> None:
    impatient = replace(TABLE, fresh_within=timedelta(0))
    stall = judged(status(state="stopped"), None, table=impatient, waits=waits)
    assert stall == f"stopped: it was stopped, and what has landed since waits for {said}"


def test_a_topic_that_may_be_silent_is_idle_once_it_is_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    old = status(watermark="2012-12-01T00:00:00.000Z")
    assert judged(old, table=hourly_calls) == "behind: its watermark is 33 days old, of which 3 h are for late messages"

    silent = replace(topic, idle_after=timedelta(hours=6))
    monkeypatch.setattr(lake.stream.stalled, "topics_of", lambda table: [(call_events, silent)])
    assert judged(old, table=hourly_calls) is None
    assert judged(replace(old, lag_messages=3), table=hourly_calls) is not None
    assert judged(old, table=hourly_calls, waits=timedelta(minutes=1)) is not None


@pytest.mark.parametrize(
    ("rested", "waits", "knows", "expected"),
    [
        (timedelta(days=40), None, True, None),
        (timedelta(hours=30), timedelta(hours=25), True, None),
        (
            timedelta(hours=30),
            timedelta(hours=27),
            True,
            "stopped: it was stopped, and what has landed since waits for 27 h",
        ),
        (timedelta(hours=30), timedelta(hours=26), True, None),
        (timedelta(hours=26), None, False, None),
        (
            timedelta(hours=27),
            None,
            False,
            "stopped: it was stopped 27 h ago; nobody knows what its topic holds since",
        ),
    ],
)
def test_a_stream_that_was_stopped_or_drained_may_rest_while_nothing_waits_too_long(
    rested: timedelta, waits: timedelta | None, knows: bool, expected: str | None
) -> None:
    said = status(state="stopped", seen_at=(NOW - rested).isoformat())

    assert judged(said, None, waits=waits, knows_waiting=knows) == expected


# What is looked at


@pytest.fixture
def store(tmp_path: Path) -> DeltaStore:
    def no_session() -> Any:
        raise AssertionError("this needs no Spark session")

    return DeltaStore(str(tmp_path / "tables"), Landing(tmp_path / "landing"), tmp_path / "locks", no_session)


def land(store: DeltaStore, day: date, name: str, at: datetime, text: str = "{}\n") -> None:
    folder = store.landing.folder(topic, day)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)
    os.utime(folder / name, (at.timestamp(), at.timestamp()))


def committed(store: DeltaStore, table: Table, at: datetime) -> None:
    store.create(table)
    info = {"commitInfo": {"timestamp": int(at.timestamp() * 1000), "operation": "WRITE"}}
    (Path(store.path(table)) / "_delta_log" / f"{1:020d}.json").write_text(json.dumps(info))


def test_what_landed_after_the_newest_bronze_commit_waits_for_every_table_that_the_topic_leads_to(
    store: DeltaStore, tmp_path: Path
) -> None:
    FrontierTable(store).change(lambda _: OPEN, "test")
    land(store, date(2013, 1, 3), "read", NOW - timedelta(hours=3))
    land(store, date(2013, 1, 3), "empty", NOW - timedelta(hours=1), text="")
    land(store, date(2012, 12, 31), "for batch", NOW - timedelta(hours=1))
    committed(store, call_events, NOW - timedelta(hours=2))

    def waiting(*, from_files: bool = True) -> list[datetime | None]:
        watch = StreamWatch(store, tmp_path, from_files=from_files)
        return [watch.evidence(table).waiting_since for table in (call_events, calls, hourly_calls)]

    assert waiting() == [None, None, None]

    land(store, date(2013, 1, 3), "first", NOW - timedelta(minutes=50))
    land(store, date(2013, 1, 3), "second", NOW - timedelta(minutes=10))
    assert waiting() == [NOW - timedelta(minutes=50)] * 3
    watch = StreamWatch(store, tmp_path, from_files=True)
    assert [watch.count_waiting(table) for table in (call_events, calls)] == [2, None]
    assert waiting(from_files=False) == [None, None, None]
    knows = [
        StreamWatch(store, tmp_path, from_files=known).evidence(hourly_calls).knows_waiting for known in (True, False)
    ]
    assert knows == [True, False]


def test_where_no_stream_was_ever_started_nobody_counts_what_waits(store: DeltaStore, tmp_path: Path) -> None:
    land(store, date(2013, 1, 3), "first", NOW)
    watch = StreamWatch(store, tmp_path, from_files=True)
    assert watch.count_waiting(call_events) is None
    assert watch.evidence(call_events).waiting_since is None


def test_events_are_old_by_the_clock_of_the_lake_and_statuses_by_the_wall(store: DeltaStore, tmp_path: Path) -> None:
    FrontierTable(store).change(lambda _: OPEN, "test")
    said = StreamStatus(
        hourly_calls.full_name, pid=os.getpid(), seen_at=NOW.isoformat(), watermark="2013-01-01T12:00:00Z"
    )
    write_status(tmp_path / "streams", said)
    watch = StreamWatch(store, tmp_path, from_files=True)
    stall = watch.judge(replace(hourly_calls, fresh_within=timedelta(hours=26)), now=NOW, clock=CLOCK)
    assert str(stall) == "behind: its watermark is 48 h old, of which 3 h are for late messages"


def test_a_file_that_was_read_and_gave_no_commit_does_not_wait(store: DeltaStore, tmp_path: Path) -> None:
    """It was delivered twice, or holds nothing but broken lines."""
    FrontierTable(store).change(lambda _: OPEN, "test")
    committed(store, call_events, NOW - timedelta(hours=2))
    land(store, date(2013, 1, 3), "again", NOW - timedelta(minutes=50))
    read_at = (NOW - timedelta(minutes=49)).isoformat()
    write_status(tmp_path / "streams", StreamStatus(call_events.full_name, last_batch_at=read_at))

    def waiting() -> datetime | None:
        return StreamWatch(store, tmp_path, from_files=True).evidence(hourly_calls).waiting_since

    assert waiting() is None
    assert StreamWatch(store, tmp_path, from_files=True).count_waiting(call_events) == 0

    land(store, date(2013, 1, 3), "new", NOW - timedelta(minutes=10))
    assert waiting() == NOW - timedelta(minutes=10)


def test_what_cannot_be_unpacked_is_not_counted(store: DeltaStore, tmp_path: Path) -> None:
    """The stream fails at it and says so; who asks how it is doing shall not."""
    FrontierTable(store).change(lambda _: OPEN, "test")
    land(store, date(2013, 1, 3), "broken.jsonl.gz", NOW, "no gzip")

    assert StreamWatch(store, tmp_path, from_files=True).count_waiting(call_events) is None


def test_a_table_that_was_only_created_has_read_nothing(store: DeltaStore, tmp_path: Path) -> None:
    FrontierTable(store).change(lambda _: OPEN, "test")
    land(store, date(2013, 1, 3), "first", NOW - timedelta(days=9))
    store.create(call_events)

    assert StreamWatch(store, tmp_path, from_files=True).evidence(calls).waiting_since == NOW - timedelta(days=9)


def test_the_status_and_the_process_of_a_stream_are_found_where_follow_leaves_them(
    store: DeltaStore, tmp_path: Path
) -> None:
    FrontierTable(store).change(lambda _: OPEN, "test")
    write_status(tmp_path / "streams", StreamStatus(TABLE.full_name, pid=os.getpid()))
    with lease(store.locks):
        watch = StreamWatch(store, tmp_path, from_files=True)
        now = datetime.now(UTC)
        assert watch.evidence(TABLE).is_alive
        assert watch.judge(TABLE, now=now, clock=CLOCK) is None
        later = watch.judge(TABLE, now=now + timedelta(minutes=4), clock=CLOCK)
        assert later is not None
        assert later.kind == "silent"


def test_a_driver_that_was_killed_is_known_as_dead_and_one_that_ended_is_forgotten(tmp_path: Path) -> None:
    assert read_driver(tmp_path) is None
    with lease(tmp_path):
        found = read_driver(tmp_path)
        assert found is not None
        assert (found.pid, found.is_alive) == (os.getpid(), True)
    assert read_driver(tmp_path) is None

    code = "import os, sys; from pathlib import Path; from lake.storage.lease import lease\n"
    code += "with lease(Path(sys.argv[1])): os.kill(os.getpid(), 9)"
    killed = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)])
    os.waitid(os.P_PID, killed.pid, os.WEXITED | os.WNOWAIT)
    found = read_driver(tmp_path)
    assert found is not None
    assert (found.pid, found.is_alive) == (killed.pid, False), "a zombie is dead"
    killed.wait()
    assert read_driver(tmp_path) == found
