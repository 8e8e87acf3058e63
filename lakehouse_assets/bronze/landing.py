"""What the bronze tables share: their two contracts, and how a row that just arrived gets its event day.

Only pure column and frame functions. Silver parses times and dates with the same functions, so that a row which silver
accepts has the very day under which bronze filed it.
"""

from collections.abc import Callable

import pyspark.sql.functions as F
import pyspark.sql.types as T
from pandera.pyspark import Field
from pyspark.sql import Column, DataFrame

from lake.declare.contract import Contract

__all__ = [
    "PLAUSIBLE_DAYS",
    "FileLine",
    "TopicMessage",
    "calendar_date",
    "file_rows",
    "plausible_day",
    "topic_rows",
    "utc_timestamp",
    "with_claim",
]

PLAUSIBLE_DAYS = 30
"""A claimed day further than this from the landing day is not believed."""

# Strict, because the parser alone is not: it reads "10:15:00" as a time of the day on which the query runs.
_UTC_TIMESTAMP = r"^[12]\d{3}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,6})?Z\z"
_CALENDAR_DATE = r"^[12]\d{3}-\d{2}-\d{2}\z"


class TopicMessage(Contract):
    """A message as received."""

    key: T.StringType = Field(description="message key as received", nullable=True)
    value: T.StringType = Field(description="message body as received, JSON if nothing went wrong", nullable=True)
    topic: T.StringType = Field(description="topic that it was read from")
    partition: T.IntegerType = Field(description="partition of the topic", ge=0)
    offset: T.LongType = Field(description="position in the partition", ge=0)
    timestamp: T.TimestampType = Field(description="when the broker received it, UTC")
    landed_on: T.DateType = Field(description="UTC day of the message timestamp")
    event_date: T.DateType = Field(description="UTC day of the event it reports; landed_on where that is implausible")
    days_off_landing: T.IntegerType = Field(
        description="days between the message timestamp and the landing day it was delivered under",
        eq=0,
        metadata={"stored": False},
    )


class FileLine(Contract):
    """A line of a file as received."""

    line: T.StringType = Field(description="line as received, JSON if nothing went wrong")
    file: T.StringType = Field(description="name of the file, without folders")
    line_number: T.IntegerType = Field(description="line in the file, from 1", ge=1)
    landed_on: T.DateType = Field(description="UTC day on which the file landed")
    event_date: T.DateType = Field(description="day that the line is about; landed_on where that is implausible")


def utc_timestamp(text: Column) -> Column:
    """`2013-01-01T10:15:00Z` (up to six decimals) as TIMESTAMP; null for any other text."""
    return F.when(text.rlike(_UTC_TIMESTAMP), F.try_to_timestamp(text))


def calendar_date(text: Column) -> Column:
    """`2013-01-01` as DATE; null for any other text."""
    return F.when(text.rlike(_CALENDAR_DATE), text.try_cast("date"))


def with_claim(rows: DataFrame, json: str, field: str, parse: Callable[[Column], Column]) -> DataFrame:
    """Add `_claim`: what one field of the JSON in a column says, parsed; null if that is nothing or no JSON.

    Each step has a column of its own, so that Spark parses a row once, however often the claim is used.
    """
    said = F.from_json(json, f"`{field}` STRING", {"mode": "PERMISSIVE"})[field]
    return rows.withColumn("_claim", said).withColumn("_claim", parse(F.col("_claim")))


def plausible_day(landed_on: Column, *, before: int, after: int) -> Column:
    """The day of `_claim` if it lies within landing day - before .. landing day + after, else the landing day."""
    claim = F.to_date("_claim")
    is_plausible = claim.between(F.date_sub(landed_on, before), F.date_add(landed_on, after))
    return F.when(is_plausible, claim).otherwise(landed_on)


def topic_rows(messages: DataFrame, claimed_at: str) -> DataFrame:
    """Rows of `TopicMessage` from a topic's frame.

    A line whose envelope could not be read has no topic and offset: it breaks the contract and is filed under the day
    it landed on, with the line itself as `_raw`.

    Args:
        messages: columns of `lake.declare.feed.TOPIC_FRAME`; may be unbounded.
        claimed_at: field of the message body that says when the event happened. Events lie in the past.
    """
    landed_on = F.col("_landed_on")
    return with_claim(messages, "value", claimed_at, utc_timestamp).select(
        "key",
        "value",
        "topic",
        "partition",
        "offset",
        "timestamp",
        landed_on.alias("landed_on"),
        plausible_day(landed_on, before=PLAUSIBLE_DAYS, after=0).alias("event_date"),
        F.datediff(F.to_date("timestamp"), landed_on).alias("days_off_landing"),
        F.coalesce("_raw", "value").alias("_raw"),
        landed_on.alias("_event_date"),
    )


def file_rows(lines: DataFrame, event_date: Column) -> DataFrame:
    """Rows of `FileLine` from a file feed's frame (columns of `lake.declare.feed.FILE_FRAME`)."""
    return lines.select(
        "line",
        "file",
        "line_number",
        "landed_on",
        event_date.alias("event_date"),
        F.col("line").alias("_raw"),
        F.col("landed_on").alias("_event_date"),
    )
