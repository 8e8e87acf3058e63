"""Arrivals, one row each: the moment a flight reached the gate of its destination."""

from datetime import timedelta

import pyspark.sql.functions as F
import pyspark.sql.types as T
from pyspark.sql import DataFrame

from lake.declare.claims import calendar_date, utc_timestamp
from lake.declare.contract import Field
from lake.declare.json_lines import ReadableJson, json_errors, read_messages
from lake.declare.table import InsertNew, table
from lakehouse_assets.bronze.arrival_events import arrival_events
from lakehouse_assets.silver.flight_key import AIRPORT, FLIGHT_KEY, TAIL_NUMBER, FlightKey
from lakehouse_assets.silver.parsing import seconds_between, whole_minutes_between

MESSAGE = """
    flight_date STRING, carrier STRING, flight INT, origin STRING, dest STRING, tail_number STRING,
    scheduled_arrival_at STRING, arrived_at STRING, air_time_minutes INT
"""


class Arrivals(FlightKey, ReadableJson):
    """A flight that reached the gate."""

    dest: T.StringType = Field(description="IATA code of the airport it arrived at", str_matches=AIRPORT)
    tail_number: T.StringType = Field(
        description="registration mark of the aircraft, if known", nullable=True, str_matches=TAIL_NUMBER
    )
    scheduled_arrival_at: T.TimestampType = Field(description="scheduled on-block time, UTC")
    arrived_at: T.TimestampType = Field(description="on-block time, UTC")
    arrived_on: T.DateType = Field(description="UTC day of arrived_at")
    delay_minutes: T.IntegerType = Field(description="whole minutes after schedule, rounded down; negative: early")
    air_time_minutes: T.IntegerType = Field(
        description="minutes in the air, if known", nullable=True, in_range={"min_value": 1, "max_value": 24 * 60}
    )
    report_lag_seconds: T.LongType = Field(
        description="seconds from arrival to the message; negative: the arrival lies in the future",
        in_range={"min_value": 0, "max_value": 30 * 24 * 3600},
        nullable=True,
        metadata={"stored": False},
    )
    days_after_flight_date: T.IntegerType = Field(
        description="days from the flight date to the UTC day of arrival",
        in_range={"min_value": 0, "max_value": 2},
        nullable=True,
        metadata={"stored": False},
    )
    scheduled_days_after_flight_date: T.IntegerType = Field(
        description="days from the flight date to the UTC day of the scheduled arrival",
        in_range={"min_value": 0, "max_value": 2},
        nullable=True,
        metadata={"stored": False},
    )
    days_off_event_date: T.IntegerType = Field(
        description="days between arrived_on and the day under which bronze filed the message",
        eq=0,
        nullable=True,
        metadata={"stored": False},
    )


@table(
    reads=[arrival_events.days(after=1)],
    contract=Arrivals,
    key=[*FLIGHT_KEY, "arrived_on"],
    day="arrived_on",
    event_time="arrived_at",
    lateness=timedelta(hours=3),
    write=InsertNew(first_by=["_timestamp", "_topic", "_partition", "_offset"]),
    fresh_within=timedelta(hours=26),
    owner="team:operations",
)
def arrivals(arrival_events: DataFrame) -> DataFrame:
    """One row per arrival, typed, valid, once.

    An arrival is a flight that reached the gate of its destination.

    Grain: flight date, carrier, flight, origin, and the UTC day of arrival. (Only messages that contradict each other
    across a UTC midnight give a flight two rows; the day in the key makes that the same for any range of days.)
    Day: `arrived_on`.

    Reads: the messages whose event day is that day; they land on it or, from just before midnight, on the next. Late
    data: a message up to 30 days late belongs to the day of its arrival and makes that day stale. Of several messages
    about one arrival the first received is kept. Rejected: unreadable messages, missing or impossible values, arrivals
    in the future or more than 30 days before their message, arrivals or schedules that are not on the flight date or
    one of the two UTC days after it.
    """
    message = read_messages(arrival_events, MESSAGE).withColumns(
        {
            "flight_date": calendar_date(F.col("said.flight_date")),
            "scheduled_arrival_at": utc_timestamp(F.col("said.scheduled_arrival_at")),
            "arrived_at": utc_timestamp(F.col("said.arrived_at")),
        }
    )
    arrived_on = F.to_date("arrived_at")
    return message.select(
        "flight_date",
        "said.carrier",
        "said.flight",
        "said.origin",
        "said.dest",
        "said.tail_number",
        "scheduled_arrival_at",
        "arrived_at",
        arrived_on.alias("arrived_on"),
        whole_minutes_between("scheduled_arrival_at", "arrived_at").alias("delay_minutes"),
        "said.air_time_minutes",
        json_errors().alias("json_errors"),
        seconds_between("arrived_at", "_timestamp").alias("report_lag_seconds"),
        F.datediff(arrived_on, "flight_date").alias("days_after_flight_date"),
        F.datediff(F.to_date("scheduled_arrival_at"), "flight_date").alias("scheduled_days_after_flight_date"),
        F.datediff(arrived_on, "_event_date").alias("days_off_event_date"),
        "_event_date",
        "_raw",
        "_topic",
        "_partition",
        "_offset",
        "_timestamp",
    )
