"""A stream notices that its own table was restored or made anew while it runs. Needs no JVM."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from lake.errors import TableRestored
from lake.storage.own_table import OwnTable
from lake.write.store import DeltaStore, Txn
from tests.lakes import without_spark
from tests.tiny import day_of, marks


@pytest.fixture
def store(tmp_path: Path) -> DeltaStore:
    return without_spark(tmp_path)


def add(store: DeltaStore, *names: str) -> None:
    """One commit for each row."""
    for name in names:
        rows = pa.Table.from_pylist([{"name": name, "day": day_of(1), "points": 1}], marks.contract.arrow_schema)
        store.append(marks, rows, Txn("test", (store.version(marks) or 0) + 1), {})


def own(store: DeltaStore) -> OwnTable:
    return OwnTable(marks.full_name, store.table_log(marks))


def test_a_table_that_grows_is_still_the_one_that_its_stream_writes(store: DeltaStore) -> None:
    store.create(marks)
    watched = own(store)
    for name in "abc":
        watched.refuse_changed()
        add(store, name)
        DeltaTable(store.path(marks)).optimize.compact()
    watched.refuse_changed()
    assert watched.seen == (store.table_log(marks).table_id(), store.version(marks))


def test_a_restore_is_told_with_its_version_whatever_was_written_behind_it(store: DeltaStore) -> None:
    add(store, "a", "b")
    DeltaTable(store.path(marks)).restore(1)
    watched = own(store)
    watched.refuse_changed()  # that is over
    add(store, "c")
    watched.refuse_changed()
    DeltaTable(store.path(marks)).restore(1)
    add(store, "d")
    with pytest.raises(TableRestored) as refused:
        watched.refuse_changed()
    assert (refused.value.table, refused.value.version) == (marks.full_name, 5)


@pytest.mark.parametrize("rows", ["", "ab", "abcd"])
def test_a_table_that_was_removed_or_made_anew_is_told(store: DeltaStore, rows: str) -> None:
    add(store, "a", "b", "c")
    watched = own(store)
    watched.refuse_changed()
    shutil.rmtree(store.path(marks))
    add(store, *rows)
    with pytest.raises(TableRestored) as refused:
        watched.refuse_changed()
    assert refused.value.version is None


def test_an_older_copy_of_the_folder_is_told(store: DeltaStore, tmp_path: Path) -> None:
    add(store, "a")
    shutil.copytree(store.path(marks), tmp_path / "copy")
    add(store, "b")
    watched = own(store)
    watched.refuse_changed()
    shutil.rmtree(store.path(marks))
    shutil.copytree(tmp_path / "copy", store.path(marks))
    with pytest.raises(TableRestored):
        watched.refuse_changed()
