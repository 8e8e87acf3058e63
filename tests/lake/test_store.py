"""The store: where tables lie, who may write them, and what a stored table may become."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from dataclasses import replace
from datetime import date
from pathlib import Path
from unittest.mock import patch

import pyarrow as pa
import pyspark.sql.types as T
import pytest
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from deltalake.exceptions import CommitFailedError
from filelock import FileLock

from lake.declare.contract import Contract, Field, compile_contract
from lake.declare.days import Days
from lake.declare.table import Table
from lake.errors import RowsOutsideDays, SchemaDrift, TableLocked, WrittenMeanwhile
from lake.storage.holder import read_holder
from lake.storage.log import Log
from lake.testing.lakes import open_lake, stored_rows
from lake.write import committer
from lake.write.enforce import NOTHING_DROPPED
from lake.write.store import DeltaStore, Txn
from tests.tiny import Marks, day_of, mark_files, marks

D1, D2, D3 = (day_of(number) for number in (1, 2, 3))
DDL = "name STRING, day DATE, points INT"
Mark = tuple[str | None, date, int]


def write(store: DeltaStore, days: Days | None, *rows: Mark, table: Table = marks, ddl: str = DDL) -> None:
    with store.lock(table.full_name):
        store.replace(table, store.spark.createDataFrame(list(rows), ddl), None if days is None else [days], {})


def rows_in(store: DeltaStore, table: Table = marks) -> list[tuple[object, ...]]:
    return [tuple(row.values()) for row in stored_rows(store, table)]


@pytest.mark.spark
def test_the_table_is_made_from_its_contract(store: DeltaStore) -> None:
    write(store, Days.of(D1), ("a", D1, 1))

    stored = DeltaTable(store.path(marks))
    fields = {field.name: field for field in stored.schema().fields}
    assert {name: str(field.type) for name, field in fields.items()} == {
        "name": 'PrimitiveType("string")',
        "day": 'PrimitiveType("date")',
        "points": 'PrimitiveType("integer")',
    }
    assert {name: field.nullable for name, field in fields.items()} == dict.fromkeys(fields, False)
    assert fields["points"].metadata["comment"] == "how many points"
    assert stored.metadata().partition_columns == ["day"]
    assert stored.metadata().description == "One row per name and day."


@pytest.mark.spark
def test_replacing_is_by_day_and_complete(store: DeltaStore) -> None:
    write(store, Days.between(D1, D3), ("a", D1, 1), ("a", D2, 2), ("a", D3, 3))

    write(store, Days.of(D2), ("b", D2, 20))
    write(store, Days.of(D3))

    assert rows_in(store) == [("a", D1, 1), ("b", D2, 20)]


@pytest.mark.spark
def test_several_ranges_are_replaced_in_one_commit(store: DeltaStore) -> None:
    write(store, Days.between(D1, D3), ("a", D1, 1), ("a", D2, 2), ("a", D3, 3))
    before = store.version(marks)
    assert before is not None

    with store.lock(marks.full_name):
        frame = store.spark.createDataFrame([("b", D1, 10)], DDL)
        store.replace(marks, frame, [Days.of(D1), Days.of(D3)], {})

    assert rows_in(store) == [("a", D2, 2), ("b", D1, 10)]
    assert store.version(marks) == before + 1


@pytest.mark.spark
def test_a_table_without_days_is_replaced_whole(store: DeltaStore) -> None:
    whole = replace(marks, day=None, read_by=None, key=("name",))
    write(store, None, ("a", D1, 1), table=whole)

    write(store, None, ("b", D2, 2), table=whole)

    assert rows_in(store, whole) == [("b", D2, 2)]


@pytest.mark.spark
def test_a_row_outside_the_days_is_named_and_nothing_is_written(store: DeltaStore) -> None:
    write(store, Days.of(D1), ("a", D1, 1))
    version = store.version(marks)

    with pytest.raises(RowsOutsideDays) as refused:
        write(store, Days.of(D1), ("a", D1, 2), ("a", D3, 3), ("b", D3, 3))

    assert refused.value.outside == {D3: 2}
    assert "expected only rows of these days, found also 2013-01-03 (2)" in str(refused.value)
    assert (store.version(marks), rows_in(store)) == (version, [("a", D1, 1)])


@pytest.mark.spark
def test_a_null_where_the_contract_has_none_cannot_enter_by_any_door(store: DeltaStore) -> None:
    """Enforcement comes first; this is the lock behind it."""
    with pytest.raises(Exception, match=r"(?i)not.null"):
        write(store, Days.of(D1), (None, D1, 1))
    assert rows_in(store) == []


# Tables change


class Grown(Marks):
    """A mark, with a note."""

    note: T.StringType = Field(description="a note", nullable=True)


class Demanding(Marks):
    """A mark, with a note that every mark has."""

    note: T.StringType = Field(description="a note")


class Retyped(Contract):
    """A mark with large points."""

    name: T.StringType = Field(description="who")
    day: T.DateType = Field(description="when")
    points: T.LongType = Field(description="how many points")


class Shrunk(Contract):
    """A mark without points."""

    name: T.StringType = Field(description="who")
    day: T.DateType = Field(description="when")


def changed(contract: type[Contract]) -> Table:
    return replace(marks, contract=compile_contract(contract))


@pytest.mark.spark
def test_a_nullable_column_can_be_added_to_a_stored_table(store: DeltaStore) -> None:
    write(store, Days.between(D1, D2), ("a", D1, 1), ("a", D2, 2))
    grown = changed(Grown)
    assert store.read(grown).columns == ["name", "day", "points", "note"]

    rows = [("a", D2, 2, "new")]
    with store.lock(grown.full_name):
        frame = store.spark.createDataFrame(rows, f"{DDL}, note STRING")
        store.replace(grown, frame, [Days.of(D2)], {})

    found = store.read(grown).orderBy("day").collect()
    assert [tuple(row) for row in found] == [("a", D1, 1, None), ("a", D2, 2, "new")]


@pytest.mark.spark
@pytest.mark.parametrize(
    ("contract", "ddl", "said"),
    [
        (Demanding, f"{DDL}, note STRING", "note string is missing"),
        (Retyped, "name STRING, day DATE, points BIGINT", "points should be int64 and is int32"),
        (Shrunk, "name STRING, day DATE", "points int32 is not in the contract"),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_any_other_change_of_a_stored_table_is_refused(
    store: DeltaStore, contract: type[Contract], ddl: str, said: str
) -> None:
    write(store, Days.of(D1), ("a", D1, 1))

    with pytest.raises(SchemaDrift) as refused:
        write(store, Days.of(D1), table=changed(contract), ddl=ddl)

    assert said in str(refused.value)
    assert "next:" in str(refused.value)
    assert rows_in(store) == [("a", D1, 1)]


# Reading


@pytest.mark.spark
def test_a_table_that_was_never_written_reads_as_empty(store: DeltaStore) -> None:
    rows = store.read(marks, Days.of(D1))

    assert rows.schema.simpleString() == "struct<name:string,day:date,points:int>"
    assert rows.collect() == []
    assert store.read_quarantine(marks).collect() == []
    assert store.version(marks) is None


@pytest.mark.spark
def test_reading_is_of_one_version_and_of_the_days_asked_for(store: DeltaStore) -> None:
    write(store, Days.between(D1, D2), ("a", D1, 1), ("a", D2, 2))
    old = store.version(marks)
    rows = store.read(marks)
    write(store, Days.between(D1, D2), ("b", D1, 10))

    assert [tuple(row) for row in store.read(marks, Days.of(D2), version=old).collect()] == [("a", D2, 2)]
    assert [tuple(row) for row in store.read(marks).collect()] == [("b", D1, 10)]
    assert sorted(map(tuple, rows.collect())) == [("a", D1, 1), ("a", D2, 2)]  # pinned when it was read, not when run


@pytest.mark.spark
def test_reading_opens_the_files_of_its_days_and_runs_no_job_to_find_them(store: DeltaStore) -> None:
    write(store, Days.between(D1, D2), ("a", D1, 1), ("b", D2, 2))
    files = store.table_log(marks).files_by_day("day", [Days.of(D2)])[D2]

    assert store.read(marks, Days.of(D2)).inputFiles() == [f"file://{store.path(marks)}/{name}" for name in files]
    of_none = store.read(marks, Days.of(D3))
    assert (of_none.collect(), of_none.columns) == ([], ["name", "day", "points"])
    assert "Delta" not in str(store.read(marks)._jdf.queryExecution().optimizedPlan().toString())


@pytest.mark.spark
def test_rows_that_another_program_removed_or_moved_are_read_as_delta_says(store: DeltaStore) -> None:
    """Deletion vectors: the files still hold such rows. Prefixes: files lie in no folder of a day."""
    write(store, Days.of(D1), ("a", D1, 1), ("b", D1, 2))
    table = f"delta.`{store.path(marks)}`"
    store.spark.sql(
        f"ALTER TABLE {table} SET TBLPROPERTIES"
        " ('delta.enableDeletionVectors' = 'true', 'delta.randomizeFilePrefixes' = 'true')"
    )
    store.spark.sql(f"DELETE FROM {table} WHERE name = 'a'")
    store.spark.sql(f"INSERT INTO {table} VALUES ('c', DATE'{D2}', 3)")

    assert sorted(map(tuple, store.read(marks).collect())) == [("b", D1, 2), ("c", D2, 3)]
    assert [tuple(row) for row in store.read(marks, Days.of(D2)).collect()] == [("c", D2, 3)]


def test_reading_the_log_starts_no_session(tmp_path: Path) -> None:
    def no_session() -> object:
        raise AssertionError("a session was asked for")

    store = open_lake(tmp_path, no_session)  # type: ignore[arg-type]
    store.session = no_session  # type: ignore[assignment]

    assert store.version(marks) is None
    store.store_quarantine(marks, NOTHING_DROPPED.rejected, [Days.of(D1)])


@pytest.mark.spark
@pytest.mark.parametrize("name", ["it's", "a b", "ünïcode", "a;b--c"])
def test_a_lake_may_lie_in_a_folder_of_any_ordinary_name(spark: object, tmp_path: Path, name: str) -> None:
    store = open_lake(tmp_path / name, spark)  # type: ignore[arg-type]

    write(store, Days.of(D1), ("a", D1, 1))

    assert rows_in(store) == [("a", D1, 1)]
    assert [tuple(row) for row in store.read(marks).collect()] == [("a", D1, 1)]


# Quarantine


@pytest.mark.spark
def test_an_empty_quarantine_is_not_written_again(store: DeltaStore) -> None:
    store.store_quarantine(marks, NOTHING_DROPPED.rejected, [Days.of(D1)])

    assert store.log(store.quarantine_path(marks)).version() is None


# Transactions of streams


@pytest.mark.spark
def test_a_step_knows_whether_it_or_a_later_one_was_committed(store: DeltaStore) -> None:
    frame = store.spark.createDataFrame([("a", D1, 1)], DDL)
    path = store.path(marks)
    assert not store.is_committed(path, Txn("marks:1", 0))

    with store.lock(marks.full_name):
        store.append(marks, frame, Txn("marks:1", 4), {})

    assert store.is_committed(path, Txn("marks:1", 4))
    assert store.is_committed(path, Txn("marks:1", 3))
    assert not store.is_committed(path, Txn("marks:1", 5))
    assert not store.is_committed(path, Txn("marks:2", 4))


def test_where_no_lease_can_wait_for_a_writer_delta_refuses_the_second_copy(tmp_path: Path) -> None:
    store = open_lake(tmp_path, None)  # type: ignore[arg-type]  # no session is needed
    store.tables = f"file://{tmp_path}/tables"
    rows = pa.table({"name": ["a"], "day": [D1], "points": [1]}, schema=marks.contract.arrow_schema)
    with store.lock(marks.full_name):
        store.append(marks, rows, Txn("marks:1", 0), {})
    left_behind = DeltaTable(store.path(marks))

    with store.lock(marks.full_name):
        assert store.append(marks, rows, Txn("marks:1", 1), {}).rows == 1
        assert store.append(marks, rows, Txn("marks:1", 1), {}).rows == 0
    again = CommitProperties({}, app_transactions=[Transaction("marks:1", 1)])
    with pytest.raises(CommitFailedError):
        write_deltalake(left_behind, rows, mode="append", commit_properties=again)

    assert len(rows_in(store)) == 2


def test_an_upsert_never_doubles_rows_whose_files_somebody_else_joins_meanwhile(tmp_path: Path) -> None:
    """Who compacts takes no lock: it is what a user may type into any Spark."""
    store = open_lake(tmp_path, None)  # type: ignore[arg-type]  # no session is needed

    def row(name: str, points: int) -> pa.Table:
        return pa.table({"name": [name], "day": [D1], "points": [points]}, schema=marks.contract.arrow_schema)

    for number in range(3):
        store.append(marks, row(f"{number}", 1), Txn("marks:1", number), {})
    before = store.table_log(marks).opened()
    assert before is not None
    DeltaTable(store.path(marks)).optimize.compact()

    with patch.object(Log, "opened", lambda _: before), suppress(WrittenMeanwhile):
        store.upsert(marks, row("1", 7), Txn("marks:1", 3), {})
    if ("1", D1, 7) not in rows_in(store):  # refused: the stream does it again
        store.upsert(marks, row("1", 7), Txn("marks:1", 3), {})

    assert sorted(rows_in(store)) == [("0", D1, 1), ("1", D1, 7), ("2", D1, 1)]


def test_a_compaction_of_streams_joins_small_files_of_each_day_and_leaves_the_others_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_lake(tmp_path, None)  # type: ignore[arg-type]  # no session is needed
    monkeypatch.setattr(committer, "_SMALL_BYTES", 20_000)
    for number, (points, day) in enumerate(((10_000, D1), (1, D1), (1, D1), (1, D2), (1, D3), (1, D3))):
        names = [f"{number} {place}" for place in range(points)]
        columns = {"name": names, "day": [day] * points, "points": [number] * points}
        store.append(marks, pa.table(columns, schema=marks.contract.arrow_schema), Txn("marks:1", number), {})
    log, before = store.table_log(marks), sorted(map(str, stored_rows(store, marks)))
    files = log.files_by_day("day", [Days.between(D1, D3)])
    (large,) = [name for name, rows in files[D1].items() if rows > 1]

    store.compact(marks, Days.between(D1, D2))

    after = log.files_by_day("day", [Days.between(D1, D3)])
    assert large in after[D1]
    assert sorted(after[D1].values()) == [2, 10_000]
    assert (after[D2], after[D3]) == (files[D2], files[D3]), "nothing to join, and not asked for"
    assert sorted(map(str, stored_rows(store, marks))) == before
    commit = log.commit(log.version() or 0)
    assert commit is not None
    assert (commit.touched, commit.rows) == (frozenset(), 0), "no reader meets a row again"

    version = log.version()
    store.compact(marks, Days.between(D1, D2))
    assert log.version() == version, "nothing was left to join"


# Locks


@pytest.fixture
def impatient(tmp_path: Path) -> DeltaStore:
    """A store that waits for a fifth of a second, and needs no session."""
    store = open_lake(tmp_path, None)  # type: ignore[arg-type]
    store.lock_timeout_seconds = 0.2
    return store


def test_a_lock_that_another_holds_is_waited_for_and_then_named(impatient: DeltaStore) -> None:
    told: list[str] = []
    impatient.on_wait = told.append
    impatient.locks.mkdir(parents=True)
    (impatient.locks / "silver.marks.holder").write_text('{"pid": 4711, "started": 1}')

    with FileLock(impatient.locks / "silver.marks.lock"), pytest.raises(TableLocked) as refused:  # noqa: SIM117
        with impatient.lock("silver.marks"):
            raise AssertionError("two writers at once")

    assert refused.value.holder == "pid 4711"
    assert refused.value.retryable
    assert "another process is writing it (pid 4711)" in str(refused.value)
    assert told == ["silver.marks: waiting for pid 4711, which is writing it (Ctrl-C stops waiting)"]


def test_the_holder_of_a_lock_says_who_it_is_and_leaves_no_trace(impatient: DeltaStore) -> None:
    with impatient.lock("silver.marks"):
        assert str(read_holder(impatient.locks / "silver.marks.holder")) == f"pid {os.getpid()}"

    assert not (impatient.locks / "silver.marks.holder").exists()
    with impatient.lock("silver.marks"):
        pass


def test_a_lock_is_released_when_the_writer_fails(impatient: DeltaStore) -> None:
    def fail() -> None:
        with impatient.lock("silver.marks"):
            raise ValueError("a writer fails")

    with pytest.raises(ValueError, match="a writer fails"):
        fail()
    with impatient.lock("silver.marks"):
        pass


def test_locks_of_two_tables_do_not_meet(impatient: DeltaStore) -> None:
    with impatient.lock("silver.marks"), impatient.lock("bronze.mark_files"):
        pass


def test_two_threads_of_one_process_exclude_each_other_too(impatient: DeltaStore) -> None:
    inside = threading.Event()
    leave = threading.Event()

    def hold() -> None:
        with impatient.lock("silver.marks"):
            inside.set()
            leave.wait(30)

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        assert inside.wait(30)
        with pytest.raises(TableLocked), impatient.lock("silver.marks"):
            raise AssertionError("two writers at once")
    finally:
        leave.set()
        thread.join()


def test_paths_come_from_declared_names_only(impatient: DeltaStore) -> None:
    assert impatient.path(mark_files) == f"{impatient.tables}/bronze/mark_files"
    assert impatient.quarantine_path(marks) == f"{impatient.tables}/quarantine/silver/marks"
