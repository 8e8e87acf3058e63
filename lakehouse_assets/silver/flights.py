"""Flights, one row per departure.

Each comes with its arrival, the weather, the aircraft and the destination.
"""

from datetime import timedelta

import pyspark.sql.functions as F
import pyspark.sql.types as T
from pyspark.sql import DataFrame

from lake.declare.contract import Field
from lake.declare.table import ROWS, InsertNew, table
from lakehouse_assets.silver.aircraft import aircraft
from lakehouse_assets.silver.airports import airports
from lakehouse_assets.silver.arrivals import arrivals
from lakehouse_assets.silver.departures import departures
from lakehouse_assets.silver.flight_key import FLIGHT_KEY, FlightKey
from lakehouse_assets.silver.weather import weather


class Flights(FlightKey):
    """A flight that left the gate, and what became of it."""

    dest: T.StringType = Field(description="IATA code of the airport it is bound for")
    tail_number: T.StringType = Field(description="registration mark of the aircraft, if known", nullable=True)
    scheduled_departure_at: T.TimestampType = Field(description="scheduled off-block time, UTC")
    departed_at: T.TimestampType = Field(description="off-block time, UTC")
    departed_on: T.DateType = Field(description="UTC day of departed_at")
    departure_delay_minutes: T.IntegerType = Field(description="minutes off block after schedule; negative: early")
    scheduled_arrival_at: T.TimestampType = Field(
        description="scheduled on-block time, UTC; null without an arrival", nullable=True
    )
    arrived_at: T.TimestampType = Field(description="on-block time, UTC; null without an arrival", nullable=True)
    arrival_delay_minutes: T.IntegerType = Field(
        description="minutes on block after schedule; negative: early; null without an arrival", nullable=True
    )
    air_time_minutes: T.IntegerType = Field(description="minutes in the air, if known", nullable=True)
    has_arrived: T.BooleanType = Field(description="whether an arrival is known; false for a diverted flight")
    temperature_f: T.DoubleType = Field(
        description="air temperature at the origin in the scheduled UTC hour, degrees Fahrenheit", nullable=True
    )
    wind_speed_mph: T.DoubleType = Field(
        description="mean wind speed at the origin in the scheduled UTC hour, miles per hour", nullable=True
    )
    visibility_miles: T.DoubleType = Field(
        description="visibility at the origin in the scheduled UTC hour, statute miles", nullable=True
    )
    precipitation_inches: T.DoubleType = Field(
        description="precipitation at the origin in the scheduled UTC hour, inches", nullable=True
    )
    is_weather_known: T.BooleanType = Field(description="whether there is an observation for that hour")
    aircraft_model: T.StringType = Field(description="model of the aircraft, if known", nullable=True)
    aircraft_seats: T.IntegerType = Field(description="number of seats, if known", nullable=True)
    aircraft_year_built: T.IntegerType = Field(description="year of manufacture, if known", nullable=True)
    is_aircraft_known: T.BooleanType = Field(description="whether the tail number is in the register of aircraft")
    is_destination_known: T.BooleanType = Field(description="whether the destination is in the list of airports")


@table(
    reads=[departures.days(after=1), arrivals.days(after=2), weather.days(after=1), aircraft, airports],
    contract=Flights,
    key=FLIGHT_KEY,
    day="flight_date",
    write=InsertNew(first_by=["departed_at", "arrived_at"]),
    fresh_within=timedelta(hours=74),
    owner="team:operations",
    counts={ROWS: departures},
)
def flights(
    departures: DataFrame, arrivals: DataFrame, weather: DataFrame, aircraft: DataFrame, airports: DataFrame
) -> DataFrame:
    """One row per flight that left the gate, with its arrival, if any.

    Grain: flight date, carrier, flight, origin. Day: `flight_date`, a local date at the origin; its departures lie on
    that UTC day or the next, its arrivals up to one UTC day later still.

    Reads: departures of that day and the next, arrivals of that day and the two next, weather of the scheduled hour,
    and the newest aircraft and airports. An arrival belongs to a departure if their keys agree and it is 0 to 24 hours
    later. Late data: a late arrival makes its flight date stale; until then, and for ever if the flight was diverted,
    `has_arrived` is false. A flight is kept when weather, aircraft or destination are missing, and flagged. Rejected:
    nothing that the inputs accepted. As a stream: a left outer join of two streams; the other inputs as of now.
    """
    departure, arrival = departures.alias("departure"), arrivals.alias("arrival")
    is_same_flight = [F.col(f"departure.{column}") == F.col(f"arrival.{column}") for column in FLIGHT_KEY]
    is_in_time = F.col("arrival.arrived_at").between(
        F.col("departure.departed_at"), F.col("departure.departed_at") + F.expr("INTERVAL 24 HOURS")
    )
    is_its_aircraft = F.col("departure.tail_number") == F.col("aircraft.tail_number")
    is_destination = F.col("departure.dest") == F.col("airport.airport")
    is_scheduled_hour = (F.col("departure.origin") == F.col("weather.airport")) & (
        F.date_trunc("hour", F.col("departure.scheduled_departure_at")) == F.col("weather.observed_at")
    )
    return (
        departure.join(arrival, [*is_same_flight, is_in_time], how="left_outer")
        .join(weather.alias("weather"), is_scheduled_hour, how="left_outer")
        .join(aircraft.alias("aircraft"), is_its_aircraft, how="left_outer")
        .join(airports.alias("airport"), is_destination, how="left_outer")
        .select(
            *(f"departure.{column}" for column in FLIGHT_KEY),
            "departure.dest",
            "departure.tail_number",
            "departure.scheduled_departure_at",
            "departure.departed_at",
            "departure.departed_on",
            F.col("departure.delay_minutes").alias("departure_delay_minutes"),
            "arrival.scheduled_arrival_at",
            "arrival.arrived_at",
            F.col("arrival.delay_minutes").alias("arrival_delay_minutes"),
            "arrival.air_time_minutes",
            F.col("arrival.arrived_at").isNotNull().alias("has_arrived"),
            "weather.temperature_f",
            "weather.wind_speed_mph",
            "weather.visibility_miles",
            "weather.precipitation_inches",
            F.col("weather.observed_at").isNotNull().alias("is_weather_known"),
            F.col("aircraft.model").alias("aircraft_model"),
            F.col("aircraft.seats").alias("aircraft_seats"),
            F.col("aircraft.year_built").alias("aircraft_year_built"),
            F.col("aircraft.tail_number").isNotNull().alias("is_aircraft_known"),
            F.col("airport.airport").isNotNull().alias("is_destination_known"),
        )
    )
