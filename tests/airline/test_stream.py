"""What streams do with micro-batches, and what a followed lake looks like after every step."""

from __future__ import annotations

import errno
import itertools
import os
import shutil
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyspark.sql.functions as F
import pyspark.sql.types as T
import pytest
from deltalake import DeltaTable
from pyspark.sql import DataFrame, SparkSession

from lake.batch.refresh import refresh
from lake.declare.contract import ContractColumn
from lake.declare.days import Days
from lake.declare.feed import TOPIC_FRAME, TopicFeed
from lake.declare.table import Read, Table
from lake.declare.topic_source import TopicSource
from lake.errors import (
    BronzeLost,
    DayIsOpen,
    LeaseLost,
    NotAStream,
    OtherMessage,
    RowsLost,
    StreamBroken,
    TableRestored,
    TopicUnreachable,
)
from lake.ownership.frontier import Frontier
from lake.storage.archive import TopicArchive
from lake.storage.commits import Commit
from lake.stream.driver import Driver
from lake.stream.follow import follow, release
from lake.stream.generation import plan_stream, step_txn
from lake.stream.micro_batch import MicroBatchWriter, Stopped
from lake.stream.progress import MicroBatch, micro_batches, read_statuses
from lake.testing.frames import frame
from lake.testing.lakes import interpreted
from lake.write.bounded import Bounded
from lake.write.enforce import Collected, Counts, Enforcer
from lake.write.horizon import Horizon
from lake.write.store import DeltaStore, Txn
from lakehouse_assets.bronze.arrival_events import arrival_events
from lakehouse_assets.bronze.departure_events import departure_events
from lakehouse_assets.feeds.departures import departures as departure_feed
from lakehouse_assets.gold.daily_carrier_performance import daily_carrier_performance
from lakehouse_assets.gold.delay_alerts import delay_alerts
from lakehouse_assets.gold.hourly_airport_performance import hourly_airport_performance
from lakehouse_assets.silver.arrivals import arrivals
from lakehouse_assets.silver.departures import departures
from lakehouse_assets.silver.flights import flights
from tests.power import Disk
from tests.streaming import FOLLOWED, Lake, Message, Messages, at

pytestmark = pytest.mark.spark
JAN_1, JAN_2, JAN_3 = date(2013, 1, 1), date(2013, 1, 2), date(2013, 1, 3)


@pytest.fixture
def lake(tmp_path: Path, spark: SparkSession) -> Lake:
    return Lake(tmp_path, lambda: spark, [departure_events, departures])


@pytest.fixture
def messages() -> Messages:
    return Messages()


def flight(messages: Messages, day: int, number: int, hour: int = 9, *, sent_day: int | None = None) -> Message:
    """A departure ten minutes after schedule, reported half a minute later or on another day."""
    left = at(day, hour, 10)
    sent = at(sent_day, hour, 11) if sent_day else at(day, hour, 10, 30)
    return messages.departure(date(2013, 1, day), number, scheduled=at(day, hour), left=left, sent=sent)


def both_messages(messages: Messages, day: int, number: int, hour: int, sent: datetime | None = None) -> list[Message]:
    """A departure ten minutes after schedule and an arrival two hours later, reported then or at `sent`."""
    left, reached = at(day, hour, 10), at(day, hour + 2)
    times = {"scheduled": at(day, hour), "sent": sent or reached}
    return [
        messages.departure(left.date(), number, left=left, **times),
        messages.arrival(left.date(), number, reached=reached, **times),
    ]


def bronze(spark: SparkSession, messages: list[Message]) -> DataFrame:
    """Rows of bronze, as a micro-batch of silver reads them."""
    return frame(
        spark,
        departure_events,
        [m | {"landed_on": m["timestamp"][:10], "event_date": m["timestamp"][:10]} for m in messages],
    )


def writer(lake: Lake, table: Table, receipts: list[MicroBatch], generation: int = 1) -> MicroBatchWriter:
    lake.frontier.change(
        lambda now: now or Frontier(JAN_1, JAN_1, claimed=frozenset(t.full_name for t in FOLLOWED)), "test"
    )
    return MicroBatchWriter(
        plan_stream(table, lake.store.spark), lake.store, lake.frontier, generation,
        redelivers=False, stopping=threading.Event(), on_receipt=receipts.append,
    )  # fmt: skip


def test_a_repeated_micro_batch_writes_nothing_twice(lake: Lake, spark: SparkSession, messages: Messages) -> None:
    receipts: list[MicroBatch] = []
    write = writer(lake, departures, receipts)
    held = flight(messages, 1, 1)
    first = bronze(spark, [held, messages.broken("departures", "{nope", at(1, 9))])
    second = bronze(spark, [flight(messages, 1, 2), held, messages.broken("departures", None, at(1, 9))])
    write(departures(first), 0)
    write(departures(second), 1)
    version = lake.store.version(departures)
    write(departures(second), 1)
    assert lake.store.version(departures) == version
    assert lake.store.read(departures).count() == 2
    assert lake.store.read_quarantine(departures).count() == 2
    assert receipts[0].counts == Counts(rows_in=2, rows_out=1, rejected=1)
    assert receipts[1].counts == receipts[2].counts == Counts(rows_in=3, rows_out=1, rejected=1, duplicates=1)


