"""Two tables small enough to see through, for tests of the write path: marks (from a feed) and totals (from marks)."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pyspark.sql.functions as F
import pyspark.sql.types as T
from pyspark.sql import DataFrame

from lake.declare.contract import Contract, Field
from lake.declare.feed import FileFeed
from lake.declare.table import Append, InsertNew, Replace, Table, table
from lake.write.store import DeltaStore

__all__ = ["FEED", "day_of", "land", "mark_files", "marks", "strict", "totals"]

FEED = FileFeed("marks_feed", "lines like {'name': 'a', 'day': '2013-01-01', 'points': 1}")


class MarkFiles(Contract):
    """A line as received."""

    line: T.StringType = Field(description="the line")
    file: T.StringType = Field(description="its file")
    line_number: T.IntegerType = Field(description="its place")
    landed_on: T.DateType = Field(description="when it landed")
    event_date: T.DateType = Field(description="the day that it is about")


class Marks(Contract):
    """A mark."""

    name: T.StringType = Field(description="who", str_length={"min_value": 1, "max_value": 3})
    day: T.DateType = Field(description="when")
    points: T.IntegerType = Field(description="how many points", ge=0)


class Totals(Contract):
    """A day's points."""

    day: T.DateType = Field(description="when")
    points: T.LongType = Field(description="sum of the points of that day and the day before")


FACTS: dict[str, Any] = {"fresh_within": timedelta(hours=1), "owner": "team:tests"}


@table(
    reads=[FEED],
    contract=MarkFiles,
    key=["file", "line_number", "landed_on"],
    day="landed_on",
    read_by="event_date",
    write=Append(),
    layer="bronze",
    **FACTS,
)
def mark_files(marks_feed: DataFrame) -> DataFrame:
    """One row per line."""
    claimed = F.get_json_object("line", "$.day").try_cast("date")
    return marks_feed.withColumn("event_date", F.coalesce(claimed, "landed_on"))


@table(
    reads=[mark_files.days(after=1)],
    contract=Marks,
    key=["name", "day"],
    day="day",
    write=InsertNew(first_by=["_landed_on", "_file", "_line_number"]),
    layer="silver",
    **FACTS,
)
def marks(mark_files: DataFrame) -> DataFrame:
    """One row per name and day."""
    said = F.from_json("line", "name STRING, day STRING, points INT")
    return mark_files.select(
        said["name"].alias("name"),
        F.coalesce(said["day"].try_cast("date"), "event_date").alias("day"),
        said["points"].alias("points"),
        F.col("event_date").alias("_event_date"),
        F.col("line").alias("_raw"),
        *(F.col(name).alias(f"_{name}") for name in ("landed_on", "file", "line_number")),
    )


@table(
    reads=[marks.days(before=1)],
    contract=Totals,
    key=["day"],
    day="day",
    write=Replace(),
    layer="gold",
    **FACTS,
)
def totals(marks: DataFrame) -> DataFrame:
    """One row per day with marks, with the points of that day and the day before."""
    both = marks.select(
        F.explode(F.array("day", F.date_add("day", 1))).alias("day"), F.col("day").alias("of"), "points"
    )
    held = both.groupBy("day").agg(
        F.sum("points").alias("points"), F.max(F.col("of") == F.col("day")).alias("_has_own")
    )
    return held.where("_has_own").drop("_has_own")


strict: Table = replace(marks, policy="fail")
"""`marks`, but a broken row fails its day."""


def day_of(number: int) -> date:
    """The first days of 2013, from 1."""
    return date(2013, 1, number)


def land(store: DeltaStore, landed_on: date, file: str, lines: Iterable[tuple[str, date, Any] | str]) -> None:
    """Let a file land: (name, day, points) each, or a line as it is."""
    folder = store.landing.folder(FEED, landed_on)
    folder.mkdir(parents=True, exist_ok=True)
    texts = [
        line if isinstance(line, str) else json.dumps({"name": line[0], "day": str(line[1]), "points": line[2]})
        for line in lines
    ]
    (folder / file).write_text("".join(f"{text}\n" for text in texts))
