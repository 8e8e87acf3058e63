"""Name a flight and the codes of airports, carriers and aircraft.

Every contract about flights shares them.
"""

import pyspark.sql.types as T

from lake.declare.contract import Contract, Field

__all__ = ["AIRPORT", "CARRIER", "FLIGHT_KEY", "TAIL_NUMBER", "FlightKey"]

# A pattern's $ alone would also accept a line break at the end. The codes contain a letter, as the registers demand, so
# a JSON number in place of the text is refused as well.
AIRPORT = r"^[A-Z]{3}\Z"
"""IATA airport code."""

CARRIER = r"^(?=.*[A-Z])[A-Z0-9]{2}\Z"
"""IATA carrier code."""

TAIL_NUMBER = r"^(?=.*[A-Z])[A-Z0-9-]{2,10}\Z"
"""Registration mark of an aircraft."""

FLIGHT_KEY = ["flight_date", "carrier", "flight", "origin"]
"""The columns that name a flight."""


class FlightKey(Contract):
    """The columns that name a flight."""

    flight_date: T.DateType = Field(description="local date at the origin on which the flight is scheduled to depart")
    carrier: T.StringType = Field(description="IATA code of the carrier", str_matches=CARRIER)
    flight: T.IntegerType = Field(description="flight number", in_range={"min_value": 1, "max_value": 9999})
    origin: T.StringType = Field(description="IATA code of the airport it departs from", str_matches=AIRPORT)
