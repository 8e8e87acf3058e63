"""The feeds of a team, from their files to silver: what is read, rescued and rejected, and a source that grows."""

from __future__ import annotations

import csv
import gzip
import io
import json
from datetime import date, timedelta

import pyspark.sql.functions as F
import pyspark.sql.types as T
import pytest
from pyspark.sql import DataFrame

from lake.batch.refresh import refresh
from lake.batch.rescued import count_rescued
from lake.declare.claims import Claim, calendar_date
from lake.declare.contract import Field
from lake.declare.days import Days
from lake.declare.feed import FileFeed
from lake.declare.formats import Csv
from lake.declare.json_lines import ReadableJson, Rescued, json_errors, read_lines, with_rescued
from lake.declare.received import received
from lake.declare.table import InsertNew, Table, table
from lake.testing.lakes import quarantined, stored_rows
from lake.write.enforce import Counts
from lake.write.store import DeltaStore

pytestmark = pytest.mark.spark

D1, D2 = date(2024, 3, 1), date(2024, 3, 2)
BOTH = Days.between(D1, D2)
FRESH, OWNER = timedelta(hours=2), "team:shop"
ORDERS = FileFeed("order_drop", "orders of a shop", format=Csv(columns=("number", "customer", "day")))


@received(ORDERS, claim=Claim("day", calendar_date), fresh_within=FRESH, owner=OWNER, layer="bronze")
def order_files() -> None:
    """One row per order of a file."""


class Orders(ReadableJson, Rescued):
    """An order."""

    number: T.StringType = Field(description="number of the order")
    customer: T.StringType = Field(description="who ordered", nullable=True)
    ordered_on: T.DateType = Field(description="day of the order")


class Grown(Orders):
    """An order, and whether it is a gift."""

    gift: T.StringType = Field(description="text for a gift", nullable=True)


Grown.__name__ = "Orders"


def declared(contract: type[Orders], fields: str, *more: str) -> Table:
    @table(
        reads=[order_files],
        contract=contract,
        key=["number", "ordered_on"],
        day="ordered_on",
        write=InsertNew(first_by=["_landed_on", "_landed_at", "_file", "_line_number"]),
        fresh_within=FRESH,
        owner=OWNER,
        layer="silver",
    )
    def orders(order_files: DataFrame) -> DataFrame:
        """One row per order."""
        return with_rescued(read_lines(order_files, fields)).select(
            "said.number",
            "said.customer",
            calendar_date(F.col("said.day")).alias("ordered_on"),
            *(F.col(f"said.{name}") for name in more),
            json_errors().alias("json_errors"),
            *("_rescued", "_event_date", "_raw", "_file", "_line_number", "_landed_on", "_landed_at"),
        )

    return orders


FIELDS = "number STRING, customer STRING, day STRING"
orders = declared(Orders, FIELDS)
grown = declared(Grown, f"{FIELDS}, gift STRING", "gift")

FIRST = (
    'number,customer,day\r\n1,"Ann, ""A""\r\nof Ulm",2024-03-01\r\n2,,2024-03-01\r\n3,torn\r\n2,again,2024-03-01\r\n'
)
SECOND = "day,gift,number,customer\n2024-03-01,for you,4,Dan\n2024-03-02,,5,Eve\n2024-03-02,both,6,Fay\n"


def land(store: DeltaStore, day: date, name: str, content: str | bytes, feed: FileFeed = ORDERS) -> None:
    file = store.landing.folder(feed, day) / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content if isinstance(content, bytes) else content.encode())


def by_number(texts: list[str]) -> list[tuple[str, str | None, date]]:
    """What the csv module reads, the first of each number: the oracle."""
    rows = [row for text in texts for row in csv.DictReader(io.StringIO(text, newline="")) if row["day"]]
    first = {row["number"]: row for row in reversed(rows)}
    return sorted((n, row["customer"] or None, date.fromisoformat(row["day"])) for n, row in first.items())


def test_csv_of_two_headers_is_read_by_name_kept_and_read_again_when_the_contract_grows(store: DeltaStore) -> None:
    land(store, D1, "a.csv", FIRST)
    land(store, D1, "b.csv", SECOND.encode("utf-16"))
    land(store, D2, "c.csv", SECOND)

    bronze = refresh(order_files, store, BOTH)
    receipt = refresh(orders, store, BOTH)

    stored = sorted(stored_rows(store, orders), key=lambda row: str(row["number"]))
    assert [(row["number"], row["customer"], row["ordered_on"]) for row in stored] == by_number([FIRST, SECOND])
    assert {row["number"]: row["_rescued"] and json.loads(row["_rescued"]) for row in stored} == {
        "1": None,
        "2": None,
        "4": {"gift": "for you"},
        "5": {"gift": None},
        "6": {"gift": "both"},
    }
    assert count_rescued(orders, store) == {D1: 1, D2: 2}
    assert receipt.total == Counts(rows_in=6, rows_out=5, duplicates=1)
    assert bronze.counts == {D1: Counts(rows_in=5, rows_out=3, rejected=2), D2: Counts(rows_in=3, rows_out=3)}
    rejected = {(row["raw"], (said := row["row"])["file"], said["line_number"], said["_problem"])
                for row in quarantined(store, order_files)}  # fmt: skip
    assert rejected == {
        ("3,torn", "a.csv", 3, "it has not the 3 fields of the header"),
        (None, "b.csv", 0, "it holds zero bytes, which no text does"),
    }

    refresh(grown, store, BOTH)

    stored = stored_rows(store, grown)
    assert {row["number"]: (row["gift"], row["_rescued"]) for row in stored} == {
        "1": (None, None),
        "2": (None, None),
        "4": ("for you", None),
        "5": (None, None),
        "6": ("both", None),
    }
    assert count_rescued(grown, store) == {}


