"""A stream whose input was made anew, or restored to an earlier version, begins anew. Needs no JVM."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from lake.errors import InputRestored
from lake.stream.stream_inputs import StreamInputs
from lake.write.store import DeltaStore, Txn
from tests.lakes import without_spark
from tests.tiny import day_of, marks

D1 = day_of(1)


@pytest.fixture
def store(tmp_path: Path) -> DeltaStore:
    return without_spark(tmp_path)


def add(store: DeltaStore, *names: str) -> None:
    """One commit for each row."""
    for name in names:
        rows = pa.Table.from_pylist([{"name": name, "day": D1, "points": 1}], schema=marks.contract.arrow_schema)
        store.append(marks, rows, Txn("test", (store.version(marks) or 0) + 1), {})


def has_read(store: DeltaStore, batch_id: int, version: int, *, is_over: bool = True) -> None:
    """Write what Spark and Delta write into a checkpoint about a micro-batch."""
    checkpoint = Path(store.tables).parent / "checkpoint"
    offset = {"sourceVersion": 1, "reservoirId": store.table_log(marks).table_id(), "reservoirVersion": version}
    lines = ["v1", "{}", json.dumps(offset | {"index": -1 if batch_id else 0, "isStartingVersion": batch_id == 0})]
    folders = ("offsets", "commits") if is_over else ("offsets",)
    for folder in folders:
        (checkpoint / folder).mkdir(parents=True, exist_ok=True)
        (checkpoint / folder / str(batch_id)).write_text("\n".join(lines))


def inputs(store: DeltaStore) -> StreamInputs:
    return StreamInputs("gold.totals", [(marks, store.table_log(marks))], Path(store.tables).parent / "checkpoint")


def test_a_query_goes_on_behind_commits_that_only_add(store: DeltaStore) -> None:
    add(store, "a", "b")
    has_read(store, 0, 1)
    add(store, "c")
    assert inputs(store).why_anew() is None


def test_a_query_that_never_began_has_nothing_to_begin_anew(store: DeltaStore) -> None:
    add(store, "a")
    assert inputs(store).why_anew() is None


def test_an_input_that_was_restored_since_it_was_read_makes_the_query_begin_anew(store: DeltaStore) -> None:
    add(store, "a", "b")
    has_read(store, 0, 2)
    DeltaTable(store.path(marks)).restore(1)
    assert inputs(store).why_anew() == "silver.marks was restored in version 3"


def test_an_older_copy_of_an_input_makes_the_query_begin_anew(store: DeltaStore, tmp_path: Path) -> None:
    add(store, "a")
    shutil.copytree(store.path(marks), tmp_path / "backup")
    add(store, "b")
    has_read(store, 0, 2)
    has_read(store, 1, 3)  # of version 3 nothing: it is not there yet
    assert inputs(store).why_anew() is None
    shutil.rmtree(store.path(marks))
    shutil.copytree(tmp_path / "backup", store.path(marks))
    assert inputs(store).why_anew() == "silver.marks is at version 1, and was read up to 2"


def test_a_restore_that_was_read_over_is_over(store: DeltaStore) -> None:
    add(store, "a", "b")
    DeltaTable(store.path(marks)).restore(1)
    has_read(store, 0, 3)
    assert inputs(store).why_anew() is None


def test_what_was_planned_and_did_not_end_is_not_read(store: DeltaStore) -> None:
    add(store, "a", "b")
    has_read(store, 0, 2)
    DeltaTable(store.path(marks)).restore(1)
    has_read(store, 1, 4, is_over=False)
    assert inputs(store).why_anew() == "silver.marks was restored in version 3"


def test_an_input_that_was_made_anew_makes_the_query_begin_anew_at_the_same_version_too(store: DeltaStore) -> None:
    add(store, "a", "b")
    has_read(store, 0, 2)
    shutil.rmtree(store.path(marks))
    add(store, "a", "c")
    assert inputs(store).why_anew() == "silver.marks was made anew"


def test_a_micro_batch_that_reads_over_a_restore_is_refused_with_the_version(store: DeltaStore) -> None:
    add(store, "a", "b")
    has_read(store, 0, 2)
    has_read(store, 1, 3)
    inputs(store).refuse_restored(1)
    DeltaTable(store.path(marks)).restore(1)
    add(store, "c")
    has_read(store, 2, 5, is_over=False)

    with pytest.raises(InputRestored) as refused:
        inputs(store).refuse_restored(2)
    assert (refused.value.table, refused.value.source, refused.value.version) == ("gold.totals", "silver.marks", 3)
