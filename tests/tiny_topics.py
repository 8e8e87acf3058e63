"""A few tables of two topics, which can be followed as streams: calls and texts, and what is made of the calls."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pyspark.sql.functions as F
import pyspark.sql.types as T
from pyspark.sql import DataFrame

from lake.declare.contract import Contract, Field
from lake.declare.feed import EVERY_DAY, TopicFeed
from lake.declare.table import Append, InsertNew, Replace, Upsert, table

__all__ = [
    "FOLLOWED",
    "TABLES",
    "answers",
    "call_events",
    "calls",
    "calls_feed",
    "hourly_calls",
    "people",
    "text_events",
    "texts",
]

calls_feed = TopicFeed("calls", "One message when somebody calls.", delivers=EVERY_DAY)
texts_feed = TopicFeed("texts", "One message when somebody writes.", delivers=EVERY_DAY)

FACTS: dict[str, Any] = {"fresh_within": timedelta(hours=26), "owner": "team:tests"}
BRONZE: dict[str, Any] = {
    "key": ["topic", "partition", "offset"],
    "day": "landed_on",
    "day_of": "offset",
    "read_by": "event_date",
    "write": Append(),
    "layer": "bronze",
    **FACTS,
    "fresh_within": timedelta(hours=2),
}


class CallEvents(Contract):
    """A message as received."""

    value: T.StringType = Field(description="body", nullable=True)
    topic: T.StringType = Field(description="topic")
    partition: T.IntegerType = Field(description="partition")
    offset: T.LongType = Field(description="place in the partition")
    timestamp: T.TimestampType = Field(description="when the broker received it, UTC")
    landed_on: T.DateType = Field(description="UTC day of the timestamp")
    event_date: T.DateType = Field(description="UTC day that the message claims")


class TextEvents(CallEvents):
    """A message as received."""


def received(messages: DataFrame) -> DataFrame:
    claimed = F.to_date(F.get_json_object("value", "$.at").try_cast("timestamp"))
    return messages.select(
        *("value", "topic", "partition", "offset", "timestamp"),
        F.col("_landed_on").alias("landed_on"),
        F.coalesce(claimed, "_landed_on").alias("event_date"),
        F.coalesce("_raw", "value").alias("_raw"),
        F.col("_landed_on").alias("_event_date"),
    )


@table(reads=[calls_feed], contract=CallEvents, **BRONZE)
def call_events(calls: DataFrame) -> DataFrame:
    """One row per message about a call."""
    return received(calls)


@table(reads=[texts_feed], contract=TextEvents, **BRONZE)
def text_events(texts: DataFrame) -> DataFrame:
    """One row per message about a text."""
    return received(texts)


class Calls(Contract):
    """A call."""

    number: T.IntegerType = Field(description="number of the call", ge=0)
    caller: T.StringType = Field(description="who calls")
    called_at: T.TimestampType = Field(description="when, UTC")
    called_on: T.DateType = Field(description="UTC day of called_at")


@table(
    reads=[call_events.days(after=1)],
    contract=Calls,
    key=["number", "called_on"],
    day="called_on",
    event_time="called_at",
    lateness=timedelta(hours=3),
    write=InsertNew(first_by=["_timestamp", "_topic", "_partition", "_offset"]),
    layer="silver",
    **FACTS,
)
def calls(call_events: DataFrame) -> DataFrame:
    """One row per call."""
    said = F.from_json("value", "number INT, caller STRING, at STRING")
    called_at = F.try_to_timestamp(said["at"])
    return call_events.select(
        said["number"].alias("number"),
        said["caller"].alias("caller"),
        called_at.alias("called_at"),
        F.to_date(called_at).alias("called_on"),
        F.col("event_date").alias("_event_date"),
        F.col("value").alias("_raw"),
        *(F.col(name).alias(f"_{name}") for name in ("timestamp", "topic", "partition", "offset")),
    )


class Texts(Contract):
    """A text."""

    number: T.IntegerType = Field(description="number of the text")
    written_at: T.TimestampType = Field(description="when, UTC")
    written_on: T.DateType = Field(description="UTC day of written_at")


@table(
    reads=[text_events.days(after=1)],
    contract=Texts,
    key=["number", "written_on"],
    day="written_on",
    event_time="written_at",
    lateness=timedelta(hours=3),
    write=InsertNew(first_by=["_offset"]),
    layer="silver",
    **FACTS,
)
def texts(text_events: DataFrame) -> DataFrame:
    """One row per text."""
    said = F.from_json("value", "number INT, at STRING")
    written_at = F.try_to_timestamp(said["at"])
    return text_events.select(
        said["number"].alias("number"),
        written_at.alias("written_at"),
        F.to_date(written_at).alias("written_on"),
        F.col("event_date").alias("_event_date"),
        F.col("value").alias("_raw"),
        F.col("offset").alias("_offset"),
    )


class Answers(Contract):
    """A call, and how often the same person calls in the three days from it on."""

    number: T.IntegerType = Field(description="number of the call")
    called_on: T.DateType = Field(description="UTC day of the call")
    times: T.LongType = Field(description="calls of the same caller on that day and the two next")


@table(
    reads=[calls.days(after=2)],
    contract=Answers,
    key=["number", "called_on"],
    day="called_on",
    write=Replace(),
    layer="silver",
    **FACTS,
)
def answers(calls: DataFrame) -> DataFrame:
    """One row per call."""
    others = calls.select("caller", F.col("called_on").alias("on"))
    near = (F.col("on") >= F.col("called_on")) & (F.col("on") <= F.date_add("called_on", 2))
    joined = calls.join(others, "caller", how="inner").where(near)
    return joined.groupBy("number", "called_on").agg(F.count(F.lit(1)).alias("times"))


class HourlyCalls(Contract):
    """An hour with calls."""

    hour_at: T.TimestampType = Field(description="begin of the hour, UTC")
    called_on: T.DateType = Field(description="UTC day of the hour")
    calls: T.LongType = Field(description="calls of the hour")


@table(
    reads=[calls],
    contract=HourlyCalls,
    key=["hour_at"],
    day="called_on",
    day_of="hour_at",
    write=Upsert(),
    layer="gold",
    **FACTS,
)
def hourly_calls(calls: DataFrame) -> DataFrame:
    """One row per hour."""
    hours = calls.groupBy(F.window("called_at", "1 hour").alias("hour"), "called_on").agg(
        F.count(F.lit(1)).alias("calls")
    )
    return hours.select(F.col("hour.start").alias("hour_at"), "called_on", "calls")


class People(Contract):
    """A caller."""

    caller: T.StringType = Field(description="who calls")


@table(reads=[call_events], contract=People, key=["caller"], day=None, write=Replace(), layer="silver", **FACTS)
def people(call_events: DataFrame) -> DataFrame:
    """One row per person who has called."""
    return call_events.select(F.get_json_object("value", "$.caller").alias("caller")).distinct()


TABLES = {one.full_name: one for one in (call_events, text_events, calls, texts, answers, hourly_calls, people)}
"""Upstream first."""

FOLLOWED = [call_events, text_events, calls, texts, hourly_calls]
"""Every table that streams, upstream first."""
