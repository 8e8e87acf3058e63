"""Tables of each kind that a team may need, of one topic: what a shop says of orders and visits."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from typing import Annotated, Any

import pyspark.sql.functions as F
import pyspark.sql.types as T
from pyspark.sql import DataFrame, Window

from lake.declare.contract import Contract, Field
from lake.declare.feed import SOME_DAYS, TopicFeed
from lake.declare.table import Append, InsertNew, Replace, table
from lake.write.store import DeltaStore

__all__ = [
    "CUSTOMER",
    "TABLES",
    "daily_sales",
    "land",
    "monthly_sales",
    "order",
    "order_lines",
    "orders",
    "sales_to_date",
    "shop_events",
    "shop_feed",
    "visit",
    "weekly_sales",
]

shop_feed = TopicFeed("shop", "One message when somebody visits a shop or orders.", delivers=SOME_DAYS)
FACTS: dict[str, Any] = {"fresh_within": timedelta(hours=26), "owner": "team:tests"}
STREAMS: dict[str, Any] = {
    "event_time": "ordered_at",
    "lateness": timedelta(hours=3),
    "write": InsertNew(first_by=["_offset"]),
    "layer": "silver",
}
Money = Annotated[T.DecimalType, 12, 2]
SAID = (
    "id STRING, type STRING, at STRING, total DECIMAL(12,2), "
    "customer STRUCT<name: STRING, city: STRING>, vouchers MAP<STRING, DECIMAL(12,2)>, "
    "lines ARRAY<STRUCT<sku: STRING, pieces: INT, price: DECIMAL(12,2)>>"
)
CUSTOMER = [T.StructField("name", T.StringType(), nullable=False), T.StructField("city", T.StringType())]
LINE = T.StructType(
    [
        T.StructField("sku", T.StringType(), nullable=False),
        T.StructField("pieces", T.IntegerType()),
        T.StructField("price", T.DecimalType(12, 2)),
    ]
)


class ShopEvents(Contract):
    """A message as received."""

    value: T.StringType = Field(description="body", nullable=True)
    offset: T.LongType = Field(description="place in the topic")
    timestamp: T.TimestampType = Field(description="when the broker received it, UTC")
    landed_on: T.DateType = Field(description="UTC day of the timestamp")
    event_date: T.DateType = Field(description="UTC day that the message claims")


@table(
    reads=[shop_feed],
    contract=ShopEvents,
    key=["offset"],
    day="landed_on",
    day_of="offset",
    read_by="event_date",
    write=Append(),
    layer="bronze",
    **FACTS,
)
def shop_events(shop: DataFrame) -> DataFrame:
    """One row per message."""
    claimed = F.to_date(F.get_json_object("value", "$.at").try_cast("timestamp"))
    return shop.select(
        *("value", "offset", "timestamp"),
        F.col("_landed_on").alias("landed_on"),
        F.coalesce(claimed, "_landed_on").alias("event_date"),
        F.coalesce("_raw", "value").alias("_raw"),
        F.col("_landed_on").alias("_event_date"),
    )


def said_orders(shop_events: DataFrame) -> DataFrame:
    """The messages about orders, read; what is no JSON is kept, so that it can be rejected."""
    said = shop_events.withColumn("said", F.from_json("value", SAID))
    at = F.try_to_timestamp("said.at")
    is_order = F.coalesce(F.col("said.type") == "order", F.lit(True))
    return said.where(is_order).select(
        F.col("said.id").alias("order_id"),
        at.alias("ordered_at"),
        F.to_date(at).alias("ordered_on"),
        "said",
        F.col("event_date").alias("_event_date"),
        F.col("value").alias("_raw"),
        F.col("offset").alias("_offset"),
    )


LINEAGE = ("_event_date", "_raw", "_offset")


class Orders(Contract):
    """An order."""

    order_id: T.StringType = Field(description="number of the order")
    ordered_at: T.TimestampType = Field(description="when, UTC")
    ordered_on: T.DateType = Field(description="UTC day of ordered_at")
    total: Money = Field(description="what it costs, EUR", ge=0)
    customer: Annotated[T.StructType, CUSTOMER] = Field(description="who orders", nullable=True)
    lines: Annotated[T.ArrayType, LINE, False] = Field(
        description="what is ordered", metadata={"checks": {"has_a_line": lambda lines: F.size(lines) > 0}}
    )
    vouchers: Annotated[T.MapType, T.StringType(), T.DecimalType(12, 2), False] = Field(
        description="value of each voucher by its code, EUR", nullable=True
    )


@table(
    reads=[shop_events.days(after=1)],
    contract=Orders,
    key=["order_id", "ordered_on"],
    day="ordered_on",
    rows="some",
    **STREAMS,
    **FACTS,
)
def orders(shop_events: DataFrame) -> DataFrame:
    """One row per order."""
    said = ("said.total", "said.customer", "said.lines", "said.vouchers")
    return said_orders(shop_events).select("order_id", "ordered_at", "ordered_on", *said, *LINEAGE)


class OrderLines(Contract):
    """A line of an order."""

    order_id: T.StringType = Field(description="number of the order")
    line_number: T.IntegerType = Field(description="place of the line in the order, from 1 on", ge=1)
    ordered_at: T.TimestampType = Field(description="when, UTC")
    ordered_on: T.DateType = Field(description="UTC day of ordered_at")
    sku: T.StringType = Field(description="what is ordered")
    pieces: T.IntegerType = Field(description="how many", ge=1)


@table(
    reads=[shop_events.days(after=1)],
    contract=OrderLines,
    key=["order_id", "line_number", "ordered_on"],
    day="ordered_on",
    rows="any",
    **STREAMS,
    **FACTS,
)
def order_lines(shop_events: DataFrame) -> DataFrame:
    """One row per line of an order."""
    line = F.posexplode("said.lines").alias("place", "line")
    lines = said_orders(shop_events).select("order_id", "ordered_at", "ordered_on", line, *LINEAGE)
    return lines.select(
        "order_id",
        (F.col("place") + 1).alias("line_number"),
        *("ordered_at", "ordered_on", "line.sku", "line.pieces"),
        *LINEAGE,
    )


class DailySales(Contract):
    """A day's sales."""

    ordered_on: T.DateType = Field(description="UTC day")
    orders: T.LongType = Field(description="orders of the day", ge=1)
    total: Annotated[T.DecimalType, 22, 2] = Field(description="what they cost, EUR")


