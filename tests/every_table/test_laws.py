"""Laws that every table obeys, found by discovery: a table that is added tomorrow is under them too.

One small lake is computed in one go. Another is computed from the same landing files, delivered twice and in another
order, range by range and with Spark's interpreter in place of its generated code; then some of its days are computed
again. All must hold the same rows. The days are those on which clocks were put forward in 2013, with late, doubled and
broken messages.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyspark.sql.functions as F
import pyspark.sql.types as T
import pytest
from deltalake import DeltaTable
from pandera.pyspark import Field
from pyspark.sql import DataFrame, SparkSession

from airline.replay import replay
from lake.batch.refresh import Receipt, refresh
from lake.declare.contract import Contract
from lake.declare.days import Days
from lake.declare.feed import Feed, TopicFeed
from lake.declare.table import Replace, Table, table
from lake.write.enforce import enforce
from lake.write.store import DeltaStore
from lakehouse_assets.airports_supplement import AIRPORTS_SUPPLEMENT
from lakehouse_assets.silver.departures import departures
from tests.airline_lakes import TABLES, cut_source, duckdb_over, landed_lines, refresh_all
from tests.lakes import interpreted, jobs_of, open_lake, quarantined, stored_rows

pytestmark = [pytest.mark.spark, pytest.mark.slow]

FLIGHT_DATES = Days.parse("2013-03-09..2013-03-10")
DAYS = Days.parse("2013-03-08..2013-03-12")
OTHER_RANGES = [Days.of(day) for day in reversed(list(DAYS))]
AGAIN_RANGES = [Days.parse("2013-03-09")]
BROKEN_LINES = {"weather": '{"airport": "EWR", "observed_at": "yesterday"}', "planes": "{", "schedules": "[]"}
AGAIN = "zz-delivered-again"

every_table = pytest.mark.parametrize("table", TABLES.values(), ids=TABLES.keys())


@dataclass(frozen=True)
class Law:
    """What the laws compare: the same lake, computed in two ways.

    Attributes:
        store: computed in one go.
        receipts: of that.
        other: from files delivered twice and in another order, day by day from the last on, one twice.
        first: version of each table in `other` before some days were computed again.
    """

    store: DeltaStore
    receipts: Mapping[str, Receipt]
    other: DeltaStore
    first: Mapping[str, int | None]


@pytest.fixture(scope="module")
def law(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Law:
    root = tmp_path_factory.mktemp("laws")
    source = cut_source(root / "source", FLIGHT_DATES)
    store, other = open_lake(root / "one", spark), open_lake(root / "other", spark)
    replay(store.landing.root, DAYS, source, late=0.1, duplicates=0.1, malformed=0.1, seed=7)
    for feed, line in BROKEN_LINES.items():
        (file, *_) = sorted((store.landing.root / feed).glob("landed_on=*/*.jsonl"))
        file.write_text(file.read_text() + line + "\n")
    deliver_again(store.landing.root, other.landing.root)

    receipts = {name: done for name, (done,) in refresh_all(store, [DAYS]).items()}
    with interpreted(spark):
        refresh_all(other, OTHER_RANGES)
        first = {name: other.version(one) for name, one in TABLES.items()}
        refresh_all(other, AGAIN_RANGES)
    return Law(store, receipts, other, first)


def deliver_again(landed: Path, again: Path) -> None:
    """Copy landing files: topics with their lines in reverse; and every file a second time under another name."""
    shutil.copytree(landed, again)
    topics = [read.source.name for one in TABLES.values() for read in one.reads if isinstance(read.source, TopicFeed)]
    for file in list(again.glob("*/landed_on=*/*.jsonl")):
        if file.parts[-3] in topics:
            file.write_text("".join(reversed(file.read_text().splitlines(keepends=True))))
        shutil.copy(file, file.with_name(f"{AGAIN}-{file.name}"))


@pytest.fixture(scope="module")
def sql(law: Law) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb_over(law.store) as connection:
        yield connection


def test_the_lake_under_test_has_rows_rejects_and_duplicates(law: Law) -> None:
    """Laws about nothing would hold too."""
    total = {name: receipt.total for name, receipt in law.receipts.items()}

    assert all(counts.rows_out > 0 for counts in total.values()), total
    for name in ("silver.departures", "silver.arrivals"):
        assert total[name].rejected > 20
        assert total[name].duplicates > 20
    assert {name for name, counts in total.items() if counts.rejected} >= {
        "silver.weather", "silver.aircraft", "silver.schedules",
    }  # fmt: skip


def without_second_delivery(store: DeltaStore, table: Table, version: int | None) -> list[dict[str, Any]]:
    """The rows, in bronze without those of the files that were delivered again under another name."""
    rows = stored_rows(store, table, version=version)
    return [row for row in rows if not str(row.get("file")).startswith(AGAIN)]


@every_table
def test_other_ranges_and_twice_delivered_files_in_another_order_give_the_same_rows(law: Law, table: Table) -> None:
    otherwise = without_second_delivery(law.other, table, law.first[table.full_name])

    assert otherwise == stored_rows(law.store, table)


@every_table
def test_the_same_days_again_give_the_same_rows(law: Law, table: Table) -> None:
    first = law.first[table.full_name]

    assert stored_rows(law.other, table) == stored_rows(law.other, table, version=first)


def test_the_same_days_were_in_fact_computed_again(law: Law) -> None:
    again = {name for name, table in TABLES.items() if law.other.version(table) != law.first[name]}

    # Nothing lands for these on that day, and where nothing was and nothing comes Delta makes no commit.
    assert set(TABLES) - again <= {f"bronze.reference_{name}" for name in ("airlines", "airports", "planes")}


@every_table
def test_the_same_rows_are_rejected_for_the_same_reasons_in_any_order(law: Law, table: Table) -> None:
    once = quarantined(law.store, table)
    otherwise = [row for row in quarantined(law.other, table) if not str(row["row"].get("_file")).startswith(AGAIN)]

    assert [(row["day"], row["rules"], row["raw"]) for row in otherwise] == [
        (row["day"], row["rules"], row["raw"]) for row in once
    ]


@every_table
def test_rows_in_are_rows_out_and_quarantined_and_duplicates(
    law: Law, sql: duckdb.DuckDBPyConnection, table: Table
) -> None:
    """The receipt against what DuckDB finds in the files."""
    total = law.receipts[table.full_name].total
    held = count(sql, table.full_name)
    rejected = (
        count(sql, f"quarantine.{table.layer}_{table.name}") if total.rejected else len(quarantined(law.store, table))
    )

    assert (total.rows_out, total.rejected) == (held, rejected)
    assert total.rows_in == held + rejected + total.duplicates
    expected = rows_received(law, sql, table)
    assert expected in (None, total.rows_in)


def rows_received(law: Law, sql: duckdb.DuckDBPyConnection, table: Table) -> int | None:
    """The rows that a table receives from bronze or a feed, counted there; None where it joins or aggregates."""
    if table.layer == "gold" or len(table.reads) > 1:
        return None
    source = table.reads[0].source
    if isinstance(source, Feed):
        return landed_lines(law.store, source.name, DAYS)
    within = f"WHERE {source.read_by} BETWEEN '{DAYS.start}' AND '{DAYS.last}'" if table.day else ""
    received = count(sql, f"{source.full_name} {within}")
    if table.name == "airports":
        received += len(AIRPORTS_SUPPLEMENT) * count(sql, f"(SELECT DISTINCT landed_on FROM {source.full_name})")
    return received


def count(sql: duckdb.DuckDBPyConnection, what: str) -> int:
    (number,) = sql.execute(f"SELECT count(*) FROM {what}").fetchone() or (0,)
    return int(number)


@every_table
def test_days_add_up_to_the_total(law: Law, sql: duckdb.DuckDBPyConnection, table: Table) -> None:
    by_day = {day: counts.rows_out for day, counts in law.receipts[table.full_name].counts.items() if counts.rows_out}
    day = table.day or "CAST(NULL AS DATE)"

    found = dict(sql.execute(f"SELECT {day}, count(*) FROM {table.full_name} GROUP BY ALL").fetchall())

    assert found == by_day


@every_table
def test_keys_are_unique(sql: duckdb.DuckDBPyConnection, table: Table) -> None:
    quoted = [f'"{name}"' for name in table.key]
    key = ", ".join(quoted)

    assert sql.execute(f"SELECT {key} FROM {table.full_name} GROUP BY {key} HAVING count(*) > 1").fetchall() == []
    assert count(sql, f"{table.full_name} WHERE {' OR '.join(f'{name} IS NULL' for name in quoted)}") == 0


@every_table
def test_the_stored_schema_says_not_null_and_describes_every_column(law: Law, table: Table) -> None:
    stored = DeltaTable(law.store.path(table))

    for column, field in zip(table.contract.stored, stored.schema().fields, strict=True):
        assert (field.name, field.nullable) == (column.name, column.nullable)
        assert field.metadata["comment"] == column.description
    assert stored.metadata().partition_columns == table.partition_columns


@every_table
def test_empty_in_gives_empty_out_with_the_exact_schema(spark: SparkSession, table: Table) -> None:
    rows = table(*(empty_frame(spark, read.source) for read in table.reads))
    enforced = enforce(table, rows, DAYS if table.day else None, partitions=1)

    table.contract.check_schema(rows, table.full_name)
    accepted = enforced.accepted()
    assert [(f.name, f.dataType) for f in accepted.schema] == [(f.name, f.dataType) for f in table.contract.schema]
    assert accepted.collect() == []
    assert enforced.observed().rows_in == 0


def empty_frame(spark: SparkSession, source: Table | Feed) -> DataFrame:
    return spark.createDataFrame([], source.contract.schema if isinstance(source, Table) else source.schema)


@every_table
def test_a_transform_only_describes(law: Law, spark: SparkSession, table: Table) -> None:
    assert jobs_of(spark, lambda: table(*inputs(law.store, table))) == 0


def inputs(store: DeltaStore, table: Table) -> list[DataFrame]:
    return [
        store.read(read.source)
        if isinstance(read.source, Table)
        else store.landing.read(store.spark, read.source, DAYS)
        for read in table.reads
    ]


# Controls: tables that break a law are seen to break it.


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


def test_a_table_with_a_clock_breaks_the_law_of_the_same_rows(law: Law) -> None:
    refresh(moments, law.store, DAYS)
    first = law.store.version(moments)
    refresh(moments, law.store, DAYS)

    assert stored_rows(law.store, moments) != stored_rows(law.store, moments, version=first)


def first_seen(departures: DataFrame) -> DataFrame:
    """One row per carrier and day: whichever comes first."""
    chosen = departures.coalesce(1).dropDuplicates(["carrier", "departed_on"])
    return chosen.select("carrier", "flight", "departed_on", "dest", F.lit(None).cast("timestamp").alias("made_at"))


def test_a_table_that_takes_whichever_row_comes_first_breaks_the_law_of_order(law: Law) -> None:
    tieless = replace(moments, transform=first_seen)
    rows = law.store.read(departures)

    one = tieless(rows.orderBy("departed_at")).collect()
    other = tieless(rows.orderBy(F.desc("departed_at"))).collect()

    assert sorted(one, key=repr) != sorted(other, key=repr)


def test_a_transform_that_looks_at_its_rows_is_seen_to_run_a_job(law: Law, spark: SparkSession) -> None:
    assert jobs_of(spark, lambda: law.store.read(departures).count()) > 0
