"""Declare the bronze table of a feed, which keeps every row as it arrived.

@received(orders, claim=Claim("placed_at"), fresh_within=timedelta(hours=2), owner="team:shop")
def order_events() -> None:
    \"\"\"One row per message on the topic `orders`, under the UTC day of `placed_at`.\"\"\"
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from functools import update_wrapper
from textwrap import fill
from types import new_class

import pyspark.sql.functions as F
import pyspark.sql.types as T
from pyspark.sql import Column, DataFrame

from lake.declare.claims import Claim
from lake.declare.contract import CompiledContract, Contract, Field
from lake.declare.feed import Feed, TopicFeed
from lake.declare.pii import Pii, refuse_stated
from lake.declare.table import Append, Policy, Table, pascal_case, table
from lake.errors import CannotCompile

__all__ = ["FileLine", "TopicMessage", "file_rows", "received", "topic_rows"]

_WRITTEN_BY_SOURCES = {"key", "value", "headers", "line"}
"""The columns of bronze that hold what a source has sent."""


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
    headers: T.StringType = Field(
        description="headers in their order, JSON list of key and value (base64 where it is no text); null: none",
        nullable=True,
    )
    days_off_landing: T.IntegerType = Field(
        description="days between the message timestamp and the landing day it was delivered under",
        eq=0,
        metadata={"stored": False},
    )


class FileLine(Contract):
    """A line of a file as received."""

    line: T.StringType = Field(description="record as received, JSON if nothing went wrong")
    file: T.StringType = Field(description="name of the file, without folders")
    line_number: T.IntegerType = Field(description="place of the record in the file, from 1", ge=1)
    landed_on: T.DateType = Field(description="UTC day on which the file landed")
    event_date: T.DateType = Field(description="day that the line is about; landed_on where that is implausible")
    landed_at: T.TimestampType = Field(
        description="when the file was written, as it was first read, UTC; null: unknown", nullable=True
    )


def received(
    feed: Feed,
    *,
    fresh_within: timedelta,
    owner: str,
    claim: Claim | None = None,
    policy: Policy = "quarantine",
    tags: Mapping[str, str] | None = None,
    pii: Pii | None = None,
    layer: str | None = None,
) -> Callable[[Callable[[], None]], Table]:
    """Declare the bronze table of a feed.

    The function gives its name and the first line of its description.

    Args:
        feed: a topic, whose table has the columns of `TopicMessage`, or files, those of `FileLine`.
        fresh_within: as for `@table`.
        owner: as for `@table`.
        claim: where a row names the day that it is about; None: a row is about the day on which it landed.
        policy: as for `@table`.
        tags: as for `@table`.
        pii: what the rows tell of persons, somewhere in their bodies, keys or headers.
        layer: as for `@table`.

    Raises:
        DeclarationError: the declaration contradicts itself; the message names the file and the remedy.
    """
    is_topic = isinstance(feed, TopicFeed)

    def declare(named: Callable[[], None]) -> Table:
        declared = table(
            reads=[feed],
            contract=new_class(pascal_case(named.__name__), (TopicMessage if is_topic else FileLine,)),
            key=["topic", "partition", "offset"] if is_topic else ["file", "line_number", "landed_on"],
            day="landed_on",
            day_of="offset" if is_topic else None,  # which the broker gives to one message, and with it one timestamp
            read_by="event_date",
            write=Append(),
            fresh_within=fresh_within,
            owner=owner,
            policy=policy,
            tags=tags,
            layer=layer,
        )(_transform(feed, claim, named))
        return replace(declared, contract=_with_class(declared.contract, pii))

    return declare


def _with_class(contract: CompiledContract, pii: Pii | None) -> CompiledContract:
    """State a class of what a source has written."""
    for problem, remedy in refuse_stated(pii):
        raise CannotCompile(contract.name, "value", "pii", problem=problem, remedy=remedy)
    columns = [replace(one, pii=pii) if one.name in _WRITTEN_BY_SOURCES else one for one in contract.columns]
    return replace(contract, columns=tuple(columns))


def topic_rows(messages: DataFrame, claim: Claim | None = None) -> DataFrame:
    """Give rows of `TopicMessage` from a topic's frame.

    A line whose envelope could not be read has no topic and offset: it breaks the contract and is filed under the day
    it landed on, with the line itself as `_raw`.

    Args:
        messages: columns of `lake.declare.feed.TOPIC_FRAME`; may be unbounded.
        claim: field of the message body that says when the event happened; None: the landing day is its day.
    """
    landed_on = F.col("_landed_on")
    return _claimed(messages, claim, "value", landed_on).select(
        "key",
        "value",
        "topic",
        "partition",
        "offset",
        "timestamp",
        landed_on.alias("landed_on"),
        "event_date",
        "headers",
        F.datediff(F.to_date("timestamp"), landed_on).alias("days_off_landing"),
        F.coalesce("_raw", "value").alias("_raw"),
        landed_on.alias("_event_date"),
    )


def file_rows(lines: DataFrame, claim: Claim | None = None) -> DataFrame:
    """Give rows of `FileLine` from a file feed's frame (columns of `lake.declare.feed.FILE_FRAME`)."""
    return _claimed(lines, claim, "line", F.col("landed_on")).select(
        "line",
        "file",
        "line_number",
        "landed_on",
        "event_date",
        F.col("_landed_at").alias("landed_at"),
        F.coalesce("_raw", "line").alias("_raw"),
        "_problem",
        F.col("landed_on").alias("_event_date"),
    )


