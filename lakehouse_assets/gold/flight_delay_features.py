"""Collect what was known about a flight two hours before departure.

It is input for models that predict delays; departure is the scheduled one.
"""

from datetime import timedelta

import pyspark.sql.functions as F
import pyspark.sql.types as T
from pyspark.sql import Column, DataFrame, Window

from lake.declare.contract import Field
from lake.declare.table import ROWS, Replace, table
from lakehouse_assets.gold.before_cutoff import latest, merge_events, total_within
from lakehouse_assets.silver.airports import airports
from lakehouse_assets.silver.departures import departures
from lakehouse_assets.silver.flight_key import FLIGHT_KEY, FlightKey
from lakehouse_assets.silver.flights import flights
from lakehouse_assets.silver.parsing import whole_minutes_between
from lakehouse_assets.silver.schedules import schedules
from lakehouse_assets.silver.weather import weather

LATE_FROM_MINUTES = 15
BEFORE_DEPARTURE = timedelta(hours=2)
MEASURED = ["temperature_f", "wind_speed_mph", "visibility_miles", "precipitation_inches"]
RECENT = timedelta(hours=3)
"""How far back before the cutoff departures and weather count."""
FEATURE_VERSION = 1
"""Raised where a column gets another meaning: no model scores features of another version than it learned from."""


class FlightDelayFeatures(FlightKey):
    """A scheduled flight as seen at its cutoff, two hours before scheduled departure."""

    dest: T.StringType = Field(description="IATA code of the airport it is bound for")
    tail_number: T.StringType = Field(description="registration mark of the planned aircraft, if known", nullable=True)
    distance_miles: T.IntegerType = Field(description="distance between the airports, statute miles")
    scheduled_departure_at: T.TimestampType = Field(description="scheduled off-block time, UTC")
    cutoff_at: T.TimestampType = Field(description="two hours before, UTC; nothing that happened later is used")
    month: T.IntegerType = Field(
        description="month of the flight date, 1 to 12", in_range={"min_value": 1, "max_value": 12}
    )
    day_of_week: T.IntegerType = Field(
        description="weekday of the flight date, 1 Monday to 7 Sunday", in_range={"min_value": 1, "max_value": 7}
    )
    is_weekend: T.BooleanType = Field(description="whether the flight date is a Saturday or Sunday")
    scheduled_local_hour: T.IntegerType = Field(
        description="hour of scheduled departure in the origin's time zone, 0 to 23; null if the zone is unknown",
        nullable=True,
        in_range={"min_value": 0, "max_value": 23},
    )
    has_previous_leg: T.BooleanType = Field(
        description="whether the same tail is scheduled for another departure in the 24 hours before"
    )
    minutes_since_previous_leg: T.IntegerType = Field(
        description="minutes from that leg's scheduled departure to this one's; null without one", nullable=True, ge=0
    )
    previous_leg_has_departed: T.BooleanType = Field(
        description="whether that leg had left the gate by the cutoff; null without one", nullable=True
    )
    previous_leg_has_arrived: T.BooleanType = Field(
        description="whether that leg had reached the gate by the cutoff; null without one", nullable=True
    )
    previous_leg_delay_minutes: T.IntegerType = Field(
        description="that leg's departure delay in minutes or, while still at the gate at the cutoff, minutes overdue",
        nullable=True,
    )
    previous_leg_arrival_delay_minutes: T.IntegerType = Field(
        description="that leg's arrival delay in minutes; null unless it had arrived by the cutoff", nullable=True
    )
    origin_departures: T.LongType = Field(description="flights that left the origin in the 3 hours to the cutoff", ge=0)
    origin_departures_late: T.LongType = Field(description="of these, 15 minutes late or more", ge=0)
    origin_departure_delay_minutes: T.LongType = Field(
        description="sum of their delays, minutes; early counts negative"
    )
    weather_observed_at: T.TimestampType = Field(
        description="hour of the origin's latest weather, at most 3 hours before the cutoff, UTC", nullable=True
    )
    temperature_f: T.DoubleType = Field(description="air temperature then, degrees Fahrenheit", nullable=True)
    wind_speed_mph: T.DoubleType = Field(description="mean wind speed then, miles per hour", nullable=True)
    visibility_miles: T.DoubleType = Field(description="visibility then, statute miles", nullable=True)
    precipitation_inches: T.DoubleType = Field(description="precipitation in that hour, inches", nullable=True)
    is_weather_known: T.BooleanType = Field(description="whether there is such an observation")


