"""Who owns a day: what the frontier says, how a day is sealed, and who may run streams. Needs no JVM."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path

import psutil
import pyarrow as pa
import pytest
from deltalake import write_deltalake

import lake.ownership.frontier
from lake.batch.refresh import refresh
from lake.declare.days import Days
from lake.declare.feed import TopicFeed
from lake.declare.table import Table, is_followable, stream_reads
from lake.errors import AlreadyFollowed, DayAhead, DayIsOpen, TableLocked
from lake.ownership.frontier import (
    Frontier,
    FrontierTable,
    event_progress,
    seal,
    seal_pending,
    sealable_before,
    with_streamed_upstream,
)
from lake.storage.landing import Landing
from lake.storage.lease import is_followed, lease
from lake.stream.follow import release
from lake.stream.generation import Checkpoints, StreamPlan, begin_generations
from lake.stream.micro_batch import MicroBatchWriter
from lake.write.store import DeltaStore
from lakehouse_assets.bronze.arrival_events import arrival_events
from lakehouse_assets.bronze.departure_events import departure_events
from lakehouse_assets.feeds import departures as departures_feed
from lakehouse_assets.gold.daily_carrier_performance import daily_carrier_performance
from lakehouse_assets.gold.delay_alerts import delay_alerts
from lakehouse_assets.gold.hourly_airport_performance import hourly_airport_performance
from lakehouse_assets.silver.arrivals import arrivals
from lakehouse_assets.silver.departures import departures
from lakehouse_assets.silver.flights import flights
from lakehouse_assets.silver.schedules import schedules
from lakehouse_assets.silver.weather import weather

STREAMED = [
    departure_events, arrival_events, departures, arrivals, flights, hourly_airport_performance, delay_alerts,
]  # fmt: skip
ALL_CLAIMED = frozenset(table.full_name for table in STREAMED)
FEB_1 = datetime(2013, 2, 1, tzinfo=UTC)
NOON = datetime(2013, 1, 5, 12, tzinfo=UTC)
GOLD = ["gold.hourly_airport_performance", "gold.delay_alerts"]
JAN = {day: date(2013, 1, day) for day in range(1, 32)}


def no_session() -> object:
    raise AssertionError("this needs no Spark session")


@pytest.fixture
def store(tmp_path: Path) -> DeltaStore:
    return DeltaStore(
        str(tmp_path / "tables"), Landing(tmp_path / "landing"), tmp_path / "locks", no_session,  # type: ignore[arg-type]
        lock_timeout_seconds=30, on_wait=lambda message: None,
    )  # fmt: skip


@pytest.fixture
def frontier(store: DeltaStore) -> FrontierTable:
    table = FrontierTable(store)
    table.change(lambda now: Frontier(JAN[5], JAN[5], claimed=ALL_CLAIMED), "test")
    return table


def hold(store: DeltaStore, table: Table, newest: datetime) -> None:
    """Give a table one event."""
    day = newest.date()
    rows = pa.table({table.event_time: pa.array([newest], pa.timestamp("us", "UTC")), table.day: pa.array([day])})
    write_deltalake(store.path(table), rows, mode="append", partition_by=[table.day or ""])


# Which tables stream


def test_tables_that_a_topic_leads_to_can_stream() -> None:
    assert all(is_followable(table) for table in STREAMED)
    assert not any(is_followable(table) for table in (schedules, weather, daily_carrier_performance))


def test_flights_streams_departures_and_arrivals_and_reads_the_rest_as_it_is() -> None:
    assert [read.name for read in stream_reads(flights)] == ["departures", "arrivals"]


def test_following_a_table_follows_what_it_streams_upstream_first() -> None:
    assert with_streamed_upstream([delay_alerts]) == [departure_events, departures, delay_alerts]
    both = [departure_events, departures, arrival_events, arrivals]
    assert with_streamed_upstream([departures, arrivals, departures]) == both


# Who owns a day


def test_without_a_frontier_batch_owns_every_day(store: DeltaStore) -> None:
    assert FrontierTable(store).state() is None
    assert seal_pending(FrontierTable(store)) is None


def test_each_table_is_open_from_the_day_that_its_reads_leave_incomplete() -> None:
    state = Frontier(stream_from=JAN[3], first_open=JAN[5], claimed=ALL_CLAIMED)
    assert {table.name: state.first_open_day(table) for table in STREAMED} == {
        "departure_events": JAN[3],
        "arrival_events": JAN[3],
        "departures": JAN[5],
        "arrivals": JAN[5],
        "flights": JAN[3],
        "hourly_airport_performance": JAN[5],
        "delay_alerts": JAN[5],
    }


def test_a_table_that_only_batch_writes_is_early_where_its_inputs_are_open() -> None:
    state = Frontier(stream_from=JAN[3], first_open=JAN[5], claimed=ALL_CLAIMED)
    assert state.first_open_day(daily_carrier_performance) is None
    assert state.first_early_day(daily_carrier_performance) == JAN[3]
    assert state.first_early_day(weather) is None
    later = replace(daily_carrier_performance, reads=(flights.days(after=1),))
    assert state.first_early_day(later) == JAN[2]


def test_a_table_was_followed_once_it_has_a_generation() -> None:
    state = Frontier(JAN[3], JAN[5], generations={departures.full_name: 1})
    assert [state.was_followed(table) for table in (departures, arrivals)] == [True, False]


def test_batch_is_refused_an_open_day_and_told_what_to_do() -> None:
    state = Frontier(stream_from=JAN[5], first_open=JAN[5], claimed=ALL_CLAIMED)
    state.refuse_open(departures, Days.parse("2013-01-01..2013-01-04"))
    with pytest.raises(DayIsOpen) as refused:
        state.refuse_open(departures, Days.parse("2013-01-01..2013-01-05"))
    said = str(refused.value)
    assert "silver.departures" in said
    assert "2013-01-01..2013-01-05" in said
    assert "2013-01-05" in said.replace("2013-01-01..2013-01-05", "")
    assert "refresh days up to 2013-01-04" in said
    whole = Days.parse("2013-01-01..2013-01-31")
    assert state.batch_days(weather, whole) == whole
    assert state.batch_days(departures, Days.parse("2013-01-01..2013-01-31")) == Days.parse("2013-01-01..2013-01-04")


def test_a_released_lake_belongs_to_batch_and_remembers_where_it_was(frontier: FrontierTable) -> None:
    state = release(frontier)
    assert state is not None
    assert state.first_open == JAN[5]
    assert state.first_open_day(departures) is None
    state.refuse_open(departures, Days.parse("2013-01-05..2013-02-01"))


# When a day is over


def test_a_day_is_over_when_every_feed_has_passed_its_end_by_its_lateness(store: DeltaStore) -> None:
    hold(store, departures, datetime(2013, 1, 6, 2, 59, 59, tzinfo=UTC))
    assert sealable_before(STREAMED, store, now=FEB_1) is None
    hold(store, arrivals, datetime(2013, 1, 9, tzinfo=UTC))
    assert sealable_before(STREAMED, store, now=FEB_1) == JAN[5]
    hold(store, departures, datetime(2013, 1, 6, 3, 0, 0, tzinfo=UTC))
    assert sealable_before(STREAMED, store, now=FEB_1) == JAN[6]


def test_the_newest_event_comes_from_statistics_over_all_files(store: DeltaStore) -> None:
    hold(store, departures, datetime(2013, 1, 7, 12, tzinfo=UTC))
    hold(store, departures, datetime(2013, 1, 3, 12, tzinfo=UTC))
    assert event_progress(departures, store, FEB_1) == datetime(2013, 1, 7, 12, tzinfo=UTC)


@pytest.fixture
def idle_after_six_hours(monkeypatch: pytest.MonkeyPatch) -> None:
    declared: Mapping[str, TopicFeed] = {"departures": departures_feed.departures}
    assert declared["departures"].idle_after is None

    def topics(table: Table) -> list[tuple[Table, TopicFeed]]:
        return [(table, replace(departures_feed.departures, name=table.name, idle_after=timedelta(hours=6)))]

    monkeypatch.setattr(lake.ownership.frontier, "topics_of", topics)


def test_a_feed_read_to_its_end_and_silent_for_longer_than_it_declares_does_not_keep_days_open(
    store: DeltaStore, idle_after_six_hours: None
) -> None:
    for table in (departures, arrivals):
        hold(store, table, datetime(2013, 1, 5, 12, tzinfo=UTC))
    now, ends = datetime(2013, 1, 8, 10, tzinfo=UTC), ["departures", "arrivals"]
    assert sealable_before(STREAMED, store, now=now, at_end=ends) == JAN[8]  # 10:00 - 6 h - 3 h
    assert sealable_before(STREAMED, store, now=now - timedelta(hours=2), at_end=ends) == JAN[7]


def test_a_feed_that_lags_is_stalled_and_seals_nothing(store: DeltaStore, idle_after_six_hours: None) -> None:
    for table in (departures, arrivals):
        hold(store, table, datetime(2013, 1, 5, 12, tzinfo=UTC))
    now = datetime(2013, 1, 8, 10, tzinfo=UTC)
    assert sealable_before(STREAMED, store, now=now, at_end=["arrivals"]) == JAN[5]


def test_a_feed_that_declares_no_silence_is_never_idle(store: DeltaStore) -> None:
    for table in (departures, arrivals):
        hold(store, table, datetime(2013, 1, 5, 12, tzinfo=UTC))
    now = datetime(2013, 6, 1, tzinfo=UTC)
    assert sealable_before(STREAMED, store, now=now, at_end=["departures", "arrivals"]) == JAN[5]


def test_of_two_feeds_both_must_be_silent_and_read_to_their_end(
    store: DeltaStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    feeds = [replace(departures_feed.departures, name=name, idle_after=timedelta(hours=6)) for name in ("one", "two")]
    monkeypatch.setattr(lake.ownership.frontier, "topics_of", lambda table: [(table, feed) for feed in feeds])
    now, ends = datetime(2013, 1, 8, 10, tzinfo=UTC), ["one", "two"]
    assert sealable_before([departures], store, now=now, at_end=ends) is None, "it has no event yet"
    hold(store, departures, datetime(2013, 1, 5, 12, tzinfo=UTC))
    assert sealable_before([departures], store, now=now, at_end=["one"]) == JAN[5]
    assert sealable_before([departures], store, now=now, at_end=ends) == JAN[8]


def test_the_zone_of_the_clock_does_not_matter(store: DeltaStore, idle_after_six_hours: None) -> None:
    now = datetime(2013, 1, 8, 10, tzinfo=UTC).astimezone(timezone(timedelta(hours=-11)))
    hold(store, departures, datetime(2013, 1, 5, 12, tzinfo=UTC))
    hold(store, departures, datetime(2013, 1, 9, 12, tzinfo=UTC))
    assert event_progress(departures, store, now) == datetime(2013, 1, 5, 12, tzinfo=UTC)
    assert sealable_before([departures], store, now=now, at_end=["departures"]) == JAN[8]


def test_tables_that_speak_for_no_feed_say_nothing_of_days(store: DeltaStore) -> None:
    hold(store, departures, datetime(2013, 1, 5, 12, tzinfo=UTC))
    silent = [replace(departures, lateness=None), schedules, replace(departures, event_time=None)]
    assert sealable_before(silent, store, now=FEB_1) is None


# What a producer made up says nothing


def test_an_event_ten_years_ahead_seals_nothing(store: DeltaStore) -> None:
    now = datetime(2013, 1, 6, 12, tzinfo=UTC)
    for table in (departures, arrivals):
        hold(store, table, datetime(2013, 1, 6, 11, tzinfo=UTC))
        hold(store, table, datetime(2023, 1, 6, 11, tzinfo=UTC))
    assert sealable_before(STREAMED, store, now=now) == JAN[6]
    assert event_progress(departures, store, now) == datetime(2013, 1, 6, 11, tzinfo=UTC)


def test_a_table_that_holds_only_events_ahead_of_the_clock_holds_none(store: DeltaStore) -> None:
    for table in (departures, arrivals):
        hold(store, table, datetime(2023, 1, 6, 11, tzinfo=UTC))
    assert sealable_before(STREAMED, store, now=FEB_1) is None


def test_an_event_as_far_ahead_as_clocks_may_be_counts_and_one_later_does_not(store: DeltaStore) -> None:
    now = datetime(2013, 1, 5, 12, tzinfo=UTC)
    hold(store, departures, now + timedelta(minutes=10))
    assert event_progress(departures, store, now) == now + timedelta(minutes=10)
    hold(store, departures, now + timedelta(minutes=10, microseconds=1))
    assert event_progress(departures, store, now) == now + timedelta(minutes=10)


def test_no_day_is_over_before_the_clock_says_so(store: DeltaStore) -> None:
    """Whatever the lateness of a table: with none at all, an event that is a little ahead would end the day."""
    punctual = [replace(table, lateness=timedelta(0)) for table in (departures, arrivals)]
    for table in punctual:
        hold(store, table, datetime(2013, 1, 6, 0, 5, tzinfo=UTC))
    assert sealable_before(punctual, store, now=datetime(2013, 1, 5, 23, 58, tzinfo=UTC)) == JAN[5]
    assert sealable_before(punctual, store, now=datetime(2013, 1, 6, tzinfo=UTC)) == JAN[6]


def claim(store: DeltaStore, now: datetime, since: date | None = None) -> Frontier:
    plans = [StreamPlan(table, False, "append", "plan") for table in STREAMED]
    return begin_generations(
        FrontierTable(store), plans, Checkpoints(store.locks.parent / "checkpoints"), since=since, now=now
    )


def test_a_claim_begins_no_later_than_the_clock_whatever_an_older_release_has_kept(store: DeltaStore) -> None:
    for table in (departures, arrivals):
        hold(store, table, datetime(2013, 1, 6, 11, tzinfo=UTC))
        hold(store, table, datetime(2023, 1, 6, 11, tzinfo=UTC))
    for bronze in (departure_events, arrival_events):
        days = pa.table({"offset": [0, 1], "landed_on": pa.array([JAN[5], date(2023, 1, 6)])})
        write_deltalake(store.path(bronze), days, partition_by=["landed_on"])
    state = claim(store, datetime(2013, 1, 6, 12, tzinfo=UTC))
    assert (state.stream_from, state.first_open) == (JAN[5], JAN[6])


def test_files_that_landed_after_the_clock_do_not_say_where_streams_begin(store: DeltaStore) -> None:
    for feed in ("departures", "arrivals"):
        folder = store.landing.root / feed / "landed_on=2023-01-06"
        folder.mkdir(parents=True)
        (folder / "a.jsonl").write_text("{}\n")
    state = claim(store, datetime(2013, 1, 6, 12, tzinfo=UTC))
    assert (state.stream_from, state.first_open) == (JAN[6], JAN[6])


def test_streams_that_were_to_begin_after_the_clock_are_refused(store: DeltaStore) -> None:
    now = datetime(2013, 1, 6, 12, tzinfo=UTC)
    with pytest.raises(DayAhead, match="2013-01-07: it lies after the lake's clock, which is on 2013-01-06"):
        claim(store, now, since=JAN[7])
    assert FrontierTable(store).state() is None
    assert claim(store, now, since=JAN[6]).first_open == JAN[6]


# Sealing in two durable steps


def test_a_closing_day_is_over_for_streams_and_not_yet_open_to_batch() -> None:
    state = Frontier(JAN[5], JAN[5], closing=JAN[6], claimed=ALL_CLAIMED)
    assert state.first_writable_day(departures) == JAN[7]
    assert state.first_writable_day(flights) == JAN[5]
    assert replace(state, closing=None).first_writable_day(departures) == JAN[5]
    with pytest.raises(DayIsOpen):
        state.refuse_open(departures, Days.of(JAN[5]))


def test_a_seal_waits_for_the_micro_batch_that_had_begun(store: DeltaStore, frontier: FrontierTable) -> None:
    writing, may_end, seen = threading.Event(), threading.Event(), []

    def micro_batch() -> None:
        with store.lock(departures.full_name):
            writing.set()
            may_end.wait(20)
            seen.append(frontier.state())

    def sealing() -> None:
        seal(frontier, STREAMED, JAN[7])

    threads = [threading.Thread(target=micro_batch), threading.Thread(target=sealing)]
    threads[0].start()
    assert writing.wait(20)
    threads[1].start()
    assert wait_for(lambda: (state := frontier.state()) is not None and state.closing == JAN[6])
    may_end.set()
    for thread in threads:
        thread.join(20)
    during, after = seen[0], frontier.state()
    assert during is not None
    assert after is not None
    assert (during.first_open, during.closing) == (JAN[5], JAN[6])
    assert (after.first_open, after.closing) == (JAN[7], None)


def test_a_seal_is_not_published_while_a_micro_batch_is_under_way(store: DeltaStore, frontier: FrontierTable) -> None:
    impatient = FrontierTable(replace(store, lock_timeout_seconds=0.1))
    for table in STREAMED:  # each of them, and not only the first
        with store.lock(table.full_name), pytest.raises(TableLocked, match=table.full_name):
            seal(impatient, STREAMED, JAN[7])
        state = frontier.state()
        assert state is not None
        assert (state.first_open, state.closing) == (JAN[5], JAN[6])
    seal(impatient, STREAMED, JAN[7])
    state = frontier.state()
    assert state is not None
    assert (state.first_open, state.closing) == (JAN[7], None)


def test_a_seal_does_not_wait_out_a_long_refresh_and_tells_nobody_that_it_waits(
    store: DeltaStore, frontier: FrontierTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lake.ownership.frontier, "_SEAL_WAITS_SECONDS", 0.1)
    told: list[str] = []
    patient = FrontierTable(replace(store, lock_timeout_seconds=600, on_wait=told.append))
    with store.lock(flights.full_name), pytest.raises(TableLocked):
        seal(patient, STREAMED, JAN[7])
    assert told == []


@pytest.mark.parametrize("before", [JAN[6], JAN[7]])
def test_a_seal_that_was_begun_is_not_taken_back_by_an_earlier_one(frontier: FrontierTable, before: date) -> None:
    frontier.change(lambda now: replace(now or Frontier(JAN[1], JAN[1]), closing=JAN[7]), "crashed in between")
    state = seal(frontier, STREAMED, before)
    assert state is not None
    assert (state.first_open, state.closing) == (JAN[8], None)


def test_nothing_is_written_while_another_process_has_the_lock(store: DeltaStore, frontier: FrontierTable) -> None:
    impatient = replace(store, lock_timeout_seconds=0.1)
    plan = StreamPlan(departures, is_stateful=False, output_mode="append", fingerprint="x")
    micro_batch = MicroBatchWriter(
        plan, impatient, FrontierTable(impatient), 1, redelivers=False, stopping=threading.Event(),
        on_receipt=lambda _: None,
    )  # fmt: skip
    writes: dict[str, Callable[[], object]] = {
        "lake.frontier": lambda: FrontierTable(impatient).change(lambda now: Frontier(JAN[1], JAN[1]), "other"),
        "lake.ledger": lambda: impatient.append_to_lake("ledger", pa.table({"a": [1]})),
        departures.full_name: lambda: refresh(departures, impatient, Days.of(JAN[1])),
        f"{departures.full_name} ": lambda: micro_batch(None, 1),  # type: ignore[arg-type]  # it is not looked at
    }
    for name, write in writes.items():
        with store.lock(name.strip()), pytest.raises(TableLocked):
            write()


# When a stream begins anew


def test_what_reads_a_table_whose_days_are_replaced_begins_anew_too(
    store: DeltaStore, frontier: FrontierTable, tmp_path: Path
) -> None:
    """A reader passes over a commit that replaces: it would never see what such a commit adds."""
    plans = [StreamPlan(table, is_stateful=False, output_mode="append", fingerprint="x") for table in STREAMED]
    checkpoints = Checkpoints(tmp_path / "checkpoints")

    def begun(asked: Table) -> set[str]:
        before = frontier.state()
        assert before is not None
        state = begin_generations(frontier, plans, checkpoints, asked={asked.full_name}, now=NOON)
        return {name for name, number in state.generations.items() if number != before.generations.get(name, 0)}

    assert begun(departures) == {table.full_name for table in STREAMED}, "none of them had a checkpoint"
    assert begun(departures) == {"silver.departures", "silver.flights", *GOLD}
    assert begun(flights) == {"silver.flights"}
    assert begun(departure_events) == {"bronze.departure_events"}, "bronze only ever adds"


def wait_for(condition: object, seconds: float = 20) -> bool:
    waiting = threading.Event()
    for _ in range(int(seconds * 100)):
        if condition():  # type: ignore[operator]
            return True
        waiting.wait(0.01)
    return False


def test_a_seal_that_was_begun_is_published_after_a_restart(frontier: FrontierTable) -> None:
    frontier.change(lambda now: replace(now or Frontier(JAN[1], JAN[1]), closing=JAN[6]), "crashed in between")
    state = seal_pending(frontier)
    assert state is not None
    assert (state.first_open, state.closing) == (JAN[7], None)


def test_a_seal_that_somebody_else_publishes_first_is_published_once(
    store: DeltaStore, frontier: FrontierTable
) -> None:
    class Overtaken(FrontierTable):
        """A frontier whose seal is published between the look at it and its lock."""

        def change(self, step: Callable[[Frontier | None], Frontier], cause: str) -> Frontier:
            seal_pending(frontier)
            return super().change(step, cause)

    frontier.change(lambda now: replace(now or Frontier(JAN[1], JAN[1]), closing=JAN[6]), "crashed in between")
    state = seal_pending(Overtaken(store))
    assert state is not None
    assert (state.first_open, state.closing) == (JAN[7], None)


@pytest.mark.usefixtures("new_york")
def test_each_step_says_when_it_was_taken_and_why_whatever_zone_the_process_has(
    store: DeltaStore, frontier: FrontierTable
) -> None:
    before = datetime.now(UTC)
    frontier.change(lambda now: Frontier(JAN[1], JAN[1]), "because")
    row = store.log(f"{store.tables}/lake/frontier").require().to_pyarrow_table().to_pylist()[0]
    assert row["cause"] == "because"
    assert before <= row["recorded_at"] <= datetime.now(UTC)


def test_a_frontier_whose_row_was_deleted_is_none(store: DeltaStore, frontier: FrontierTable) -> None:
    store.log(f"{store.tables}/lake/frontier").require().delete()
    assert frontier.state() is None


def test_the_frontier_never_moves_back(store: DeltaStore, frontier: FrontierTable) -> None:
    version = store.log(f"{store.tables}/lake/frontier").version()
    assert seal(frontier, STREAMED, JAN[3]) == frontier.state()
    assert seal(frontier, STREAMED, JAN[5]) == frontier.state()
    assert seal(frontier, STREAMED, None) == frontier.state()
    assert store.log(f"{store.tables}/lake/frontier").version() == version


# Only one process runs streams

FOLLOWER = """
import sys
from pathlib import Path
from lake.stream.generation import Checkpoints, StreamPlan, begin_generations
from lake.storage.lease import lease
with lease(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_process_is_refused_and_a_killed_one_leaves_nothing_blocked(
    store: DeltaStore, frontier: FrontierTable
) -> None:
    command = [sys.executable, "-c", FOLLOWER, str(store.locks)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as follower:
        assert follower.stdout is not None
        assert follower.stdout.readline() == "held\n"
        assert is_followed(store.locks)
        with pytest.raises(AlreadyFollowed, match=f"pid {follower.pid}"):
            release(frontier)
        follower.kill()
    assert not is_followed(store.locks)
    with lease(store.locks):
        assert is_followed(store.locks)


def test_a_successor_waits_for_the_jvm_of_a_killed_process(store: DeltaStore) -> None:
    command = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as jvm:
        facts = {"pid": 1, "started": 1, "jvms": [{"pid": jvm.pid, "started": psutil.Process(jvm.pid).create_time()}]}
        store.locks.mkdir(parents=True, exist_ok=True)
        (store.locks / "lake.streams.json").write_text(json.dumps(facts))
        is_killed = threading.Event()

        def end() -> None:
            is_killed.set()
            jvm.kill()
            jvm.wait()

        dying = threading.Timer(0.3, end)
        dying.start()
        with lease(store.locks):
            assert is_killed.is_set()
        dying.join()