def test_the_first_micro_batch_replaces_open_days_and_later_ones_only_add(
    lake: Lake, spark: SparkSession, messages: Messages
) -> None:
    receipts: list[MicroBatch] = []
    stale, one, two = flight(messages, 1, 1), flight(messages, 1, 2), flight(messages, 2, 3)
    writer(lake, departures, receipts)(departures(bronze(spark, [stale])), 0)
    write = writer(lake, departures, receipts, generation=2)
    write(departures(bronze(spark, [one])), 0)
    write(departures(bronze(spark, [one, two])), 1)
    assert sorted(row["flight"] for row in lake.store.read(departures).collect()) == [2, 3]
    newest = lake.store.table_log(departures).commit(lake.store.version(departures) or 0)
    assert newest is not None
    assert (newest.operation, newest.days("departed_on"), newest.rows) == ("WRITE", {JAN_2}, 1)
    assert (receipts[-1].counts.rows_out, receipts[-1].counts.duplicates) == (1, 1)
    write(departures(bronze(spark, [one, two])), 2)
    assert lake.store.version(departures) == newest.version  # nothing was new
    assert (receipts[-1].counts.rows_out, receipts[-1].counts.duplicates) == (0, 2)


@pytest.mark.parametrize(("number", "raised"), [(errno.ENOSPC, StreamBroken), (errno.EACCES, PermissionError)])
def test_a_full_disk_is_told_as_such_by_the_driver_too(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, number: int, raised: type[Exception]
) -> None:
    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number), "delivered.new")

    monkeypatch.setattr("lake.stream.generation.Checkpoints.note_delivered", fail)
    with pytest.raises(raised) as stopped:
        lake.follow()
    if isinstance(stopped.value, StreamBroken):
        assert stopped.value.diagnosis[0] == "The disk is full"


def test_a_micro_batch_with_more_rows_than_this_process_takes_is_written_by_spark(
    lake: Lake, spark: SparkSession, messages: Messages, monkeypatch: pytest.MonkeyPatch
) -> None:
    receipts: list[MicroBatch] = []
    write = writer(lake, departures, receipts)
    one, two, three = (flight(messages, 1, number) for number in (1, 2, 3))
    write(departures(bronze(spark, [one])), 0)
    monkeypatch.setattr("lake.stream.judge._MOST_COLLECTED", 1)
    monkeypatch.setattr(DeltaStore, "append", lambda *_: pytest.fail("it was not written by Spark"))
    write(departures(bronze(spark, [two, three, one])), 1)
    assert sorted(row["flight"] for row in lake.store.read(departures).collect()) == [1, 2, 3]
    assert receipts[-1].counts == Counts(rows_in=3, rows_out=2, duplicates=1)