EVENTS = FileFeed("shop_events", "events of a shop", lies_at="shop/{day:%Y/%m/%d}/{hour}/*.json.gz")


@received(EVENTS, claim=Claim("event.day", calendar_date), fresh_within=FRESH, owner=OWNER, layer="bronze")
def event_lines() -> None:
    """One row per event."""


def drop(store: DeltaStore, path: str, *lines: str | bytes) -> None:
    file = store.landing.root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(gzip.compress(b"".join(line if isinstance(line, bytes) else line.encode() for line in lines)))


def held(store: DeltaStore) -> set[tuple[str, str, int, date, date]]:
    names = ("line", "file", "line_number", "landed_on", "event_date")
    return {tuple(row[name] for name in names) for row in stored_rows(store, event_lines)}


def test_hourly_drops_are_read_where_their_pattern_says(store: DeltaStore) -> None:
    first = '{"event":{"day":"2024-02-29","items":[1,2]}}'
    drop(store, "shop/2024/03/01/07/a b+c.json.gz", f"{first}\n{{}}\n")
    drop(store, "shop/2024/03/02/00/a b+c.json.gz", f"{first}\n")
    drop(store, "shop/2024/03/01/a b+c.json.gz", "in no hour\n")
    refresh(event_lines, store, BOTH)
    seven = {
        (first, "shop/2024/03/01/07/a b+c.json.gz", 1, D1, date(2024, 2, 29)),
        ("{}", "shop/2024/03/01/07/a b+c.json.gz", 2, D1, D1),
    }
    other = {(first, "shop/2024/03/02/00/a b+c.json.gz", 1, D2, date(2024, 2, 29))}
    assert held(store) == seven | other

    drop(store, "shop/2024/03/01/08/a b+c.json.gz", f"{first}\n")
    drop(store, "shop/2024/03/01/08/latin.json.gz", "Zoë\n".encode("latin-1"))
    receipt = refresh(event_lines, store, Days.of(D1))

    assert held(store) == seven | other | {(first, "shop/2024/03/01/08/a b+c.json.gz", 1, D1, date(2024, 2, 29))}
    assert receipt.counts == {D1: Counts(rows_in=4, rows_out=3, rejected=1)}
    (rejected,) = quarantined(store, event_lines)
    assert (rejected["row"]["file"], rejected["day"]) == ("shop/2024/03/01/08/latin.json.gz", D1)


def visits_with(**fields: T.DataType) -> Table:
    """Events, of which a struct holds these fields."""
    event = T.StructType([T.StructField(name, kind) for name, kind in fields.items()])
    columns = {"number": T.StringType(), "event": event, "seen_on": T.DateType()}
    stated: dict[str, object] = {name: Field(description=name, nullable=name == "event") for name in columns}
    contract = type("Visits", (ReadableJson, Rescued), {"__annotations__": columns, **stated})
    said = ", ".join(f"{one.name}: {one.dataType.simpleString()}" for one in event)

    @table(
        reads=[event_lines],
        contract=contract,
        key=["number", "seen_on"],
        day="seen_on",
        write=InsertNew(first_by=["_landed_on", "_landed_at", "_file", "_line_number"]),
        fresh_within=FRESH,
        owner=OWNER,
        layer="silver",
    )
    def visits(event_lines: DataFrame) -> DataFrame:
        """One row per visit."""
        return with_rescued(read_lines(event_lines, f"number STRING, event STRUCT<{said}>")).select(
            *("said.number", "said.event"),
            calendar_date(F.col("said.event.day")).alias("seen_on"),
            json_errors().alias("json_errors"),
            *("_rescued", "_event_date", "_raw", "_file", "_line_number", "_landed_on", "_landed_at"),
        )

    return visits


def test_a_field_of_a_struct_that_was_rescued_comes_in_when_the_contract_takes_it(store: DeltaStore) -> None:
    text = T.StringType()
    first = visits_with(day=text)
    grown = visits_with(day=text, vip=T.IntegerType(), at=T.StructType([T.StructField("desk", text)]))
    events: list[dict[str, object]] = [{"day": "2024-03-01", "vip": 7, "at": {"desk": "B"}}, {"day": "2024-03-02"}]
    lines = [json.dumps({"number": str(number), "event": event}) for number, event in enumerate(events)]
    drop(store, "shop/2024/03/01/07/a.json.gz", "\n".join(lines))
    refresh(event_lines, store, BOTH)
    refresh(first, store, BOTH)
    assert count_rescued(first, store) == {D1: 1}

    refresh(grown, store, BOTH)

    rows = {row["number"]: (row["event"], row["_rescued"]) for row in stored_rows(store, grown)}
    assert rows == {"0": (events[0], None), "1": ({**events[1], "vip": None, "at": None}, None)}
    assert count_rescued(grown, store) == {}
