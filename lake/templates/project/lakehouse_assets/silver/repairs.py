"""Repairs, one row each."""

from datetime import timedelta

import pyspark.sql.functions as F
import pyspark.sql.types as T
from pandera.pyspark import Field
from pyspark.sql import DataFrame

from lake.declare.contract import Contract
from lake.declare.table import InsertNew, table
from lakehouse_assets.bronze.repair_files import repair_files
from lakehouse_assets.silver.stations import STATION

LINE = "bicycle INT, station STRING, part STRING, cents INT"


class Repairs(Contract):
    """A part of a bicycle that the workshop has repaired."""

    bicycle: T.IntegerType = Field(description="number of the bicycle", ge=1)
    station: T.StringType = Field(description="code of the station where it was picked up", str_matches=STATION)
    part: T.StringType = Field(description="what was repaired", str_length={"min_value": 1, "max_value": 50})
    cents: T.IntegerType = Field(description="what it cost, euro cents", ge=0)
    reported_on: T.DateType = Field(description="UTC day on which the workshop's file landed")


@table(
    reads=[repair_files],
    contract=Repairs,
    key=["bicycle", "part", "reported_on"],
    day="reported_on",
    write=InsertNew(first_by=["_file", "_line_number"]),
    fresh_within=timedelta(hours=36),
    owner="team:bicycles",
)
def repairs(repair_files: DataFrame) -> DataFrame:
    """One row per bicycle, part and day. Batch only, since files have no stream.

    Grain: bicycle, part and the day of the file. Day: `reported_on`. Reads: the lines that landed on that day. Late
    data: a file that lands late is of the day on which it lands. Rejected: lines that are no repair.
    """
    said = F.from_csv("line", LINE, {"mode": "PERMISSIVE"})
    return repair_files.select(
        *(said[name].alias(name) for name in ("bicycle", "station", "part", "cents")),
        F.col("landed_on").alias("reported_on"),
        F.col("event_date").alias("_event_date"),
        F.col("line").alias("_raw"),
        F.col("file").alias("_file"),
        F.col("line_number").alias("_line_number"),
    )
