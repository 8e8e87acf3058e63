"""The bronze table of a feed, declared by one call."""

from __future__ import annotations

from datetime import timedelta

import pytest
from pyspark.sql import SparkSession

from lake.declare.claims import Claim, calendar_date
from lake.declare.feed import FileFeed, TopicFeed
from lake.declare.received import received
from lake.declare.table import Append, Table
from lake.errors import DeclarationError
from lake.testing.frames import broken_rules, frame, rows_of

ORDERS = TopicFeed("orders", "orders of a shop")
PRICES = FileFeed("prices", "prices of a shop")


@received(ORDERS, claim=Claim("order.placed_at"), fresh_within=timedelta(hours=2), owner="team:shop", layer="bronze")
def order_events() -> None:
    """One row per message."""


@received(
    PRICES,
    claim=Claim("day", calendar_date, before=1, after=1),
    fresh_within=timedelta(1),
    owner="team:shop",
    layer="bronze",
)
def price_lines() -> None:
    """One row per line."""


def test_a_table_of_a_topic_has_all_facts() -> None:
    assert isinstance(order_events, Table)
    assert (order_events.full_name, order_events.contract.name) == ("bronze.order_events", "OrderEvents")
    assert order_events.key == ("topic", "partition", "offset")
    assert (order_events.day, order_events.day_of, order_events.read_by) == ("landed_on", "offset", "event_date")
    assert order_events.write == Append()
    assert order_events.description.startswith("One row per message.\n\nKept for ever")
    assert "`order.placed_at`" in order_events.description


def test_a_table_of_files_has_all_facts() -> None:
    assert price_lines.key == ("file", "line_number", "landed_on")
    assert (price_lines.day, price_lines.day_of, price_lines.read_by) == ("landed_on", None, "event_date")


def test_a_malformed_declaration_names_the_file_of_its_author() -> None:
    with pytest.raises(DeclarationError) as error:

        @received(PRICES, fresh_within=timedelta(1), owner="nobody", layer="bronze")
        def priced() -> None:
            """One row per line."""

    assert __file__ in str(error.value)
    assert "has the owner 'nobody'" in str(error.value)


def test_a_nested_claim_gives_the_day_where_it_is_plausible(spark: SparkSession) -> None:
    place = {"topic": "orders", "partition": 0, "timestamp": "2024-03-02T00:00:01Z", "_landed_on": "2024-03-02"}
    said = ['{"order":{"placed_at":"2024-03-01T23:59:00Z"}}', '{"order":{"placed_at":"2024-03-03T00:00:00Z"}}', "{"]
    rows = order_events(frame(spark, ORDERS, [{**place, "offset": n, "value": v} for n, v in enumerate(said)]))

    assert broken_rules(order_events, rows) == []
    assert [row["event_date"] for row in rows_of(rows, "offset", "event_date")] == [
        "2024-03-01",
        "2024-03-02",
        "2024-03-02",
    ]


def test_a_claim_states_how_far_from_the_landing_day_it_is_believed(spark: SparkSession) -> None:
    claims = {"2024-03-01": "2024-03-01", "2024-03-03": "2024-03-03", "2024-02-29": "2024-03-02"}
    lines = [
        {"line": f'{{"day":"{day}"}}', "file": "a", "line_number": n, "landed_on": "2024-03-02"}
        for n, day in enumerate(claims, start=1)
    ]
    rows = price_lines(frame(spark, PRICES, lines))

    assert [row["event_date"] for row in rows_of(rows, "line_number", "event_date")] == list(claims.values())
