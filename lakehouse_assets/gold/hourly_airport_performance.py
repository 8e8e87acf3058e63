"""Measure how punctual each airport was, hour by hour."""

from datetime import timedelta

import pyspark.sql.functions as F
import pyspark.sql.types as T
from pyspark.sql import DataFrame

from lake.declare.contract import Contract, Field
from lake.declare.table import Upsert, table
from lakehouse_assets.silver.arrivals import arrivals
from lakehouse_assets.silver.departures import departures
from lakehouse_assets.silver.flight_key import AIRPORT

ON_TIME_BELOW_MINUTES = 15
"""A flight is on time if it is less late than this."""


class HourlyAirportPerformance(Contract):
    """An airport in a UTC hour in which something left or reached the gate."""

    airport: T.StringType = Field(description="IATA code of the airport", str_matches=AIRPORT)
    hour_at: T.TimestampType = Field(description="start of the hour, UTC")
    hour_on: T.DateType = Field(description="UTC day of hour_at")
    departures: T.LongType = Field(description="flights that left the gate here in this hour", ge=0)
    departures_on_time: T.LongType = Field(description="of these, less than 15 minutes late", ge=0)
    departure_delay_minutes: T.LongType = Field(description="sum of their delays, minutes; early counts negative")
    arrivals: T.LongType = Field(description="flights that reached the gate here in this hour", ge=0)
    arrivals_on_time: T.LongType = Field(description="of these, less than 15 minutes late", ge=0)
    arrival_delay_minutes: T.LongType = Field(description="sum of their delays, minutes; early counts negative")
    worst_delay_minutes: T.IntegerType = Field(description="largest delay of a departure or arrival, minutes")


@table(
    reads=[departures, arrivals],
    contract=HourlyAirportPerformance,
    key=["airport", "hour_at"],
    day="hour_on",
    day_of="hour_at",
    write=Upsert(),
    fresh_within=timedelta(hours=26),
    owner="team:analytics",
    counts={"departures": departures, "arrivals": arrivals},
)
def hourly_airport_performance(departures: DataFrame, arrivals: DataFrame) -> DataFrame:
    """One row per airport and UTC hour with a departure or arrival.

    Grain: airport, hour. Day: `hour_on`, the UTC day of the hour. A departure counts at its origin in the hour in which
    it left, an arrival at its destination in the hour in which it arrived; hours without either have no row.

    Reads: departures and arrivals of that day. Late data: a late event makes its day stale. Rejected: nothing that the
    inputs accepted. As a stream: a windowed aggregate over the union of both, in update mode.
    """
    left = departures.select(
        F.col("origin").alias("airport"),
        F.col("departed_at").alias("event_at"),
        "delay_minutes",
        F.lit(1).alias("left"),
    )
    reached = arrivals.select(
        F.col("dest").alias("airport"), F.col("arrived_at").alias("event_at"), "delay_minutes", F.lit(0).alias("left")
    )
    has_left = F.col("left") == 1
    is_on_time = F.col("delay_minutes") < ON_TIME_BELOW_MINUTES
    hours = left.unionByName(reached).groupBy("airport", F.window("event_at", "1 hour"))
    return hours.agg(
        F.count_if(has_left).alias("departures"),
        F.count_if(has_left & is_on_time).alias("departures_on_time"),
        F.sum(F.when(has_left, F.col("delay_minutes")).otherwise(0)).alias("departure_delay_minutes"),
        F.count_if(~has_left).alias("arrivals"),
        F.count_if(~has_left & is_on_time).alias("arrivals_on_time"),
        F.sum(F.when(has_left, 0).otherwise(F.col("delay_minutes"))).alias("arrival_delay_minutes"),
        F.max("delay_minutes").alias("worst_delay_minutes"),
    ).select(
        "airport",
        F.col("window.start").alias("hour_at"),
        F.to_date("window.start").alias("hour_on"),
        "departures",
        "departures_on_time",
        "departure_delay_minutes",
        "arrivals",
        "arrivals_on_time",
        "arrival_delay_minutes",
        "worst_delay_minutes",
    )
