"""Receipts of micro-batches on their way to their table. Needs no JVM."""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from lake.stream.progress import SCHEMA, MicroBatch, Receipts, micro_batches
from lake.write.enforce import Counts
from lake.write.store import DeltaStore
from tests.lakes import without_spark

NOON = datetime(2013, 1, 1, 12, tzinfo=UTC)
FIRST = MicroBatch("silver.marks", 1, 7, Counts(rows_in=10, rows_out=6, duplicates=4), 3, 0.5, NOON)


@pytest.fixture
def store(tmp_path: Path) -> DeltaStore:
    return without_spark(tmp_path)


def test_the_receipt_of_a_repeat_after_a_crash_does_not_take_the_place_of_the_first(
    store: DeltaStore, tmp_path: Path
) -> None:
    repeat = replace(FIRST, counts=Counts(rows_in=10, rows_out=10), recorded_at=NOON + timedelta(minutes=1))
    for receipt in (FIRST, repeat):
        receipts = Receipts(store, tmp_path / "streams")
        receipts.add(receipt)
        receipts.commit()
    assert micro_batches(store) == [FIRST]


@pytest.mark.parametrize("torn", [b'{"table": "silver.marks", "gener', b"{\xff\x00"], ids=["killed", "power cut"])
def test_a_torn_line_costs_itself_only(store: DeltaStore, tmp_path: Path, torn: bytes) -> None:
    second = replace(FIRST, batch_id=8, recorded_at=NOON + timedelta(minutes=1))
    receipts = Receipts(store, tmp_path / "streams")
    receipts.add(FIRST)
    with (tmp_path / "streams" / "receipts.jsonl").open("ab") as file:
        file.write(torn)
    receipts.add(second)
    receipts.commit()
    assert micro_batches(store) == [FIRST, second]


@pytest.mark.parametrize("commits", [1, 2], ids=["in one commit", "in two"])
def test_a_clock_that_was_ahead_and_is_put_right_changes_neither_order_nor_which_receipt_is_first(
    store: DeltaStore, tmp_path: Path, commits: int
) -> None:
    first = replace(FIRST, recorded_at=NOON + timedelta(days=3650))
    repeat = replace(FIRST, counts=Counts(rows_in=10, duplicates=10), recorded_at=NOON)
    after = replace(FIRST, batch_id=8, recorded_at=NOON + timedelta(minutes=1))
    receipts = Receipts(store, tmp_path / "streams")
    for receipt in (first, repeat, after):
        receipts.add(receipt)
        if commits > 1:
            receipts.commit()
    receipts.commit()
    assert micro_batches(store) == [first, after]


def test_receipts_of_an_older_release_come_first_and_the_table_goes_on(store: DeltaStore, tmp_path: Path) -> None:
    row = {**asdict(FIRST), **asdict(FIRST.counts)}
    older = pa.Table.from_pylist([row], schema=SCHEMA).drop_columns(["sequence"])
    store.append_to_lake("micro_batches", lambda _: older)
    assert micro_batches(store) == [FIRST]
    before = replace(FIRST, batch_id=8, recorded_at=NOON - timedelta(days=1))
    receipts = Receipts(store, tmp_path / "streams")
    receipts.add(before)
    receipts.commit()
    assert micro_batches(store) == [FIRST, before]
