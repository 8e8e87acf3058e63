"""Controls of the comparison of open days: each stream that writes the wrong rows is seen to.

The streams are the real ones; what breaks them is put around their writer or into what they read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyspark.sql.functions as F
import pytest
from deltalake import DeltaTable, write_deltalake
from pyspark.sql import DataFrame, SparkSession

from lake.declare.days import Days
from lake.declare.table import Read, Table
from lake.stream.building import Builder
from lake.stream.micro_batch import MicroBatchWriter
from lake.testing.lakes import interpreted
from lakehouse_assets.bronze.departure_events import departure_events
from lakehouse_assets.gold.delay_alerts import delay_alerts
from lakehouse_assets.silver.departures import departures
from tests.every_table.open_days import Event, OpenDays, Past, Reading, compare, copied
from tests.every_table.parity import STREAMING, Journey, Traveller, supplied
from tests.streaming import Lake, Message, Messages, at

Sabotage = Callable[[DataFrame, int], DataFrame]
DAY = date(2013, 1, 2)


def sabotage(monkeypatch: pytest.MonkeyPatch, streams: Mapping[str, Sabotage]) -> None:
    """Give the writers of these tables other rows than their queries made."""
    write = MicroBatchWriter.__call__

    def write_others(self: MicroBatchWriter, rows: DataFrame, batch_id: int) -> None:
        change = streams.get(self.table.name)
        write(self, change(rows, batch_id) if change else rows, batch_id)

    monkeypatch.setattr(MicroBatchWriter, "__call__", write_others)


def only(condition: str) -> Sabotage:
    return lambda rows, _: rows.where(condition)


@pytest.mark.streams
@pytest.mark.spark
@pytest.mark.slow
def test_streams_that_lose_every_odd_flight_and_half_of_what_follows_are_seen(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What parity after the repair passes, since batch computes all of it anew."""
    even = only("flight % 2 = 0")
    half = {"flights": only("flight % 4 = 0"), "hourly_airport_performance": only("hour(hour_at) % 2 = 0")}
    sabotage(monkeypatch, {"departures": even, "arrivals": even, **half})
    journey = Journey("new year", 5, portions=1, worlds=20)
    sent = [message for world in journey.made_worlds() for message in world.messages()]

    def beside(name: str) -> Lake:
        return supplied(Lake(tmp_path / name, lambda: spark, STREAMING), tmp_path / "reference", journey)

    with interpreted(spark):
        traveller = Traveller(journey, beside("streamed"), beside)
        traveller.read([sent])

    ((_, found),) = traveller.looks
    differing = {table for (table, what), rows in found.unexplained().items() if what == "rows" and rows > 10}
    assert differing >= {
        "silver.departures", "silver.arrivals", "silver.flights", "gold.hourly_airport_performance",
    }  # fmt: skip
    assert not any(table.startswith("bronze.") for table in differing)


def copy_of(table: Table, name: str) -> Table:
    return replace(table, name=name)


forgetful = copy_of(departure_events, "forgetful")
skipping = copy_of(departures, "skipping")
doubling = copy_of(departures, "doubling")
elsewhere = copy_of(departures, "elsewhere")
hasty = copy_of(delay_alerts, "hasty")
TABLES = [departure_events, forgetful, departures, skipping, doubling, elsewhere, delay_alerts, hasty]


def skip_the_second(rows: DataFrame, batch_id: int) -> DataFrame:
    return rows.where("false") if batch_id == 1 else rows


def to_the_next_day(rows: DataFrame, batch_id: int) -> DataFrame:
    return rows.withColumn("departed_on", F.date_add("departed_on", 1)) if batch_id == 1 else rows


def double_what_it_wrote(monkeypatch: pytest.MonkeyPatch, table: Table) -> None:
    write = MicroBatchWriter.__call__

    def write_twice(self: MicroBatchWriter, rows: DataFrame, batch_id: int) -> None:
        write(self, rows, batch_id)
        if self.table is table and batch_id == 1:
            path = self.store.path(table)
            write_deltalake(path, DeltaTable(path).to_pyarrow_table(), mode="append")

    monkeypatch.setattr(MicroBatchWriter, "__call__", write_twice)


