"""Of the files of one landing day that one comes first which was written first, whatever its name is."""

from __future__ import annotations

import json
import os
import random
from collections import defaultdict
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyspark.sql.types as T
import pytest
from pyspark.sql import DataFrame

from lake.batch.refresh import refresh
from lake.batch.survey import Survey
from lake.declare.contract import Field, compile_contract
from lake.declare.days import Days
from lake.declare.feed import FileFeed
from lake.declare.json_lines import ReadableJson, json_errors, read_lines
from lake.declare.received import FileLine, file_rows, received
from lake.declare.table import InsertNew, Table, table
from lake.testing.lakes import stored_rows
from lake.write.store import DeltaStore

pytestmark = pytest.mark.spark

D1, D2 = date(2024, 3, 1), date(2024, 3, 2)
BOTH = Days.between(D1, D2)
NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)
PRICES = FileFeed("prices", "prices of a shop, as often as it likes")


@received(PRICES, fresh_within=timedelta(hours=2), owner="team:shop", layer="bronze")
def price_lines() -> None:
    """One row per line of a price list."""


class Listed(ReadableJson):
    """A price."""

    article: T.StringType = Field(description="what is sold")
    cents: T.LongType = Field(description="its price")


def listed(name: str, *first_by: str) -> Table:
    def prices(price_lines: DataFrame) -> DataFrame:
        """One row per article."""
        return read_lines(price_lines, "article STRING, cents BIGINT").select(
            "said.article",
            "said.cents",
            json_errors().alias("json_errors"),
            *("_event_date", "_raw", "_file", "_line_number", "_landed_on", "_landed_at"),
        )

    prices.__name__ = name
    contract = type(name.capitalize(), (Listed,), {"__doc__": Listed.__doc__, "__module__": __name__})
    declare = table(
        reads=[price_lines], contract=contract, key=["article"], day=None, write=InsertNew(first_by=first_by),
        fresh_within=timedelta(days=1), owner="team:shop", layer="silver",
    )  # fmt: skip
    return declare(prices)


newest = listed("newest", "-_landed_on", "-_landed_at", "-_file", "-_line_number")
oldest = listed("oldest", "_landed_on", "_landed_at", "_file", "_line_number")


@dataclass
class Delivered:
    """What landed, in memory: the oracle, which knows neither Spark nor the lake."""

    store: DeltaStore
    lines: list[tuple[date, datetime, str, int, str, int]] = field(default_factory=list)

    def land(self, day: date, name: str, at: datetime, prices: list[tuple[str, int]]) -> Path:
        file = self.store.landing.folder(PRICES, day) / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(json.dumps({"article": a, "cents": c}) + "\n" for a, c in prices))
        touch(file, at)
        self.lines = [line for line in self.lines if (line[0], line[2]) != (day, name)]
        self.lines += [(day, at, name, number, *price) for number, price in enumerate(prices, start=1)]
        return file

    def newest(self) -> dict[str, int]:
        return {article: cents for *_, article, cents in sorted(self.lines)}

    def oldest(self) -> dict[str, int]:
        return {article: cents for *_, article, cents in sorted(self.lines, reverse=True)}

    def disagreeing(self) -> int:
        """Lines that landed on the day of the newest one of their article and name another price."""
        of_day: dict[tuple[str, date], list[int]] = defaultdict(list)
        for day, *_, article, cents in sorted(self.lines):
            of_day[article, day].append(cents)
        last = {article: max(day for other, day in of_day if other == article) for article, _ in of_day}
        return sum(c != of_day[a, day][-1] for a, day in last.items() for c in of_day[a, day])

    def times(self) -> dict[tuple[date, str], datetime]:
        return {(day, name): at for day, at, name, *_ in self.lines}


def touch(file: Path, at: datetime) -> None:
    nanoseconds = round(at.timestamp() * 1e6) * 1000
    os.utime(file, ns=(nanoseconds, nanoseconds))


def prices_in(store: DeltaStore, declared: Table) -> dict[str, int]:
    return {row["article"]: row["cents"] for row in stored_rows(store, declared)}


def times_in(store: DeltaStore) -> dict[tuple[date, str], datetime]:
    return {(row["landed_on"], row["file"]): row["landed_at"] for row in stored_rows(store, price_lines)}


