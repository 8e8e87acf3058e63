"""Two tables of current rows over one topic: where each parcel was scanned last, from messages and from scans.

Beside them is one that no stream can compute, so that its open days are computed early.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import pyspark.sql.functions as F
import pyspark.sql.types as T
from pyspark.sql import DataFrame

from lake.declare.contract import Contract, Field
from lake.declare.feed import SOME_DAYS, TopicFeed
from lake.declare.table import InsertNew, Latest, Replace, table
from lake.write.store import DeltaStore
from tests.tiny_topics import BRONZE, FACTS, CallEvents, received

__all__ = [
    "EARLY",
    "SCANS",
    "TABLES",
    "Message",
    "land",
    "parcel_days",
    "parcel_events",
    "parcel_places",
    "parcel_scans",
    "parcels",
]

parcels_feed = TopicFeed("parcels", "One message when a parcel is scanned.", delivers=SOME_DAYS)

Message = dict[str, Any]
"""As an archive holds it."""

SCANS = "scan INT, parcel STRING, at STRING, place STRING"


class ParcelEvents(CallEvents):
    """A message as received."""


@table(reads=[parcels_feed], contract=ParcelEvents, **BRONZE)
def parcel_events(parcels: DataFrame) -> DataFrame:
    """One row per message about a parcel."""
    return received(parcels)


class ParcelScans(Contract):
    """A scan."""

    scan: T.IntegerType = Field(description="number of the scan", ge=0)
    scanned_on: T.DateType = Field(description="UTC day of scanned_at")
    scanned_at: T.TimestampType = Field(description="when, UTC")
    parcel: T.StringType = Field(description="which parcel")
    place: T.StringType = Field(description="where; null once it is handed over", nullable=True)


def read_scans(parcel_events: DataFrame) -> DataFrame:
    said = F.from_json("value", SCANS)
    at = F.try_to_timestamp(said["at"])
    return parcel_events.select(
        said["scan"].alias("scan"),
        F.to_date(at).alias("scanned_on"),
        at.alias("scanned_at"),
        said["parcel"].alias("parcel"),
        said["place"].alias("place"),
        F.col("event_date").alias("_event_date"),
        F.col("value").alias("_raw"),
        F.col("offset").alias("_offset"),
    )


@table(
    reads=[parcel_events.days(after=1)],
    contract=ParcelScans,
    key=["scan", "scanned_on"],
    day="scanned_on",
    event_time="scanned_at",
    lateness=timedelta(hours=3),
    write=InsertNew(first_by=["_offset"]),
    layer="silver",
    **FACTS,
)
def parcel_scans(parcel_events: DataFrame) -> DataFrame:
    """One row per scan."""
    return read_scans(parcel_events)


class Parcels(Contract):
    """The last scan of a parcel, by its message."""

    parcel: T.StringType = Field(description="which parcel")
    scanned_at: T.TimestampType = Field(description="when, UTC")
    scan: T.IntegerType = Field(description="number of the scan", ge=0)
    place: T.StringType = Field(description="where; null once it is handed over", nullable=True)


class ParcelPlaces(Parcels):
    """The last scan of a parcel."""


LATEST: dict[str, Any] = {"key": ["parcel"], "day": None, "write": Latest(by=["scanned_at", "scan"]), **FACTS}


@table(
    reads=[parcel_events],
    contract=Parcels,
    event_time="scanned_at",
    lateness=timedelta(hours=3),
    layer="silver",
    **LATEST,
)
def parcels(parcel_events: DataFrame) -> DataFrame:
    """One row per parcel: its last scan."""
    return read_scans(parcel_events).drop("scanned_on")


@table(reads=[parcel_scans], contract=ParcelPlaces, layer="gold", **LATEST)
def parcel_places(parcel_scans: DataFrame) -> DataFrame:
    """One row per parcel: its last scan."""
    return parcel_scans.withColumnRenamed("scanned_on", "_event_date")


class ParcelDays(Contract):
    """A parcel on a day with a scan."""

    parcel: T.StringType = Field(description="which parcel")
    scanned_on: T.DateType = Field(description="UTC day")
    scans: T.LongType = Field(description="scans of that day")
    scans_next_day: T.LongType = Field(description="scans of the day after")


@table(
    reads=[parcel_scans.days(after=1)],
    contract=ParcelDays,
    key=["parcel", "scanned_on"],
    day="scanned_on",
    write=Replace(),
    layer="gold",
    early_every=timedelta(seconds=30),
    **FACTS,
)
def parcel_days(parcel_scans: DataFrame) -> DataFrame:
    """One row per parcel and day with a scan. Batch only, because a row is about two days."""
    counted = parcel_scans.groupBy("parcel", "scanned_on").agg(F.count(F.lit(1)).alias("scans"))
    after = counted.select("parcel", F.date_sub("scanned_on", 1).alias("scanned_on"), F.col("scans").alias("next"))
    both = counted.join(after, ["parcel", "scanned_on"], how="left")
    return both.select("parcel", "scanned_on", "scans", F.coalesce("next", F.lit(0)).alias("scans_next_day"))


TABLES = {one.full_name: one for one in (parcel_events, parcel_scans, parcels, parcel_places)}
"""Upstream first."""

EARLY = {parcel_days.full_name: parcel_days}


def land(store: DeltaStore, messages: Iterable[Message], name: str) -> None:
    """Let messages land on the days on which they were sent; a file appears in one step."""
    by_day: dict[str, list[Message]] = {}
    for message in messages:
        by_day.setdefault(message["timestamp"][:10], []).append(message)
    for day, sent in by_day.items():
        folder = store.landing.root / "parcels" / f"landed_on={day}"
        folder.mkdir(parents=True, exist_ok=True)
        aside = folder / f".{name}.jsonl"
        aside.write_text("".join(f"{json.dumps(message)}\n" for message in sent))
        aside.rename(folder / f"{name}.jsonl")
