"""Streams, then seal and repair = batch over one range = batch day by day, for every table that streams.

Tables are found by discovery: one that is added tomorrow is compared too. A lake holds fifty worlds (see `worlds`), so
that fifty seeds cost one set of queries. Their messages land in portions, cut at random places; each portion is read by
queries that start anew from their checkpoints, or after a checkpoint was lost, or that keep running. What was sealed is
repaired by batch. In the end all rows and all rejected rows are compared both ways as multisets. `docs/parity.md` says
what was last compared.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date, timedelta
from functools import partial
from pathlib import Path

import pyspark.sql.functions as F
import pyspark.sql.types as T
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pyspark.sql import DataFrame, SparkSession

from lake.batch.refresh import refresh
from lake.declare.contract import Contract, Field
from lake.declare.days import Days
from lake.declare.table import InsertNew, Table, table
from lake.testing.lakes import interpreted, stored_rows
from lakehouse_assets.bronze.departure_events import departure_events
from lakehouse_assets.gold.delay_alerts import delay_alerts
from lakehouse_assets.silver.departures import departures
from tests.every_table.open_days import REASONS
from tests.every_table.parity import ALL, STREAMING, Journey, Outcome, differences, portions, travel
from tests.every_table.parity_report import PUBLISHED, record
from tests.every_table.worlds import SEASONS, World
from tests.streaming import Lake, Message, multiset

LOSSES = [*(one.full_name for one in STREAMING), ALL]


def losing(season: str, seed: int) -> Journey:
    """Each season loses other checkpoints, so that together they lose that of every table."""
    place = list(SEASONS).index(season)
    return Journey(season, seed, portions=4, loses=tuple(LOSSES[place :: len(SEASONS)]))


WAYS: Mapping[str, Callable[[str, int], Journey]] = {
    "restarts": partial(Journey, portions=5, delivers_again=True),
    "lost checkpoints": losing,
    "while running": partial(Journey, portions=5, is_live=True),
}
"""The long journeys, by what is special about them."""

SHOWN = {"stream": "after the repair", "day by day": "day by day"}
"""What is compared at the end of a journey, by what the published page calls it."""

seeds = given(seed=st.integers(min_value=1, max_value=2**31))
once = settings(
    max_examples=1, phases=[Phase.explicit, Phase.generate], derandomize=True, deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip


@pytest.mark.streams
@pytest.mark.spark
@pytest.mark.slow
@once
@seeds
def test_what_streams_wrote_and_batch_repaired_equals_batch(
    spark: SparkSession, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest, seed: int
) -> None:
    """One lake, small enough for every run of the tests; the soak lane goes on more and longer journeys."""
    with interpreted(spark):
        outcome = travel(Journey("clocks forward", seed, loses=(ALL,)), tmp_path_factory.mktemp("parity"), spark)
    record(request.config, "make test-streams", outcome)
    check(outcome)


@pytest.mark.soak
@pytest.mark.spark
@pytest.mark.slow
@pytest.mark.parametrize("season", SEASONS)
@pytest.mark.parametrize("way", WAYS)
@once
@seeds
def test_what_streams_wrote_and_batch_repaired_equals_batch_in_every_season_and_way(
    spark: SparkSession,
    tmp_path_factory: pytest.TempPathFactory,
    request: pytest.FixtureRequest,
    season: str,
    way: str,
    seed: int,
) -> None:
    outcome = travel(WAYS[way](season, seed), tmp_path_factory.mktemp("parity"), spark, day_by_day=True)
    record(request.config, way, outcome)
    check(outcome)


def check(outcome: Outcome) -> None:
    """Nothing differs in the end, though it did before the repair and there is something to compare."""
    assert not outcome.differences, "\n".join(outcome.differences)
    assert outcome.modes == list(SHOWN)[: len(outcome.modes)]
    for one in STREAMING:
        assert outcome.compared[one.full_name, "rows"], f"{one.full_name}: these seeds show nothing"
        # Alerts are few, and each may be about a sealed day; the controls show that one is compared.
        is_there = one is delay_alerts or outcome.open_days.compared[one.full_name, "rows"]
        assert is_there, f"{one.full_name}: no row of an open day"
    for name in ("bronze.departure_events", "silver.departures", "silver.arrivals"):
        assert outcome.compared[name, "rejects"], f"{name}: nothing was rejected"
    # The control for a late path that is dropped: the same comparison before the repair.
    for name in ("silver.departures", "silver.arrivals", "silver.flights", "gold.hourly_airport_performance"):
        assert outcome.early[name, "rows"], f"{name}: was complete without any repair"


def test_the_published_parity_names_every_table_that_streams() -> None:
    published = PUBLISHED.read_text()

    assert [table.full_name for table in STREAMING if f"`{table.full_name}`" not in published] == []


def test_the_published_parity_says_of_each_comparison_what_it_shows_and_of_each_early_row_why() -> None:
    published = PUBLISHED.read_text()
    rows = published.partition("| comparison |")[2].partition("\n\n")[0].splitlines()[2:]
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]

    assert [name for name, *_ in cells] == ["open days, before any repair", *SHOWN.values()]
    assert all(lakes and shows and lacks for _, lakes, shows, lacks in cells)
    assert [one for one in [*REASONS, *WAYS] if one not in published] == []


# Controls: what breaks the law is seen to break it, and the world that shows it is named.


def test_a_difference_names_the_table_the_world_and_its_seed() -> None:
    rows, less = Counter(["{'origin': 'AAB'}", "{'origin': 'AAC'}"]), Counter(["{'origin': 'AAB'}"])
    place = ("silver.flights", "rows")

    (missing,) = differences("stream", {place: less}, {place: rows}, [10, 11, 12])
    (more,) = differences("stream", {place: rows + rows}, {place: rows + less}, [10, 11, 12])

    assert missing == "stream, silver.flights rows, world 2 (seed 12): 1 rows missing: [\"{'origin': 'AAC'}\"]"
    assert more == "stream, silver.flights rows, world 2 (seed 12): 1 rows too many: [\"{'origin': 'AAC'}\"]"


class Stamped(Contract):
    """A departure and when it was computed."""

    origin: T.StringType = Field(description="airport")
    flight: T.IntegerType = Field(description="number")
    departed_at: T.TimestampType = Field(description="off-block time")
    departed_on: T.DateType = Field(description="day")
    made_at: T.TimestampType = Field(description="when this row was computed")


@table(
    reads=[departures],
    contract=Stamped,
    key=["origin", "flight", "departed_at", "departed_on"],
    day="departed_on",
    write=InsertNew(first_by=["departed_at"]),
    fresh_within=timedelta(hours=1),
    owner="team:tests",
    layer="gold",
)
def stamped(departures: DataFrame) -> DataFrame:
    """One row per departure, with a clock in it."""
    return departures.select("origin", "flight", "departed_at", "departed_on", F.current_timestamp().alias("made_at"))


tieless = replace(departures, name="tieless", write=InsertNew(first_by=["departed_on"]))
"""`departures`, but the order in which messages came does not decide which of them is kept."""


@pytest.mark.streams
@pytest.mark.spark
def test_a_clock_and_an_order_that_leaves_ties_break_parity(spark: SparkSession, tmp_path: Path) -> None:
    """On one day that stays open and gets no repair, where `departures` itself already equals batch."""
    worlds = [World(number, number, SEASONS["new year"], event_days=1) for number in range(30)]
    day = worlds[0].first
    sent = [m for world in worlds for m in world.messages() if m["topic"] == "departures" and landed_in(m, day)]
    followed = [departure_events, departures, stamped, tieless]

    with interpreted(spark):
        streamed, computed = (Lake(tmp_path / name, lambda: spark, followed) for name in ("streamed", "computed"))
        for number, part in enumerate(portions(sent, 3, random.Random(1))):
            streamed.land(part, f"{number}.jsonl")
            assert streamed.follow(since=day).frontier.first_open == day
        computed.land(sent, "all.jsonl")
        for one in followed:
            refresh(one, computed.store, Days(day, day + timedelta(days=10)))

    found = {one.name: found_differently(streamed, computed, one, day) for one in followed}
    assert found.pop("departure_events") == found.pop("departures") == []
    departed = {row["origin"] for row in stored_rows(computed.store, departures) if row["departed_on"] >= day}
    assert len(found["stamped"]) == len(departed) > 20
    assert found["tieless"]


def landed_in(message: Message, day: date) -> bool:
    return str(message["timestamp"])[:10] >= str(day)


def found_differently(streamed: Lake, computed: Lake, one: Table, first: date) -> list[str]:
    """What differs from `first` on; the days before belong to batch, which has not run on the streamed lake."""
    place = (one.full_name, "rows")
    held, expected = (
        {place: multiset(row for row in stored_rows(lake.store, one) if row[one.day or ""] >= first)}
        for lake in (streamed, computed)
    )
    return differences("stream", held, expected, range(30))
