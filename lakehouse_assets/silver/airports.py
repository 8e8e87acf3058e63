"""Airports, one row each: those of the source and four that it lacks."""

import json
from datetime import timedelta

import pyspark.sql.functions as F
import pyspark.sql.types as T
from pyspark.sql import Column, DataFrame

from lake.declare.contract import Field
from lake.declare.json_lines import ReadableJson, json_errors, read_lines
from lake.declare.table import InsertNew, table
from lakehouse_assets.airports_supplement import AIRPORTS_SUPPLEMENT
from lakehouse_assets.bronze.reference_airports import reference_airports

LINE = """
    airport STRING, name STRING, latitude DOUBLE, longitude DOUBLE, altitude_feet DOUBLE, utc_offset_hours DOUBLE,
    dst STRING, time_zone STRING
"""


class Airports(ReadableJson):
    """An airport as last listed."""

    airport: T.StringType = Field(description="IATA or FAA code of the airport", str_matches=r"^[A-Z0-9]{3}\Z")
    name: T.StringType = Field(description="name of the airport", str_length={"min_value": 1, "max_value": 200})
    latitude: T.DoubleType = Field(description="degrees north", in_range={"min_value": -90, "max_value": 90})
    longitude: T.DoubleType = Field(description="degrees east", in_range={"min_value": -180, "max_value": 180})
    altitude_feet: T.IntegerType = Field(
        description="height above sea level, feet", nullable=True, in_range={"min_value": -1500, "max_value": 20_000}
    )
    utc_offset_hours: T.DoubleType = Field(
        description="local standard time minus UTC, hours", nullable=True, in_range={"min_value": -12, "max_value": 14}
    )
    dst: T.StringType = Field(
        description="daylight saving time: A as in America, N none, U unknown; E, S, O, Z other regions",
        nullable=True,
        isin=["A", "E", "N", "O", "S", "U", "Z"],
    )
    time_zone: T.StringType = Field(
        description="IANA time zone, if known", nullable=True, str_length={"min_value": 1, "max_value": 64}
    )
    is_supplement: T.BooleanType = Field(description="whether this project supplied it, since the source lacks it")
    unknown_time_zones: T.IntegerType = Field(
        description="1 if time_zone is no IANA time zone", eq=0, metadata={"stored": False}
    )


@table(
    reads=[reference_airports],
    contract=Airports,
    key=["airport"],
    day=None,
    write=InsertNew(first_by=["is_supplement", "-_landed_on", "-_landed_at", "-_file", "-_line_number"]),
    fresh_within=timedelta(days=32),
    owner="team:reference-data",
)
def airports(reference_airports: DataFrame) -> DataFrame:
    """One row per airport, as the newest valid line about it says. Batch only.

    Grain: airport code. Day: none; the table is always computed whole.

    Reads: every line that ever landed. Once any has, four airports that flights go to and the source lacks (BQN, PSE,
    SJU, STT) are supplied and flagged `is_supplement`; a line of the source about one of them wins. Late data: does not
    exist; the line that landed last wins (of one day the last line of the newest file), and an airport that is no
    longer listed keeps its last line. Older lines count as duplicates. Altitudes are rounded to whole feet. Rejected:
    unreadable lines, a missing or impossible code, name, position or time zone.
    """
    listed = read_lines(reference_airports, LINE).withColumn("is_supplement", F.lit(False))
    supplied = _supplement(reference_airports.select("landed_on").distinct())
    line = listed.unionByName(supplied)
    return line.select(
        "said.airport",
        "said.name",
        "said.latitude",
        "said.longitude",
        _whole_feet(F.col("said.altitude_feet")).alias("altitude_feet"),
        "said.utc_offset_hours",
        "said.dst",
        "said.time_zone",
        "is_supplement",
        json_errors().alias("json_errors"),
        _unknown_time_zones(F.col("said.time_zone")).alias("unknown_time_zones"),
        "_event_date",
        "_raw",
        "_file",
        "_line_number",
        "_landed_on",
        "_landed_at",
    )


def _supplement(landings: DataFrame) -> DataFrame:
    """Return the supplied airports once per landing day.

    A frame without rows gives none, and no session is needed.
    """
    lines = F.array(*(F.lit(json.dumps(airport._asdict())) for airport in AIRPORTS_SUPPLEMENT))
    supplied = landings.select(
        F.explode(lines).alias("line"),
        F.lit("airports_supplement.py").alias("file"),
        F.lit(None).cast("int").alias("line_number"),
        "landed_on",
        F.col("landed_on").alias("event_date"),
    )
    return read_lines(supplied, LINE).withColumn("is_supplement", F.lit(True))


def _unknown_time_zones(zone: Column) -> Column:
    """Return 1 where a zone is named and Spark does not know it.

    Using it would fail the query.
    """
    # try_make_timestamp is no help: without code generation it fails on an unknown zone (Spark 4.2.0).
    new_year = F.try_to_timestamp(F.concat(F.lit("2000-01-01 00:00:00 "), zone))
    return F.when(zone.isNotNull() & new_year.isNull(), 1).otherwise(0)


def _whole_feet(altitude: Column) -> Column:
    """Round to INT.

    What no INT can hold becomes a height that the contract rejects, because a cast would fail.
    """
    return F.when(F.abs(altitude) > 999_999, 999_999).otherwise(F.round(altitude)).cast("int")
