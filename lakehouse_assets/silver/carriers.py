"""Carriers, one row per airline."""

from datetime import timedelta

import pyspark.sql.types as T
from pyspark.sql import DataFrame

from lake.declare.contract import Field
from lake.declare.json_lines import ReadableJson, json_errors, read_lines
from lake.declare.table import InsertNew, table
from lakehouse_assets.bronze.reference_airlines import reference_airlines
from lakehouse_assets.silver.flight_key import CARRIER


class Carriers(ReadableJson):
    """An airline as last listed."""

    carrier: T.StringType = Field(description="IATA code of the carrier", str_matches=CARRIER)
    name: T.StringType = Field(description="name of the carrier", str_length={"min_value": 1, "max_value": 200})


@table(
    reads=[reference_airlines],
    contract=Carriers,
    key=["carrier"],
    day=None,
    write=InsertNew(first_by=["-_landed_on", "-_landed_at", "-_file", "-_line_number"]),
    fresh_within=timedelta(days=32),
    owner="team:reference-data",
)
def carriers(reference_airlines: DataFrame) -> DataFrame:
    """One row per carrier, as the newest valid line about it says. Batch only.

    Grain: carrier code. Day: none; the table is always computed whole.

    Reads: every line that ever landed. Late data: does not exist; the line that landed last wins (of one day the last
    line of the newest file), and a carrier that is no longer listed keeps its last line. Older lines count as
    duplicates. Rejected: unreadable lines, a missing or impossible code, a missing name.
    """
    line = read_lines(reference_airlines, "carrier STRING, name STRING")
    return line.select(
        "said.carrier",
        "said.name",
        json_errors().alias("json_errors"),
        "_event_date",
        "_raw",
        "_file",
        "_line_number",
        "_landed_on",
        "_landed_at",
    )
