"""Run side `plain`: a hand-written PySpark and Delta script.

It writes the same tables and is tuned for one clean run.

No contracts, no quarantine, no ledger, no locks, no orchestrator, no replacing of days. Parsing trusts the data, rows
are made unique only where the source repeats them, and a shuffle happens only where files would otherwise multiply.
What joins and aggregates (flights, gold) is the project's own pure transforms: that logic is not what is measured. Its
queries run with this project's settings, on the JVM and the local files as Spark has them; side `tuned` is the same
script with everything that a session of this project sets.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import pyspark.sql.functions as F
from pyspark.sql import Column, DataFrame, SparkSession, Window

from benchmarks.side import Stopwatch, run_side
from benchmarks.tables import PARTITIONED_BY
from lake.engine.session import build_session
from lakehouse_assets.airports_supplement import AIRPORTS_SUPPLEMENT
from lakehouse_assets.gold.daily_carrier_performance import daily_carrier_performance
from lakehouse_assets.gold.delay_alerts import delay_alerts
from lakehouse_assets.gold.flight_delay_features import flight_delay_features
from lakehouse_assets.gold.hourly_airport_performance import hourly_airport_performance
from lakehouse_assets.silver.flights import flights

TUNED = "BENCHMARK_TUNED"
"""Set for the side of that name."""

AS_SPARK_HAS_THEM = {
    "spark.driver.defaultJavaOptions": "",
    "spark.hadoop.fs.file.impl": "org.apache.hadoop.fs.LocalFileSystem",
}
ENVELOPE = (
    "key STRING, value STRING, topic STRING, partition INT, offset BIGINT, timestamp TIMESTAMP, headers STRING,"
    " landed_on DATE"
)
FLIGHT = "flight_date DATE, carrier STRING, flight INT, origin STRING, dest STRING, tail_number STRING"
DEPARTURE = f"{FLIGHT}, scheduled_departure_at TIMESTAMP, departed_at TIMESTAMP"
ARRIVAL = f"{FLIGHT}, scheduled_arrival_at TIMESTAMP, arrived_at TIMESTAMP, air_time_minutes INT"
SCHEDULE = f"{FLIGHT}, scheduled_departure_at TIMESTAMP, scheduled_arrival_at TIMESTAMP, distance_miles INT"
WEATHER = """
    airport STRING, observed_at TIMESTAMP, temperature_f DOUBLE, dew_point_f DOUBLE, humidity_percent DOUBLE,
    wind_direction_degrees INT, wind_speed_mph DOUBLE, wind_gust_mph DOUBLE, precipitation_inches DOUBLE,
    pressure_millibars DOUBLE, visibility_miles DOUBLE
"""
AIRCRAFT = """
    tail_number STRING, year_built INT, type STRING, manufacturer STRING, model STRING, engines INT, seats INT,
    speed_mph INT, engine STRING
"""
CARRIER = "carrier STRING, name STRING"
AIRPORT = """
    airport STRING, name STRING, latitude DOUBLE, longitude DOUBLE, altitude_feet INT, utc_offset_hours DOUBLE,
    dst STRING, time_zone STRING
"""
STRONGEST_WIND_MPH = 255


class Script:
    """The folders and the session of one run."""

    def __init__(self, spark: SparkSession, home: Path, watch: Stopwatch) -> None:
        self.spark, self.landing, self.tables, self.watch = spark, home / "landing", home / "tables", watch

    def read(self, table: str) -> DataFrame:
        return self.spark.read.format("delta").load(str(self.tables / table.replace(".", "/")))

    def write(self, table: str, rows: DataFrame, *, shuffle_by: str | None = None) -> None:
        """Write a table in one job.

        `shuffle_by` brings a day's rows into one task where they are not already.
        """
        if shuffle_by is not None:
            rows = rows.repartition(int(self.spark.conf.get("spark.sql.shuffle.partitions") or 1), shuffle_by)
        if not PARTITIONED_BY[table]:
            rows = rows.coalesce(1)
        with self.watch.table(table):
            writer = rows.write.format("delta").mode("overwrite").partitionBy(*PARTITIONED_BY[table])
            writer.save(str(self.tables / table.replace(".", "/")))

    def messages(self, topic: str, event_field: str) -> DataFrame:
        """Read a topic's archive.

        One file is one landing day and never split, so no shuffle is needed to write it.
        """
        folder = str(self.landing / topic)
        rows = self.spark.read.schema(ENVELOPE).option("basePath", folder).json(folder)
        return rows.withColumn("event_date", day_said("value", event_field))

    def lines(self, feed: str, event_date: Column) -> DataFrame:
        """Lines of files with their numbers, which Spark's own line reader does not give."""
        folder = str(self.landing / feed)
        files = self.spark.read.schema("text STRING, landed_on DATE").option("basePath", folder)
        numbered = files.text(folder, wholetext=True).select(
            "landed_on",
            F.col("_metadata.file_name").alias("file"),
            F.col("_metadata.file_modification_time").alias("landed_at"),
            F.posexplode(F.split("text", "\n")),
        )
        return (
            numbered.where(F.col("col") != "")
            .select(
                F.col("col").alias("line"), "file", (F.col("pos") + 1).alias("line_number"), "landed_on", "landed_at"
            )
            .withColumn("event_date", event_date)
        )


def day_said(text: str, field: str) -> Column:
    """Return the date part of a date or timestamp in a JSON text."""
    return F.get_json_object(text, f"$.{field}").substr(1, 10).cast("date")


