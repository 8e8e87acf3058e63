"""Stations, one row each."""

from datetime import timedelta

import pyspark.sql.types as T
from pyspark.sql import DataFrame

from lake.declare.contract import Field
from lake.declare.json_lines import ReadableJson, json_errors, read_lines
from lake.declare.table import InsertNew, table
from lakehouse_assets.bronze.station_files import station_files

STATION = "^[A-Z]{3}$"


class Stations(ReadableJson):
    """A station as last listed."""

    station: T.StringType = Field(description="code of the station", str_matches=STATION)
    name: T.StringType = Field(description="its name", str_length={"min_value": 1, "max_value": 100})
    district: T.StringType = Field(description="the district of the city", str_length={"min_value": 1, "max_value": 50})
    docks: T.IntegerType = Field(description="bicycles that it has room for", ge=1)


@table(
    reads=[station_files],
    contract=Stations,
    key=["station"],
    day=None,
    write=InsertNew(first_by=["-_landed_on", "-_landed_at", "-_file", "-_line_number"]),
    fresh_within=timedelta(days=400),
    owner="team:bicycles",
)
def stations(station_files: DataFrame) -> DataFrame:
    """One row per station, as the newest valid line about it says. Batch only.

    Grain: station. Day: none; the table is always computed whole. Reads: every line that ever landed. Late data: does
    not exist; the line that landed last wins. Rejected: unreadable lines, missing or impossible values.
    """
    line = read_lines(station_files, "station STRING, name STRING, district STRING, docks INT")
    return line.select(
        "said.station",
        "said.name",
        "said.district",
        "said.docks",
        json_errors().alias("json_errors"),
        *("_event_date", "_raw", "_file", "_line_number", "_landed_on", "_landed_at"),
    )