@table(
    reads=[
        schedules.days(before=2),
        flights.days(before=2),
        departures.days(before=1, after=1),
        weather.days(before=1, after=1),
        airports,
    ],
    contract=FlightDelayFeatures,
    key=FLIGHT_KEY,
    day="flight_date",
    write=Replace(),
    fresh_within=timedelta(hours=74),
    early_every=timedelta(seconds=30),
    owner="team:data-science",
    counts={ROWS: schedules},
)
def flight_delay_features(
    schedules: DataFrame, flights: DataFrame, departures: DataFrame, weather: DataFrame, airports: DataFrame
) -> DataFrame:
    """One row per scheduled flight, as known two hours before. Batch only.

    It holds only what had happened two hours before the scheduled departure.

    Grain: flight date, carrier, flight, origin. Day: `flight_date`, a local date.

    Point in time: an event counts if its own time (off block, on block, observed) is at or before the cutoff; a message
    about it that was delivered late counts all the same. The previous leg is the one before this in the timetable of
    its tail number, of the same or an earlier flight date, at most 24 hours before.

    Reads: schedules and flights of the day and the two before (legs of the last 24 hours), departures and weather of
    the day and its neighbours (the three hours before a cutoff, which may lie on any of them), the newest airports.
    Late data: a late event makes the days that can see it stale. Flights without previous leg, weather or time zone are
    kept and flagged. Rejected: nothing that the inputs accepted.
    """
    asked = schedules.withColumn("cutoff_at", F.col("scheduled_departure_at") - F.lit(BEFORE_DEPARTURE))
    asked = _with_time_zone(_with_previous_leg(asked, flights), airports)
    weekday = F.weekday("flight_date") + 1
    local_time = F.from_utc_timestamp("scheduled_departure_at", F.col("time_zone"))
    return _with_recent_past(asked, departures, weather).select(
        *FLIGHT_KEY,
        "dest",
        "tail_number",
        "distance_miles",
        "scheduled_departure_at",
        "cutoff_at",
        F.month("flight_date").alias("month"),
        weekday.alias("day_of_week"),
        (weekday >= 6).alias("is_weekend"),
        F.hour(local_time).alias("scheduled_local_hour"),
        *_previous_leg_columns(),
        "origin_departures",
        "origin_departures_late",
        "origin_departure_delay_minutes",
        F.col("observation.observed_at").alias("weather_observed_at"),
        *(f"observation.{measured}" for measured in MEASURED),
        F.col("observation").isNotNull().alias("is_weather_known"),
    )


def _with_time_zone(asked: DataFrame, airports: DataFrame) -> DataFrame:
    zones = airports.select(F.col("airport").alias("origin"), "time_zone")
    return asked.join(zones, "origin", how="left_outer")


def _with_previous_leg(asked: DataFrame, flights: DataFrame) -> DataFrame:
    """Add `leg`: key and scheduled departure of the tail's previous leg.

    With it comes what became of that leg, known or not yet.
    """
    timetable = Window.partitionBy("tail_number").orderBy("flight_date", "scheduled_departure_at", *FLIGHT_KEY[1:])
    before = F.lag(F.struct(*FLIGHT_KEY, "scheduled_departure_at")).over(timetable)
    scheduled_at = F.col("scheduled_departure_at")
    is_leg = F.col("before.scheduled_departure_at").between(scheduled_at - F.expr("INTERVAL 24 HOURS"), scheduled_at)
    legs = asked.withColumn("before", before).withColumn(
        "leg", F.when(F.col("tail_number").isNotNull() & is_leg, F.col("before"))
    )
    outcomes = flights.select(
        F.struct(*FLIGHT_KEY).alias("flown"),
        F.struct("departed_at", "departure_delay_minutes", "arrived_at", "arrival_delay_minutes").alias("outcome"),
    )
    is_same_leg = [F.col(f"leg.{column}") == F.col(f"flown.{column}") for column in FLIGHT_KEY]
    return legs.join(outcomes, is_same_leg, how="left_outer").drop("before", "flown")


def _previous_leg_columns() -> list[Column]:
    """Return what was known at the cutoff about `leg`.

    Null where there is none.
    """
    has_leg = F.col("leg").isNotNull()
    has_departed = F.coalesce(F.col("outcome.departed_at") <= F.col("cutoff_at"), F.lit(False))
    has_arrived = F.coalesce(F.col("outcome.arrived_at") <= F.col("cutoff_at"), F.lit(False))
    overdue = F.greatest(whole_minutes_between("leg.scheduled_departure_at", "cutoff_at"), F.lit(0))
    delay = F.when(has_departed, F.col("outcome.departure_delay_minutes")).otherwise(overdue)
    gap = whole_minutes_between("leg.scheduled_departure_at", "scheduled_departure_at")
    return [
        has_leg.alias("has_previous_leg"),
        gap.alias("minutes_since_previous_leg"),
        F.when(has_leg, has_departed).alias("previous_leg_has_departed"),
        F.when(has_leg, has_arrived).alias("previous_leg_has_arrived"),
        F.when(has_leg, delay).alias("previous_leg_delay_minutes"),
        F.when(has_arrived, F.col("outcome.arrival_delay_minutes")).alias("previous_leg_arrival_delay_minutes"),
    ]


def _with_recent_past(asked: DataFrame, departures: DataFrame, weather: DataFrame) -> DataFrame:
    """Add the origin's departures and newest weather before the cutoff.

    They are those of the three hours up to it; the weather is `observation`.
    """
    left = departures.select(F.col("origin").alias("airport"), F.col("departed_at").alias("at"), "delay_minutes")
    observation = F.struct("observed_at", *MEASURED)
    observed = weather.select("airport", F.col("observed_at").alias("at"), observation.alias("observation"))
    moments = asked.withColumns({"airport": F.col("origin"), "at": F.col("cutoff_at")})
    is_late = F.col("delay_minutes") >= LATE_FROM_MINUTES
    is_fresh = F.col("observation.observed_at") >= F.col("cutoff_at") - F.lit(RECENT)
    past = merge_events(moments, left, observed, reach=RECENT).select(
        "moment",
        total_within(F.count("delay_minutes"), RECENT).alias("origin_departures"),
        total_within(F.count_if(is_late), RECENT).alias("origin_departures_late"),
        total_within(F.sum("delay_minutes"), RECENT).alias("origin_departure_delay_minutes"),
        latest(F.col("observation")).alias("observation"),
    )
    seen = past.where(F.col("moment").isNotNull())
    known = seen.select("moment.*", *(column for column in past.columns if column != "moment"))
    return known.withColumn("observation", F.when(is_fresh, F.col("observation")))
