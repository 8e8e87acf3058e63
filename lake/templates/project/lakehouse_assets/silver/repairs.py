"""Repairs, one row each."""

from datetime import timedelta

import pyspark.sql.functions as F
import pyspark.sql.types as T
from pyspark.sql import DataFrame

from lake.declare.claims import calendar_date
from lake.declare.contract import Field
from lake.declare.json_lines import ReadableJson, json_errors, read_lines
from lake.declare.table import InsertNew, table
from lakehouse_assets.bronze.repair_files import repair_files
from lakehouse_assets.silver.stations import STATION

FIELDS = "bicycle STRING, station STRING, part STRING, cents STRING, repaired_on STRING"


class Repairs(ReadableJson):
    """A part of a bicycle that the workshop has repaired."""

    bicycle: T.IntegerType = Field(description="number of the bicycle", ge=1)
    station: T.StringType = Field(description="code of the station where it was picked up", str_matches=STATION)
    part: T.StringType = Field(description="what was repaired", str_length={"min_value": 1, "max_value": 50})
    cents: T.IntegerType = Field(description="what it cost, euro cents", ge=0)
    repaired_on: T.DateType = Field(description="day on which it was repaired")
    days_off_event_date: T.IntegerType = Field(
        description="days between repaired_on and the day under which bronze filed the row; else it is not believed",
        eq=0,
        nullable=True,
        metadata={"stored": False},
    )


@table(
    reads=[repair_files],
    contract=Repairs,
    key=["bicycle", "part", "repaired_on"],
    day="repaired_on",
    write=InsertNew(first_by=["_landed_on", "_landed_at", "_file", "_line_number"]),
    fresh_within=timedelta(hours=36),
    owner="team:bicycles",
)
def repairs(repair_files: DataFrame) -> DataFrame:
    """One row per bicycle, part and day. Batch only, because files have no stream.

    Grain: bicycle, part, day. Day: `repaired_on`. Reads: the rows whose event day is that day. Late data: a row that
    lands late makes its day stale. Rejected: what cannot be read, is impossible, or claims a day that is not believed.
    """
    row = read_lines(repair_files, FIELDS).withColumn("repaired_on", calendar_date(F.col("said.repaired_on")))
    return row.select(
        F.col("said.bicycle").try_cast("int").alias("bicycle"),
        "said.station",
        "said.part",
        F.col("said.cents").try_cast("int").alias("cents"),
        "repaired_on",
        json_errors().alias("json_errors"),
        F.datediff("repaired_on", "_event_date").alias("days_off_event_date"),
        *("_event_date", "_raw", "_file", "_line_number", "_landed_on", "_landed_at"),
    )
