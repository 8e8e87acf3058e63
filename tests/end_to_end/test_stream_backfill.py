"""Batch rewrites sealed days of silver while streams read it: gold is neither stopped, nor doubled, nor starved.

The same scenario breaks a plain Structured Streaming read of that table under each of the three usual options.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from pyspark.errors import StreamingQueryException
from pyspark.sql import DataFrame, SparkSession

from lake.batch.refresh import refresh
from lake.declare.days import Days
from lake.errors import AlreadyFollowed, DayIsOpen
from lake.storage.lease import is_followed
from lake.testing.lakes import interpreted
from lakehouse_assets.bronze.arrival_events import arrival_events
from lakehouse_assets.bronze.departure_events import departure_events
from lakehouse_assets.gold.hourly_airport_performance import hourly_airport_performance
from lakehouse_assets.silver.arrivals import arrivals
from lakehouse_assets.silver.departures import departures
from tests.streaming import Following, Lake, Message, Messages, at

pytestmark = [pytest.mark.spark, pytest.mark.slow, pytest.mark.faults]

JAN_1, JAN_2, JAN_3, FEB_1 = (at(day).date() for day in (1, 2, 3, 32))
JANUARY = Days(JAN_1, FEB_1)
TABLES = [departure_events, arrival_events, departures, arrivals, hourly_airport_performance]


@pytest.fixture
def lake(tmp_path: Path, spark: SparkSession) -> Iterator[Lake]:
    with interpreted(spark):
        yield Lake(tmp_path, lambda: spark, list(TABLES))


def left(messages: Messages, day: int, number: int, *, sent_day: int | None = None) -> Message:
    moment = at(day, 9, number)
    sent = at(sent_day, 9, number, 30) if sent_day else at(day, 9, number, 30)
    return messages.departure(at(day).date(), number, scheduled=at(day, 9), left=moment, sent=sent)


def reached(messages: Messages, day: int, number: int) -> Message:
    moment = at(day, 12, number)
    return messages.arrival(at(day).date(), number, scheduled=at(day, 12), reached=moment, sent=moment)


@pytest.fixture
def messages() -> Messages:
    return Messages()


@pytest.fixture
def sent(lake: Lake, messages: Messages) -> list[Message]:
    """Messages of 1 and 3 January, read as streams, so that 1 and 2 January are sealed; nothing left on 2 January."""
    early = [*(left(messages, day, n) for day in (1, 3) for n in (1, 2, 3)), reached(messages, 3, 1)]
    early.append(reached(messages, 1, 1))
    lake.land(early, "early.jsonl")
    assert lake.follow(since=JAN_1).frontier.first_open == JAN_3
    return early


def late(messages: Messages) -> list[Message]:
    """Messages that come on 3 January: about a day that holds rows, and about one that is empty."""
    return [left(messages, 1, 4, sent_day=3), left(messages, 2, 5, sent_day=3)]


def left_by_day(lake: Lake) -> dict[date, int]:
    """Departures as gold counts them."""
    counts: Counter[date] = Counter()
    for row in lake.store.read(hourly_airport_performance).collect():
        counts[row["hour_on"]] += row["departures"]
    return {day: count for day, count in counts.items() if count}


@pytest.mark.streams
def test_rewriting_a_sealed_month_of_silver_neither_stops_nor_doubles_nor_starves_gold(
    lake: Lake, messages: Messages
) -> None:
    """January is sealed, every second day of it without a row; then a late row comes for each day that may have one."""
    sent = [left(messages, day, number) for day in range(1, 33, 2) for number in (1, 2, 3)]
    sent += [left(messages, 32, number) for number in (1, 2, 3)] + [reached(messages, day, 1) for day in (1, 32)]
    lake.land(sent, "early.jsonl")
    assert lake.follow(since=JAN_1).frontier.first_open == FEB_1
    with lake.following() as running:
        sent += [left(messages, day, 4, sent_day=32) for day in range(3, 32)]
        lake.land(sent[-29:], "late.jsonl")
        running.until_read(lake, departure_events, len(sent) - 2)
        refresh(departures, lake.store, Days.of(at(4).date()))  # fills a day that was empty, so its commit only adds
        refresh(departures, lake.store, JANUARY)
        refresh(hourly_airport_performance, lake.store, JANUARY)
        sent.append(left(messages, 32, 6))
        lake.land(sent[-1:], "more.jsonl")
        running.until(lambda: left_by_day(lake).get(FEB_1) == 4, "gold counts what came after the backfill")
        refresh(departures, lake.store, JANUARY)  # the same rows once more, as a change commit
        sent.append(left(messages, 32, 7))
        lake.land(sent[-1:], "last.jsonl")
        running.until(lambda: left_by_day(lake).get(FEB_1) == 5, "gold counts what came after the second backfill")
        expected = {at(day).date(): 3 * (day % 2) + (day > 2) for day in range(1, 32)} | {FEB_1: 5}
        assert left_by_day(lake) == {day: flights for day, flights in expected.items() if flights}
    lake.check_equals_batch(sent)


PLAIN = {"default": {}, "ignoreChanges": {"ignoreChanges": "true"}, "skipChangeCommits": {"skipChangeCommits": "true"}}


class PlainReader:
    """What is usually written: a query over the table that collects what it is given."""

    def __init__(self, lake: Lake, options: dict[str, str], folder: Path) -> None:
        self.lake, self.options, self.folder = lake, options, folder
        self.given: list[tuple[date, int]] = []

    def read(self) -> None:
        """Read what there is, and go on from where the last call ended."""
        spark = self.lake.store.spark
        rows = spark.readStream.format("delta").options(**self.options).load(self.lake.store.path(departures))

        def keep(batch: DataFrame, _batch_id: int) -> None:
            self.given += [(row[0], row[1]) for row in batch.select("departed_on", "flight").collect()]

        writer = rows.writeStream.option("checkpointLocation", str(self.folder)).foreachBatch(keep)
        writer.trigger(availableNow=True).start().awaitTermination()


@pytest.mark.soak
def test_plain_reads_of_the_same_table_stop_double_or_starve(
    lake: Lake, messages: Messages, sent: list[Message], tmp_path: Path
) -> None:
    readers = {name: PlainReader(lake, options, tmp_path / name) for name, options in PLAIN.items()}
    for reader in readers.values():
        reader.read()
        assert len(reader.given) == 6
    more = late(messages)
    lake.land(more, "late.jsonl")
    lake.follow()
    for day in (JAN_1, JAN_2):
        refresh(departures, lake.store, Days.of(day))

    with pytest.raises(StreamingQueryException, match="DELTA_SOURCE_TABLE_IGNORE_CHANGES"):
        readers["default"].read()
    readers["ignoreChanges"].read()
    assert Counter(readers["ignoreChanges"].given)[JAN_1, 1] == 2, "doubled: it was there before and was given again"
    readers["skipChangeCommits"].read()
    given = Counter(readers["skipChangeCommits"].given)
    assert given[JAN_1, 4] == 0, "starved: the late row came with a rewrite"
    assert given[JAN_2, 5] == 1, "gold has this row from batch, and would count it a second time"


@pytest.mark.soak
def test_a_sealed_day_is_the_same_whether_batch_or_the_stream_meets_its_late_row_first(
    lake: Lake, messages: Messages, sent: list[Message]
) -> None:
    def departed(day: date) -> int:
        return lake.store.table_log(departures).rows_by_day("departed_on").get(day, 0)

    def held() -> int:
        return sum(lake.store.table_log(departure_events).rows_by_day("landed_on").values())

    def come(message: Message, running: Following) -> None:
        """Bronze has it, and silver has read past it: a row of an open day that came later is there."""
        sent.extend([message, left(messages, 3, 20 + len(sent))])
        lake.land(sent[-2:], f"{len(sent)}.jsonl")
        open_rows = sum(1 for m in sent if m["topic"] == "departures" and '"2013-01-03T09' in m["value"])
        running.until(lambda: held() == len(sent) - 2 and departed(JAN_3) == open_rows, "silver has read past it")

    with lake.following() as running:
        with pytest.raises(DayIsOpen):
            refresh(departures, lake.store, Days.of(JAN_3))
        come(left(messages, 1, 4, sent_day=3), running)  # the stream first: it drops a row of a sealed day ...
        assert departed(JAN_1) == 3
        refresh(departures, lake.store, Days.of(JAN_1))  # ... and batch has it
        assert departed(JAN_1) == 4
        refresh(departures, lake.store, Days.of(JAN_2))  # batch first, of a day without rows ...
        come(left(messages, 2, 5, sent_day=3), running)  # ... and then the stream meets one
        assert departed(JAN_2) == 0
        for number in range(6, 9):  # both at once
            writing = threading.Thread(target=refresh, args=(departures, lake.store, Days.of(JAN_1)))
            writing.start()
            come(left(messages, 1, number, sent_day=3), running)
            writing.join()
    lake.follow()  # gold reads what silver has
    lake.check_equals_batch(sent)


@pytest.mark.soak
def test_streams_go_on_while_somebody_else_compacts_the_tables_that_they_merge_into(
    lake: Lake, messages: Messages, sent: list[Message]
) -> None:
    """The compaction takes no lock: it is what a user may type into any Spark."""
    stop = threading.Event()
    done: list[str] = []
    failed: list[BaseException] = []

    def compact() -> None:
        spark = lake.store.spark.newSession()
        while not stop.is_set():
            for table in (departures, hourly_airport_performance):
                try:
                    spark.sql(f"OPTIMIZE delta.`{lake.store.path(table)}`").collect()
                    done.append(table.name)
                except Exception as error:  # the compaction may lose, never the stream
                    failed.append(error)

    def until_counted(flights: int, running: Following) -> None:
        running.until(lambda: left_by_day(lake).get(JAN_3) == flights, f"gold counts {flights} flights")

    compacting = threading.Thread(target=compact)
    with lake.following() as running:
        compacting.start()
        try:
            for number in range(10, 18):
                sent += [left(messages, 3, number), reached(messages, 3, number)]
                lake.land(sent[-2:], f"{number}.jsonl")
                until_counted(number - 6, running)
        finally:
            stop.set()
            compacting.join()
    assert done
    lake.check_equals_batch(sent)


@pytest.mark.soak
def test_a_second_driver_is_refused_and_harms_nothing(lake: Lake, messages: Messages, sent: list[Message]) -> None:
    other = Lake(lake.home, lake.session, list(TABLES))
    with lake.following() as running:
        running.until(lambda: is_followed(lake.store.locks), "the streams run")
        generations = lake.frontier.state()
        with pytest.raises(AlreadyFollowed):
            other.follow()
        with pytest.raises(AlreadyFollowed):
            other.follow(new_generation=["silver.departures"])
        assert lake.frontier.state() == generations
        sent.append(left(messages, 3, 4))
        lake.land(sent[-1:], "more.jsonl")
        running.until(lambda: left_by_day(lake).get(JAN_3) == 4, "the first driver goes on")
    lake.check_equals_batch(sent)
