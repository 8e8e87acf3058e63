"""Run side `plain`: a hand-written Structured Streaming script.

Kafka -> bronze -> silver -> gold, one query per table.

What the documentation of Spark and Delta shows: append streams for bronze and silver, MERGE in foreachBatch for gold.
No contracts, no quarantine, no receipts, no ownership of days, and a message that was sent twice is a row twice. Side
`tuned` is the same script with the session settings of this project instead of Spark's defaults.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path
from types import FrameType

import psutil
import pyspark.sql.functions as F
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.streaming.query import StreamingQuery

from benchmarks.plain_spark import ARRIVAL, DEPARTURE, TUNED, day_said, minutes_between
from lake.engine.jars import jars
from lake.engine.session import build_session
from lakehouse_assets.gold.hourly_airport_performance import hourly_airport_performance

__all__ = ["ADDRESS", "default_session"]

ADDRESS = "BENCHMARK_KAFKA"

EVENTS = "key STRING, value STRING, topic STRING, partition INT, offset BIGINT, timestamp TIMESTAMP"
FLIGHT = "flight_date DATE, carrier STRING, flight INT, origin STRING, dest STRING, tail_number STRING"
TABLES = {
    "bronze/departure_events": (f"{EVENTS}, landed_on DATE, event_date DATE", "landed_on, event_date"),
    "bronze/arrival_events": (f"{EVENTS}, landed_on DATE, event_date DATE", "landed_on, event_date"),
    "silver/departures": (f"{DEPARTURE}, departed_on DATE, delay_minutes INT", "departed_on"),
    "silver/arrivals": (
        f"{FLIGHT}, scheduled_arrival_at TIMESTAMP, arrived_at TIMESTAMP, arrived_on DATE, delay_minutes INT, "
        "air_time_minutes INT",
        "arrived_on",
    ),
    "gold/hourly_airport_performance": (
        "airport STRING, hour_at TIMESTAMP, hour_on DATE, departures BIGINT, departures_on_time BIGINT, "
        "departure_delay_minutes BIGINT, arrivals BIGINT, arrivals_on_time BIGINT, arrival_delay_minutes BIGINT, "
        "worst_delay_minutes INT",
        "hour_on",
    ),
}
LATENESS = "3 hours"


def default_session(jar_sets: tuple[str, ...] = ("delta", "spark-kafka")) -> SparkSession:
    """Start Spark with its default settings.

    Apart from what Delta needs, the zone, and as much memory as the others get.
    """
    if os.environ.get(TUNED):
        return build_session(app_name="tuned", jar_sets=jar_sets)
    conf: dict[str, bool | float | int | str | None] = {
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        "spark.driver.extraClassPath": os.pathsep.join(str(path) for name in jar_sets for path in jars(name)),
        "spark.sql.session.timeZone": "UTC",
        "spark.driver.memory": f"{int(psutil.virtual_memory().total / 3 / 2**20)}m",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.sql.warehouse.dir": os.environ["LAKEHOUSE_HOME"] + "/warehouse",
    }
    return SparkSession.builder.appName("plain").master("local[*]").config(map=conf).getOrCreate()


class Script:
    """The folders, the session and the queries of one run."""

    def __init__(self, spark: SparkSession, home: Path, address: str) -> None:
        self.spark, self.home, self.address = spark, home, address
        self.queries: list[StreamingQuery] = []

    def path(self, table: str) -> str:
        return str(self.home / "tables" / table)

    def create_tables(self) -> None:
        for table, (columns, days) in TABLES.items():
            self.spark.sql(
                f"CREATE TABLE IF NOT EXISTS delta.`{self.path(table)}` ({columns}) USING delta PARTITIONED BY ({days})"
            )

    def read(self, table: str) -> DataFrame:
        return self.spark.readStream.format("delta").load(self.path(table))

    def append(self, table: str, rows: DataFrame) -> None:
        writer = rows.writeStream.format("delta").outputMode("append").queryName(table)
        writer = writer.option("checkpointLocation", str(self.home / "checkpoints" / table))
        self.queries.append(writer.start(self.path(table)))

    def upsert(self, table: str, rows: DataFrame, on: str) -> None:
        path = self.path(table)

        def merge(batch: DataFrame, _batch_id: int) -> None:
            batch.createOrReplaceTempView("incoming")
            batch.sparkSession.sql(
                f"MERGE INTO delta.`{path}` AS stored USING incoming ON {on} "
                "WHEN MATCHED THEN UPDATE SET * WHEN NOT MATCHED THEN INSERT *"
            )

        writer = rows.writeStream.outputMode("update").queryName(table).foreachBatch(merge)
        self.queries.append(writer.option("checkpointLocation", str(self.home / "checkpoints" / table)).start())

    def write_bronze(self, table: str, topic: str, event_field: str) -> None:
        reader = self.spark.readStream.format("kafka").option("kafka.bootstrap.servers", self.address)
        messages = reader.option("subscribe", topic).option("startingOffsets", "earliest").load()
        rows = messages.select(
            F.col("key").cast("string").alias("key"),
            F.col("value").cast("string").alias("value"),
            *("topic", "partition", "offset", "timestamp"),
            F.to_date("timestamp").alias("landed_on"),
        )
        self.append(table, rows.withColumn("event_date", day_said("value", event_field)))

    def write_departures(self) -> None:
        said = self.read("bronze/departure_events").select(F.from_json("value", DEPARTURE).alias("said"))
        rows = said.select("said.*").withColumns(
            {
                "departed_on": F.to_date("departed_at"),
                "delay_minutes": minutes_between("scheduled_departure_at", "departed_at"),
            }
        )
        self.append("silver/departures", rows)

    def write_arrivals(self) -> None:
        said = self.read("bronze/arrival_events").select(F.from_json("value", ARRIVAL).alias("said"))
        rows = said.select(
            "said.*",
            F.to_date("said.arrived_at").alias("arrived_on"),
            minutes_between("said.scheduled_arrival_at", "said.arrived_at").alias("delay_minutes"),
        )
        self.append("silver/arrivals", rows)

    def write_gold(self) -> None:
        hours = hourly_airport_performance(
            self.read("silver/departures").withWatermark("departed_at", LATENESS),
            self.read("silver/arrivals").withWatermark("arrived_at", LATENESS),
        )
        on = " AND ".join(f"stored.{name} = incoming.{name}" for name in ("hour_on", "airport", "hour_at"))
        self.upsert("gold/hourly_airport_performance", hours, on)


def run(script: Script, stop: threading.Event) -> None:
    """Start every query and wait.

    A query that fails ends the script.
    """
    script.create_tables()
    script.write_bronze("bronze/departure_events", "departures", "departed_at")
    script.write_bronze("bronze/arrival_events", "arrivals", "arrived_at")
    script.write_departures()
    script.write_arrivals()
    script.write_gold()
    while not stop.wait(1.0):
        for query in script.queries:
            if (error := query.exception()) is not None:
                raise error
    for query in script.queries:
        query.stop()


def main() -> None:
    if sys.argv[1:]:
        sys.exit("a side takes no arguments; python -m benchmarks stream runs all of them")
    stop = threading.Event()

    def ask(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, ask)
    home = Path(os.environ["LAKEHOUSE_HOME"])
    run(Script(default_session(), home, os.environ[ADDRESS]), stop)


if __name__ == "__main__":
    main()
