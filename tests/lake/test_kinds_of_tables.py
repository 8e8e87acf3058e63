"""Kinds of tables that a team may need, each computed on a tiny lake and held against what Python makes of the same."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from pyspark.sql import SparkSession

from lake.batch.plan import Survey, steps_to_date
from lake.batch.refresh import refresh
from lake.declare.days import Days
from lake.write.store import DeltaStore
from tests.lakes import interpreted, open_lake, quarantined, stored_rows
from tests.tiny_kinds import (
    TABLES,
    land,
    monthly_sales,
    order,
    order_lines,
    orders,
    sales_to_date,
    visit,
    weekly_sales,
)  # fmt: skip

CALENDAR = Days.between(date(2024, 1, 1), date(2024, 3, 31))
SAID: dict[date, list[Mapping[str, Any] | str]] = {
    date(2024, 1, 31): [
        order("a", "2024-01-31T10:00:00Z", "0.10", ("pen", 1), ("ink", 2)),
        visit("2024-01-31T11:00:00Z"),
        order("b", "2024-01-31T12:00:00Z", "0.20", ("pen", 0)),
        "no json",
    ],
    date(2024, 2, 1): [visit("2024-02-01T08:00:00Z"), order("c", "2024-02-01T09:00:00Z", "99999999.99")],
    date(2024, 2, 4): [order("d", "2024-02-04T09:00:00Z", "99999999.99", ("ink", 5))],
    date(2024, 2, 5): [order("e", "2024-02-05T09:00:00Z", "0.30", ("pen", 1))],
    date(2024, 2, 29): [visit("2024-02-29T23:00:00Z")],
}
"""What is said, by landing day: the month and the week end and begin with an order."""
ORDERED = {
    "2024-01-31": ["0.10", "0.20"],
    "2024-02-01": ["99999999.99"],
    "2024-02-04": ["99999999.99"],
    "2024-02-05": ["0.30"],
}
"""What the orders of a day cost."""
MONDAYS = {day: "2024-02-05" if day == "2024-02-05" else "2024-01-29" for day in ORDERED}


@pytest.fixture(scope="module")
def lake(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DeltaStore]:
    """The lake to date."""
    with interpreted(spark):
        store = open_lake(tmp_path_factory.mktemp("kinds"), spark)
        for number, (day, said) in enumerate(SAID.items()):
            land(store, day, 100 * number, said)
        to_date(store)
        yield store


def to_date(store: DeltaStore) -> list[tuple[str, str]]:
    """Compute what is missing or stale; returns tables and days in order."""
    done = []
    while steps := steps_to_date(Survey(TABLES, store, CALENDAR), TABLES):
        for step in steps:
            for table in step.tables:
                refresh(table, store, step.days, unless_equal=step.unless_equal)
                done.append((table.name, str(step.days or "whole")))
    return done


def sold(by: dict[str, str]) -> list[tuple[date, int, Decimal]]:
    """Orders and what they cost by some name of the day, by Python's decimals."""
    found = defaultdict[date, list[Decimal]](list)
    for day, totals in ORDERED.items():
        found[date.fromisoformat(by[day])] += map(Decimal, totals)
    return [(day, len(totals), sum(totals, Decimal())) for day, totals in sorted(found.items())]


def tuples(rows: list[dict[str, Any]]) -> list[tuple[object, ...]]:
    return [tuple(row.values()) for row in rows]


def test_a_filter_keeps_its_rows_and_rejects_what_cannot_be_read(lake: DeltaStore) -> None:
    assert [row["order_id"] for row in stored_rows(lake, orders)] == ["a", "b", "c", "d", "e"]
    assert [(row["day"], row["raw"]) for row in quarantined(lake, orders)] == [(date(2024, 1, 31), "no json")]


def test_an_explode_has_a_row_for_each_line(lake: DeltaStore) -> None:
    names = ("order_id", "line_number", "sku", "pieces")
    rows = [tuple(row[name] for name in names) for row in stored_rows(lake, order_lines)]

    assert rows == [("a", 1, "pen", 1), ("a", 2, "ink", 2), ("d", 1, "ink", 5), ("e", 1, "pen", 1)]
    assert [row["rules"] for row in quarantined(lake, order_lines)] == [["pieces:greater_than_or_equal_to"]]


def test_months_and_weeks_have_the_sums_of_all_their_days_to_the_cent(lake: DeltaStore) -> None:
    assert tuples(stored_rows(lake, monthly_sales)) == sold({day: f"{day[:7]}-01" for day in ORDERED})
    assert tuples(stored_rows(lake, weekly_sales)) == sold(MONDAYS)


def test_a_running_total_is_a_table_without_days_over_one_that_has_them(lake: DeltaStore) -> None:
    totals, until = [], Decimal()
    for day, _, total in sold({day: day for day in ORDERED}):
        until += total
        totals.append((day, until))

    assert tuples(stored_rows(lake, sales_to_date)) == totals
