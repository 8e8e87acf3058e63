"""The keys that a table holds: a row counts as new exactly if the table does not hold its key."""

from __future__ import annotations

import shutil
from datetime import date

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake
from hypothesis import given, settings
from hypothesis import strategies as st

from lake.declare.days import Days
from lake.testing.lakes import open_lake
from lake.write.held_keys import HeldKeys
from lake.write.store import DeltaStore, Txn
from tests.tiny import day_of, marks

D1, D2, D3 = (day_of(number) for number in (1, 2, 3))
OPEN = [Days.between(D1, day_of(9))]
Mark = tuple[str, date]


@pytest.fixture
def lake(tmp_path_factory: pytest.TempPathFactory) -> DeltaStore:
    return open_lake(tmp_path_factory.mktemp("held"), None)  # type: ignore[arg-type]  # no session is needed


def rows(*found: Mark) -> pa.Table:
    columns = {"name": [name for name, _ in found], "day": [day for _, day in found], "points": [1] * len(found)}
    return pa.table(columns, schema=marks.contract.arrow_schema)


def add(store: DeltaStore, *found: Mark) -> None:
    with store.lock(marks.full_name):
        store.append(marks, rows(*found), Txn("marks:1", store.version(marks) or 0), {})


def new(held: HeldKeys, store: DeltaStore, *found: Mark, days: list[Days] = OPEN) -> list[Mark]:
    left = held.new_among(rows(*found), store.table_log(marks), days)
    assert left is not None
    return [(row["name"], row["day"]) for row in left.to_pylist()]


names = st.text(st.sampled_from("ab:1"), max_size=3)
batches = st.lists(st.lists(st.tuples(names, st.sampled_from([D1, D2, D3])), max_size=5, unique=True), max_size=5)


@settings(max_examples=25, deadline=None)
@given(batches=batches)
def test_a_row_is_new_if_no_earlier_micro_batch_had_its_key(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[Mark]]
) -> None:
    store = open_lake(tmp_path_factory.mktemp("held"), None)  # type: ignore[arg-type]
    held, seen = HeldKeys(marks), set[Mark]()
    for batch in batches:
        found = new(held, store, *batch)
        assert found == [row for row in batch if row not in seen]
        seen.update(batch)
        if found:
            add(store, *found)


def test_what_others_wrote_is_held_too(lake: DeltaStore) -> None:
    held = HeldKeys(marks)
    assert new(held, lake, ("a", D1)) == [("a", D1)]

    add(lake, ("a", D1))

    assert new(held, lake, ("a", D1), ("a", D2), ("b", D1)) == [("a", D2), ("b", D1)]


def test_keys_of_files_that_were_removed_are_not_held(lake: DeltaStore) -> None:
    add(lake, ("a", D1), ("b", D2))
    held = HeldKeys(marks)
    assert new(held, lake, ("a", D1), ("b", D2)) == []

    write_deltalake(lake.path(marks), rows(("c", D1)), mode="overwrite", predicate=f"day = '{D1}'")

    assert new(held, lake, ("a", D1), ("b", D2), ("c", D1)) == [("a", D1)]


def test_each_file_is_read_once(lake: DeltaStore, monkeypatch: pytest.MonkeyPatch) -> None:
    add(lake, ("a", D1))
    held = HeldKeys(marks)
    new(held, lake, ("a", D1))

    monkeypatch.setattr(pq, "ParquetFile", lambda _: pytest.fail("a file was read again"))

    assert new(held, lake, ("a", D1), ("b", D1)) == [("b", D1)]


def test_where_files_are_joined_only_the_new_one_is_read(lake: DeltaStore, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(4):
        add(lake, *((f"{number} {place}", D1) for place in range(1000 if number == 0 else 1)))
    held, read, opened = HeldKeys(marks), list[int](), pq.ParquetFile
    new(held, lake, ("0 0", D1))

    def open_file(source: pa.NativeFile) -> pq.ParquetFile:
        read.append(1)
        return opened(source)

    monkeypatch.setattr(pq, "ParquetFile", open_file)
    DeltaTable(lake.path(marks)).optimize.compact(target_size=3_000)

    assert new(held, lake, ("0 0", D1), ("3 0", D1), ("b", D1)) == [("b", D1)]
    assert len(read) == 1
    assert len(held._days[D1].files) == 2, "the large file, and the joined one"


def test_days_that_are_no_longer_open_are_forgotten(lake: DeltaStore) -> None:
    add(lake, ("a", D1), ("a", D2))
    held = HeldKeys(marks)
    new(held, lake, ("a", D1))

    new(held, lake, ("a", D2), days=[Days.of(D2)])

    assert set(held._days) == {D2}


def test_a_table_with_too_many_keys_is_left_to_spark(lake: DeltaStore, monkeypatch: pytest.MonkeyPatch) -> None:
    add(lake, ("a", D1), ("b", D1))
    monkeypatch.setattr("lake.write.held_keys._MOST_HELD", 1)

    assert HeldKeys(marks).new_among(rows(("a", D1)), lake.table_log(marks), OPEN) is None


def test_a_table_that_was_made_anew_is_opened_anew(lake: DeltaStore) -> None:
    add(lake, ("a", D1))
    add(lake, ("b", D1))
    held = HeldKeys(marks)
    new(held, lake, ("a", D1))

    shutil.rmtree(lake.path(marks))
    add(lake, ("c", D1))

    assert new(held, lake, ("a", D1), ("b", D1), ("c", D1)) == [("a", D1), ("b", D1)]
