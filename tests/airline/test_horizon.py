"""Which times are believed: the verdict on a row by clock and calendar, and the day under which it is filed."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from lake.batch.refresh import refresh
from lake.declare.days import ALL_DAYS, Days
from lake.declare.table import Read, Table
from lake.testing.frames import frame
from lake.testing.lakes import compiled
from lake.write.bounded import Bounded
from lake.write.enforce import Counts, Enforcer, enforce
from lake.write.horizon import Filing, Horizon, dated_by
from lake.write.store import DeltaStore
from lakehouse_assets.bronze.arrival_events import arrival_events
from lakehouse_assets.bronze.departure_events import departure_events
from lakehouse_assets.bronze.schedule_files import schedule_files
from lakehouse_assets.bronze.weather_files import weather_files
from lakehouse_assets.feeds.departures import departures as departures_feed
from lakehouse_assets.gold.hourly_airport_performance import hourly_airport_performance
from lakehouse_assets.silver.departures import departures
from lakehouse_assets.silver.schedules import schedules

NOON = datetime(2013, 1, 2, 12, tzinfo=UTC)
CALENDAR = Days.parse("2012-12-31..2014-01-31")
BELIEVED = Horizon(NOON, CALENDAR)
AHEAD, OUTSIDE = "timestamp:not_after_clock", "landed_on:in_calendar"


def test_the_time_of_a_row_is_that_of_its_event_or_of_its_message() -> None:
    found = {table.name: dated_by(table) for table in (departures, departure_events, weather_files)}
    assert found == {"departures": "departed_at", "departure_events": "timestamp", "weather_files": None}
    assert dated_by(hourly_airport_performance) is None


@pytest.mark.parametrize("table", [departure_events, arrival_events, departures])
def test_clocks_of_producers_may_be_ahead_as_far_as_their_feed_says(table: Table) -> None:
    assert BELIEVED.latest(table) == NOON + timedelta(minutes=10)


def test_times_are_believed_to_the_end_of_a_minute() -> None:
    limits = {Horizon(NOON + timedelta(seconds=at), CALENDAR).latest(departures) for at in (0.000001, 1, 59.9, 60)}
    assert limits == {NOON + timedelta(minutes=11)}


@pytest.mark.spark
def test_spark_compiles_nothing_for_rows_that_come_a_little_later(spark: SparkSession, tmp_path: Path) -> None:
    jvm: Any = spark._jvm
    compilations = jvm.org.apache.spark.metrics.source.CodegenMetrics.METRIC_COMPILATION_TIME()
    sent = frame(spark, departures_feed, [message(1, "2013-01-02T12:00:00Z", "2013-01-02")])
    sent.write.parquet(str(tmp_path / "sent"))
    enforcer, filing, counted = Enforcer(departure_events), Filing(departure_events), [compilations.getCount()]
    for second in range(1, 4):
        believed = Horizon(NOON + timedelta(seconds=second), CALENDAR)
        rows = departure_events(spark.read.schema(sent.schema).parquet(str(tmp_path / "sent")))
        one_task = filing(rows, believed).coalesce(1)
        with compiled(spark):
            assert enforcer.collect(one_task, Bounded(100, 1_000_000), believed) is not None
        counted.append(compilations.getCount())
    assert counted[0] < counted[1] == counted[2] == counted[3]


@pytest.mark.parametrize(
    ("now", "today"),
    [(NOON, date(2013, 1, 2)), (datetime(2026, 1, 1, tzinfo=UTC), date(2014, 1, 31)),
     (datetime(2009, 1, 1, tzinfo=UTC), date(2012, 12, 31))],
)  # fmt: skip
def test_today_is_a_day_of_the_calendar(now: datetime, today: date) -> None:
    assert Horizon(now, CALENDAR).today == today


def message(offset: int, sent: str, landed_on: str, claimed: str = "2013-01-02T11:00:00Z") -> dict[str, Any]:
    return {
        "key": "k", "value": f'{{"departed_at": "{claimed}"}}', "topic": "departures", "partition": 0,
        "offset": offset, "timestamp": sent, "_landed_on": landed_on,
    }  # fmt: skip


MESSAGES = [
    ("2013-01-02T12:00:00Z", "2013-01-02", []),
    ("2013-01-02T12:10:00Z", "2013-01-02", []),  # as far ahead as clocks may be
    ("2013-01-02T12:10:00.001Z", "2013-01-02", [AHEAD]),
    ("2023-01-02T12:00:00Z", "2023-01-02", [OUTSIDE, AHEAD]),
    ("2013-06-02T12:00:00Z", "2013-06-02", [AHEAD]),
    ("2012-12-31T00:00:00Z", "2012-12-31", []),
    ("2012-12-30T23:59:59Z", "2012-12-30", [OUTSIDE]),
    ("1970-01-16T16:57:21Z", "1970-01-16", [OUTSIDE]),  # seconds, read as milliseconds
    ("2023-01-02T12:00:00Z", "2013-01-02", ["days_off_landing:equal_to"]),  # whatever the clock says
]
FILED = ["2013-01-02"] * 5 + ["2012-12-31"] + ["2013-01-02"] * 3


@pytest.mark.spark
def test_a_message_of_no_believable_time_is_rejected_and_filed_under_a_day_that_is(spark: SparkSession) -> None:
    sent = [message(number, at, day) for number, (at, day, _) in enumerate(MESSAGES)]
    rows = Filing(departure_events)(departure_events(frame(spark, departures_feed, sent)), BELIEVED)

    by_spark = enforce(departure_events, rows, None, partitions=2, horizon=BELIEVED)
    here = Enforcer(departure_events).collect(rows.coalesce(1), Bounded(100, 1_000_000), BELIEVED)

    assert here is not None
    expected = {number: rules for number, (_, _, rules) in enumerate(MESSAGES)}
    good = sorted(number for number, rules in expected.items() if not rules)
    assert sorted(row["offset"] for row in by_spark.accepted().collect()) == good
    assert sorted(here.accepted.column("offset").to_pylist()) == good
    for rejected in (by_spark.rejected(), here.rejected()):
        found = rejected.selectExpr("get_json_object(row, '$.offset') AS offset", "day", "rules", "raw").collect()
        assert {int(row["offset"]): row["rules"] for row in found} == {
            n: rules for n, rules in expected.items() if rules
        }
        assert {int(row["offset"]): str(row["day"]) for row in found} == {
            number: day for number, day in enumerate(FILED) if expected[number]
        }
        assert all(row["raw"] == sent[0]["value"] for row in found)
    assert here.counts.rejected == 6


@pytest.mark.spark
def test_an_event_later_than_the_clock_moves_no_watermark_though_its_message_says_so_too(spark: SparkSession) -> None:
    """Bronze of an older release may hold such a message."""
    said = (
        '{"flight_date": "2023-01-02", "carrier": "UA", "flight": 1, "origin": "EWR", "dest": "ORD", '
        '"scheduled_departure_at": "2023-01-02T11:00:00Z", "departed_at": "2023-01-02T11:00:00Z"}'
    )
    kept = message(1, "2023-01-02T11:01:00Z", "2023-01-02") | {"value": said, "event_date": "2023-01-02"}
    kept["landed_on"] = kept.pop("_landed_on")
    rows = departures(frame(spark, departure_events, [kept]))

    assert enforce(departures, rows, None, partitions=1, horizon=Horizon(NOON)).rules() == {
        "departed_at:not_after_clock": 1
    }
    assert enforce(departures, rows, None, partitions=1, horizon=Horizon(NOON.replace(year=2024))).rules() == {}


CLAIMED = [
    ("2012-12-31T00:00:00Z", "2012-12-31"),
    ("2012-12-30T23:59:59Z", "2013-01-02"),  # ten years of flights, and nobody computes that day
    ("2013-01-02T10:00:00Z", "2013-01-02"),
]


@pytest.mark.spark
def test_what_is_about_a_day_outside_the_calendar_goes_under_its_landing_day_where_silver_rejects_it(
    spark: SparkSession,
) -> None:
    sent = [message(n, "2013-01-02T11:00:00Z", "2013-01-02", claim) for n, (claim, _) in enumerate(CLAIMED)]
    rows = departure_events(frame(spark, departures_feed, sent))
    stored = enforce(departure_events, rows, None, partitions=1, horizon=BELIEVED).accepted()
    here = Enforcer(departure_events).collect(rows.coalesce(1), Bounded(100, 1_000_000), BELIEVED)

    dates = [day for _, day in CLAIMED]
    assert [str(row["event_date"]) for row in stored.orderBy("offset").collect()] == dates
    assert here is not None
    assert [str(day) for day in here.accepted.sort_by("offset").column("event_date").to_pylist()] == dates
    met = departures(stored.where("event_date = DATE'2013-01-02'"))
    rules = enforce(departures, met, None, partitions=1, horizon=BELIEVED).rules()
    assert rules["days_off_event_date:equal_to"] == 1


@pytest.mark.spark
def test_a_row_of_a_day_outside_the_calendar_is_rejected_where_its_own_contract_would_take_it(
    spark: SparkSession,
) -> None:
    """A table that trusts what bronze says of a day is asked for its landing day, and may not write another."""
    from tests.tiny import mark_files, marks

    line = '{"name": "a", "day": "1999-01-01", "points": 1}'
    kept = {"line": line, "file": "f", "line_number": 1, "landed_on": "2013-01-02", "event_date": "2013-01-02"}
    rows = marks(frame(spark, mark_files, [kept]))
    enforced = enforce(marks, rows, None, partitions=1, horizon=BELIEVED)
    assert enforced.rules() == {"day:in_calendar": 1}
    assert [str(row["day"]) for row in enforced.rejected().collect()] == ["2013-01-02"]
    assert enforce(marks, rows, None, partitions=1, horizon=Horizon(NOON, ALL_DAYS)).rules() == {}


def test_a_feed_may_allow_more() -> None:
    patient = replace(departures_feed, ahead_at_most=timedelta(hours=2))
    table = replace(departure_events, reads=(Read(patient),))
    assert BELIEVED.latest(table) == NOON + timedelta(hours=2)


def landed(store: DeltaStore, feed: str, day: str, lines: list[dict[str, Any]]) -> None:
    folder = store.landing.root / feed / f"landed_on={day}"
    folder.mkdir(parents=True)
    (folder / "a.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))


@pytest.mark.spark
def test_in_batch_each_row_comes_out_or_is_rejected_whatever_day_it_claims(store: DeltaStore) -> None:
    """The first day of the calendar: what is about the day before belongs to a day that nobody computes."""
    first = date(2012, 12, 31)
    said: dict[str, Any] = {"flight_date": "2012-12-31", "carrier": "UA", "origin": "EWR", "dest": "ORD"}
    ten, yesterday = "2012-12-31T10:00:00Z", "2012-12-30T10:00:00Z"
    bodies = [said | {"flight": 1, "scheduled_departure_at": at, "departed_at": at} for at in (ten, yesterday, ten)]
    times = ["2012-12-31T11:00:00.000Z"] * 2 + ["2012-12-31T12:10:00.001Z"]  # the last is ahead of the clock
    place = {"key": "k", "topic": "departures", "partition": 0}
    lines = [
        place | {"offset": number, "timestamp": at, "value": json.dumps(body)}
        for number, (at, body) in enumerate(zip(times, bodies, strict=True))
    ]
    landed(store, "departures", "2012-12-31", lines)
    planned = said | {"flight": 1, "scheduled_departure_at": ten, "scheduled_arrival_at": ten, "distance_miles": 719}
    landed(store, "schedules", "2012-12-31", [planned, planned | {"flight_date": "2012-12-30"}])
    believed = Horizon(datetime(2012, 12, 31, 12, tzinfo=UTC), CALENDAR)

    found = {
        table.full_name: refresh(table, store, Days.of(first), horizon=believed)
        for table in (departure_events, departures, schedule_files, schedules)
    }

    assert {name: receipt.total for name, receipt in found.items()} == {
        "bronze.departure_events": Counts(3, 2, 1, 0),
        "silver.departures": Counts(2, 1, 1, 0),
        "bronze.schedule_files": Counts(2, 2, 0, 0),
        "silver.schedules": Counts(2, 1, 1, 0),
    }
    assert found["bronze.departure_events"].rules == {AHEAD: 1}
    for name in ("silver.departures", "silver.schedules"):
        assert found[name].rules["days_off_event_date:equal_to"] == 1
