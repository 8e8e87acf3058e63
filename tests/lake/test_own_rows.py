"""The lake's own tables: their rows, as their files say them."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from lake.testing.lakes import open_lake
from lake.write.store import DeltaStore


@pytest.fixture
def store(tmp_path: Path) -> DeltaStore:
    return open_lake(tmp_path, None)  # type: ignore[arg-type]  # the lake's own tables need no session


def test_rows_of_all_releases_are_those_that_delta_reads(store: DeltaStore) -> None:
    older = pa.table({"name": ["a", "b"], "at": pa.array([1, None], pa.timestamp("us", "UTC"))})
    newer = pa.table({"name": ["c"], "at": pa.array([2], pa.timestamp("us", "UTC")), "more": pa.array([7], pa.int64())})
    for rows in (older, newer, older):
        store.append_to_lake("notes", lambda _, rows=rows: rows)  # type: ignore[misc]
    DeltaTable(f"{store.tables}/lake/notes").delete("name = 'b'")  # as another version has it

    found = store.rows_in_lake("notes")

    assert found is not None
    assert sorted(found.column("name").to_pylist()) == ["a", "a", "c"]
    assert dict(zip(found["name"].to_pylist(), found["more"].to_pylist(), strict=True)) == {"a": None, "c": 7}
    assert found.schema == DeltaTable(f"{store.tables}/lake/notes").to_pyarrow_table().schema


def test_a_table_whose_rows_were_all_deleted_keeps_its_columns(store: DeltaStore) -> None:
    store.append_to_lake("notes", lambda _: pa.table({"name": ["a"]}))
    DeltaTable(f"{store.tables}/lake/notes").delete()

    found = store.rows_in_lake("notes")

    assert found is not None
    assert (found.num_rows, found.column_names) == (0, ["name"])