class MonthlySales(Contract):
    """A month's sales."""

    month: T.DateType = Field(description="first day of the month")
    orders: T.LongType = Field(description="orders of the month", ge=1)
    total: Annotated[T.DecimalType, 22, 2] = Field(description="what they cost, EUR")


class WeeklySales(Contract):
    """A week's sales."""

    week: T.DateType = Field(description="Monday of the week")
    orders: T.LongType = Field(description="orders of the week", ge=1)
    total: Annotated[T.DecimalType, 22, 2] = Field(description="what they cost, EUR")


def sold_by(orders: DataFrame, day: str) -> DataFrame:
    return orders.groupBy(day).agg(F.count(F.lit(1)).alias("orders"), F.sum("total").alias("total"))


@table(
    reads=[orders],
    contract=DailySales,
    key=["ordered_on"],
    day="ordered_on",
    write=Replace(),
    counts={"orders": orders},
    layer="gold",
    **FACTS,
)
def daily_sales(orders: DataFrame) -> DataFrame:
    """One row per day with orders."""
    return sold_by(orders, "ordered_on")


@table(
    reads=[orders.month()],
    contract=MonthlySales,
    key=["month"],
    day="month",
    write=Replace(),
    counts={"orders": orders},
    layer="gold",
    **FACTS,
)
def monthly_sales(orders: DataFrame) -> DataFrame:
    """One row per month with orders."""
    return sold_by(orders.withColumn("month", F.trunc("ordered_on", "month")), "month")


@table(
    reads=[orders.week()],
    contract=WeeklySales,
    key=["week"],
    day="week",
    write=Replace(),
    counts={"orders": orders},
    layer="gold",
    **FACTS,
)
def weekly_sales(orders: DataFrame) -> DataFrame:
    """One row per week with orders."""
    return sold_by(orders.withColumn("week", F.trunc("ordered_on", "week")), "week")


class SalesToDate(Contract):
    """Sales up to a day."""

    ordered_on: T.DateType = Field(description="UTC day")
    total: Annotated[T.DecimalType, 32, 2] = Field(description="what all orders up to its end cost, EUR")


@table(
    reads=[daily_sales],
    contract=SalesToDate,
    key=["ordered_on"],
    day=None,
    write=Replace(),
    layer="gold",
    **FACTS,
)
def sales_to_date(daily_sales: DataFrame) -> DataFrame:
    """One row per day with orders, with the sales of all days up to it."""
    until = Window.orderBy("ordered_on").rowsBetween(Window.unboundedPreceding, Window.currentRow)
    return daily_sales.select("ordered_on", F.sum("total").over(until).alias("total"))


TABLES = [shop_events, orders, order_lines, daily_sales, monthly_sales, weekly_sales, sales_to_date]
"""Upstream first."""


def order(order_id: str, at: str, total: str, *lines: tuple[str | None, int], **others: Any) -> dict[str, Any]:
    """What a message about an order says; the total as a text, so that Python makes no double of it."""
    said = [{"sku": sku, "pieces": pieces, "price": "1.10"} for sku, pieces in lines]
    return {"type": "order", "id": order_id, "at": at, "total": total, "lines": said, **others}


def visit(at: str) -> dict[str, Any]:
    return {"type": "visit", "at": at}


def land(store: DeltaStore, landed_on: date, first_offset: int, said: Iterable[Mapping[str, Any] | str]) -> None:
    """Let messages land on a day, with offsets from this one on."""
    folder = store.landing.folder(shop_feed, landed_on)
    folder.mkdir(parents=True, exist_ok=True)
    known = {"key": None, "topic": "shop", "partition": 0, "timestamp": f"{landed_on}T23:00:00.000Z"}
    messages = [
        {**known, "offset": first_offset + place, "value": one if isinstance(one, str) else json.dumps(one)}
        for place, one in enumerate(said)
    ]
    (folder / f"{first_offset}.jsonl").write_text("".join(f"{json.dumps(message)}\n" for message in messages))
