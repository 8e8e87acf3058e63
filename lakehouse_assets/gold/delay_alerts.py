"""Find airports where many flights left late within one hour.

An operations desk wants to be told of them.
"""

from datetime import timedelta

import pyspark.sql.functions as F
import pyspark.sql.types as T
from pyspark.sql import DataFrame

from lake.declare.contract import Contract, Field
from lake.declare.table import InsertNew, table
from lakehouse_assets.silver.departures import departures
from lakehouse_assets.silver.flight_key import AIRPORT

RULE = "late_departures"
LATE_FROM_MINUTES = 30
AT_LEAST = 5
"""So many late departures of one airport in one hour raise the alert."""


class DelayAlerts(Contract):
    """An airport-hour that crossed a threshold."""

    rule: T.StringType = Field(description="rule that was met", isin=[RULE])
    airport: T.StringType = Field(description="IATA code of the airport", str_matches=AIRPORT)
    hour_at: T.TimestampType = Field(description="start of the hour in which the flights left, UTC")
    hour_on: T.DateType = Field(description="UTC day of hour_at")
    late_from_minutes: T.IntegerType = Field(description="delay from which a departure counts, minutes", ge=0)
    at_least: T.IntegerType = Field(description="number of such departures that raises the alert", ge=1)


@table(
    reads=[departures],
    contract=DelayAlerts,
    key=["rule", "airport", "hour_at"],
    day="hour_on",
    day_of="hour_at",
    write=InsertNew(first_by=["hour_at"]),
    fresh_within=timedelta(hours=26),
    owner="team:operations",
)
def delay_alerts(departures: DataFrame) -> DataFrame:
    """One row per airport and UTC hour with many late departures.

    At least five flights left in it 30 minutes late or more.

    Grain: rule, airport, hour. Day: `hour_on`, the UTC day of the hour.

    The rule is monotone: more departures can raise an alert and never take it back, and a row says only that it was
    raised, not by how many. So it is the same row whichever five departures were known first.

    Reads: departures of that day. Late data: a late departure makes its day stale and may raise an alert. Rejected:
    nothing that the inputs accepted. As a stream: a windowed count in update mode, of which the first row is kept.
    """
    late = departures.where(F.col("delay_minutes") >= LATE_FROM_MINUTES)
    hours = late.groupBy(F.col("origin").alias("airport"), F.window("departed_at", "1 hour"))
    return (
        hours.agg(F.count(F.lit(1)).alias("late_departures"))
        .where(F.col("late_departures") >= AT_LEAST)
        .select(
            F.lit(RULE).alias("rule"),
            "airport",
            F.col("window.start").alias("hour_at"),
            F.to_date("window.start").alias("hour_on"),
            F.lit(LATE_FROM_MINUTES).alias("late_from_minutes"),
            F.lit(AT_LEAST).alias("at_least"),
        )
    )
