"""A lake of five small tables, for tests of what runs tables rather than of the tables.

Lines `<sensor> <day> <value>` land under any day; a negative value breaks the contract of what reads them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path

import pyspark.sql.functions as F
import pyspark.sql.types as T
from pyspark.sql import DataFrame

from lake.declare.contract import Contract, Field
from lake.declare.feed import FileFeed
from lake.declare.received import FileLine
from lake.declare.table import Append, InsertNew, Replace, Table, table
from lake.project.settings import Settings

__all__ = ["DAY", "SENSORS", "TABLES", "by_name", "land", "settings_for"]

DAY = date(2020, 1, 1)
FRESH = timedelta(hours=26)

sensors = SENSORS = FileFeed("sensors", "lines of sensor, day and value")


class Readings(FileLine):
    """A line as received."""


@table(
    reads=[sensors],
    contract=Readings,
    key=["file", "line_number", "landed_on"],
    day="landed_on",
    read_by="event_date",
    write=Append(),
    fresh_within=FRESH,
    owner="team:tests",
    layer="bronze",
)
def readings(sensors: DataFrame) -> DataFrame:
    """One row per line."""
    return sensors.select(
        "line",
        "file",
        "line_number",
        "landed_on",
        F.col("_landed_at").alias("landed_at"),
        F.split("line", " ")[1].cast("date").alias("event_date"),
        F.col("line").alias("_raw"),
        F.col("landed_on").alias("_event_date"),
    )


class Measurements(Contract):
    """A value."""

    sensor: T.StringType = Field(description="name of the sensor")
    measured_on: T.DateType = Field(description="UTC day")
    value: T.IntegerType = Field(description="a number", ge=0)


class ExactMeasurements(Measurements):
    """A value, of a table that refuses days with a broken one."""


def _measurements(readings: DataFrame) -> DataFrame:
    parts = F.split("line", " ")
    return readings.select(
        parts[0].alias("sensor"),
        parts[1].cast("date").alias("measured_on"),
        parts[2].cast("int").alias("value"),
        F.col("line").alias("_raw"),
        F.col("event_date").alias("_event_date"),
        F.col("line_number").alias("_line_number"),
    )


@table(
    reads=[readings.days(after=1)],
    contract=Measurements,
    key=["sensor", "measured_on"],
    day="measured_on",
    write=InsertNew(first_by=["_line_number"]),
    fresh_within=FRESH,
    owner="team:tests",
    tags={"domain": "sensors"},
    layer="silver",
)
def measurements(readings: DataFrame) -> DataFrame:
    """One row per sensor and day."""
    return _measurements(readings)


@table(
    reads=[readings.days(after=1)],
    contract=ExactMeasurements,
    key=["sensor", "measured_on"],
    day="measured_on",
    write=InsertNew(first_by=["_line_number"]),
    fresh_within=FRESH,
    owner="team:tests",
    policy="fail",
    layer="silver",
)
def exact_measurements(readings: DataFrame) -> DataFrame:
    """One row per sensor and day."""
    return _measurements(readings)


class KnownSensors(Contract):
    """A sensor."""

    sensor: T.StringType = Field(description="name of the sensor")


@table(
    reads=[readings],
    contract=KnownSensors,
    key=["sensor"],
    day=None,
    write=Replace(),
    fresh_within=FRESH,
    owner="team:tests",
    layer="silver",
)
def known_sensors(readings: DataFrame) -> DataFrame:
    """One row per sensor."""
    return readings.select(F.split("line", " ")[0].alias("sensor")).distinct()


class DailyTotals(Contract):
    """The sum of a day and its neighbours."""

    measured_on: T.DateType = Field(description="UTC day")
    total: T.LongType = Field(description="sum over the day before, the day and the day after")


@table(
    reads=[exact_measurements.days(before=1, after=1)],
    contract=DailyTotals,
    key=["measured_on"],
    day="measured_on",
    write=Replace(),
    fresh_within=FRESH,
    owner="team:tests",
    layer="gold",
)
def daily_totals(exact_measurements: DataFrame) -> DataFrame:
    """One row per day."""
    near = F.explode(F.sequence(F.date_sub("measured_on", 1), F.date_add("measured_on", 1)))
    return (
        exact_measurements.select(near.alias("measured_on"), "value")
        .groupBy("measured_on")
        .agg(F.sum("value").alias("total"))
    )


TABLES: tuple[Table, ...] = (readings, measurements, exact_measurements, known_sensors, daily_totals)
"""Upstream first."""


def by_name(name: str) -> Table:
    return next(found for found in TABLES if found.name == name)


def settings_for(home: Path, **changes: str) -> Settings:
    """January 2020, seen from the morning of the 6th."""
    env = {
        "LAKEHOUSE_HOME": str(home),
        "LAKEHOUSE_FIRST_DAY": "2020-01-01",
        "LAKEHOUSE_LAST_DAY": "2020-01-31",
        "LAKEHOUSE_NOW": "2020-01-06T08:00:00Z",
        "LAKEHOUSE_LOCK_TIMEOUT": "20",
        **changes,
    }
    return Settings.from_env(env)


def land(settings: Settings, lines: Mapping[date, Sequence[str]]) -> None:
    """Let lines land, by landing day."""
    for day, said in lines.items():
        folder = settings.landing.folder(sensors, day)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "lines.txt").write_text("".join(f"{line}\n" for line in said))
