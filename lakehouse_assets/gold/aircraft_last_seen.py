"""Say where each aircraft was last seen, and whether it is in the air."""

from datetime import timedelta

import pyspark.sql.functions as F
import pyspark.sql.types as T
from pyspark.sql import DataFrame

from lake.declare.contract import Field
from lake.declare.table import Latest, table
from lakehouse_assets.silver.arrivals import arrivals
from lakehouse_assets.silver.departures import departures
from lakehouse_assets.silver.flight_key import AIRPORT, FLIGHT_KEY, TAIL_NUMBER, FlightKey


class AircraftLastSeen(FlightKey):
    """The last departure or arrival of an aircraft."""

    tail_number: T.StringType = Field(description="registration mark of the aircraft", str_matches=TAIL_NUMBER)
    seen_at: T.TimestampType = Field(description="when it last left or reached a gate, UTC")
    is_in_flight: T.BooleanType = Field(description="whether it left then: no later arrival of it is known")
    airport: T.StringType = Field(description="IATA code of the airport of that gate", str_matches=AIRPORT)
    dest: T.StringType = Field(description="IATA code of the airport that the flight is bound for", str_matches=AIRPORT)


@table(
    reads=[departures, arrivals],
    contract=AircraftLastSeen,
    key=["tail_number"],
    day=None,
    write=Latest(by=["seen_at", "is_in_flight"]),
    fresh_within=timedelta(hours=26),
    owner="team:operations",
)
def aircraft_last_seen(departures: DataFrame, arrivals: DataFrame) -> DataFrame:
    """One row per aircraft: the flight of its newest departure or arrival.

    Grain: tail number. Day: none; a stream keeps the table current, and batch computes it whole.

    Reads: every departure and arrival that names an aircraft. Late data: changes nothing where something newer is known
    of the aircraft. Of an arrival and a departure at one moment the departure counts. Rejected: nothing that the inputs
    accepted. As a stream: one row after the other, without state.
    """
    left = departures.select(
        *(*FLIGHT_KEY, "dest", "tail_number"),
        F.col("departed_at").alias("seen_at"),
        F.lit(True).alias("is_in_flight"),
        F.col("origin").alias("airport"),
        F.col("departed_on").alias("_event_date"),
    )
    reached = arrivals.select(
        *(*FLIGHT_KEY, "dest", "tail_number"),
        F.col("arrived_at").alias("seen_at"),
        F.lit(False).alias("is_in_flight"),
        F.col("dest").alias("airport"),
        F.col("arrived_on").alias("_event_date"),
    )
    return left.unionByName(reached).where(F.col("tail_number").isNotNull())
