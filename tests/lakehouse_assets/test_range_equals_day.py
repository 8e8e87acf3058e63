"""The check `range_equals_day` in runs: red with the two rows, and red until somebody computes that day again."""

from __future__ import annotations

from datetime import date, timedelta

import dagster as dg
import pyspark.sql.functions as F
import pytest
from pyspark.sql import DataFrame, SparkSession, Window, WindowSpec

from lake.declare.days import Days
from lake.declare.table import Replace, table
from lake.orchestration.checks import checks_of
from lake.orchestration.keys import asset_key
from lake.orchestration.partitions import range_tags
from lake.project.settings import Settings
from tests.definitions import definitions_of
from tests.lakehouse_assets.small_lake import DAY, DailyTotals, by_name, land
from tests.quiet_dagster import QUIET_DAGSTER

FOUR_DAYS = Days.between(DAY, date(2020, 1, 4))
CHOOSES_THE_LAST = "00000000-0000-4000-8000-000000000010"
"""The id of a run that looks at the last of four days of `running_totals`."""
CHECK = "range_equals_day"


class RunningTotals(DailyTotals):
    """The sum of some days."""


@table(
    reads=[by_name("measurements").days(before=1)],
    contract=RunningTotals,
    key=["measured_on"],
    day="measured_on",
    write=Replace(),
    fresh_within=timedelta(hours=26),
    owner="team:tests",
    layer="gold",
)
def running_totals(measurements: DataFrame) -> DataFrame:
    """One row per day, with the sum of it and the five before; it reads one of them."""
    days = measurements.groupBy("measured_on").agg(F.sum("value").alias("total"))
    return days.select("measured_on", F.sum("total").over(six_days()).alias("total"))


def six_days() -> WindowSpec:
    return Window.partitionBy(F.lit("all")).orderBy("measured_on").rowsBetween(-5, 0)


TABLES = [by_name("readings"), by_name("measurements"), running_totals]


def run(
    instance: dg.DagsterInstance, settings: Settings, names: list[str], days: Days, run_id: str | None = None
) -> dg.AssetCheckEvaluation:
    """Compute days of some tables; the verdict on `running_totals`."""
    job = definitions_of(settings, TABLES).resolve_implicit_global_asset_job_def()
    keys = [asset_key(one) for one in TABLES if one.name in names]
    result = job.execute_in_process(
        instance=instance, asset_selection=keys, tags=range_tags(days), raise_on_error=False, run_id=run_id
    )  # fmt: skip
    assert result.success
    (found,) = (
        one
        for one in result.get_asset_check_evaluations()
        if (one.asset_key, one.check_name) == (asset_key(running_totals), CHECK)
    )
    return found


@QUIET_DAGSTER
@pytest.mark.spark
@pytest.mark.slow
def test_a_range_that_differs_from_its_day_is_red_until_that_day_is_computed_again(
    spark: SparkSession, instance: dg.DagsterInstance, settings: Settings
) -> None:
    land(settings, {day: [f"a {day} {day.day}"] for day in FOUR_DAYS})

    first = run(instance, settings, [one.name for one in TABLES], FOUR_DAYS, CHOOSES_THE_LAST)
    other = run(instance, settings, [running_totals.name], Days.of(DAY))
    again = run(instance, settings, [running_totals.name], Days.of(FOUR_DAYS.last))

    day = FOUR_DAYS.last
    in_range, alone = 1 + 2 + 3 + 4, 3 + 4
    assert first.severity == dg.AssetCheckSeverity.ERROR
    assert first.description == (
        f"2 rows of a range differ from its day\n{day}: by itself {{'measured_on': {day!r}, 'total': {alone}}}, "
        f"in the range {{'measured_on': {day!r}, 'total': {in_range}}}\n"
        "next: widen days(before=..., after=...) in reads, or narrow the window; "
        f"then lakehouse refresh gold.running_totals --days {day}"
    )
    assert (other.passed, other.description) == (False, first.description)
    assert again.passed


def test_every_table_that_is_computed_from_days_of_tables_has_the_check() -> None:
    with_check = [one for one in ("readings", "measurements", "known_sensors", "daily_totals") if has_check(one)]

    assert with_check == ["measurements", "daily_totals"]


def has_check(name: str) -> bool:
    return CHECK in checks_of(by_name(name))
