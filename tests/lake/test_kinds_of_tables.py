"""Kinds of tables that a team may need, each computed on a tiny lake and held against what Python makes of the same."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import pyspark.sql.functions as F
import pyspark.sql.types as T
import pytest
from pyspark.sql import SparkSession
from rich.console import Console

from lake.batch.plan import steps_to_date
from lake.batch.refresh import Receipt, refresh
from lake.batch.survey import Survey
from lake.commands.query import connect, run_query
from lake.commands.query_output import show_csv
from lake.commands.terminal import Terminal
from lake.declare.contract import Contract, Field, compile_contract
from lake.declare.days import Days
from lake.declare.table import Read, Table, Upsert, is_followable
from lake.errors import DeclarationError, RowsOutsideDays
from lake.orchestration.assets import _metadata_of_days
from lake.orchestration.upstream import Upstream
from lake.ownership.frontier import Frontier, FrontierTable
from lake.ownership.ledger import Ledger
from lake.stream.generation import StreamPlan
from lake.stream.micro_batch import MicroBatchWriter
from lake.stream.progress import MicroBatch
from lake.testing.lakes import interpreted, open_lake, quarantined, stored_rows
from lake.write.enforce import Counts
from lake.write.store import DeltaStore
from tests.tiny_kinds import (
    TABLES,
    daily_sales,
    land,
    monthly_sales,
    order,
    order_lines,
    orders,
    sales_to_date,
    shop_events,
    shop_feed,
    visit,
    weekly_sales,
)  # fmt: skip

CALENDAR = Days.between(date(2024, 1, 1), date(2024, 3, 31))
ANN = {"customer": {"name": "Ann"}, "vouchers": {"x": "0.50", "a": "1.00"}}
AT = "2024-02-29T10:00:00Z"
BROKEN = [
    order("f", AT, "1.00", ("pen", 1), customer={"city": "Rome"}),
    order("g", AT, "1.00", ("pen", 1), (None, 1)),
    order("h", AT, "1.00", ("pen", 1), vouchers={"x": None}),
    order("i", AT, "1.00"),
    {**order("j", AT, "1.00"), "lines": None},
    order("k", AT, "-0.01", ("pen", 1)),
]
"""Orders with something wrong inside."""
SAID: dict[date, list[Mapping[str, Any] | str]] = {
    date(2024, 1, 31): [
        order("a", "2024-01-31T10:00:00Z", "0.10", ("pen", 1), ("ink", 2), **ANN),
        visit("2024-01-31T11:00:00Z"),
        order("b", "2024-01-31T12:00:00Z", "0.20", ("pen", 0)),
        "no json",
    ],
    date(2024, 2, 1): [visit("2024-02-01T08:00:00Z"), order("c", "2024-02-01T09:00:00Z", "99999999.99", ("cap", 1))],
    date(2024, 2, 4): [order("d", "2024-02-04T09:00:00Z", "99999999.99", ("ink", 5))],
    date(2024, 2, 5): [order("e", "2024-02-05T09:00:00Z", "0.30", ("pen", 1))],
    date(2024, 2, 29): [visit("2024-02-29T23:00:00Z"), *BROKEN],
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
    assert [row["raw"] for row in quarantined(lake, orders) if row["day"] == date(2024, 1, 31)] == ["no json"]


def test_an_explode_has_a_row_for_each_line(lake: DeltaStore) -> None:
    names = ("order_id", "line_number", "sku", "pieces")
    rows = [tuple(row[name] for name in names) for row in stored_rows(lake, order_lines) if row["order_id"] < "f"]

    first = [("a", 1, "pen", 1), ("a", 2, "ink", 2), ("c", 1, "cap", 1)]
    assert rows == [*first, ("d", 1, "ink", 5), ("e", 1, "pen", 1)]
    rejected = {row["row"]["order_id"]: row["rules"] for row in quarantined(lake, order_lines)}
    assert rejected == {"b": ["pieces:greater_than_or_equal_to"], "g": ["sku:not_null"]}


def test_months_and_weeks_have_the_sums_of_all_their_days_to_the_cent(lake: DeltaStore) -> None:
    assert tuples(stored_rows(lake, monthly_sales)) == sold({day: f"{day[:7]}-01" for day in ORDERED})
    assert tuples(stored_rows(lake, weekly_sales)) == sold(MONDAYS)


def compared(lake: DeltaStore, table: Table) -> list[tuple[int, int, bool]]:
    """What the check `row_count` holds against each other: rows upstream, rows here at most, and whether they agree."""
    found = Upstream(table, lake, Ledger(lake).latest(table.full_name)).comparisons()
    return [(one.upstream, one.most, one.agrees) for one in sorted(found, key=lambda one: str(one.day))]


def test_row_count_agrees_with_what_is_dropped_multiplied_or_summed_up(lake: DeltaStore) -> None:
    assert compared(lake, replace(orders, rows="each")) == [
        (4, 3, False), (2, 1, False), (1, 1, True), (1, 1, True), (7, 6, False),
    ]  # fmt: skip
    assert compared(lake, orders) == [(rows, rows, True) for rows in (4, 2, 1, 1, 7)]
    assert compared(lake, order_lines) == []
    assert compared(lake, monthly_sales) == [(2, 2, True), (3, 3, True)]
    assert compared(lake, weekly_sales) == [(4, 4, True), (1, 1, True), (0, 0, True)], "no order of the last is valid"


def test_a_running_total_is_a_table_without_days_over_one_that_has_them(lake: DeltaStore) -> None:
    totals, until = [], Decimal()
    for day, _, total in sold({day: day for day in ORDERED}):
        until += total
        totals.append((day, until))

    assert tuples(stored_rows(lake, sales_to_date)) == totals


@pytest.mark.slow
def test_a_late_order_changes_its_own_week_and_month_and_an_old_day_of_it_asks_for_all(lake: DeltaStore) -> None:
    before = {table: stored_rows(lake, table) for table in (monthly_sales, weekly_sales)}
    for table in before:
        receipt = refresh(table, lake, Days.of(date(2024, 2, 2)), unless_equal=True)
        assert set(receipt.outcomes.values()) == {"unchanged"}
        assert stored_rows(lake, table) == before[table]
    assert [str(day) for day in refresh(monthly_sales, lake, Days.parse("2024-01-31..2024-02-02")).counts] == [
        "2024-01-01",
        "2024-02-01",
    ]
    late = replace(orders, transform=lambda events: orders(events).withColumn("total", F.lit(2).cast("decimal(12,2)")))
    refresh(late, lake, Days.of(date(2024, 2, 4)))

    assert to_date(lake) == [
        ("daily_sales", "2024-02-04"),
        ("sales_to_date", "2024-02-04"),
        ("monthly_sales", "2024-02-01"),
        ("weekly_sales", "2024-01-29"),
    ]
    assert stored_rows(lake, monthly_sales)[1]["total"] == Decimal("100000002.29")
    refresh(orders, lake, Days.of(date(2024, 2, 4)))
    to_date(lake)
    assert {table: stored_rows(lake, table) for table in before} == before


@pytest.mark.parametrize("unless_equal", [False, True])
def test_a_row_of_a_day_that_begins_no_month_is_refused_and_nothing_written(
    lake: DeltaStore, unless_equal: bool
) -> None:
    before = stored_rows(lake, monthly_sales)
    by_day = replace(
        monthly_sales, transform=lambda orders: monthly_sales(orders).withColumn("month", F.date_add("month", 14))
    )

    with pytest.raises(RowsOutsideDays) as refused:
        refresh(by_day, lake, Days.parse("2024-01-01..2024-03-31"), unless_equal=unless_equal)

    assert "2024-01-15" in str(refused.value)
    assert stored_rows(lake, monthly_sales) == before


def test_nested_values_are_kept_and_what_is_wrong_inside_of_them_is_rejected_by_its_path(lake: DeltaStore) -> None:
    first = stored_rows(lake, orders)[0]
    pen, ink = ({"sku": "pen", "pieces": 1}, {"sku": "ink", "pieces": 2})

    assert first["total"] == Decimal("0.10")
    assert first["customer"] == {"name": "Ann", "city": None}
    assert first["lines"] == [{**line, "price": Decimal("1.10")} for line in (pen, ink)]
    assert sorted(first["vouchers"]) == [("a", Decimal("1.00")), ("x", Decimal("0.50"))]
    rejected = {row["row"]["order_id"]: row for row in quarantined(lake, orders) if row["row"]["order_id"]}
    assert {name: row["rules"] for name, row in rejected.items()} == {
        "f": ["customer:name:not_null"],
        "g": ["lines:element.sku:not_null"],
        "h": ["vouchers:value:not_null"],
        "i": ["lines:has_a_line"],
        "j": ["lines:not_null"],
        "k": ["total:greater_than_or_equal_to"],
    }
    assert rejected["g"]["row"]["lines"][1] == {"sku": None, "pieces": 1, "price": 1.1}


def test_duckdb_reads_nested_values_and_sums_decimals_to_the_cent(
    lake: DeltaStore, capsys: pytest.CaptureFixture[str]
) -> None:
    sql = connect(lake, TABLES)
    inside = "SELECT customer.name, lines[2].sku, vouchers['x'] FROM silver.orders WHERE order_id = 'a'"
    total = sum((Decimal(one) for day in ORDERED.values() for one in day), Decimal())

    assert sql.execute(inside).fetchall() == [("Ann", "ink", Decimal("0.50"))]
    assert sql.execute("SELECT sum(total) FROM silver.orders").fetchall() == [(total,)]
    large = "SELECT sum(total) + 90000000000000000000.01 AS total FROM silver.orders"
    assert run_query(sql, Console(), large, show_csv(Terminal()))
    assert capsys.readouterr().out == f"total\n{total + Decimal('90000000000000000000.01')}\n"


@pytest.fixture
def micro_batches(lake: DeltaStore, spark: SparkSession, tmp_path: Path) -> Callable[..., Counts]:
    """Writes messages as one micro-batch of a stream, into a lake without rows."""
    store = open_lake(tmp_path, spark)
    first = date(2024, 1, 1)
    names = (orders.full_name, order_lines.full_name)
    state = Frontier(first, first, claimed=frozenset(names), generations=dict.fromkeys(names, 1))
    FrontierTable(store).change(lambda _: state, "test")
    writers: dict[Table, MicroBatchWriter] = {}
    receipts: list[MicroBatch] = []

    def write(table: Table, batch_id: int, said: list[Any]) -> Counts:
        if table not in writers:
            plan = StreamPlan(table, is_stateful=False, output_mode="append", fingerprint="x")
            writers[table] = MicroBatchWriter(
                plan, store, FrontierTable(store), 1, redelivers=False, stopping=threading.Event(),
                on_receipt=receipts.append,
            )  # fmt: skip
            writers[table].judge.previous = 0  # whatever came before was small
        land(store, date(2024, 1, 31), 100 * batch_id, said)
        messages = store.landing.read(spark, shop_feed, [date(2024, 1, 31)])
        rows = messages.where(F.col("offset").between(100 * batch_id, 100 * batch_id + 99))
        writers[table](table(shop_events(rows)), batch_id)
        return receipts[-1].counts

    write.store = store  # type: ignore[attr-defined]
    return write


def test_a_stream_gives_the_same_nested_rows_with_and_without_spark_writing_them(
    micro_batches: Any, lake: DeltaStore
) -> None:
    store = micro_batches.store
    messages = [one for said in SAID.values() for one in said if isinstance(one, str) or one["type"] == "order"]
    again = order("a", "2024-01-31T10:00:00Z", "0.10", ("pen", 1), **{**ANN, "vouchers": {"a": "1.00", "x": "0.50"}})

    micro_batches(orders, 0, messages[:1])  # by Spark, which replaces the open days
    assert micro_batches(orders, 1, messages[1:]).rejected == 7  # from this process
    twice = [again, {**again, "id": "z"}, {**again, "id": "z"}]  # by Spark, because a key repeats
    assert micro_batches(orders, 2, twice) == Counts(rows_in=3, rows_out=1, rejected=0, duplicates=2)

    operations = [commit.operation for n in range(1, 4) if (commit := store.table_log(orders).commit(n))]
    assert len(operations) == 3
    known = [row for row in stored_rows(store, orders) if row["order_id"] != "z"]
    assert known == stored_rows(lake, orders)
    told = [(row["rules"], row["raw"]) for row in quarantined(store, orders)]
    assert sorted(told, key=str) == sorted(((r["rules"], r["raw"]) for r in quarantined(lake, orders)), key=str)


def test_a_stream_gives_the_lines_that_batch_gives(micro_batches: Any, lake: DeltaStore) -> None:
    messages = [one for said in SAID.values() for one in said if one != "no json"]
    for number, part in enumerate((messages[:2], messages[2:])):
        micro_batches(order_lines, number, part)

    assert stored_rows(micro_batches.store, order_lines) == stored_rows(lake, order_lines)


def test_a_stream_that_upserts_keeps_nested_values_of_rows_beside_those_that_it_replaces(micro_batches: Any) -> None:
    upserted = replace(orders, write=Upsert())
    for number, changed in enumerate(("0.10", "0.20", "0.30")):
        said = [order("a", AT, changed, ("pen", 1), **ANN), *([] if number else [order("b", AT, "1.00", ("ink", 2))])]
        micro_batches(upserted, number, said)

    rows = stored_rows(micro_batches.store, upserted)
    assert [(row["order_id"], row["total"], row["lines"][0]["sku"]) for row in rows] == [
        ("a", Decimal("0.30"), "pen"),
        ("b", Decimal("1.00"), "ink"),
    ]


def test_a_running_total_over_the_days_of_a_table_is_refused_with_what_to_do_instead(lake: DeltaStore) -> None:
    running = replace(daily_sales, transform=lambda orders: sales_to_date(daily_sales(orders)))

    with pytest.raises(DeclarationError) as refused:
        refresh(running, lake, CALENDAR)

    assert "keep the sum of each day in a table of its own" in refused.value.remedy


class Tight(Contract):
    """Sales up to a day, of which some are too many."""

    ordered_on: T.DateType = Field(description="UTC day")
    total: Annotated[T.DecimalType, 32, 2] = Field(description="what all orders up to its end cost, EUR", le=Decimal(1))


def test_a_table_without_days_is_written_whole_or_not_and_keeps_what_breaks_its_contract(lake: DeltaStore) -> None:
    tight = replace(sales_to_date, name="tight", contract=compile_contract(Tight), key=("ordered_on",))

    refused = refresh(replace(tight, policy="fail"), lake, None)
    assert (refused.failed_days, refused.total.rejected) == ([None], 3)
    assert stored_rows(lake, tight) == []

    assert refresh(tight, lake, None).total == Counts(rows_in=4, rows_out=1, rejected=3)
    assert [row["total"] for row in stored_rows(lake, tight)] == [Decimal("0.30")]
    assert [(row["day"], row["rules"]) for row in quarantined(lake, tight)] == [
        (None, ["total:less_than_or_equal_to"])
    ] * 3
    assert refresh(tight, lake, CALENDAR, unless_equal=True).outcomes == {None: "unchanged"}, "days say nothing of it"
    assert not is_followable(replace(tight, write=Upsert(), reads=(Read(orders),)))


def test_a_run_tells_of_a_month_once_on_the_first_of_its_days_that_it_has() -> None:
    months = (date(2024, 1, 1), date(2024, 2, 1))
    counts: dict[date | None, Counts] = dict.fromkeys(months, Counts(rows_in=3, rows_out=1, rejected=2))
    receipt = Receipt(
        monthly_sales.full_name, Days.between(*months), counts, dict.fromkeys(months, "written"), {}, {}, 1, "x", 1.0
    )

    told = dict(_metadata_of_days(monthly_sales, receipt, Days.parse("2024-01-30..2024-02-02")))

    said = {
        str(day): (facts["dagster/partition_row_count"], facts["rejected"], facts["outcome"])
        for day, facts in told.items()
    }
    assert said == {
        "2024-01-30": (1, 2, "written"),
        "2024-01-31": (0, 0, "in 2024-01-01"),
        "2024-02-01": (1, 2, "written"),
        "2024-02-02": (0, 0, "in 2024-02-01"),
    }
