"""Measure how punctual and reliable each carrier was.

Day by day and airport by airport.
"""

from datetime import timedelta

import pyspark.sql.functions as F
import pyspark.sql.types as T
from pyspark.sql import DataFrame

from lake.declare.contract import Contract, Field
from lake.declare.table import Replace, table
from lakehouse_assets.silver.flight_key import AIRPORT, CARRIER, FLIGHT_KEY
from lakehouse_assets.silver.flights import flights
from lakehouse_assets.silver.schedules import schedules

ON_TIME_BELOW_MINUTES = 15
"""A flight is on time if it is less late than this."""


class DailyCarrierPerformance(Contract):
    """A carrier at an airport on a flight date."""

    flight_date: T.DateType = Field(description="local date at the origin of the scheduled departures")
    carrier: T.StringType = Field(description="IATA code of the carrier", str_matches=CARRIER)
    origin: T.StringType = Field(description="IATA code of the airport of departure", str_matches=AIRPORT)
    scheduled: T.LongType = Field(description="flights in the timetable", ge=0)
    flown: T.LongType = Field(description="flights that left the gate", ge=0)
    cancelled: T.LongType = Field(description="flights in the timetable that did not leave the gate", ge=0)
    diverted: T.LongType = Field(description="flights that left the gate and have no arrival", ge=0)
    arrivals_on_time: T.LongType = Field(description="flights that arrived less than 15 minutes late", ge=0)
    departure_delay_minutes: T.LongType = Field(description="sum of departure delays, minutes; early counts negative")
    arrival_delay_minutes: T.LongType = Field(description="sum of arrival delays, minutes; early counts negative")


@table(
    reads=[schedules, flights],
    contract=DailyCarrierPerformance,
    key=["flight_date", "carrier", "origin"],
    day="flight_date",
    write=Replace(),
    policy="fail",
    fresh_within=timedelta(hours=74),
    owner="team:analytics",
    counts={"scheduled": schedules, "flown": flights},
)
def daily_carrier_performance(schedules: DataFrame, flights: DataFrame) -> DataFrame:
    """One row per flight date, carrier and origin. Batch only.

    A row needs a scheduled or flown flight.

    Grain: flight date, carrier, origin. Day: `flight_date`, a local date.

    Reads: schedules and flights of that day. A flight that left the gate without being in the timetable counts as flown
    and not as scheduled. Late data: a late departure or arrival makes its flight date stale; until it is there, the
    flight counts as cancelled or diverted. Rejected: nothing is expected; a broken row fails its day.
    """
    planned = schedules.select(*FLIGHT_KEY, F.lit(True).alias("is_planned"))
    flown = flights.select(
        *FLIGHT_KEY,
        F.lit(True).alias("has_flown"),
        "has_arrived",
        "departure_delay_minutes",
        "arrival_delay_minutes",
    )
    is_planned = F.col("is_planned").isNotNull()
    has_flown = F.col("has_flown").isNotNull()
    return (
        planned.join(flown, FLIGHT_KEY, how="full_outer")
        .groupBy("flight_date", "carrier", "origin")
        .agg(
            F.count_if(is_planned).alias("scheduled"),
            F.count_if(has_flown).alias("flown"),
            F.count_if(is_planned & ~has_flown).alias("cancelled"),
            F.count_if(has_flown & ~F.col("has_arrived")).alias("diverted"),
            F.count_if(F.col("arrival_delay_minutes") < ON_TIME_BELOW_MINUTES).alias("arrivals_on_time"),
            F.coalesce(F.sum("departure_delay_minutes"), F.lit(0)).alias("departure_delay_minutes"),
            F.coalesce(F.sum("arrival_delay_minutes"), F.lit(0)).alias("arrival_delay_minutes"),
        )
    )
