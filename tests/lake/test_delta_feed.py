"""A feed that is a Delta table of another team: read by version, and again where its log tells of a change."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from lake.batch.refresh import refresh
from lake.batch.survey import Survey
from lake.declare.days import Days
from lake.declare.delta_feed import DeltaFeed
from lake.declare.received import received
from lake.errors import CannotLand, DeclarationError, FeedNotByDay
from lake.storage.deliver import deliver
from lake.testing.lakes import stored_rows
from lake.write.store import DeltaStore
from tests.lakes import without_spark

D1, D2, D3 = (date(2024, 3, day) for day in (1, 2, 3))
MARCH = Days.between(D1, D3)
SALES = DeltaFeed("sales", "sales, by another team", table="other/sales", day="sold_on")


@received(SALES, fresh_within=timedelta(hours=26), owner="team:shop", layer="bronze")
def sales_rows() -> None:
    """One row per sale."""


def sell(root: Path, sales: dict[str, tuple[date, float]], by: str | None = "sold_on") -> None:
    rows = pa.table(
        {
            "id": list(sales),
            "sold_on": [day for day, _ in sales.values()],
            "price": [price for _, price in sales.values()],
            "of": [{"till": 3}] * len(sales),
        }
    )
    write_deltalake(str(root / "other/sales"), rows, mode="append", partition_by=[by] if by else None)


def kept(store: DeltaStore) -> list[tuple[date, str, float]]:
    rows = [(row["landed_on"], json.loads(row["line"])) for row in stored_rows(store, sales_rows)]
    return sorted((day, said["id"], said["price"]) for day, said in rows)


def theirs(store: DeltaStore) -> list[tuple[date, str, float]]:
    """What pandas reads of their table: the oracle."""
    found: pd.DataFrame = DeltaTable(str(store.landing.root / "other/sales")).to_pandas()
    return sorted((row["sold_on"], row["id"], row["price"]) for row in found.to_dict("records"))


def due(store: DeltaStore) -> set[date | None]:
    state = Survey([sales_rows], store, MARCH).states[sales_rows.full_name]
    return {*state.missing, *state.stale}


@pytest.mark.spark
def test_the_days_that_another_team_changes_are_read_again_and_no_others(store: DeltaStore) -> None:
    root = store.landing.root
    sell(root, {"a": (D1, 1.5), "b": (D1, 2.5), "c": (D2, 3.5)})
    assert due(store) == {D1, D2}
    receipt = refresh(sales_rows, store, MARCH)
    assert (kept(store), receipt.total.rows_out, due(store)) == (theirs(store), 3, set())
    assert store.landing.count_rows(SALES, D1) == 2

    sell(root, {"d": (D2, 4.5), "e": (D3, 5.5)})
    assert due(store) == {D2, D3}
    refresh(sales_rows, store, Days.between(D2, D3))
    assert (kept(store), due(store)) == (theirs(store), set())

    DeltaTable(str(root / "other/sales")).optimize.compact()
    assert due(store) == set()

    DeltaTable(str(root / "other/sales")).delete("sold_on = '2024-03-01'")
    assert due(store) == {D1}
    refresh(sales_rows, store, Days.of(D1))
    assert (kept(store), due(store)) == (theirs(store), set())
    assert {day for day, _, _ in kept(store)} == {D2, D3}


def test_a_table_that_is_not_partitioned_by_the_day_is_told(tmp_path: Path) -> None:
    store = without_spark(tmp_path)
    assert store.landing.days(SALES) == []
    sell(store.landing.root, {"a": (D1, 1.5)}, by="id")

    with pytest.raises(FeedNotByDay, match="is partitioned by id, not by sold_on"):
        store.landing.days(SALES)


def test_nobody_lands_files_in_the_table_of_another_team(tmp_path: Path) -> None:
    (tmp_path / "a").touch()

    with pytest.raises(CannotLand, match="which another team writes"):
        deliver(without_spark(tmp_path).landing, SALES, D1, [tmp_path / "a"])


def test_a_feed_without_a_table_is_refused() -> None:
    with pytest.raises(DeclarationError):
        DeltaFeed("sales", "sales", table="other/sales")
