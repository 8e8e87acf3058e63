"""The framework's laws on the airline's tables, found by discovery: a table that is added tomorrow is under them too.

The days are those on which clocks were put forward in 2013, with late, doubled and broken messages. Their rows must
be those of the source's CSV files, which the laws alone cannot say.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyspark.sql.functions as F
import pyspark.sql.types as T
import pytest
from pyspark.sql import DataFrame, SparkSession

from airline.replay import replay
from lake.batch.refresh import refresh
from lake.declare.contract import Contract, Field
from lake.declare.days import Days
from lake.declare.feed import Feed
from lake.declare.table import Replace, Table, table
from lake.testing.lakes import jobs_of, stored_rows
from lake.testing.laws import LAWS, ComputedTwice, Law, compute_twice, count
from lakehouse_assets.airports_supplement import AIRPORTS_SUPPLEMENT
from lakehouse_assets.silver.departures import departures
from tests.airline_lakes import TABLES, cut_source
from tests.delay_models import land_model
from tests.disturbed import COMPARED, TOPICS, Compared, compared_with_the_csv

pytestmark = [pytest.mark.spark, pytest.mark.slow]

FLIGHT_DATES = Days.parse("2013-03-09..2013-03-10")
DAYS = Days.parse("2013-03-08..2013-03-23")
"""All on which their messages land, be they ten days late."""
AGAIN = FLIGHT_DATES.start
OTHER_RANGES = [Days.parse(text) for text in ("2013-03-09..2013-03-23", "2013-03-08..2013-03-09")]
BROKEN_LINES = {"weather": '{"airport": "EWR", "observed_at": "yesterday"}', "planes": "{", "schedules": "[]"}

every_table = pytest.mark.parametrize("table", TABLES.values(), ids=TABLES.keys())


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return cut_source(tmp_path_factory.mktemp("source") / "csv", FLIGHT_DATES)


@pytest.fixture(scope="module")
def lakes(spark: SparkSession, source: Path, tmp_path_factory: pytest.TempPathFactory) -> ComputedTwice:
    root = tmp_path_factory.mktemp("laws")
    landing = root / "landing"
    replay(landing, DAYS, source, late=0.1, duplicates=0.1, malformed=0.1, seed=7)
    land_model(landing, str(DAYS.start))
    for feed, line in BROKEN_LINES.items():
        (file, *_) = sorted((landing / feed).glob("landed_on=*/*.jsonl"))
        file.write_text(file.read_text() + line + "\n")
    return compute_twice(spark, root, TABLES, landing, DAYS, ranges=OTHER_RANGES)


@pytest.fixture(scope="module")
def compared(lakes: ComputedTwice, source: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compared]:
    """The first lake, beside what the CSV files say."""
    database = tmp_path_factory.mktemp("oracle") / "oracle.duckdb"
    with compared_with_the_csv(lakes.store, lakes.receipts, source, database) as compared:
        yield compared


def test_the_lake_under_test_has_rows_rejects_and_duplicates(lakes: ComputedTwice) -> None:
    """Laws about nothing would hold too."""
    total = {name: receipt.total for name, receipt in lakes.receipts.items()}

    assert all(counts.rows_out > 0 for counts in total.values()), total
    for name in ("silver.departures", "silver.arrivals"):
        assert total[name].rejected > 20
        assert total[name].duplicates > 20
    assert {name for name, counts in total.items() if counts.rejected} >= {
        "silver.weather", "silver.aircraft", "silver.schedules",
    }  # fmt: skip


@every_table
@pytest.mark.parametrize("obeyed", LAWS, ids=lambda law: law.__name__)
def test_every_table_obeys(lakes: ComputedTwice, table: Table, obeyed: Law) -> None:
    obeyed(lakes, table)


def test_the_same_days_were_in_fact_computed_again(lakes: ComputedTwice) -> None:
    again = {name for name, table in TABLES.items() if computed_again(lakes, table)}

    # Nothing lands for these on that day, and where nothing was and nothing comes Delta makes no commit.
    quiet = {f"bronze.reference_{name}" for name in ("airlines", "airports", "planes")}
    assert set(TABLES) - again <= {*quiet, "bronze.delay_model_files", "silver.delay_models"}


def computed_again(lakes: ComputedTwice, table: Table) -> bool:
    """Whether the last commit is of a day that the table had before, or of all of it."""
    first, version = lakes.first[table.full_name], lakes.other.version(table)
    commit = lakes.other.table_log(table).commit(version or 0)
    days = commit.days(table.day) if commit and table.day else {None}
    return version != first.version and (AGAIN if table.day else None) in first.days & (days or set())


@every_table
def test_silver_receives_the_rows_that_bronze_holds(lakes: ComputedTwice, table: Table) -> None:
    """Counted there; of what joins or aggregates nobody can say."""
    with lakes.sql() as sql:
        expected = rows_received(sql, table)

    assert expected in (None, lakes.receipts[table.full_name].total.rows_in)


def rows_received(sql: duckdb.DuckDBPyConnection, table: Table) -> int | None:
    source = table.reads[0].source
    if table.layer == "gold" or len(table.reads) > 1 or isinstance(source, Feed):
        return None
    within = f"WHERE {source.read_by} BETWEEN '{DAYS.start}' AND '{DAYS.last}'" if table.day else ""
    received = count(sql, f"{source.full_name} {within}")
    if table.name == "airports":
        received += len(AIRPORTS_SUPPLEMENT) * count(sql, f"(SELECT DISTINCT landed_on FROM {source.full_name})")
    return received


@pytest.mark.parametrize("name", COMPARED)
def test_disturbed_days_give_the_rows_of_the_csv(compared: Compared, name: str) -> None:
    assert compared.differences(name) == []


@pytest.mark.parametrize(("topic", "name"), TOPICS)
def test_broken_and_doubled_messages_are_told_as_the_manifest_tells_them(
    compared: Compared, topic: str, name: str
) -> None:
    compared.assert_quarantined(topic, name, at_least=100)
    compared.assert_doubled_counted(topic, name)


def test_messages_came_late_and_still_lie_in_the_days_of_their_events(compared: Compared) -> None:
    compared.assert_came_late(at_least=100)


# Controls: tables that break a law are seen to break it, and a lake that lost a row to differ from the CSV.


def test_a_lake_that_lost_one_flight_would_be_seen(compared: Compared) -> None:
    """Every row that the oracle has twice or not at all shows up, so an equal count of differing rows cannot hide."""
    names = ", ".join(TABLES["silver.flights"].contract.stored_names)
    lost = compared.rows(
        f"SELECT {names} FROM oracle.silver.flights EXCEPT ALL "
        f"(SELECT {names} FROM silver.flights ORDER BY ALL LIMIT (SELECT count(*) - 1 FROM silver.flights))"
    )

    assert len(lost) == 1


class Moments(Contract):
    """A departure and when it was computed."""

    carrier: T.StringType = Field(description="carrier")
    flight: T.IntegerType = Field(description="number")
    departed_on: T.DateType = Field(description="day")
    dest: T.StringType = Field(description="where to")
    made_at: T.TimestampType = Field(description="when this row was computed")


FACTS: dict[str, Any] = {
    "reads": [departures],
    "contract": Moments,
    "key": ["carrier", "departed_on"],
    "day": "departed_on",
    "write": Replace(),
    "fresh_within": timedelta(hours=1),
    "owner": "team:tests",
    "layer": "gold",
}


@table(**FACTS)
def moments(departures: DataFrame) -> DataFrame:
    """One row per departure, with a clock in it."""
    return departures.select("carrier", "flight", "departed_on", "dest", F.current_timestamp().alias("made_at"))


def test_a_table_with_a_clock_breaks_the_law_of_the_same_rows(lakes: ComputedTwice) -> None:
    refresh(moments, lakes.store, DAYS)
    first = lakes.store.version(moments)
    refresh(moments, lakes.store, DAYS)

    assert stored_rows(lakes.store, moments) != stored_rows(lakes.store, moments, version=first)


def first_seen(departures: DataFrame) -> DataFrame:
    """One row per carrier and day: whichever comes first."""
    chosen = departures.coalesce(1).dropDuplicates(["carrier", "departed_on"])
    return chosen.select("carrier", "flight", "departed_on", "dest", F.lit(None).cast("timestamp").alias("made_at"))


def test_a_table_that_takes_whichever_row_comes_first_breaks_the_law_of_order(lakes: ComputedTwice) -> None:
    tieless = replace(moments, transform=first_seen)
    rows = lakes.store.read(departures)

    one = tieless(rows.orderBy("departed_at")).collect()
    other = tieless(rows.orderBy(F.desc("departed_at"))).collect()

    assert sorted(one, key=repr) != sorted(other, key=repr)


def test_a_transform_that_looks_at_its_rows_is_seen_to_run_a_job(lakes: ComputedTwice, spark: SparkSession) -> None:
    assert jobs_of(spark, lambda: lakes.store.read(departures).count()) > 0