def ignore_the_lateness(monkeypatch: pytest.MonkeyPatch, table: Table) -> None:
    frame = Builder._frame

    def without_lateness(self: Builder, read: Read, reader: Table, first_day: date) -> DataFrame:
        if reader is not table:
            return frame(self, read, reader, first_day)
        assert isinstance(read.source, Table)
        return self.store.read_stream(read.source, first_day).withWatermark("departed_at", "0 seconds")

    monkeypatch.setattr(Builder, "_frame", without_lateness)


def an_alert_that_the_lateness_decides() -> list[list[Message]]:
    """Four portions; the third brings the last two of five late departures of 14:00, two hours late."""
    made = Messages()

    def left(flight: int, hour: int, minute: int, lag: timedelta = timedelta(minutes=1)) -> Message:
        moment = at(2, hour, minute)
        scheduled = moment - timedelta(minutes=40)
        return made.departure(DAY, flight, scheduled=scheduled, left=moment, sent=moment + lag)

    late = timedelta(hours=2)
    return [
        [*(left(flight, 14, flight) for flight in (1, 2, 3)), left(9, 15, 30)],
        [left(10, 16, 5)],
        [left(4, 14, 40, late), left(5, 14, 50, late)],
        [left(11, 17, 0)],
    ]


@pytest.mark.streams
@pytest.mark.spark
@pytest.mark.slow
def test_a_stream_that_skips_doubles_moves_or_hurries_is_seen(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside each a stream of the same table that does right, and is seen to."""
    sabotage(
        monkeypatch, {"forgetful": skip_the_second, "skipping": skip_the_second, "elsewhere": to_the_next_day}
    )  # fmt: skip
    double_what_it_wrote(monkeypatch, doubling)
    ignore_the_lateness(monkeypatch, hasty)
    streamed, other = (Lake(tmp_path / name, lambda: spark, TABLES) for name in ("streamed", "other"))
    portions = an_alert_that_the_lateness_decides()

    with interpreted(spark):
        for number, portion in enumerate(portions):
            streamed.land(portion, f"{number}.jsonl")
            streamed.follow(since=DAY)
        batch = copied(streamed, other, Days(DAY, DAY + timedelta(days=3)))
    found = compare(streamed, batch, Reading(portions, [DAY] * 4, DAY + timedelta(days=3)))

    assert found.unexplained() == {
        ("bronze.forgetful", "rows"): 1,
        ("gold.hasty", "rows"): 1,
        ("silver.doubling", "rows"): 5,
        ("silver.elsewhere", "rows"): 2,
        ("silver.skipping", "rows"): 1,
    }
    assert not found.early
    assert found.compared["gold.delay_alerts", "rows"] == 1


# What is early for a reason, without Spark


def event(feed: str, hour: int, portion: int, flight: int = 1) -> Event:
    moment = datetime(2013, 1, 2, hour, 30, tzinfo=UTC)
    return Event(feed, (DAY, "UA", flight, "EWR"), moment, "EWR" if feed == "departures" else "ORD", portion)


def past(*events: Event, portions: int = 2, open_from: date = DAY) -> Past:
    return Past(events, Reading([[]] * portions, [DAY] * (portions - 1) + [open_from], DAY + timedelta(days=9)))


def test_a_day_that_is_sealed_before_its_lateness_is_over_is_seen() -> None:
    tomorrow = DAY + timedelta(days=1)
    feeds = [event("departures", 23, 0), event("arrivals", 23, 0)]

    assert past(*feeds).sealed_too_early() == []
    (seen,) = past(*feeds, open_from=tomorrow).sealed_too_early()
    assert seen["open from"] == tomorrow


def test_what_differs_without_a_reason_is_counted_and_kept() -> None:
    found = OpenDays()

    found.note(("silver.flights", "rows"), [{"flight": 1}, {"flight": 2}], [{"flight": 2}, {"flight": 3}])

    assert found.unexplained() == {("silver.flights", "rows"): 2}
    assert list(found.found["silver.flights", "rows"]) == ["{'flight': 1}"]