def test_a_micro_batch_of_few_large_messages_is_written_by_spark(
    lake: Lake, spark: SparkSession, messages: Messages, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_this: list[int] = []
    append = DeltaStore.append

    def note(store: DeltaStore, table: Table, rows: pa.Table, txn: Txn, metadata: Mapping[str, Any]) -> Commit:
        if isinstance(rows, pa.Table):
            by_this.append(txn.version)
        return append(store, table, rows, txn, metadata)

    monkeypatch.setattr("lake.stream.judge._MOST_COLLECTED_BYTES", 100_000)
    monkeypatch.setattr(DeltaStore, "append", note)
    write, sent = writer(lake, departure_events, []), list[Message]()
    for batch_id, (count, size) in enumerate([(1, 10), (6, 100), (6, 10_000), (6, 10), (6, 10), (1, 40_000)]):
        received = [messages.broken("departures", "x" * size, at(1, 9)) for _ in range(count)]
        write(from_broker(spark, received), batch_id)
        sent += received

    # The first replaces what there is; behind a large one nobody tries at once.
    assert by_this == [1, 4, 5]
    lake.check(sent)


@pytest.mark.streams
def test_a_query_with_state_gives_the_same_rows_where_a_micro_batch_is_larger_than_the_one_before(
    tmp_path: Path, spark: SparkSession, messages: Messages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This process finds that there are more rows than it takes, and Spark computes them again, from the same state."""
    collect, found = Enforcer.collect, []

    def collect_and_note(
        enforcer: Enforcer, rows: DataFrame, bounded: Bounded, horizon: Horizon | None
    ) -> Collected | None:
        here = collect(enforcer, rows, bounded, horizon)
        found.append((enforcer.table.full_name, here is not None))
        return here

    monkeypatch.setattr(Enforcer, "collect", collect_and_note)
    monkeypatch.setattr("lake.stream.judge._MOST_COLLECTED", 2)
    counted = [departure_events, arrival_events, departures, arrivals, hourly_airport_performance]
    lake, sent = Lake(tmp_path, lambda: spark, counted), []
    with interpreted(spark), lake.following() as running:
        for name, numbers in {"a": [1], "b": [2], "c": [3, 4, 5, 8]}.items():
            landing = [one for number in numbers for one in both_messages(messages, 1, number, 8 + number % 6)]
            sent += landing
            lake.land(landing, f"{name}.jsonl")
            running.until(partial(has_counted, lake, len(sent)), "every departure and arrival is counted")
    assert {(hourly_airport_performance.full_name, has_been_taken) for has_been_taken in (True, False)} <= set(found)
    lake.check_equals_batch(sent)


def has_counted(lake: Lake, movements: int) -> bool:
    """Whether so many departures and arrivals are in all hours together."""
    hours = lake.store.read(hourly_airport_performance).collect()
    return bool(sum(row["departures"] + row["arrivals"] for row in hours) == movements)


def test_a_closing_day_is_no_longer_written_and_its_rejects_neither(
    lake: Lake, spark: SparkSession, messages: Messages
) -> None:
    receipts: list[MicroBatch] = []
    write = writer(lake, departures, receipts)
    write(departures(bronze(spark, [flight(messages, 1, 1)])), 0)
    lake.frontier.change(lambda now: Frontier(JAN_1, JAN_1, JAN_1, (now or pytest.fail("none")).claimed), "closing")
    late = [flight(messages, 1, 2), flight(messages, 2, 3), messages.broken("departures", "{nope", at(1, 9))]
    write(departures(bronze(spark, late)), 1)
    assert sorted(row["flight"] for row in lake.store.read(departures).collect()) == [1, 3]
    assert lake.store.read_quarantine(departures).count() == 0


def test_an_upsert_replaces_a_group_and_an_empty_micro_batch_commits_nothing(lake: Lake, spark: SparkSession) -> None:
    def hour(count: int) -> DataFrame:
        row = {
            "airport": "EWR", "hour_at": "2013-01-01T09:00:00Z", "hour_on": "2013-01-01", "departures": count,
            "departures_on_time": count, "departure_delay_minutes": 0, "arrivals": 0, "arrivals_on_time": 0,
            "arrival_delay_minutes": 0, "worst_delay_minutes": 0,
        }  # fmt: skip
        return frame(spark, hourly_airport_performance, [row] if count else [])

    receipts: list[MicroBatch] = []
    write = writer(lake, hourly_airport_performance, receipts)
    for batch_id, count in enumerate([3, 5]):
        write(hour(count), batch_id)
    version = lake.store.version(hourly_airport_performance)
    write(hour(0), 2)
    assert lake.store.version(hourly_airport_performance) == version
    assert [row["departures"] for row in lake.store.read(hourly_airport_performance).collect()] == [5]


@pytest.mark.streams
def test_a_message_that_batch_loaded_from_the_archive_is_not_appended_again_whenever_it_comes(
    lake: Lake, spark: SparkSession, messages: Messages
) -> None:
    """The stream owns landing days from 2 January on; a slow producer's messages are of the day before."""
    first, new, newer = (flight(messages, 2, number) for number in (1, 2, 3))
    archived, slow, slower = (flight(messages, 1, number) for number in (11, 12, 13))
    lake.land([archived], "a.jsonl")
    refresh(departure_events, lake.store, Days.of(JAN_1))
    lake.frontier.change(
        lambda _: Frontier(JAN_2, JAN_1, claimed=frozenset([departure_events.full_name]), generations={}), "test"
    )
    receipts: list[MicroBatch] = []
    write = writer(lake, departure_events, receipts)

    write(from_broker(spark, [first]), 0)
    write(from_broker(spark, [archived, slow, new]), 1)
    write(from_broker(spark, [archived, slow, new]), 1)  # repeated after a crash behind its last step
    lake.check([first, archived, slow, new])
    # ... and behind its first: what the stream owns is there, what batch owns is not
    txn = step_txn(departure_events, "write", 1, 2)
    lake.store.append(departure_events, bronze(spark, [newer]), txn, {"generation": 1, "batch": 2})
    write(from_broker(spark, [archived, slower, newer]), 2)
    lake.check([first, archived, slow, new, newer, slower])
    assert [receipt.counts for receipt in receipts] == [
        Counts(1, 1), Counts(3, 2, 0, 1), Counts(3, 2, 0, 1), Counts(3, 2, 0, 1),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("table", "batch_id", "step", "collected"),
    [(departures, 0, "replace", 10), (departures, 1, "append", 10), (departure_events, 1, "append", 0)],
    ids=["replaced", "appended by this process", "appended by Spark"],
)
def test_a_micro_batch_of_which_a_row_was_lost_has_no_receipt_and_stops_its_query(
    lake: Lake,
    spark: SparkSession,
    monkeypatch: pytest.MonkeyPatch,
    table: Table,
    batch_id: int,
    step: str,
    collected: int,
) -> None:
    messages, receipts = Messages(), list[MicroBatch]()
    write = writer(lake, table, receipts)

    def rows(*numbers: int) -> DataFrame:
        sent = [flight(messages, 1, number) for number in numbers]
        return from_broker(spark, sent) if table is departure_events else departures(bronze(spark, sent))

    for number in range(batch_id):
        write(rows(number), number)
    written = getattr(DeltaStore, step)

    def lossy(*given: object, **options: object) -> Commit:
        commit: Commit = written(*given, **options)
        return replace(commit, added={day: held - 1 for day, held in commit.added.items()})

    monkeypatch.setattr("lake.stream.judge._MOST_COLLECTED", collected)
    monkeypatch.setattr(DeltaStore, step, lossy)

    with pytest.raises(RowsLost) as lost:
        write(rows(11, 12), batch_id)

    assert (lost.value.table, lost.value.stored) == (table.full_name, 1)
    assert len(receipts) == batch_id


def test_a_row_that_was_lost_is_missed_after_a_restart_too(
    lake: Lake, spark: SparkSession, messages: Messages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commit is there, so the micro-batch is not written again: the rows themselves are looked for."""
    receipts: list[MicroBatch] = []
    write, written = writer(lake, departures, receipts), DeltaStore.append
    write(departures(bronze(spark, [flight(messages, 1, 1)])), 0)
    rows = departures(bronze(spark, [flight(messages, 1, number) for number in (2, 3)]))
    monkeypatch.setattr(DeltaStore, "append", lambda store, table, new, *more: written(store, table, new[1:], *more))

    for _ in range(2):
        with pytest.raises(RowsLost) as lost:
            write(rows, 1)
        assert lost.value.stored == 1

    assert [receipt.batch_id for receipt in receipts] == [0]


def test_a_driver_whose_lease_may_be_another_s_by_now_writes_nothing(
    lake: Lake, spark: SparkSession, messages: Messages
) -> None:
    def is_late() -> None:
        raise LeaseLost("this one", 3)

    receipts: list[MicroBatch] = []
    write = writer(lake, departures, receipts)
    write.may_write = is_late
    with pytest.raises(LeaseLost):
        write(bronze(spark, [flight(messages, 1, 1)]), 0)
    assert (receipts, lake.store.version(departures)) == ([], None)


def test_a_message_under_the_offset_of_another_is_refused(lake: Lake, spark: SparkSession, messages: Messages) -> None:
    receipts: list[MicroBatch] = []
    write = writer(lake, departure_events, receipts)
    held = flight(messages, 1, 1)
    write(from_broker(spark, [held]), 0)
    other = flight(Messages(), 1, 1, hour=10)
    assert (other["partition"], other["offset"]) == (held["partition"], held["offset"])
    with pytest.raises(OtherMessage):
        writer(lake, departure_events, receipts, generation=2)(from_broker(spark, [other]), 0)
    lake.check([held])


def from_broker(spark: SparkSession, sent: list[Message]) -> DataFrame:
    """Messages as bronze's stream gets them from a broker."""
    return departure_events(frame(spark, TOPIC_FRAME, [{**m, "_landed_on": m["timestamp"][:10]} for m in sent]))


def test_the_plan_of_a_table_says_whether_it_keeps_state(spark: SparkSession) -> None:
    plans = {table.name: plan_stream(table, spark) for table in FOLLOWED}
    assert {name: plan.output_mode for name, plan in plans.items() if plan.is_stateful} == {
        "flights": "append", "hourly_airport_performance": "update", "delay_alerts": "update",
    }  # fmt: skip
    assert {table.name: plan_stream(table, spark).fingerprint for table in FOLLOWED} == {
        name: plan.fingerprint for name, plan in plans.items()
    }


def test_a_table_that_only_batch_writes_is_refused(lake: Lake) -> None:
    with pytest.raises(NotAStream, match="no table here can be followed"):
        follow([daily_carrier_performance], lake.store, lake.frontier, home=lake.home, until_idle=True)
    with pytest.raises(NotAStream, match="no table here can be followed"):
        follow([], lake.store, lake.frontier, home=lake.home, until_idle=True)


@pytest.mark.streams
def test_a_followed_lake_is_sealed_refused_to_batch_late_safe_and_released(lake: Lake, messages: Messages) -> None:
    sent = [flight(messages, 1, 1), flight(messages, 2, 2)]
    lake.land([*sent, sent[0]], "a.jsonl")
    lake.land([sent[0]], "twice.jsonl")
    followed = lake.follow()
    lake.check(sent)
    assert followed.frontier.first_open == JAN_2
    with pytest.raises(DayIsOpen):
        refresh(departures, lake.store, Days.of(JAN_2))

    late = flight(messages, 1, 3, sent_day=2)
    sent += [late, flight(messages, 3, 4)]
    lake.land(sent[2:], "b.jsonl")
    assert lake.follow().frontier.first_open == JAN_3
    lake.check(sent)
    assert departed(lake, JAN_1) == [1]  # sealed: the late row is batch's
    lake.settle(JAN_1)
    assert departed(lake, JAN_1) == [1, 3]
    version = lake.store.version(departures)
    lake.settle(JAN_1)
    assert lake.store.version(departures) == version  # a repair that changes nothing does not commit

    receipts = [receipt.counts for receipt in micro_batches(lake.store) if receipt.table == "bronze.departure_events"]
    assert (sum(c.rows_in for c in receipts), sum(c.rows_out for c in receipts)) == (6, 4)
    said = read_statuses(lake.home / "streams")
    status = said["silver.departures"]
    assert (status.state, status.generation, status.last_error) == ("stopped", 1, None)
    newest = {name: status.newest_event_at for name, status in said.items()}
    assert newest == {
        "bronze.departure_events": at(3, 9, 10, 30).isoformat(), "silver.departures": at(3, 9, 10).isoformat(),
    }  # fmt: skip
    assert all((status.lag_seconds or 0) > 0 for status in said.values())

    assert release(lake.frontier) is not None
    refresh(departure_events, lake.store, Days.between(JAN_1, JAN_3))
    refresh(departures, lake.store, Days.between(JAN_1, JAN_3))
    lake.check(sent)
    again = lake.follow()
    assert again.frontier.generations == {"bronze.departure_events": 2, "silver.departures": 2}
    lake.check(sent)


def departed(lake: Lake, day: date) -> list[int]:
    rows = lake.store.read(departures, Days.of(day)).collect()
    return sorted(row["flight"] for row in rows)


@pytest.mark.streams
def test_what_the_watermark_left_out_of_an_open_day_is_back_once_the_day_is_settled(
    tmp_path: Path, spark: SparkSession, messages: Messages
) -> None:
    """A flight of nine o'clock that is reported at half past eight in the evening, when the watermark is past five."""

    def flown(day: int, number: int, hour: int, sent: datetime | None = None) -> list[Message]:
        return both_messages(messages, day, number, hour, sent)

    joined = [departure_events, arrival_events, departures, arrivals, flights, hourly_airport_performance]
    lake = Lake(tmp_path, lambda: spark, joined)
    with interpreted(spark):
        lake.land(flown(1, 1, 9) + flown(1, 2, 18), "in-time.jsonl")
        lake.follow()
        lake.land(flown(1, 5, 18), "in-time-too.jsonl")
        lake.follow()
        lake.land(flown(1, 3, 9, sent=at(1, 20, 30)), "late.jsonl")
        assert lake.follow().frontier.first_open == JAN_1
        assert departed(lake, JAN_1) == [1, 2, 3, 5]  # it keeps no state, so it needs no watermark
        assert (arrived(lake), left_at_nine(lake)) == ([1, 2, 5], 1)

        lake.land(flown(4, 4, 12), "days-later.jsonl")
        lake.follow()
        assert (arrived(lake), left_at_nine(lake)) == ([1, 2, 5], 1)
        lake.settle(JAN_1)
        assert (arrived(lake), left_at_nine(lake)) == ([1, 2, 3, 5], 2)


def arrived(lake: Lake) -> list[int]:
    """Flights of 1 January that are known to have arrived."""
    rows = lake.store.read(flights, Days.of(JAN_1)).where("has_arrived").collect()
    return sorted(row["flight"] for row in rows)


def left_at_nine(lake: Lake) -> int:
    """Departures of Newark on 1 January from nine to ten o'clock."""
    hours = lake.store.read(hourly_airport_performance, Days.of(JAN_1))
    (row,) = hours.where("airport = 'EWR' AND hour(hour_at) = 9").collect()
    return int(row["departures"])


def test_a_lost_checkpoint_begins_a_new_generation_that_ends_equal(lake: Lake, messages: Messages) -> None:
    sent = [flight(messages, 1, number) for number in range(1, 6)]
    lake.land(sent, "a.jsonl")
    lake.follow()
    before = [lake.rows(table) for table in lake.tables]
    shutil.rmtree(lake.home / "checkpoints")
    generations = lake.follow().frontier.generations
    assert generations == {"bronze.departure_events": 2, "silver.departures": 2}
    assert [lake.rows(table) for table in lake.tables] == before
    lake.check(sent)


@pytest.mark.streams
def test_readers_of_a_table_that_was_restored_or_made_anew_count_each_row_once(
    tmp_path: Path, spark: SparkSession, messages: Messages
) -> None:
    """By the messages, four departures of the open day; some files of theirs are added to the table a second time."""
    counting = [departure_events, arrival_events, departures, arrivals, hourly_airport_performance]
    lake = Lake(tmp_path, lambda: spark, counting)
    with interpreted(spark):
        lake.land([flight(messages, 1, number) for number in (1, 2)], "a.jsonl")
        lake.follow()
        lake.land([flight(messages, 1, 3)], "b.jsonl")
        lake.follow()
        silver = DeltaTable(lake.store.path(departures))
        version = silver.version()
        silver.delete("flight = 3")  # a file of its own, so that RESTORE only adds
        silver.restore(version)
        lake.land([flight(messages, 1, 4)], "c.jsonl")
        told: list[str] = []
        lake.follow(tell=told.append)
        assert left_at_nine(lake) == 4
        assert told == [
            f"{counting[-1].full_name} begins anew: silver.departures was restored in version {version + 2}"
        ]

        shutil.rmtree(lake.store.path(departures))
        lake.follow(tell=told.append)
        assert told[1:] == [f"{counting[-1].full_name} begins anew: silver.departures was made anew"]
        assert departed(lake, JAN_1) == [1, 2, 3, 4]
        assert left_at_nine(lake) == 4


@pytest.mark.streams
def test_rows_that_a_restore_took_away_from_bronze_or_silver_are_back_after_the_next_start(
    lake: Lake, messages: Messages, spark: SparkSession
) -> None:
    sent = [flight(messages, 1, number) for number in (1, 2, 3)]
    with interpreted(spark):
        lake.land(sent[:2], "a.jsonl")
        lake.follow()
        before = {table: lake.store.version(table) or 0 for table in lake.tables}
        lake.land(sent[2:], "b.jsonl")
        lake.follow()
        for table in reversed(lake.tables):
            DeltaTable(lake.store.path(table)).restore(before[table])
            assert lake.store.read(table).count() == 2
            lake.follow()
            lake.check(sent)
            assert departed(lake, JAN_1) == [1, 2, 3]


@pytest.mark.streams
def test_a_restore_of_a_table_ends_its_own_stream_and_the_next_start_brings_its_rows_back(
    lake: Lake, messages: Messages, spark: SparkSession
) -> None:
    sent = [flight(messages, 1, number) for number in (1, 2)]
    with interpreted(spark):
        lake.land(sent[:1], "a.jsonl")
        lake.follow()
        before = lake.store.version(departures) or 0
        lake.land(sent[1:], "b.jsonl")

        def restore_under_its_stream() -> None:
            with lake.following() as running:
                running.until_read(lake, departures, 2)
                DeltaTable(lake.store.path(departures)).restore(before)
                running.until_ended()

        with pytest.raises(TableRestored) as stopped:
            restore_under_its_stream()
        assert (stopped.value.table, departed(lake, JAN_1)) == ("silver.departures", [1])
        status = read_statuses(lake.home / "streams")["silver.departures"]
        assert status.state == "failed"
        assert "TableRestored: stream of silver.departures" in str(status.last_error)
        lake.follow()
    lake.check(sent)
    assert departed(lake, JAN_1) == [1, 2]


@pytest.mark.streams
def test_messages_that_an_older_copy_of_bronze_lacks_are_read_again(
    lake: Lake, messages: Messages, spark: SparkSession, tmp_path: Path
) -> None:
    sent = [flight(messages, 1, number) for number in (1, 2)]
    with interpreted(spark):
        lake.land(sent[:1], "a.jsonl")
        lake.follow()
        shutil.copytree(lake.store.path(departure_events), tmp_path / "backup")
        lake.land(sent[1:], "b.jsonl")
        lake.follow()
        shutil.rmtree(lake.store.path(departure_events))
        shutil.copytree(tmp_path / "backup", lake.store.path(departure_events))
        lake.follow()
    lake.check(sent)
    assert departed(lake, JAN_1) == [1, 2]


@pytest.mark.streams
def test_bronze_that_is_gone_with_its_files_is_refused_and_costs_its_readers_no_row(
    lake: Lake, messages: Messages, spark: SparkSession
) -> None:
    with interpreted(spark):
        lake.land([flight(messages, 1, 1)], "a.jsonl")
        lake.follow()
        shutil.rmtree(lake.store.path(departure_events))
        shutil.rmtree(lake.landing.root)
        with pytest.raises(BronzeLost):
            lake.follow()
        assert departed(lake, JAN_1) == [1]
        lake.land([flight(messages, 1, 2)], "b.jsonl")
        with pytest.raises(BronzeLost):
            lake.follow()
        lake.follow(accept_loss=["bronze.departure_events"])
        lake.follow()
    assert departed(lake, JAN_1) == [2]


@dataclass(frozen=True)
class Shut(TopicArchive):
    """A landing folder of which one day cannot be looked into."""

    def closed(self, feed: TopicFeed) -> dict[str, str]:
        return {str(self.landing.folder(feed, JAN_2)): "Permission denied"}


@pytest.mark.streams
def test_a_landing_day_that_cannot_be_looked_into_keeps_no_other_day_from_streams(
    lake: Lake, messages: Messages, spark: SparkSession
) -> None:
    lake.land([flight(messages, 1, 1), flight(messages, 2, 2)], "a.jsonl")
    told: list[str] = []
    with interpreted(spark):
        done = lake.follow(source=Shut(lake.landing), tell=told.append, since=JAN_1)
        assert (departed(lake, JAN_1), departed(lake, JAN_2)) == ([1], [])
        folder = str(lake.landing.root / "departures" / "landed_on=2013-01-02")
        assert done.unread_files == {folder: "Permission denied"}
        assert told[0].startswith("bronze.departure_events goes on without 1 file that cannot be read: " + folder)
        assert lake.follow().unread_files == {}
    assert (departed(lake, JAN_1), departed(lake, JAN_2)) == ([1], [2])


def test_a_torn_line_is_rejected_once_also_when_the_archive_is_read_again(lake: Lake, messages: Messages) -> None:
    lake.land([flight(messages, 1, 1)], "a.jsonl")
    (file,) = (lake.landing.root / "departures").glob("*/a.jsonl")
    file.write_text(file.read_text() + "{torn")
    lake.follow()
    shutil.rmtree(lake.home / "checkpoints")
    lake.follow()
    assert lake.store.read_quarantine(departure_events).count() == 1


def test_a_file_that_changed_after_it_was_read_is_read_again(lake: Lake, messages: Messages) -> None:
    half, rest = [flight(messages, 1, 1)], [flight(messages, 1, 2), flight(messages, 2, 3)]
    lake.land(half, "a.jsonl")
    lake.follow()
    lake.land(half + rest, "a.jsonl")
    assert lake.follow().frontier.generations == {"bronze.departure_events": 2, "silver.departures": 1}
    lake.check(half + rest)
    assert departed(lake, JAN_1) == [1, 2]


@pytest.mark.streams
def test_a_damaged_checkpoint_is_refused_and_a_new_generation_repairs_it(lake: Lake, messages: Messages) -> None:
    lake.land([flight(messages, 1, 1)], "a.jsonl")
    lake.follow()
    (torn,) = (lake.home / "checkpoints/silver/departures").glob("*/offsets/0")
    torn.write_text("v1\n{torn")
    lake.land([flight(messages, 1, 2)], "b.jsonl")
    with pytest.raises(StreamBroken, match=r"--new-generation silver\.departures"):
        lake.follow()
    assert read_statuses(lake.home / "streams")["silver.departures"].state == "failed"
    lake.follow(new_generation=["silver.departures"])
    assert departed(lake, JAN_1) == [1, 2]


def test_a_stream_goes_on_after_a_power_cut_between_a_commit_and_its_checkpoint(
    lake: Lake, messages: Messages, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake.tables, lake.home, disk = [departure_events], lake.home / "before", Disk(monkeypatch)
    lake.home.mkdir()
    lake.__post_init__()
    sent, cuts = [flight(messages, 1, number) for number in range(1, 5)], list[Path]()
    lake.land(sent[:2], "a.jsonl")
    lake.follow()
    lake.land(sent[2:3], "b.jsonl")
    lake.follow(on_receipt=lambda _: cuts.append(disk.after_a_power_cut(lake.home, lake.home.parent / "after")))
    assert len(cuts) == 1, "one micro-batch was expected"
    left = Lake(cuts[0], lake.session, lake.tables)
    assert left.rows(departure_events) == lake.rows(departure_events)

    shutil.copytree(lake.landing.root, left.landing.root, dirs_exist_ok=True)
    left.land(sent[3:], "c.jsonl")
    generations = left.follow().frontier.generations

    assert generations == {"bronze.departure_events": 1}, "its checkpoint was lost"
    left.check(sent)


def test_a_continuous_stream_ends_after_the_running_micro_batch_when_asked(lake: Lake, messages: Messages) -> None:
    stop = threading.Event()
    seen: list[str] = []

    def on_receipt(receipt: MicroBatch) -> None:
        seen.append(receipt.table)
        if receipt.table == departures.full_name and receipt.batch_id == 0:
            lake.land([flight(messages, 1, 2)], "b.jsonl")
        if receipt.table == departures.full_name and receipt.batch_id == 1:
            stop.set()

    lake.land([flight(messages, 1, 1)], "a.jsonl")
    follow(lake.tables, lake.store, lake.frontier, home=lake.home, stop=stop, on_receipt=on_receipt)
    assert departed(lake, JAN_1) == [1, 2]
    assert not lake.store.spark.streams.active


def test_streams_begin_to_run_though_their_topic_never_falls_silent(
    lake: Lake, messages: Messages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is read at the start, more has landed by then: nobody may wait for an end before the queries run."""
    running, stop, run = threading.Event(), threading.Event(), Driver.run
    numbers = itertools.count(2)

    def noted(driver: Driver) -> None:
        running.set()
        run(driver)

    def land_another(receipt: MicroBatch) -> None:
        if receipt.table == departure_events.full_name and not running.is_set():
            number = next(numbers)
            lake.land([flight(messages, 2, number)], f"{number}.jsonl")

    def end_soon() -> None:
        running.wait(60)
        stop.set()

    monkeypatch.setattr(Driver, "run", noted)
    lake.land([flight(messages, 2, 1)], "1.jsonl")
    threading.Thread(target=end_soon, daemon=True).start()
    follow(lake.tables, lake.store, lake.frontier, home=lake.home, since=JAN_2, stop=stop, on_receipt=land_another)

    assert running.is_set()


def test_a_micro_batch_that_waits_while_its_query_is_stopped_does_not_begin(
    lake: Lake, spark: SparkSession, messages: Messages
) -> None:
    """Who stops the query holds the guard and waits for the micro-batch, which must not wait for the guard."""
    receipts: list[MicroBatch] = []
    write = writer(lake, departures, receipts)
    rows = bronze(spark, [flight(messages, 1, 1)])
    ended = threading.Event()

    def micro_batch() -> None:
        with pytest.raises(Stopped):
            write(rows, 0)
        ended.set()

    with write.guard:
        threading.Thread(target=micro_batch, daemon=True).start()
        assert not ended.wait(0.5)
        write.stopping.set()
        assert ended.wait(10)
    assert receipts == []


class Unreachable(TopicArchive):
    """A source whose cluster does not answer."""

    def identity(self, feed: TopicFeed) -> str | None:
        raise TopicUnreachable("departures", "127.0.0.1:9", "no answer")


@dataclass
class Reader:
    """A query of bronze, as far as the driver asks it."""

    status: dict[str, bool]
    name: str = departure_events.full_name

    @property
    def plan(self) -> SimpleNamespace:
        return SimpleNamespace(table=departure_events)

    @property
    def query(self) -> Reader:
        return self


def driver(lake: Lake, source: TopicSource, stop: threading.Event) -> Driver:
    return Driver(lake.frontier, [departure_events], lake.home, source, stop, lambda: at(1), None)


def test_the_silence_of_a_feed_counts_only_where_it_was_read_to_its_end(lake: Lake) -> None:
    def ends(source: TopicSource, **status: bool) -> list[str]:
        asked = driver(lake, source, threading.Event())
        asked.streams = [Reader({"isDataAvailable": False, "isTriggerActive": False} | status)]  # type: ignore[list-item]
        return asked.watch.feeds_at_end(asked.streams)

    topics = lake.home / "checkpoints" / "topics"
    topics.mkdir(parents=True)
    (topics / f"{departure_events.full_name}.json").write_text('{"topic": "departures", "id": "an id"}')

    assert ends(TopicArchive(lake.landing)) == ["departures"]
    assert ends(TopicArchive(lake.landing), isDataAvailable=True) == []
    assert ends(TopicArchive(lake.landing), isTriggerActive=True) == [], (
        "it asks for news, and a dead broker does not answer"
    )
    assert ends(Unreachable(lake.landing)) == []


@pytest.mark.parametrize(
    ("idle_after", "first_open"),
    [
        (timedelta(hours=6), date(2013, 1, 4)),
        pytest.param(timedelta(days=30), JAN_1, marks=pytest.mark.streams),
        (None, JAN_1),
    ],
)
def test_days_of_a_topic_that_is_silent_for_longer_than_it_declares_are_sealed_by_the_clock(
    tmp_path: Path, spark: SparkSession, messages: Messages, idle_after: timedelta | None, first_open: date
) -> None:
    """At midnight before the 5th: six hours for the topic and three for late messages ago, it was still the 4th."""
    topic = replace(departure_feed, idle_after=idle_after)
    events = replace(departure_events, reads=(Read(topic),))
    silver = replace(departures, reads=tuple(replace(read, source=events) for read in departures.reads))
    lake = Lake(tmp_path, lambda: spark, [events, silver])
    lake.land([flight(messages, 1, 1)], "a.jsonl")

    followed = lake.follow(now=lambda: at(5))

    assert followed.frontier.first_open == first_open


def test_a_drain_that_was_told_to_stop_seals_nothing(lake: Lake) -> None:
    stop, sealed = threading.Event(), list[object]()

    def seal(ends: object) -> None:
        sealed.append(ends)

    stopped = driver(lake, TopicArchive(lake.landing), stop)
    stopped.streams = [Reader({})]  # type: ignore[list-item]
    stopped._drain_level = lambda _: stop.set()  # type: ignore[method-assign, assignment]
    stopped._seal = seal  # type: ignore[method-assign]

    stopped.drain(until_idle=True)

    assert sealed == []


@pytest.mark.streams
def test_another_stateful_plan_begins_a_new_generation_and_another_first_open_day_does_not(
    lake: Lake, messages: Messages, spark: SparkSession
) -> None:
    """What a checkpoint's state was made for is in its folder's name; state of another plan is never read."""

    def generation(*tables: Table) -> dict[str, int]:
        lake.tables = list(tables)
        return dict(lake.follow().frontier.generations)

    later = replace(delay_alerts, transform=_alerts_of_even_flights(delay_alerts.transform))
    sent = [departure(messages, 1, number) for number in range(1, 8)]
    with interpreted(spark):
        lake.land(sent, "1.jsonl")
        first = generation(departure_events, departures, delay_alerts)
        sent.append(flight(messages, 4, 9))
        lake.land(sent[-1:], "2.jsonl")
        moved = generation(departure_events, departures, delay_alerts)
        state = lake.frontier.state()
        assert state is not None
        assert state.first_open > JAN_1, "otherwise this shows nothing"
        changed = generation(departure_events, departures, later)

        assert moved == first
        assert changed == first | {delay_alerts.full_name: 2}
        lake.check_equals_batch(sent)


def _alerts_of_even_flights(transform: Callable[..., DataFrame]) -> Callable[..., DataFrame]:
    """The same aggregation, over the flights with an even number only."""
    return lambda departures: transform(departures.where("flight % 2 = 0"))


def departure(messages: Messages, day: int, number: int) -> Message:
    """One of many that left an hour late, in one hour."""
    left = at(day, 9, 40 + number)
    return messages.departure(date(2013, 1, day), number, scheduled=at(day, 8, 30), left=left, sent=left)


@pytest.mark.parametrize("table", [departures, hourly_airport_performance], ids=lambda table: str(table.name))
def test_a_clean_small_micro_batch_is_one_spark_job(
    tmp_path: Path, spark: SparkSession, messages: Messages, table: Table
) -> None:
    lake, receipts = Lake(tmp_path, lambda: spark, [table]), list[MicroBatch]()
    write = writer(lake, table, receipts)
    made = hours if table is hourly_airport_performance else departed_rows
    tracker = spark.sparkContext.statusTracker()

    def jobs(batch: int) -> int:
        rows = made(spark, [flight(messages, 1, 10 * batch + number) for number in range(1, 4)])
        group = f"{table.full_name} {batch}"
        spark.sparkContext.setJobGroup(group, "")
        write(rows, batch)
        return len(tracker.getJobIdsForGroup(group))

    try:
        jobs(0)
        assert [jobs(1), jobs(2)] == [1, 1]
    finally:
        spark.sparkContext.setJobGroup("", "")
    assert receipts[-1].counts.rows_out > 0


def departed_rows(spark: SparkSession, messages: list[Message]) -> DataFrame:
    """Rows of silver."""
    return departures(bronze(spark, messages))


def hours(spark: SparkSession, messages: list[Message]) -> DataFrame:
    """Rows of gold, of departures alone."""
    left = departed_rows(spark, messages).select(*departures.contract.stored_names)
    return hourly_airport_performance(left, frame(spark, arrivals, []))


def with_column(first: Table, name: str) -> Table:
    """The same table, whose contract has one more nullable column."""

    def wider(departure_events: DataFrame) -> DataFrame:
        return first(departure_events).withColumn(name, F.lit("added"))

    column = ContractColumn(name, T.StringType(), nullable=True, description="added", stored=True)
    contract = replace(first.contract, columns=(*first.contract.columns, column))
    return replace(first, transform=wider, contract=contract)


def reader_of(source: Table) -> Table:
    """A table that reads another as a stream."""
    return replace(hourly_airport_performance, reads=(replace(hourly_airport_performance.reads[0], source=source),
                   *hourly_airport_performance.reads[1:]))  # fmt: skip


@pytest.mark.streams
def test_a_nullable_column_that_a_contract_gets_is_there_when_streams_start_again(
    lake: Lake, messages: Messages
) -> None:
    first = [*both_messages(messages, 1, 1, 9), *both_messages(messages, 1, 2, 9)]
    lake.land(first, "a.jsonl")
    lake.tables = [departure_events, arrival_events, departures, arrivals, hourly_airport_performance]
    lake.follow(since=JAN_1)
    wider = with_column(departures, "remark")
    lake.tables = [departure_events, arrival_events, wider, arrivals, reader_of(wider)]
    second = both_messages(messages, 1, 3, 10)
    lake.land(second, "b.jsonl")

    lake.follow()

    rows = {row["flight"]: row["remark"] for row in lake.store.read(wider).collect()}
    assert rows == {1: None, 2: None, 3: "added"}
    lake.check([*first, *second])