def minutes_between(start: str, end: str) -> Column:
    return F.floor((F.unix_seconds(end) - F.unix_seconds(start)) / 60).cast("int")


def parsed(rows: DataFrame, text: str, fields: str) -> DataFrame:
    return rows.select(F.from_json(text, fields).alias("said"), "*")


def newest_per_key(rows: DataFrame, key: str, fields: str) -> DataFrame:
    """Return the line that landed last of each key.

    The full list lands every month.
    """
    newest = Window.partitionBy(key).orderBy(F.desc("landed_on"), "file", "line_number")
    said = parsed(rows, "line", fields).select("said.*", "landed_on", "file", "line_number")
    names = [name for name in said.columns if name not in ("landed_on", "file", "line_number")]
    return said.withColumn("place", F.row_number().over(newest)).where("place = 1").select(*names)


def write_bronze(script: Script) -> None:
    script.write("bronze.departure_events", script.messages("departures", "departed_at"))
    script.write("bronze.arrival_events", script.messages("arrivals", "arrived_at"))
    script.write("bronze.schedule_files", script.lines("schedules", day_said("line", "flight_date")))
    # An hour is a file here, so a day's rows are spread over tasks.
    weather = script.lines("weather", day_said("line", "observed_at"))
    script.write("bronze.weather_files", weather, shuffle_by="landed_on")
    for feed in ("planes", "airlines", "airports"):
        script.write(f"bronze.reference_{feed}", script.lines(feed, F.col("landed_on")))


def write_silver_events(script: Script) -> None:
    said = parsed(script.read("bronze.departure_events"), "value", DEPARTURE).select("said.*")
    departures = said.withColumns(
        {
            "departed_on": F.to_date("departed_at"),
            "delay_minutes": minutes_between("scheduled_departure_at", "departed_at"),
        }
    )
    script.write("silver.departures", departures, shuffle_by="departed_on")
    said = parsed(script.read("bronze.arrival_events"), "value", ARRIVAL).select("said.*")
    arrivals = said.select(
        *(name for name in said.columns if name != "air_time_minutes"),
        F.to_date("arrived_at").alias("arrived_on"),
        minutes_between("scheduled_arrival_at", "arrived_at").alias("delay_minutes"),
        "air_time_minutes",
    )
    script.write("silver.arrivals", arrivals, shuffle_by="arrived_on")
    said = parsed(script.read("bronze.schedule_files"), "line", SCHEDULE).select("said.*")
    script.write("silver.schedules", said, shuffle_by="flight_date")
    said = parsed(script.read("bronze.weather_files"), "line", WEATHER).select("said.*")
    # The source has one wind of 1,048 mph.
    possible = said.where(F.coalesce(F.col("wind_speed_mph") <= STRONGEST_WIND_MPH, F.lit(True)))
    names = ["airport", "observed_at", "observed_on", *said.columns[2:]]
    script.write(
        "silver.weather",
        possible.withColumn("observed_on", F.to_date("observed_at")).select(*names),
        shuffle_by="observed_on",
    )


def write_silver_reference(script: Script) -> None:
    planes, airlines, airports = (
        script.read(f"bronze.reference_{feed}") for feed in ("planes", "airlines", "airports")
    )
    script.write("silver.aircraft", newest_per_key(planes, "tail_number", AIRCRAFT))
    script.write("silver.carriers", newest_per_key(airlines, "carrier", CARRIER))
    listed = newest_per_key(airports, "airport", AIRPORT).withColumn("is_supplement", F.lit(False))
    supplied = script.spark.createDataFrame([(json.dumps(row._asdict()),) for row in AIRPORTS_SUPPLEMENT], ["line"])
    added = parsed(supplied, "line", AIRPORT).select("said.*").join(listed, "airport", how="left_anti")
    script.write("silver.airports", listed.unionByName(added.withColumn("is_supplement", F.lit(True))))


def write_joined(script: Script) -> None:
    """Write the tables that join and aggregate.

    They are the project's transforms on plain frames.
    """
    joined = flights(*script_frames(script, ["departures", "arrivals", "weather", "aircraft", "airports"]))
    script.write("silver.flights", joined, shuffle_by="flight_date")
    hourly = hourly_airport_performance(*script_frames(script, ["departures", "arrivals"]))
    script.write("gold.hourly_airport_performance", hourly, shuffle_by="hour_on")
    script.write("gold.delay_alerts", delay_alerts(*script_frames(script, ["departures"])), shuffle_by="hour_on")
    daily = daily_carrier_performance(*script_frames(script, ["schedules", "flights"]))
    script.write("gold.daily_carrier_performance", daily, shuffle_by="flight_date")
    features = flight_delay_features(
        *script_frames(script, ["schedules", "flights", "departures", "weather", "airports"])
    )
    script.write("gold.flight_delay_features", features, shuffle_by="flight_date")


def script_frames(script: Script, names: Sequence[str]) -> list[DataFrame]:
    return [script.read(f"silver.{name}") for name in names]


def compute(home: Path, watch: Stopwatch) -> None:
    with watch.phase("session"):
        spark = build_session(app_name="plain", extra_conf={} if os.environ.get(TUNED) else AS_SPARK_HAS_THEM)
    script = Script(spark, home, watch)
    write_bronze(script)
    write_silver_events(script)
    write_silver_reference(script)
    write_joined(script)


if __name__ == "__main__":
    run_side(compute)
