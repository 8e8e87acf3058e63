"""Score each flight by how likely it is to leave late.

The model says so that was at work on its date.
"""

from datetime import timedelta

import pyspark.sql.functions as F
import pyspark.sql.types as T
from pyspark.sql import Column, DataFrame

from lake.declare.contract import Field
from lake.declare.table import ROWS, Replace, table
from lakehouse_assets.gold.flight_delay_features import FEATURE_VERSION, flight_delay_features
from lakehouse_assets.silver.delay_models import delay_models
from lakehouse_assets.silver.flight_key import FLIGHT_KEY, FlightKey

NUMBERS = (
    "distance_miles",
    "day_of_week",
    "scheduled_local_hour",
    "has_previous_leg",
    "minutes_since_previous_leg",
    "previous_leg_has_departed",
    "previous_leg_has_arrived",
    "previous_leg_delay_minutes",
    "previous_leg_arrival_delay_minutes",
    "origin_departures",
    "origin_departures_late",
    "origin_departure_delay_minutes",
    "temperature_f",
    "wind_speed_mph",
    "visibility_miles",
    "precipitation_inches",
)
"""Features that a model takes as they are, true as 1."""
RATES = {"carrier_hour": ("carrier", "scheduled_local_hour"), "dest": ("dest",), "origin": ("origin",)}
"""Groups of flights, by their columns: of each group a model takes the share that left late while it was trained."""
FEATURES = (*NUMBERS, *RATES)
"""What a model sees of a flight, in order."""
MODEL_SERVES_DAYS = 92
"""A model scores flights of so many days; one that nobody trained anew by then scores no longer."""
BODY = """
    feature_version INT, features ARRAY<STRING>, rates STRUCT<{rates}>, prior DOUBLE, depth INT, roots ARRAY<INT>,
    nodes ARRAY<STRUCT<feature: INT, at_most: DOUBLE, missing_left: BOOLEAN, left: INT, right: INT, value: DOUBLE>>
""".format(rates=", ".join(f"{group}: MAP<STRING, DOUBLE>" for group in RATES))
"""A model: nodes of all its trees, where a leaf is its own left and right. A flight's leaves add to the prior."""


class FlightDelayScores(FlightKey):
    """A scheduled flight as scored at its cutoff, two hours before scheduled departure."""

    scheduled_departure_at: T.TimestampType = Field(description="scheduled off-block time, UTC")
    late_probability: T.DoubleType = Field(
        description="chance of leaving 15 minutes late or more, 0 to 1; null where no model could say",
        nullable=True,
        in_range={"min_value": 0, "max_value": 1},
    )
    model_id: T.StringType = Field(description="model that was at work on the flight date; null: none", nullable=True)
    feature_version: T.IntegerType = Field(description="version of the features that were scored", ge=1)


@table(
    reads=[flight_delay_features, delay_models.days(before=MODEL_SERVES_DAYS - 1)],
    contract=FlightDelayScores,
    key=FLIGHT_KEY,
    day="flight_date",
    write=Replace(),
    fresh_within=timedelta(hours=74),
    early_every=timedelta(seconds=30),
    owner="team:data-science",
    counts={ROWS: flight_delay_features},
)
def flight_delay_scores(flight_delay_features: DataFrame, delay_models: DataFrame) -> DataFrame:
    """One row per scheduled flight, scored for leaving late. Batch only.

    The score is the chance that it leaves 15 minutes late or more.

    Grain: flight date, carrier, flight, origin. Day: `flight_date`, a local date.

    Reads: the day's features, and the models put to work up to 91 days before. The one delivered last scores the day;
    so a day keeps its model unless another is put to work from that day, or an earlier one, on. Late data: changed
    features make their day stale, a model the days from its first on. Flights are kept without a score where no model
    was at work, or where it was trained on another version of the features. Rejected: nothing that the inputs accepted.
    """
    at_work = _models_of_days(flight_delay_features, delay_models)
    is_for_these = (F.col("model.feature_version") == FEATURE_VERSION) & (
        F.col("model.features") == F.array(*map(F.lit, FEATURES))
    )
    return flight_delay_features.join(F.broadcast(at_work), "flight_date", how="left_outer").select(
        *FLIGHT_KEY,
        "scheduled_departure_at",
        F.when(is_for_these, 1 / (1 + F.exp(-_raw_score()))).alias("late_probability"),
        "model_id",
        F.lit(FEATURE_VERSION).alias("feature_version"),
    )


def _models_of_days(flights: DataFrame, models: DataFrame) -> DataFrame:
    """Find the model that is at work on each flight date.

    Columns are `flight_date`, `model_id` and `model`.
    """
    serves = models.select("serves_from", "issue", "model_id", "body")
    days_at_work = F.datediff("flight_date", "serves_from")
    model = F.from_json("body", BODY).alias("model")
    return (
        flights.select("flight_date")
        .distinct()
        .join(serves, days_at_work.between(0, MODEL_SERVES_DAYS - 1), how="inner")
        .groupBy("flight_date")
        # Read before the aggregate, from which Spark cannot move it to where each flight would read the text again.
        .agg(F.max_by(F.struct("model_id", model), F.struct("issue", "serves_from")).alias("last"))
        .select("flight_date", "last.model_id", "last.model")
    )


def _seen() -> Column:
    """Give what the model sees of a flight.

    Values are in the order of FEATURES, null where they are not known.
    """
    return F.array(*(F.col(name).cast("double") for name in NUMBERS), *map(_rate, RATES))


def _rate(group: str) -> Column:
    """Look up the share of late flights of a flight's group.

    Null for a group that the model has not met.
    """
    name = F.concat_ws(" ", *(F.col(column).cast("string") for column in RATES[group]))
    return F.try_element_at(f"model.rates.{group}", name)


def _raw_score() -> Column:
    """Add up the leaves that a flight falls into: one of each tree."""
    # A list of one, because what a lambda is given is computed once, and what it names once more at every node.
    once = F.array(F.struct(_seen().alias("seen"), F.col("model.nodes").alias("nodes")))
    return F.get(F.transform(once, _sum_of_leaves), F.lit(0))


def _sum_of_leaves(given: Column) -> Column:
    seen, nodes = given.getField("seen"), given.getField("nodes")
    steps = F.sequence(F.lit(1), F.col("model.depth"))

    def next_node(node: Column) -> Column:
        is_left = F.get(seen, node.getField("feature")) <= node.getField("at_most")
        goes_left = F.coalesce(is_left, node.getField("missing_left"))
        return F.get(nodes, F.when(goes_left, node.getField("left")).otherwise(node.getField("right")))

    def leaf(root: Column) -> Column:
        return F.aggregate(steps, F.get(nodes, root), lambda node, _: next_node(node))

    return F.aggregate("model.roots", F.col("model.prior"), lambda total, root: total + leaf(root).getField("value"))
