"""Aircraft, one row per tail number."""

from datetime import timedelta

import pyspark.sql.types as T
from pyspark.sql import DataFrame

from lake.declare.contract import Field
from lake.declare.json_lines import ReadableJson, json_errors, read_lines
from lake.declare.table import InsertNew, table
from lakehouse_assets.bronze.reference_planes import reference_planes
from lakehouse_assets.silver.flight_key import TAIL_NUMBER

LINE = """
    tail_number STRING, year_built INT, type STRING, manufacturer STRING, model STRING, engines INT, seats INT,
    speed_mph INT, engine STRING
"""


class Aircraft(ReadableJson):
    """An aircraft as last registered."""

    tail_number: T.StringType = Field(description="registration mark", str_matches=TAIL_NUMBER)
    year_built: T.IntegerType = Field(
        description="year of manufacture", nullable=True, in_range={"min_value": 1903, "max_value": 2100}
    )
    type: T.StringType = Field(description="kind of aircraft, as registered", nullable=True)
    manufacturer: T.StringType = Field(description="manufacturer, as registered", nullable=True)
    model: T.StringType = Field(description="model, as registered", nullable=True)
    engines: T.IntegerType = Field(
        description="number of engines", nullable=True, in_range={"min_value": 0, "max_value": 12}
    )
    seats: T.IntegerType = Field(
        description="number of seats", nullable=True, in_range={"min_value": 0, "max_value": 1000}
    )
    speed_mph: T.IntegerType = Field(
        description="cruising speed, miles per hour", nullable=True, in_range={"min_value": 0, "max_value": 2500}
    )
    engine: T.StringType = Field(description="kind of engine, as registered", nullable=True)


@table(
    reads=[reference_planes],
    contract=Aircraft,
    key=["tail_number"],
    day=None,
    write=InsertNew(first_by=["-_landed_on", "-_landed_at", "-_file", "-_line_number"]),
    fresh_within=timedelta(days=32),
    owner="team:reference-data",
)
def aircraft(reference_planes: DataFrame) -> DataFrame:
    """One row per aircraft, as the newest valid line about it says. Batch only.

    Grain: tail number. Day: none; the table is always computed whole.

    Reads: every line that ever landed. Late data: does not exist; the line that landed last wins (of one day the last
    line of the newest file), and an aircraft that is no longer listed keeps its last line. Older lines count as
    duplicates. Rejected: unreadable lines, a missing or impossible tail number, impossible numbers.
    """
    line = read_lines(reference_planes, LINE)
    return line.select(
        "said.tail_number",
        "said.year_built",
        "said.type",
        "said.manufacturer",
        "said.model",
        "said.engines",
        "said.seats",
        "said.speed_mph",
        "said.engine",
        json_errors().alias("json_errors"),
        "_event_date",
        "_raw",
        "_file",
        "_line_number",
        "_landed_on",
        "_landed_at",
    )
