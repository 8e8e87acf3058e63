"""A day of a range, computed by itself: rows that no plan shows to depend on the range are seen to differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

import pyspark.sql.functions as F
import pyspark.sql.types as T
import pytest
from pyspark.sql import DataFrame, Window

from lake.batch import day_alone
from lake.batch.day_alone import DayAlone, can_differ, compute_again
from lake.batch.refresh import refresh
from lake.declare.contract import Contract, Field
from lake.declare.days import Days
from lake.declare.table import Replace, Table, table
from lake.ownership.ledger import Entry, Ledger
from lake.testing.frames import frame
from lake.write.store import DeltaStore
from lakehouse_assets.bronze.weather_files import weather_files
from lakehouse_assets.silver.airports import airports
from lakehouse_assets.silver.weather import weather

pytestmark = pytest.mark.spark

DAYS = Days.parse("2013-01-01..2013-01-04")


class Warmth(Contract):
    """How warm it was of late."""

    airport: T.StringType = Field(description="IATA code")
    observed_on: T.DateType = Field(description="UTC day")
    temperature_f: T.DoubleType = Field(description="mean of the last three days that have one", nullable=True)


@table(
    reads=[weather.days(before=1)],
    contract=Warmth,
    key=["airport", "observed_on"],
    day="observed_on",
    write=Replace(),
    fresh_within=timedelta(hours=26),
    owner="team:tests",
    layer="gold",
)
def warmth(weather: DataFrame) -> DataFrame:
    """One row per airport and day."""
    return averaged(weather, last=1)


def averaged(weather: DataFrame, last: int) -> DataFrame:
    days = weather.groupBy("airport", "observed_on").agg(F.avg("temperature_f").alias("temperature_f"))
    recent = Window.partitionBy("airport").orderBy("observed_on").rowsBetween(-last, 0)
    return days.withColumn("temperature_f", F.avg("temperature_f").over(recent))


def too_far_back(weather: DataFrame) -> DataFrame:
    return averaged(weather, last=3)


reaching = replace(warmth, transform=too_far_back)
"""Reads one day before its own and looks at three: in a range they are there."""


@pytest.fixture
def observed(store: DeltaStore) -> DeltaStore:
    rows = [
        {"airport": "EWR", "observed_at": datetime(day.year, day.month, day.day, 12), "observed_on": day,
         "temperature_f": 10.0 * number}
        for number, day in enumerate(DAYS)
    ]  # fmt: skip
    store.replace(weather, frame(store.spark, weather, rows), [DAYS], {})
    return store


def looked_at(store: DeltaStore, declared: Table, runs: Sequence[str]) -> list[DayAlone | None]:
    """What is found after a run of each of these ids over one range."""
    found = []
    for run_id in runs:
        refresh(declared, store, DAYS, run_id=run_id)
        found.append(compute_again(declared, store, run_id, Ledger(store).latest(declared.full_name)))
    return found


def test_a_window_that_reaches_further_than_the_days_read_differs_on_a_day_of_the_range(observed: DeltaStore) -> None:
    (found,) = looked_at(observed, reaching, ["run 3"])

    expected: dict[str, Any] = {"airport": "EWR", "observed_on": date(2013, 1, 3)}
    assert found == DayAlone(
        date(2013, 1, 3), 2, alone=expected | {"temperature_f": 15.0}, stored=expected | {"temperature_f": 10.0}
    )


def test_a_window_that_stays_within_the_days_read_has_the_same_rows(observed: DeltaStore) -> None:
    found = looked_at(observed, warmth, ["run 1", "run 2", "run 3"])

    assert [one and one.differing for one in found] == [0, 0, 0]
    assert len({one.day for one in found if one}) > 1


def test_the_day_is_computed_from_the_versions_that_the_run_has_read(observed: DeltaStore) -> None:
    refresh(warmth, observed, DAYS, run_id="run")
    observed.replace(weather, frame(observed.spark, weather, []), [DAYS], {})

    found = compute_again(warmth, observed, "run", Ledger(observed).latest(warmth.full_name))

    assert found
    assert found.differing == 0


def test_only_a_range_that_this_run_has_written_is_looked_at(observed: DeltaStore) -> None:
    refresh(warmth, observed, DAYS, run_id="run")
    entries = Ledger(observed).latest(warmth.full_name)
    one_written: dict[date | None, Entry] = {
        day: replace(entry, outcome="written" if day == DAYS.start else "failed") for day, entry in entries.items()
    }

    assert compute_again(warmth, observed, "another run", entries) is None
    assert compute_again(warmth, observed, "run", {DAYS.start: entries[DAYS.start]}) is None
    assert compute_again(warmth, observed, "run", one_written) is None


def test_a_table_that_reads_its_own_days_is_looked_at_after_some_runs(
    observed: DeltaStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    refresh(warmth, observed, DAYS, run_id="run")
    own_days = replace(warmth, reads=(weather.days(),))
    entries = {day: replace(entry, inputs={}) for day, entry in Ledger(observed).latest(warmth.full_name).items()}
    chosen: list[str] = []
    monkeypatch.setattr(day_alone, "_computed_alone", lambda *_: chosen.append("looked at"))

    for number in range(200):
        run_id = f"run {number}"
        of_run = {day: replace(entry, run_id=run_id) for day, entry in entries.items()}
        compute_again(own_days, observed, run_id, of_run)

    assert 5 < len(chosen) < 40


def test_bronze_and_tables_without_days_cannot_differ() -> None:
    assert [can_differ(one) for one in (weather_files, airports, weather, warmth)] == [False, False, True, True]
