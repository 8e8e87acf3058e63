"""Models that predict late departures.

Each has one row each time that it is put to work.
"""

from datetime import timedelta

import pyspark.sql.functions as F
import pyspark.sql.types as T
from pyspark.sql import DataFrame

from lake.declare.claims import calendar_date
from lake.declare.contract import Field
from lake.declare.json_lines import ReadableJson, json_errors, read_lines
from lake.declare.table import InsertNew, table
from lakehouse_assets.bronze.delay_model_files import delay_model_files

LINE = """
    serves_from STRING, issue INT, model_id STRING, trained_from STRING, trained_until STRING, held_out_until STRING,
    trained_on_flights BIGINT, features_version BIGINT, flights_version BIGINT, log_loss DOUBLE, usual_log_loss DOUBLE,
    body STRING
"""
ID_LENGTH = 16


class DelayModels(ReadableJson):
    """A model, and from when on it scores."""

    serves_from: T.DateType = Field(description="first flight date that it scores, local date")
    issue: T.IntegerType = Field(
        description="number of the delivery; of two models for a day the later one scores", ge=1
    )
    model_id: T.StringType = Field(description="first 16 hexadecimal digits of the SHA-256 of body")
    trained_from: T.DateType = Field(description="first flight date that it learned from")
    trained_until: T.DateType = Field(description="last flight date that it learned from")
    held_out_until: T.DateType = Field(description="last of the later flight dates that it was measured on")
    trained_on_flights: T.LongType = Field(description="flights that it learned from", ge=0)
    features_version: T.LongType = Field(description="version of gold.flight_delay_features that was read", ge=0)
    flights_version: T.LongType = Field(description="version of silver.flights that was read", ge=0)
    log_loss: T.DoubleType = Field(description="mean log loss on the held-out flight dates, nats", ge=0)
    usual_log_loss: T.DoubleType = Field(description="that of the mean of carrier and hour, nats", ge=0)
    body: T.StringType = Field(description="trees, rates and names of features: JSON numbers and text, no code")
    is_intact: T.BooleanType = Field(
        description="whether body has the hash that model_id says", eq=True, metadata={"stored": False}
    )
    days_off_event_date: T.IntegerType = Field(
        description="days between serves_from and the day under which bronze filed the line",
        eq=0,
        nullable=True,
        metadata={"stored": False},
    )


@table(
    reads=[delay_model_files],
    contract=DelayModels,
    key=["serves_from", "issue"],
    day="serves_from",
    write=InsertNew(first_by=["_landed_on", "_landed_at", "_file", "_line_number"]),
    fresh_within=timedelta(days=93),
    owner="team:data-science",
)
def delay_models(delay_model_files: DataFrame) -> DataFrame:
    """One row per model put to work. Batch only.

    It was put to work by training, or again by a rollback.

    Grain: first flight date that it scores, number of the delivery. Day: `serves_from`, a local date.

    Reads: the lines about that day. Late data: does not exist; a model is put to work from a day on, and what it scored
    stale is computed again. Rejected: unreadable lines, and a model whose body does not have the hash that its id says.
    """
    line = read_lines(delay_model_files, LINE)
    serves_from = calendar_date(F.col("said.serves_from"))
    found_id = F.left(F.sha2(F.col("said.body"), 256), F.lit(ID_LENGTH))
    return line.select(
        serves_from.alias("serves_from"),
        "said.issue",
        "said.model_id",
        *(
            calendar_date(F.col(f"said.{name}")).alias(name)
            for name in ("trained_from", "trained_until", "held_out_until")
        ),
        "said.trained_on_flights",
        "said.features_version",
        "said.flights_version",
        "said.log_loss",
        "said.usual_log_loss",
        "said.body",
        F.coalesce(found_id == F.col("said.model_id"), F.lit(False)).alias("is_intact"),
        json_errors().alias("json_errors"),
        F.datediff(serves_from, "_event_date").alias("days_off_event_date"),
        "_event_date",
        "_raw",
        "_file",
        "_line_number",
        "_landed_on",
        "_landed_at",
    )
