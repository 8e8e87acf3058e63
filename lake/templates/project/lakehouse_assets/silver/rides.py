"""Rides, one row each, from unlocking a bicycle to locking it."""

from datetime import timedelta

import pyspark.sql.functions as F
import pyspark.sql.types as T
from pyspark.sql import DataFrame

from lake.declare.claims import utc_timestamp
from lake.declare.contract import Field
from lake.declare.json_lines import ReadableJson, json_errors, read_messages
from lake.declare.table import InsertNew, table
from lakehouse_assets.bronze.ride_events import ride_events
from lakehouse_assets.silver.stations import STATION

MESSAGE = "ride BIGINT, bicycle INT, start_station STRING, end_station STRING, ended_at STRING, minutes INT"


class Rides(ReadableJson):
    """A ride that has ended."""

    ride: T.LongType = Field(description="number of the ride", ge=1)
    bicycle: T.IntegerType = Field(description="number of the bicycle", ge=1)
    start_station: T.StringType = Field(description="code of the station where it was unlocked", str_matches=STATION)
    end_station: T.StringType = Field(description="code of the station where it was locked", str_matches=STATION)
    ended_at: T.TimestampType = Field(description="when it was locked, UTC")
    ended_on: T.DateType = Field(description="UTC day of ended_at")
    minutes: T.IntegerType = Field(
        description="whole minutes from unlocking to locking", in_range={"min_value": 0, "max_value": 1440}
    )
    days_off_event_date: T.IntegerType = Field(
        description="days between ended_on and the day under which bronze filed the message; else it is not believed",
        eq=0,
        nullable=True,
        metadata={"stored": False},
    )


@table(
    reads=[ride_events.days(after=1)],
    contract=Rides,
    key=["ride", "ended_on"],
    day="ended_on",
    event_time="ended_at",
    lateness=timedelta(hours=3),
    write=InsertNew(first_by=["_timestamp", "_topic", "_partition", "_offset"]),
    fresh_within=timedelta(hours=26),
    owner="team:bicycles",
)
def rides(ride_events: DataFrame) -> DataFrame:
    """One row per ride, typed, valid, once.

    Grain: ride and the UTC day on which it ended. Day: `ended_on`. Reads: the messages whose event day is that day;
    they land on it or, from just before midnight, on the next. Late data: a late message belongs to the day on which
    the ride ended, and makes that day stale. Of several messages about one ride the first received is kept. Rejected:
    unreadable messages, missing or impossible values, rides that ended in the future or over 30 days before.
    """
    message = read_messages(ride_events, MESSAGE).withColumn("ended_at", utc_timestamp(F.col("said.ended_at")))
    ended_on = F.to_date("ended_at")
    return message.select(
        "said.ride",
        "said.bicycle",
        "said.start_station",
        "said.end_station",
        "ended_at",
        ended_on.alias("ended_on"),
        "said.minutes",
        json_errors().alias("json_errors"),
        F.datediff(ended_on, "_event_date").alias("days_off_event_date"),
        *("_event_date", "_raw", "_timestamp", "_topic", "_partition", "_offset"),
    )
