"""Schedules, one row per planned flight."""

from datetime import timedelta

import pyspark.sql.functions as F
import pyspark.sql.types as T
from pyspark.sql import DataFrame

from lake.declare.claims import calendar_date, utc_timestamp
from lake.declare.contract import Field
from lake.declare.json_lines import ReadableJson, json_errors, read_lines
from lake.declare.table import InsertNew, table
from lakehouse_assets.bronze.schedule_files import schedule_files
from lakehouse_assets.silver.flight_key import AIRPORT, FLIGHT_KEY, TAIL_NUMBER, FlightKey

LINE = """
    flight_date STRING, carrier STRING, flight INT, origin STRING, dest STRING, tail_number STRING,
    scheduled_departure_at STRING, scheduled_arrival_at STRING, distance_miles INT
"""


class Schedules(FlightKey, ReadableJson):
    """A flight that is planned."""

    dest: T.StringType = Field(description="IATA code of the airport it is bound for", str_matches=AIRPORT)
    tail_number: T.StringType = Field(
        description="registration mark of the planned aircraft, if known", nullable=True, str_matches=TAIL_NUMBER
    )
    scheduled_departure_at: T.TimestampType = Field(description="scheduled off-block time, UTC")
    scheduled_arrival_at: T.TimestampType = Field(description="scheduled on-block time, UTC")
    distance_miles: T.IntegerType = Field(
        description="distance between the airports, statute miles", in_range={"min_value": 1, "max_value": 12_500}
    )
    scheduled_days_after_flight_date: T.IntegerType = Field(
        description="days from the flight date to the UTC day of the scheduled departure",
        in_range={"min_value": 0, "max_value": 1},
        nullable=True,
        metadata={"stored": False},
    )
    days_off_event_date: T.IntegerType = Field(
        description="days between the flight date and the day under which bronze filed the line",
        eq=0,
        nullable=True,
        metadata={"stored": False},
    )


@table(
    reads=[schedule_files.days(before=1)],
    contract=Schedules,
    key=FLIGHT_KEY,
    day="flight_date",
    write=InsertNew(first_by=["_landed_on", "_landed_at", "_file", "_line_number"]),
    fresh_within=timedelta(hours=2),
    owner="team:operations",
)
def schedules(schedule_files: DataFrame) -> DataFrame:
    """One row per planned flight, flown or not. Batch only.

    Grain: flight date, carrier, flight, origin. Day: `flight_date`, a local date at the origin.

    Reads: the timetable lines of that flight date, which land the day before. Late data: a line that lands later makes
    its flight date stale. Of several lines about one flight the first received is kept. Rejected: unreadable lines,
    missing or impossible values, flight dates more than 30 days from the landing day, departures that are not on the
    flight date or the UTC day after it.
    """
    line = read_lines(schedule_files, LINE).withColumns(
        {
            "flight_date": calendar_date(F.col("said.flight_date")),
            "scheduled_departure_at": utc_timestamp(F.col("said.scheduled_departure_at")),
            "scheduled_arrival_at": utc_timestamp(F.col("said.scheduled_arrival_at")),
        }
    )
    return line.select(
        "flight_date",
        "said.carrier",
        "said.flight",
        "said.origin",
        "said.dest",
        "said.tail_number",
        "scheduled_departure_at",
        "scheduled_arrival_at",
        "said.distance_miles",
        json_errors().alias("json_errors"),
        F.datediff(F.to_date("scheduled_departure_at"), "flight_date").alias("scheduled_days_after_flight_date"),
        F.datediff("flight_date", "_event_date").alias("days_off_event_date"),
        "_event_date",
        "_raw",
        "_file",
        "_line_number",
        "_landed_on",
        "_landed_at",
    )
