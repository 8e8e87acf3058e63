"""Features at a cutoff are the same without everything that happened later, however the past and the future look.

Each flight that is asked about lives in a world of its own: other airports, tails and flight numbers, so that one job
computes the features of all of them. What happened in its world after the cutoff is cut away, and nothing may change.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pyspark.sql.functions as F
import pytest
from pyspark.sql import DataFrame, SparkSession

from lake.testing.frames import Row, frame, rows_of
from lakehouse_assets.gold.flight_delay_features import flight_delay_features
from lakehouse_assets.silver.airports import airports
from lakehouse_assets.silver.departures import departures
from lakehouse_assets.silver.flights import flights
from lakehouse_assets.silver.schedules import schedules
from lakehouse_assets.silver.weather import weather

pytestmark = pytest.mark.spark

WORLDS = 60
FIRST = datetime(2013, 1, 5, tzinfo=UTC)
NOISE = [-301, -300, -181, -180, -121, -120, -119, -61, -60, -1, 0, 1, 59, 60, 61, 120, 121, 180, 181, 300]
"""Minutes from the cutoff at which something happens: the edges of what a cutoff sees, and their neighbours."""

Inputs = tuple[DataFrame, DataFrame, DataFrame, DataFrame, DataFrame]
Transform = Callable[[DataFrame, DataFrame, DataFrame, DataFrame, DataFrame], DataFrame]


@dataclass
class Worlds:
    """What was planned and what happened, as rows of the inputs."""

    planned: list[Row] = field(default_factory=list)
    flown: list[Row] = field(default_factory=list)
    left: list[Row] = field(default_factory=list)
    observed: list[Row] = field(default_factory=list)

    def inputs(self, spark: SparkSession) -> Inputs:
        return (
            frame(spark, schedules, self.planned),
            frame(spark, flights, self.flown),
            frame(spark, departures, self.left),
            frame(spark, weather, self.observed),
            frame(spark, airports),
        )

    def cut(self, cutoffs: dict[str, datetime]) -> Worlds:
        """What each world knew at its cutoff: the timetable, and of what happened only what had."""

        def known(rows: Iterable[Row], column: str, airport: str) -> list[Row]:
            return [row for row in rows if row[column] <= cutoffs[row[airport]]]

        flown = [
            row if row["arrived_at"] <= cutoffs[row["origin"]] else {**row, **NOT_ARRIVED}
            for row in known(self.flown, "departed_at", "origin")
        ]
        return Worlds(
            self.planned,
            flown,
            known(self.left, "departed_at", "origin"),
            known(self.observed, "observed_at", "airport"),
        )


NOT_ARRIVED = {"arrived_at": None, "arrival_delay_minutes": None, "has_arrived": False}


def build_worlds() -> tuple[Worlds, dict[str, datetime]]:
    """Return all worlds, and the cutoff of each by its airport."""
    worlds, cutoffs, chance = Worlds(), {}, random.Random(2013)
    for number in range(WORLDS):
        airport, tail = f"A{number:02}", f"N{number}UA"
        due = FIRST + timedelta(minutes=chance.randrange(24 * 60))
        cutoff = cutoffs[airport] = due - timedelta(hours=2)
        worlds.planned.append(planned(airport, 1, tail, due))
        before = cutoff + timedelta(minutes=chance.choice(NOISE[:12]) * chance.choice([1, 1, 3]))
        worlds.planned.append(planned(airport, 2, tail, before))
        worlds.flown.append(flown(airport, 2, before, cutoff, chance))
        for moment in moments(cutoff, chance):
            delay = chance.randint(-10, 90)
            worlds.left.append(
                {"origin": airport, "departed_at": moment, "departed_on": moment.date(), "delay_minutes": delay}
            )
        for moment in moments(cutoff, chance):
            degrees = float(chance.randint(0, 99))
            worlds.observed.append(
                {"airport": airport, "observed_at": moment, "observed_on": moment.date(), "temperature_f": degrees}
            )
    return worlds, cutoffs


def moments(cutoff: datetime, chance: random.Random) -> Iterator[datetime]:
    return (cutoff + timedelta(minutes=minutes) for minutes in chance.sample(NOISE, 8))


def planned(airport: str, flight: int, tail: str, due: datetime) -> Row:
    key = {"flight_date": FIRST.date(), "carrier": "UA", "flight": flight, "origin": airport}
    times = {"scheduled_departure_at": due, "scheduled_arrival_at": due + timedelta(hours=3)}
    return {**key, "dest": "IAH", "tail_number": tail, "distance_miles": 1400, **times}


def flown(airport: str, flight: int, due: datetime, cutoff: datetime, chance: random.Random) -> Row:
    left = cutoff + timedelta(minutes=chance.choice(NOISE))
    reached = left + timedelta(minutes=chance.choice([60, 120, 180]))
    return {
        "flight_date": FIRST.date(), "carrier": "UA", "flight": flight, "origin": airport, "departed_at": left,
        "departure_delay_minutes": (left - due) // timedelta(minutes=1), "arrived_at": reached,
        "arrival_delay_minutes": chance.randint(-20, 90), "has_arrived": True,
    }  # fmt: skip


def differing(spark: SparkSession, features: Transform) -> set[str]:
    """Name the worlds whose flight looks otherwise once the future is cut away."""
    worlds, cutoffs = build_worlds()

    def of(known: Worlds) -> dict[str, Row]:
        rows = features(*known.inputs(spark))
        return {row["origin"]: row for row in rows_of(rows.where("flight = 1"))}

    whole, cut = of(worlds), of(worlds.cut(cutoffs))
    assert set(whole) == set(cut) == set(cutoffs)
    assert {row["cutoff_at"] for row in whole.values()} == {f"{at:%Y-%m-%dT%H:%M:%SZ}" for at in cutoffs.values()}
    return {airport for airport in whole if whole[airport] != cut[airport]}


def test_cutting_away_what_happened_after_the_cutoff_changes_no_feature(spark: SparkSession) -> None:
    worlds, cutoffs = build_worlds()
    cut = worlds.cut(cutoffs)
    assert len(cut.left) < len(worlds.left) - WORLDS
    assert len(cut.observed) < len(worlds.observed) - WORLDS
    assert 5 < len(cut.flown) < len(worlds.flown) - 5

    assert differing(spark, flight_delay_features) == set()


def seen_early(column: str) -> Callable[[DataFrame], DataFrame]:
    return lambda rows: rows.withColumn(column, F.col(column) - F.expr("INTERVAL 2 MINUTES"))


@pytest.mark.parametrize(
    ("place", "column"), [(1, "departed_at"), (1, "arrived_at"), (2, "departed_at"), (3, "observed_at")]
)
def test_features_that_look_two_minutes_ahead_are_seen_to_leak(spark: SparkSession, place: int, column: str) -> None:
    """The control, for each kind of event."""
    shift = seen_early(column)

    def leaking(*inputs: DataFrame) -> DataFrame:
        return flight_delay_features(*(shift(rows) if at == place else rows for at, rows in enumerate(inputs)))

    assert differing(spark, leaking)
