"""Departures, one row each: the moment a flight left the gate."""

from datetime import timedelta

import pyspark.sql.functions as F
import pyspark.sql.types as T
from pyspark.sql import DataFrame

from lake.declare.claims import calendar_date, utc_timestamp
from lake.declare.contract import Field
from lake.declare.json_lines import ReadableJson, json_errors, read_messages
from lake.declare.table import InsertNew, table
from lakehouse_assets.bronze.departure_events import departure_events
from lakehouse_assets.silver.flight_key import AIRPORT, FLIGHT_KEY, TAIL_NUMBER, FlightKey
from lakehouse_assets.silver.parsing import seconds_between, whole_minutes_between

MESSAGE = """
    flight_date STRING, carrier STRING, flight INT, origin STRING, dest STRING, tail_number STRING,
    scheduled_departure_at STRING, departed_at STRING
"""


class Departures(FlightKey, ReadableJson):
    """A flight that left the gate."""

    dest: T.StringType = Field(description="IATA code of the airport it is bound for", str_matches=AIRPORT)
    tail_number: T.StringType = Field(
        description="registration mark of the aircraft, if known", nullable=True, str_matches=TAIL_NUMBER
    )
    scheduled_departure_at: T.TimestampType = Field(description="scheduled off-block time, UTC")
    departed_at: T.TimestampType = Field(description="off-block time, UTC")
    departed_on: T.DateType = Field(description="UTC day of departed_at")
    delay_minutes: T.IntegerType = Field(description="whole minutes after schedule, rounded down; negative: early")
    report_lag_seconds: T.LongType = Field(
        description="seconds from departure to the message; negative: the departure lies in the future",
        in_range={"min_value": 0, "max_value": 30 * 24 * 3600},
        nullable=True,
        metadata={"stored": False},
    )
    days_after_flight_date: T.IntegerType = Field(
        description="days from the flight date to the UTC day of departure",
        in_range={"min_value": 0, "max_value": 1},
        nullable=True,
        metadata={"stored": False},
    )
    scheduled_days_after_flight_date: T.IntegerType = Field(
        description="days from the flight date to the UTC day of the scheduled departure",
        in_range={"min_value": 0, "max_value": 1},
        nullable=True,
        metadata={"stored": False},
    )
    days_off_event_date: T.IntegerType = Field(
        description="days between departed_on and the day under which bronze filed the message",
        eq=0,
        nullable=True,
        metadata={"stored": False},
    )


@table(
    reads=[departure_events.days(after=1)],
    contract=Departures,
    key=[*FLIGHT_KEY, "departed_on"],
    day="departed_on",
    event_time="departed_at",
    lateness=timedelta(hours=3),
    write=InsertNew(first_by=["_timestamp", "_topic", "_partition", "_offset"]),
    fresh_within=timedelta(hours=26),
    owner="team:operations",
)
def departures(departure_events: DataFrame) -> DataFrame:
    """One row per departure: a flight that left the gate, typed, valid, once.

    Grain: flight date, carrier, flight, origin, and the UTC day of departure. (Only messages that contradict each other
    across a UTC midnight give a flight two rows; the day in the key makes that the same for any range of days.)
    Day: `departed_on`.

    Reads: the messages whose event day is that day; they land on it or, from just before midnight, on the next. Late
    data: a message up to 30 days late belongs to the day of its departure and makes that day stale. Of several messages
    about one departure the first received is kept. Rejected: unreadable messages, missing or impossible values,
    departures in the future or more than 30 days before their message, departures or schedules that are not on the
    flight date or the UTC day after it.
    """
    message = read_messages(departure_events, MESSAGE).withColumns(
        {
            "flight_date": calendar_date(F.col("said.flight_date")),
            "scheduled_departure_at": utc_timestamp(F.col("said.scheduled_departure_at")),
            "departed_at": utc_timestamp(F.col("said.departed_at")),
        }
    )
    departed_on = F.to_date("departed_at")
    return message.select(
        "flight_date",
        "said.carrier",
        "said.flight",
        "said.origin",
        "said.dest",
        "said.tail_number",
        "scheduled_departure_at",
        "departed_at",
        departed_on.alias("departed_on"),
        whole_minutes_between("scheduled_departure_at", "departed_at").alias("delay_minutes"),
        json_errors().alias("json_errors"),
        seconds_between("departed_at", "_timestamp").alias("report_lag_seconds"),
        F.datediff(departed_on, "flight_date").alias("days_after_flight_date"),
        F.datediff(F.to_date("scheduled_departure_at"), "flight_date").alias("scheduled_days_after_flight_date"),
        F.datediff(departed_on, "_event_date").alias("days_off_event_date"),
        "_event_date",
        "_raw",
        "_topic",
        "_partition",
        "_offset",
        "_timestamp",
    )
