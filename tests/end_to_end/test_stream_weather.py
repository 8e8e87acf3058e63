"""What a stream joins without streaming it: late weather is in the row of a flight once its day is settled."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from lake.declare.days import Days
from lake.testing.lakes import interpreted
from lakehouse_assets.bronze.arrival_events import arrival_events
from lakehouse_assets.bronze.departure_events import departure_events
from lakehouse_assets.bronze.weather_files import weather_files
from lakehouse_assets.silver.arrivals import arrivals
from lakehouse_assets.silver.departures import departures
from lakehouse_assets.silver.flights import flights
from lakehouse_assets.silver.weather import weather
from tests.streaming import Lake, Message, Messages, at

pytestmark = [pytest.mark.streams, pytest.mark.spark, pytest.mark.slow]

JAN_1 = date(2013, 1, 1)


@pytest.fixture
def lake(tmp_path: Path, spark: SparkSession) -> Iterator[Lake]:
    with interpreted(spark):
        yield Lake(tmp_path / "home", lambda: spark, [departure_events, arrival_events, departures, arrivals, flights])


def flown(messages: Messages, day: int, number: int) -> list[Message]:
    """A flight that was to leave at nine, with its arrival."""
    left, reached = at(day, 9, 10), at(day, 11)
    return [
        messages.departure(left.date(), number, scheduled=at(day, 9), left=left, sent=left),
        messages.arrival(left.date(), number, scheduled=at(day, 11), reached=reached, sent=reached),
    ]


def observe(lake: Lake, temperature: float) -> None:
    """Let the observation of nine o'clock on 1 January land."""
    said = {"airport": "EWR", "observed_at": "2013-01-01T09:00:00Z", "temperature_f": temperature}
    folder = lake.landing.root / "weather" / "landed_on=2013-01-01"
    folder.mkdir(parents=True)
    (folder / "09.jsonl").write_text(json.dumps(said) + "\n")


def weather_of(lake: Lake, number: int) -> tuple[bool, float | None]:
    """What a flight of 1 January says of the weather when it left."""
    (row,) = lake.store.read(flights, Days.of(JAN_1)).where(f"flight = {number}").collect()
    return row["is_weather_known"], row["temperature_f"]


def test_weather_that_lands_after_a_flight_was_emitted_is_there_once_its_day_is_settled(lake: Lake) -> None:
    messages, every = Messages(), replace(lake, tables=[weather_files, weather, *lake.tables])
    lake.land(flown(messages, 1, 1), "1.jsonl")
    lake.follow()
    assert weather_of(lake, 1) == (False, None)

    observe(lake, 39.5)
    every.settle(JAN_1)
    lake.land(flown(messages, 1, 2), "2.jsonl")
    lake.follow()
    assert weather_of(lake, 1) == (False, None), "streams own the day: a row that was emitted stays as it was"
    assert weather_of(lake, 2) == (True, 39.5), "one that is computed now has what is there now"

    lake.land(flown(messages, 5, 3), "days-later.jsonl")
    state = lake.follow().frontier
    first_open = state.first_open_day(flights)
    assert first_open is not None
    assert first_open > JAN_1
    assert weather_of(lake, 1) == (False, None), "sealed, and not settled yet"

    every.settle(JAN_1)
    assert weather_of(lake, 1) == weather_of(lake, 2) == (True, 39.5)
