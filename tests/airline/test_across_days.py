"""What a plan shows of days that see each other; transforms are analyzed on empty frames, no job runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pyspark.sql.functions as F
import pyspark.sql.types as T
import pytest
from pyspark.sql import DataFrame, SparkSession, Window

from lake.batch.refresh import refresh
from lake.declare.across_days import refuse_across_days
from lake.declare.contract import Contract, Field
from lake.declare.days import Days
from lake.declare.table import InsertNew, Replace, Table, table
from lake.errors import DeclarationError
from lake.stream.generation import plan_stream
from lake.testing.lakes import jobs_of, open_lake
from lakehouse_assets.silver.airports import airports
from lakehouse_assets.silver.departures import departures
from lakehouse_assets.silver.weather import weather
from tests.airline_lakes import TABLES
from tests.lakehouse_assets import small_lake

pytestmark = pytest.mark.spark


class Warmth(Contract):
    """How warm it was."""

    airport: T.StringType = Field(description="IATA code")
    observed_at: T.TimestampType = Field(description="hour, UTC")
    observed_on: T.DateType = Field(description="UTC day")
    temperature_f: T.DoubleType = Field(description="degrees Fahrenheit", nullable=True)


@table(
    reads=[weather.days(before=1), airports],
    contract=Warmth,
    key=["airport", "observed_at"],
    day="observed_on",
    day_of="observed_at",
    write=Replace(),
    fresh_within=timedelta(hours=26),
    owner="team:tests",
    layer="gold",
)
def warmth(weather: DataFrame, airports: DataFrame) -> DataFrame:
    """One row per airport and hour."""
    return weather.select("airport", "observed_at", "observed_on", "temperature_f")


own_days = replace(warmth, name="own_days", reads=(weather.days(), *warmth.reads[1:]))


def averaged(over: Callable[[], object]) -> Callable[[DataFrame, DataFrame], DataFrame]:
    def transform(weather: DataFrame, airports: DataFrame) -> DataFrame:
        mean = F.avg("temperature_f").over(over())  # type: ignore[arg-type]
        return warmth(weather, airports).withColumn("temperature_f", mean)

    return transform


def whole_airport(weather: DataFrame, airports: DataFrame) -> DataFrame:
    mean = weather.groupBy("airport").agg(F.avg("temperature_f").alias("temperature_f"))
    return weather.select("airport", "observed_at", "observed_on").join(mean, "airport", how="left")


def overall(weather: DataFrame, airports: DataFrame) -> DataFrame:
    mean = weather.agg(F.avg("temperature_f").alias("temperature_f"))
    return weather.select("airport", "observed_at", "observed_on").join(mean, how="cross")


def by_month(weather: DataFrame, airports: DataFrame) -> DataFrame:
    month = weather.withColumn("month", F.month("observed_on"))
    mean = month.groupBy("month").agg(F.avg("temperature_f").alias("temperature_f"))
    return month.select("airport", "observed_at", "observed_on", "month").join(mean, "month", how="left").drop("month")


def previous(weather: DataFrame, airports: DataFrame) -> DataFrame:
    before = F.lag("temperature_f").over(Window.partitionBy("airport").orderBy("observed_at"))
    return warmth(weather, airports).withColumn("temperature_f", before)


def first_rows(weather: DataFrame, airports: DataFrame) -> DataFrame:
    return warmth(weather, airports).limit(100)


def one_each(weather: DataFrame, airports: DataFrame) -> DataFrame:
    return warmth(weather, airports).dropDuplicates(["airport"])


@pytest.mark.parametrize(
    ("transform", "says"),
    [
        (averaged(lambda: Window.partitionBy("airport")), "has a window by airport"),
        (averaged(Window.partitionBy), "has a window over all rows"),
        (averaged(lambda: Window.orderBy("observed_at")), "has a window over all rows"),
        (averaged(lambda: Window.partitionBy("airport").orderBy("observed_at")), "has a window by airport"),
        (averaged(lambda: Window.partitionBy(F.month("observed_on"))), "has a window by"),
        (whole_airport, "groups rows by airport"),
        (overall, "groups rows over all rows"),
        (by_month, "groups rows by month"),
        (first_rows, "takes the first rows only"),
        (one_each, "keeps one row by airport"),
    ],
)
def test_rows_of_one_day_that_see_those_of_another_are_refused(
    spark: SparkSession, transform: Callable[..., DataFrame], says: str
) -> None:
    for declared in (warmth, own_days):
        with pytest.raises(DeclarationError, match=f"{declared.name}: {says}") as refused:
            refuse_across_days(replace(declared, transform=transform), spark)

        assert "observed_on" in refused.value.remedy
        assert refused.value.file == __file__


def each_day(weather: DataFrame, airports: DataFrame) -> DataFrame:
    seen = F.explode(F.sequence("observed_on", F.date_add("observed_on", 1))).alias("observed_on")
    spread = weather.select("airport", "observed_at", seen, "temperature_f")
    mean = spread.groupBy("airport", "observed_on").agg(F.avg("temperature_f").alias("temperature_f"))
    return weather.select("airport", "observed_at", "observed_on").join(mean, ["airport", "observed_on"], how="left")


def beside_a_dimension(weather: DataFrame, airports: DataFrame) -> DataFrame:
    known = airports.groupBy("airport").agg(F.count(F.lit(1)).alias("times"))
    return warmth(weather.join(known, "airport", how="left_semi"), airports)


@pytest.mark.parametrize(
    "transform",
    [
        averaged(lambda: Window.partitionBy("airport", "observed_on")),
        averaged(lambda: Window.partitionBy("observed_at")),
        averaged(lambda: Window.partitionBy("airport", F.to_date("observed_at"))),
        averaged(lambda: Window.partitionBy(F.window("observed_at", "3 hours"))),
        each_day,
        beside_a_dimension,
        warmth.transform,
    ],
)
def test_groups_that_lie_in_one_day_are_accepted(spark: SparkSession, transform: Callable[..., DataFrame]) -> None:
    for declared in (warmth, own_days):
        refuse_across_days(replace(declared, transform=transform), spark)


def test_a_look_at_the_row_before_needs_days_around(spark: SparkSession) -> None:
    """How far it looks no plan says: of a table that reads around its day, the rows are looked at after a run."""
    refuse_across_days(replace(warmth, transform=previous), spark)

    with pytest.raises(DeclarationError, match="own_days: has a window by airport"):
        refuse_across_days(replace(own_days, transform=previous), spark)


@pytest.mark.parametrize("declared", [*TABLES.values(), *small_lake.TABLES], ids=lambda one: one.full_name)
def test_tables_that_exist_are_accepted_without_a_job(spark: SparkSession, declared: Table) -> None:
    assert jobs_of(spark, lambda: refuse_across_days.__wrapped__(declared, spark)) == 0


def test_batch_and_streams_refuse_before_they_write(spark: SparkSession, tmp_path: Path) -> None:
    store = open_lake(tmp_path, spark)

    with pytest.raises(DeclarationError):
        refresh(replace(warmth, transform=whole_airport), store, Days.parse("2013-01-01..2013-01-02"))
    with pytest.raises(DeclarationError):
        plan_stream(replace(departures, transform=first_messages, write=InsertNew(["_offset"])), spark)

    assert store.version(warmth) is None


def first_messages(departure_events: DataFrame) -> DataFrame:
    return departures(departure_events.limit(10))
