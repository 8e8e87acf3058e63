"""Two machines that write one table, without a lock that both would see: Delta refuses the second."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from pathlib import Path
from unittest.mock import patch

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from pyspark.sql import SparkSession
from pyspark.sql.pandas.types import to_arrow_schema

from lake.batch.refresh import refresh
from lake.declare.days import Days
from lake.errors import DayIsOpen, WrittenMeanwhile
from lake.ownership.frontier import Frontier, FrontierTable
from lake.storage.log import Log
from lake.testing.lakes import interpreted, open_lake, quarantined, stored_rows
from lake.write.enforce import QUARANTINE
from lake.write.store import DeltaStore, Txn
from tests.tiny import day_of, land, mark_files, marks

D1 = day_of(1)


@pytest.fixture
def machines(tmp_path: Path, spark: SparkSession) -> list[DeltaStore]:
    """One lake as two machines see it: the tables and what has landed are shared, locks are not."""
    here = open_lake(tmp_path, spark)
    lake = [replace(here, tables=f"file://{tmp_path}/tables", locks=tmp_path / name) for name in ("a", "b")]
    land(here, D1, "a", [("a", D1, 1), ("b", D1, 2), ("c", D1, -1)])
    refresh(mark_files, lake[0], Days.of(D1))
    return lake


def at_write(monkeypatch: pytest.MonkeyPatch, action: Callable[[], object], times: int = 1) -> None:
    """Do something right before silver.marks is written, so many times."""
    left, guard = [times], threading.Lock()

    def failpoint(name: str, table: str = "") -> None:
        with guard:
            is_met = name == "before_write" and table == marks.full_name and left[0] > 0
            left[0] -= is_met
        if is_met:
            action()

    monkeypatch.setattr("lake.write.committer.failpoint", failpoint)


def points(store: DeltaStore) -> list[tuple[str, int]]:
    return [(row["name"], row["points"]) for row in stored_rows(store, marks)]


def test_of_two_refreshes_that_write_one_day_at_once_the_second_does_it_again_empty_or_not(
    machines: list[DeltaStore], monkeypatch: pytest.MonkeyPatch, spark: SparkSession
) -> None:
    machines[0].create(marks)
    for _ in ("empty", "filled"):
        at_write(monkeypatch, threading.Barrier(2, timeout=60).wait, times=2)
        with interpreted(spark), ThreadPoolExecutor() as both:
            receipts = list(both.map(lambda one: refresh(marks, one, Days.of(D1)), machines))
        assert points(machines[0]) == [("a", 1), ("b", 2)]
        assert [row["row"]["name"] for row in quarantined(machines[0], marks)] == ["c"]
        assert {receipt.total.rows_out for receipt in receipts} == {2}
        assert len({receipt.version for receipt in receipts}) == 2


def test_a_refresh_that_is_overtaken_by_a_stream_s_claim_leaves_its_rows_alone(
    machines: list[DeltaStore], monkeypatch: pytest.MonkeyPatch, spark: SparkSession
) -> None:
    here, there = machines
    stream = pa.table({"name": ["s"], "day": [D1], "points": [7]}, schema=marks.contract.arrow_schema)

    def claim() -> None:
        frontier = Frontier(D1, D1, claimed=frozenset([marks.full_name]), generations={marks.full_name: 1})
        FrontierTable(there).change(lambda _: frontier, "claim")
        there.append(marks, stream, Txn("follow/silver.marks/write/1", 1), {})

    at_write(monkeypatch, claim)
    with interpreted(spark), pytest.raises(DayIsOpen):
        refresh(marks, here, Days.of(D1))
    assert points(here) == [("s", 7)]


def test_who_is_overtaken_again_and_again_is_told_what_to_do(
    machines: list[DeltaStore], monkeypatch: pytest.MonkeyPatch, spark: SparkSession
) -> None:
    here, there = machines
    is_free = threading.Lock()

    def overtake() -> None:
        if is_free.acquire(blocking=False):
            refresh(marks, there, Days.of(D1))
            is_free.release()

    at_write(monkeypatch, overtake, times=6)
    with interpreted(spark), pytest.raises(WrittenMeanwhile, match="run the same command again"):
        refresh(marks, here, Days.of(D1))
    assert points(here) == [("a", 1), ("b", 2)]


def test_of_two_who_replace_the_quarantine_of_a_table_delta_rs_refuses_the_second(tmp_path: Path) -> None:
    here = replace(open_lake(tmp_path, None), tables=f"file://{tmp_path}/tables")  # type: ignore[arg-type]
    schema = to_arrow_schema(QUARANTINE, timezone="UTC")

    def reject(store: DeltaStore, day: date) -> None:
        row = {"day": day, "rules": ["x"], "raw": None, "row": "{}"}
        store.store_quarantine(marks, pa.Table.from_pylist([row], schema=schema), [Days.of(day)])

    reject(here, day_of(2))
    opened = DeltaTable(here.quarantine_path(marks))
    reject(here, D1)
    with patch.object(Log, "opened", lambda _: opened), pytest.raises(WrittenMeanwhile):
        reject(here, D1)
    assert len(quarantined(here, marks)) == 2
