"""Times that a producer made up: they end in quarantine, seal nothing, and every other message goes its way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from lake.days import Days
from lake.progress import micro_batches
from lake.reopening import is_ahead, reopen
from lake.table import Table
from lakehouse_assets.bronze.arrival_events import arrival_events
from lakehouse_assets.bronze.departure_events import departure_events
from lakehouse_assets.gold.hourly_airport_performance import hourly_airport_performance
from lakehouse_assets.silver.arrivals import arrivals
from lakehouse_assets.silver.departures import departures
from tests.lakes import interpreted
from tests.streaming import Lake, Message, Messages, at

pytestmark = [pytest.mark.streams, pytest.mark.spark, pytest.mark.slow]

TABLES = [departure_events, arrival_events, departures, arrivals, hourly_airport_performance]
CALENDAR = Days.parse("2012-12-31..2030-12-31")
TEN_YEARS = timedelta(days=3652)


@pytest.fixture
def lake(spark: SparkSession, tmp_path: Path) -> Iterator[Lake]:
    with interpreted(spark):
        yield Lake(tmp_path, lambda: spark, TABLES)


def flown(messages: Messages, number: int, left: datetime) -> list[Message]:
    """A departure and an arrival two hours later, reported a minute after."""
    times = {"scheduled": left, "sent": left + timedelta(hours=2, minutes=1)}
    return [
        messages.departure(left.date(), number, left=left, **times),
        messages.arrival(left.date(), number, reached=left + timedelta(hours=2), **times),
    ]


def numbers(lake: Lake, table: Table) -> list[int]:
    return sorted(row["flight"] for row in lake.store.read(table).select("flight").collect())


def movements(lake: Lake) -> int:
    hours = lake.store.read(hourly_airport_performance).collect()
    return sum(row["departures"] + row["arrivals"] for row in hours)


def rejected(lake: Lake, table: Table) -> dict[str, list[str]]:
    """The rules that the quarantine names, by the day under which it files a row."""
    return {str(row["day"]): row["rules"] for row in lake.store.read_quarantine(table).collect()}


def check_counts(lake: Lake) -> None:
    """What went in came out, table by table, and bronze and its quarantine hold what was read."""
    totals: Counter[str] = Counter()
    for receipt in micro_batches(lake.store):
        counts = receipt.counts
        assert counts.rows_in == counts.rows_out + counts.rejected + counts.duplicates
        totals[receipt.table] += counts.rejected
    for table in lake.tables:
        assert lake.store.read_quarantine(table).count() == totals[table.full_name]


def test_a_message_of_each_feed_ten_years_ahead_seals_nothing_and_stops_nothing(lake: Lake) -> None:
    """In a folder of its own day, and beside others in a folder of today: an archive may put it anywhere."""
    messages = Messages()
    now = at(2, 12)
    first = [*flown(messages, 1, at(1, 9)), *flown(messages, 2, at(2, 9))]
    ahead = flown(messages, 66, at(2, 9) + TEN_YEARS)
    lake.land([*first, *ahead], "a.jsonl")
    state = lake.follow(since=date(2013, 1, 1), now=lambda: now, calendar=CALENDAR).frontier
    assert (state.first_open, state.stream_from) == (date(2013, 1, 2), date(2013, 1, 1))
    for bronze in (departure_events, arrival_events):
        assert rejected(lake, bronze) == {"2013-01-02": ["timestamp:not_after_clock"]}
        assert lake.store.table_log(bronze).days("landed_on") == {date(2013, 1, 1), date(2013, 1, 2)}

    later = flown(messages, 3, at(2, 10))
    lake.land(later, "b.jsonl")
    assert lake.follow(now=lambda: at(2, 13), calendar=CALENDAR).frontier.first_open == date(2013, 1, 2)
    assert numbers(lake, departures) == numbers(lake, arrivals) == [1, 2, 3]
    assert movements(lake) == 6
    lake.check([*first, *later])
    check_counts(lake)


def test_a_lake_that_was_sealed_ten_years_ahead_is_opened_again(lake: Lake) -> None:
    """The clock of the lake itself was wrong for an hour, and believed a producer whose clock was too."""
    messages, wrong = Messages(), at(2, 12) + TEN_YEARS
    first = [*flown(messages, 1, at(2, 9)), *flown(messages, 66, at(2, 9) + TEN_YEARS)]
    lake.land(first, "a.jsonl")
    state = lake.follow(since=date(2013, 1, 1), now=lambda: wrong, calendar=CALENDAR).frontier
    assert state.first_open == at(2).date() + TEN_YEARS
    later = flown(messages, 2, at(2, 10))
    lake.land(later, "b.jsonl")
    state = lake.follow(now=lambda: at(2, 13), calendar=CALENDAR).frontier
    assert is_ahead(state, at(2, 13))
    assert numbers(lake, departures) == [1, 66]  # the later message is in bronze only

    reopen(lake.frontier, lake.tables, date(2013, 1, 2), at(2, 14))
    state = lake.follow(now=lambda: at(2, 14), calendar=CALENDAR).frontier

    assert (state.first_open, state.generations["silver.departures"]) == (date(2013, 1, 2), 3)
    assert numbers(lake, departures) == numbers(lake, arrivals) == [1, 2]
    assert movements(lake) == 4
    assert rejected(lake, departures) == {"2023-01-02": ["departed_at:not_after_clock"]}
    lake.check([*first, *later])
    more = flown(messages, 3, at(3, 10))
    lake.land(more, "c.jsonl")
    assert lake.follow(now=lambda: at(3, 13), calendar=CALENDAR).frontier.first_open == date(2013, 1, 3)
    assert movements(lake) == 6
