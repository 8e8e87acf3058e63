"""A project of two tables, written into a folder as a team would: orders that come as messages."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path

__all__ = ["FIRST_DAY", "land_orders", "messages_of", "write_shop"]

FIRST_DAY = date(2024, 3, 1)

_FILES = {
    "pyproject.toml": """
[tool.lakehouse]
package = "shop"
first_day = 2024-03-01
now = "2024-03-02T12:00:00Z"
spark_master = "local[1]"

[tool.lakehouse.environments.production]
""",
    "shop/__init__.py": "",
    "shop/feeds/__init__.py": "",
    "shop/bronze/__init__.py": "",
    "shop/silver/__init__.py": "",
    "shop/feeds/order_messages.py": """
from lake.declare.feed import EVERY_DAY, TopicFeed

order_messages = TopicFeed("order_messages", "One message when somebody orders.", delivers=EVERY_DAY)
""",
    "shop/bronze/order_events.py": '''
"""Order messages as received."""

from datetime import timedelta

import pyspark.sql.functions as F
import pyspark.sql.types as T

from lake.declare.contract import Contract, Field
from lake.declare.table import Append, table
from shop.feeds.order_messages import order_messages


class OrderEvents(Contract):
    """A message."""

    value: T.StringType = Field(description="body", nullable=True)
    topic: T.StringType = Field(description="topic")
    partition: T.IntegerType = Field(description="partition")
    offset: T.LongType = Field(description="place")
    timestamp: T.TimestampType = Field(description="when the broker received it, UTC")
    landed_on: T.DateType = Field(description="UTC day of the timestamp")
    event_date: T.DateType = Field(description="UTC day of the timestamp")


@table(
    reads=[order_messages],
    contract=OrderEvents,
    key=["topic", "partition", "offset"],
    day="landed_on",
    day_of="offset",
    read_by="event_date",
    write=Append(),
    fresh_within=timedelta(days=1),
    owner="team:shop",
)
def order_events(order_messages):
    """One row per message."""
    day = F.col("_landed_on")
    kept = ["value", "topic", "partition", "offset", "timestamp"]
    return order_messages.select(
        *kept, day.alias("landed_on"), day.alias("event_date"), F.col("value").alias("_raw"), day.alias("_event_date")
    )
''',
    "shop/silver/orders.py": '''
"""Orders."""

from datetime import timedelta

import pyspark.sql.functions as F
import pyspark.sql.types as T

from lake.declare.contract import Contract, Field
from lake.declare.table import InsertNew, table
from shop.bronze.order_events import order_events


class Orders(Contract):
    """An order."""

    number: T.IntegerType = Field(description="number of the order", ge=1)
    euros: T.IntegerType = Field(description="what it costs, euros", ge=0)
    ordered_on: T.DateType = Field(description="UTC day of its message")


@table(
    reads=[order_events],
    contract=Orders,
    key=["number", "ordered_on"],
    day="ordered_on",
    write=InsertNew(first_by=["_partition", "_offset"]),
    fresh_within=timedelta(days=1),
    owner="team:shop",
)
def orders(order_events):
    """One row per order."""
    said = F.from_json("value", "number INT, euros INT")
    return order_events.select(
        said["number"].alias("number"),
        said["euros"].alias("euros"),
        F.col("event_date").alias("ordered_on"),
        F.col("event_date").alias("_event_date"),
        F.col("value").alias("_raw"),
        F.col("partition").alias("_partition"),
        F.col("offset").alias("_offset"),
    )
''',
    "shop/definitions.py": '''
"""What Dagster loads."""

import dagster as dg

from lake.orchestration.definitions import load_definitions


@dg.definitions
def defs():
    """Two tables, without sensors and schedules."""
    return load_definitions(lambda *_: [], lambda *_: [])
''',
}
_MESSAGES = [{"number": 1, "euros": 20}, {"number": 2, "euros": 30}, {"number": 1, "euros": 20}, {"number": 3}]


def write_shop(folder: Path, day: date = FIRST_DAY) -> None:
    """Write the project, whose clock stands on the day after, and let four messages land.

    They are two orders, one of them twice, and a broken one.
    """
    for name, text in _FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        dated = text.replace("2024-03-01", f"{day}").replace("2024-03-02", f"{day + timedelta(days=1)}")
        (folder / name).write_text(dated.lstrip())
    land_orders(folder, day, messages_of(day))


def messages_of(day: date, first_offset: int = 0) -> bytes:
    """Four messages of a day, as lines."""
    about = {"key": "k", "topic": "order_messages", "partition": 0, "timestamp": f"{day}T10:00:00.000Z"}
    said = [{**about, "offset": offset, "value": json.dumps(one)} for offset, one in enumerate(_MESSAGES, first_offset)]
    return "".join(f"{json.dumps(one)}\n" for one in said).encode()


def land_orders(folder: Path, day: date, content: bytes, name: str = "a.jsonl") -> None:
    """Put a file into the landing folder of the project."""
    landed = folder / ".lakehouse" / "landing" / "order_messages" / f"landed_on={day}"
    landed.mkdir(parents=True, exist_ok=True)
    (landed / name).write_bytes(content)