@pytest.fixture
def delivered(store: DeltaStore) -> Delivered:
    """Ten lists of two days, whose names tell nothing, and of which some were written at the same moment."""
    chance, landed = random.Random(17), Delivered(store)
    for day in BOTH:
        for name in chance.sample("abcdefghij", 5):
            at = NOON + timedelta(milliseconds=chance.choice([0, 1, 2, 999, 60_000]))
            articles = chance.choices("xyzuvw", k=4)  # some twice
            landed.land(day, f"{name} 1+1.jsonl", at, [(article, chance.randrange(9)) for article in articles])
    return landed


def test_what_was_written_last_or_first_wins_whatever_it_is_called(delivered: Delivered) -> None:
    store = delivered.store
    refresh(price_lines, store, BOTH)
    last, first = refresh(newest, store, None), refresh(oldest, store, None)

    assert prices_in(store, newest) == delivered.newest()
    assert prices_in(store, oldest) == delivered.oldest()
    assert last.total.disagreeing == delivered.disagreeing() > 0
    assert first.total.duplicates == last.total.duplicates == len(delivered.lines) - len(delivered.newest())
    by_name = {a: c for *_, a, c in sorted(delivered.lines, key=lambda line: (line[0], line[2], line[3]))}
    assert by_name != delivered.newest(), "a control: here the names of the files tell another order"


def test_a_copy_with_other_times_changes_no_row_and_what_lands_later_comes_later(delivered: Delivered) -> None:
    store = delivered.store
    refresh(price_lines, store, BOTH)
    before = stored_rows(store, price_lines)
    files = [file for day in BOTH for file in sorted(store.landing.folder(PRICES, day).iterdir())]
    for place, file in enumerate(files):
        touch(file, NOON + timedelta(days=1, seconds=-place))

    state = Survey([price_lines], store, BOTH).states[price_lines.full_name]
    assert (state.stale, state.missing) == ({}, {})
    for _ in range(2):
        refresh(price_lines, store, BOTH)
        assert stored_rows(store, price_lines) == before

    delivered.land(D2, "0.jsonl", NOON + timedelta(hours=1), [("x", 77), ("y", 78)])
    corrected = min(name for day, name in delivered.times() if day == D2 and name != "0.jsonl")
    delivered.land(D2, corrected, NOON + timedelta(hours=2), [("y", 79)])
    refresh(price_lines, store, BOTH)
    refresh(newest, store, None)

    assert prices_in(store, newest) == delivered.newest()
    assert (delivered.newest()["x"], delivered.newest()["y"]) == (77, 79)


def test_a_file_that_is_written_otherwise_stops_no_other(delivered: Delivered) -> None:
    store = delivered.store
    for name in ("z.jsonl", "0.jsonl"):
        (store.landing.folder(PRICES, D1) / name).write_bytes(b"PK\x03\x04")

    receipt = refresh(price_lines, store, BOTH)

    assert receipt.total.rejected == 2
    assert set(times_in(store)) == {(day, name.replace(" ", "%20")) for day, name in delivered.times()}


def test_rows_from_before_bronze_kept_the_time_come_before_those_of_their_day(store: DeltaStore) -> None:
    class PriceLines(FileLine):
        """A line as received."""

    def without_time(prices: DataFrame) -> DataFrame:
        return file_rows(prices).drop("landed_at")

    contract = compile_contract(PriceLines)
    older = replace(price_lines, contract=replace(contract, columns=contract.columns[:-1]), transform=without_time)
    landed = Delivered(store)
    landed.land(D1, "b.jsonl", NOON, [("x", 1), ("y", 1)])
    landed.land(D1, "c.jsonl", NOON - timedelta(hours=1), [("x", 2)])
    refresh(older, store, Days.of(D1))

    refresh(newest, store, None)
    assert prices_in(store, newest) == {"x": 2, "y": 1}, "of files without a time the name decides, as before"

    landed.land(D2, "a.jsonl", NOON, [("x", 3)])
    refresh(price_lines, store, Days.of(D2))
    refresh(newest, store, None)
    assert prices_in(store, newest) == {"x": 3, "y": 1}

    refresh(price_lines, store, Days.of(D1))
    assert times_in(store) == landed.times()
