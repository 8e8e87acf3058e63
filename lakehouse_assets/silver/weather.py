"""Weather, one row per airport and hour."""

from datetime import timedelta

import pyspark.sql.functions as F
import pyspark.sql.types as T
from pyspark.sql import DataFrame

from lake.declare.claims import utc_timestamp
from lake.declare.contract import Field
from lake.declare.json_lines import ReadableJson, json_errors, read_lines
from lake.declare.table import InsertNew, table
from lakehouse_assets.bronze.weather_files import weather_files
from lakehouse_assets.silver.flight_key import AIRPORT

LINE = """
    airport STRING, observed_at STRING, temperature_f DOUBLE, dew_point_f DOUBLE, humidity_percent DOUBLE,
    wind_direction_degrees INT, wind_speed_mph DOUBLE, wind_gust_mph DOUBLE, precipitation_inches DOUBLE,
    pressure_millibars DOUBLE, visibility_miles DOUBLE
"""


class Weather(ReadableJson):
    """An hourly observation.

    The ranges are about those of the world's records, so what lies outside is a defect.
    """

    airport: T.StringType = Field(description="IATA code of the airport it was observed at", str_matches=AIRPORT)
    observed_at: T.TimestampType = Field(description="hour of the observation, UTC")
    observed_on: T.DateType = Field(description="UTC day of observed_at")
    temperature_f: T.DoubleType = Field(
        description="air temperature, degrees Fahrenheit", nullable=True, in_range={"min_value": -130, "max_value": 140}
    )
    dew_point_f: T.DoubleType = Field(
        description="dew point, degrees Fahrenheit", nullable=True, in_range={"min_value": -150, "max_value": 100}
    )
    humidity_percent: T.DoubleType = Field(
        description="relative humidity, percent", nullable=True, in_range={"min_value": 0, "max_value": 100}
    )
    wind_direction_degrees: T.IntegerType = Field(
        description="direction the wind comes from, degrees; 0: calm or variable",
        nullable=True,
        in_range={"min_value": 0, "max_value": 360},
    )
    wind_speed_mph: T.DoubleType = Field(
        description="mean wind speed, miles per hour", nullable=True, in_range={"min_value": 0, "max_value": 255}
    )
    wind_gust_mph: T.DoubleType = Field(
        description="speed of gusts, miles per hour", nullable=True, in_range={"min_value": 0, "max_value": 320}
    )
    precipitation_inches: T.DoubleType = Field(
        description="precipitation in the hour, inches", nullable=True, in_range={"min_value": 0, "max_value": 16}
    )
    pressure_millibars: T.DoubleType = Field(
        description="pressure at sea level, millibars", nullable=True, in_range={"min_value": 850, "max_value": 1100}
    )
    visibility_miles: T.DoubleType = Field(
        description="visibility, statute miles", nullable=True, in_range={"min_value": 0, "max_value": 200}
    )
    seconds_past_hour: T.LongType = Field(
        description="seconds from the full hour to observed_at", eq=0, nullable=True, metadata={"stored": False}
    )
    days_off_event_date: T.IntegerType = Field(
        description="days between observed_on and the day under which bronze filed the line",
        eq=0,
        nullable=True,
        metadata={"stored": False},
    )


@table(
    reads=[weather_files],
    contract=Weather,
    key=["airport", "observed_at"],
    day="observed_on",
    day_of="observed_at",
    write=InsertNew(first_by=["_landed_on", "_landed_at", "_file", "_line_number"]),
    fresh_within=timedelta(hours=2),
    owner="team:operations",
)
def weather(weather_files: DataFrame) -> DataFrame:
    """One row per airport and UTC hour with an observation. Batch only.

    Grain: airport, hour. Day: `observed_on`, UTC.

    Reads: the lines of that day, which land on it. Late data: a line that lands up to 30 days later makes its day
    stale. Of several lines about one hour the first received is kept. Rejected: unreadable lines, a missing airport or
    hour, times that are no full hour, and values beyond what nature does: the source has a wind of 1,048 mph at EWR on
    12 February 2013.
    """
    line = read_lines(weather_files, LINE).withColumn("observed_at", utc_timestamp(F.col("said.observed_at")))
    observed_on = F.to_date("observed_at")
    return line.select(
        "said.airport",
        "observed_at",
        observed_on.alias("observed_on"),
        "said.temperature_f",
        "said.dew_point_f",
        "said.humidity_percent",
        "said.wind_direction_degrees",
        "said.wind_speed_mph",
        "said.wind_gust_mph",
        "said.precipitation_inches",
        "said.pressure_millibars",
        "said.visibility_miles",
        json_errors().alias("json_errors"),
        F.pmod(F.unix_seconds("observed_at"), F.lit(3600)).alias("seconds_past_hour"),
        F.datediff(observed_on, "_event_date").alias("days_off_event_date"),
        "_event_date",
        "_raw",
        "_file",
        "_line_number",
        "_landed_on",
        "_landed_at",
    )
