"""Hourly station rides: how many bicycles came to each station."""

from datetime import timedelta

import pyspark.sql.functions as F
import pyspark.sql.types as T
from pyspark.sql import DataFrame

from lake.declare.contract import Contract, Field
from lake.declare.table import Upsert, table
from lakehouse_assets.silver.rides import rides
from lakehouse_assets.silver.stations import STATION


class HourlyStationRides(Contract):
    """A station in a UTC hour in which a ride ended there."""

    station: T.StringType = Field(description="code of the station", str_matches=STATION)
    hour_at: T.TimestampType = Field(description="start of the hour, UTC")
    hour_on: T.DateType = Field(description="UTC day of hour_at")
    rides: T.LongType = Field(description="rides that ended here in this hour", ge=1)
    minutes: T.LongType = Field(description="sum of their minutes", ge=0)


@table(
    reads=[rides],
    contract=HourlyStationRides,
    key=["station", "hour_at"],
    day="hour_on",
    day_of="hour_at",
    write=Upsert(),
    fresh_within=timedelta(hours=26),
    owner="team:planning",
    counts={"rides": rides},
)
def hourly_station_rides(rides: DataFrame) -> DataFrame:
    """One row per station and UTC hour in which a ride ended there.

    Grain: station, hour. Day: `hour_on`. Reads: the rides of that day. Late data: a late ride makes its day stale.
    Rejected: nothing that `rides` accepted. As a stream: a windowed aggregate in update mode.
    """
    hours = rides.groupBy(F.col("end_station").alias("station"), F.window("ended_at", "1 hour"))
    return hours.agg(F.count(F.lit(1)).alias("rides"), F.sum("minutes").alias("minutes")).select(
        "station",
        F.col("window.start").alias("hour_at"),
        F.to_date("window.start").alias("hour_on"),
        "rides",
        "minutes",
    )
