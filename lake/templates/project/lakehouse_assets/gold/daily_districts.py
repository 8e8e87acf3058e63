"""Daily districts: rides to each district, and what repairs of its bicycles cost."""

from datetime import timedelta

import pyspark.sql.functions as F
import pyspark.sql.types as T
from pyspark.sql import DataFrame

from lake.declare.contract import Contract, Field
from lake.declare.table import Replace, table
from lakehouse_assets.silver.repairs import repairs
from lakehouse_assets.silver.rides import rides
from lakehouse_assets.silver.stations import stations


class DailyDistricts(Contract):
    """A district on a day with an ended ride or a repair."""

    day: T.DateType = Field(description="UTC day")
    district: T.StringType = Field(description="the district; 'unknown' for stations that are not listed")
    rides: T.LongType = Field(description="rides that ended there", ge=0)
    repairs: T.LongType = Field(description="repairs of bicycles that were picked up there", ge=0)
    repair_cents: T.LongType = Field(description="what these cost, euro cents", ge=0)


@table(
    reads=[rides, repairs, stations],
    contract=DailyDistricts,
    key=["day", "district"],
    day="day",
    write=Replace(),
    policy="fail",
    fresh_within=timedelta(hours=36),
    owner="team:planning",
    counts={"rides": rides, "repairs": repairs},
)
def daily_districts(rides: DataFrame, repairs: DataFrame, stations: DataFrame) -> DataFrame:
    """One row per day and district. Batch only.

    Grain: day, district. Day: `day`. Reads: rides and repairs of that day, and all stations. Late data: a late ride
    makes its day stale. Rejected: nothing, since a day with a bad row is not written.
    """
    ridden = rides.select(
        F.col("ended_on").alias("day"), F.col("end_station").alias("station"), F.lit(None).alias("cents")
    )
    repaired = repairs.select(F.col("repaired_on").alias("day"), "station", "cents")
    placed = ridden.unionByName(repaired).join(stations, on="station", how="left")
    return placed.groupBy("day", F.coalesce("district", F.lit("unknown")).alias("district")).agg(
        F.count_if(F.col("cents").isNull()).alias("rides"),
        F.count("cents").alias("repairs"),
        F.coalesce(F.sum("cents"), F.lit(0)).alias("repair_cents"),
    )