def _claimed(rows: DataFrame, claim: Claim | None, json: str, landed_on: Column) -> DataFrame:
    return rows.withColumn("event_date", landed_on) if claim is None else claim.event_date(rows, json, landed_on)


def _transform(feed: Feed, claim: Claim | None, named: Callable[[], None]) -> Callable[[DataFrame], DataFrame]:
    rows_of = topic_rows if isinstance(feed, TopicFeed) else file_rows

    def transform(rows: DataFrame) -> DataFrame:
        return rows_of(rows, claim)

    update_wrapper(transform, named)
    parameter = inspect.Parameter(feed.name, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    transform.__signature__ = inspect.Signature([parameter])  # type: ignore[attr-defined]  # read by inspect alone
    transform.__doc__ = f"{inspect.getdoc(named) or ''}\n\n{_told(feed, claim)}"
    return transform


def _told(feed: Feed, claim: Claim | None) -> str:
    """Say what is true of the bronze table of any feed."""
    about = "its rows are about the day on which they landed." if claim is None else _believed(claim)
    told = _TOPIC if isinstance(feed, TopicFeed) else _FILES
    return "\n\n".join(fill(part.format(about=about), 110) for part in told)


def _believed(claim: Claim) -> str:
    last = f"{claim.after} days after it" if claim.after else "that day itself"
    return (
        f"readers select rows by `event_date`, the day of `{claim.field}`. A day is believed from {claim.before} days "
        f"before the landing day to {last}; else the row is filed under the landing day, where silver meets it and "
        "rejects it."
    )


_TOPIC = (
    "Kept for ever, broken and repeated ones too. Grain: topic, partition, offset. Day: `landed_on`, the UTC day of "
    "the message timestamp; {about}",
    "Reads: the landing day itself. Late data: a late message is an ordinary row of the day it lands on. Rejected: "
    "lines without a readable envelope, messages delivered under another day than that of their timestamp (an archive "
    "copied into the wrong folder), and messages sent after the lake's clock or outside its calendar.",
)
_FILES = (
    "Kept for ever, broken and repeated ones too. Grain: file, line number, landing day. Day: `landed_on`; {about}",
    "Reads: the landing day itself. Late data: a file that lands late has older event days; one that is completed "
    "later replaces its landing day when that is refreshed. Rejected: a file of another format, as a whole, and a "
    "record that its format does not allow.",
)
