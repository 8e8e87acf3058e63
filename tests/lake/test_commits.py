"""The table log: which days each version touched, as far as the log reaches, and never less than that."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from unittest import mock

import pyarrow as pa
import pytest
from deltalake import DeltaTable, Field, write_deltalake
from deltalake.exceptions import DeltaError, TableNotFoundError
from deltalake.schema import PrimitiveType
from pyspark.sql import SparkSession

from lake.declare.days import Days
from lake.errors import LogDamaged
from lake.storage import log_versions
from lake.storage.commits import WRITE_MARK, Commit
from lake.storage.log import Log, Place, Remembered
from lake.storage.touches import FILE as TOUCHES_FILE
from lake.storage.touches import ForeignFile
from lake.write.store import DeltaStore
from tests.lakes import commits_since
from tests.tiny import day_of, marks

D1, D2, D3 = (day_of(number) for number in (1, 2, 3))


def write(store: DeltaStore, days: Days, *rows: tuple[str, date, int]) -> Commit:
    frame = store.spark.createDataFrame(list(rows), "name STRING, day DATE, points INT")
    with store.lock(marks.full_name):
        return store.replace(marks, frame, [days], {"asked": str(days)})


@pytest.fixture
def log(store: DeltaStore) -> Log:
    return store.table_log(marks)


@pytest.mark.spark
def test_a_commit_touches_the_days_that_it_fills_changes_or_empties(store: DeltaStore, log: Log) -> None:
    first = write(store, Days.between(D1, D3), ("a", D1, 1), ("b", D1, 1), ("a", D2, 1))
    second = write(store, Days.between(D2, D3), ("a", D3, 1))

    assert first.days("day") == {D1, D2}
    assert first.rows_by_day("day") == {D1: 2, D2: 1}
    assert second.days("day") == {D2, D3}  # the second day was emptied
    assert second.rows_by_day("day") == {D3: 1}
    assert first.metadata["asked"] == "2013-01-01..2013-01-03"
    assert log.newest_touch("day") == {D1: 1, D2: 2, D3: 2}
    assert log.rows_by_day("day") == {D1: 2, D3: 1}
    assert log.days("day") == {D1, D3}


@pytest.mark.spark
def test_what_changed_each_day_stays_one_object_until_a_commit_changes_a_day(store: DeltaStore, log: Log) -> None:
    write(store, Days.of(D1), ("a", D1, 1))
    before = log.newest_touch("day")
    assert log.newest_touch("day") is before

    write(store, Days.of(D2), ("a", D2, 1))

    assert (before, log.newest_touch("day")) == ({D1: 1}, {D1: 1, D2: 2})


@pytest.mark.spark
def test_optimize_touches_nothing(store: DeltaStore, log: Log, spark: SparkSession) -> None:
    write(store, Days.of(D1), ("a", D1, 1))
    with store.lock(marks.full_name):
        extra = spark.createDataFrame([("b", D1, 2)], "name STRING, day DATE, points INT")
        extra.write.format("delta").mode("append").save(store.path(marks))
    touched = log.newest_touch("day")

    spark.sql(f"OPTIMIZE delta.`{store.path(marks)}`").collect()

    newest = log.version()
    assert newest == 3
    optimized = log.commit(newest)
    assert optimized is not None
    assert optimized.operation == "OPTIMIZE"
    assert (optimized.days("day"), optimized.rows) == (set(), 0)
    assert log.newest_touch("day") == touched == {D1: 2}
    assert log.newest_change() == 2


@pytest.mark.spark
def test_vacuum_touches_nothing(store: DeltaStore, log: Log, spark: SparkSession) -> None:
    write(store, Days.of(D1), ("a", D1, 1))
    write(store, Days.of(D1), ("a", D1, 2))
    before = log.version()
    assert before is not None

    conf = {
        "spark.databricks.delta.retentionDurationCheck.enabled": "false",
        "spark.databricks.delta.vacuum.logging.enabled": "true",
        "spark.sql.sources.parallelPartitionDiscovery.parallelism": "2",  # VACUUM lists files in 10,000 tasks otherwise
    }
    for name, value in conf.items():
        spark.conf.set(name, value)
    try:
        spark.sql(f"VACUUM delta.`{store.path(marks)}` RETAIN 0 HOURS").collect()
    finally:
        for name in conf:
            spark.conf.unset(name)

    commits = commits_since(log, before)
    assert commits is not None
    assert {commit.operation for commit in commits} <= {"VACUUM START", "VACUUM END"}
    assert len(commits) == 2
    assert [commit.touched for commit in commits] == [frozenset(), frozenset()]
    assert log.newest_touch("day") == {D1: 2}


@pytest.mark.spark
def test_where_the_log_was_cleaned_a_day_counts_as_changed_by_the_newest_cleaned_version(
    store: DeltaStore, log: Log, spark: SparkSession
) -> None:
    write(store, Days.of(D1), ("a", D1, 1))
    write(store, Days.of(D2), ("a", D2, 1))
    checkpoint(spark, store)
    write(store, Days.of(D3), ("a", D3, 1))
    clean(store.path(marks), below=3)

    assert log.newest_touch("day") == {D1: 2, D2: 2, D3: 3}
    assert commits_since(log, 2) == [log.commit(3)]
    assert commits_since(log, 1) is None
    assert log.commit(1) is None


def checkpoint(spark: SparkSession, store: DeltaStore) -> None:
    """Write a checkpoint of the newest version, as Delta does by itself every few commits."""
    DeltaTable(store.path(marks)).create_checkpoint()


def clean(folder: Path | str, *, below: int) -> None:
    """Remove the commits below a version, as Delta does when they are older than the log's retention."""
    for file in Path(folder, "_delta_log").glob("0*.json"):
        if int(file.stem) < below:
            file.unlink()


def test_no_table_has_no_version_no_days_and_no_rows(tmp_path: Path) -> None:
    log = Log(str(tmp_path / "nothing"))

    assert log.version() is None
    assert log.commit(0) is None
    assert log.newest_touch("day") == {}
    assert log.newest_change() is None
    assert log.rows_by_day("day") == {}
    assert log.has_rows() is False


COMMITS = {
    "statistics missing": ({"add": {"partitionValues": {"day": "2013-01-01"}, "dataChange": True}}, {D1}, {D1: 0}),
    "no day": ({"add": {"partitionValues": {"day": None}, "dataChange": True}}, set(), {}),
    "a hostile day": ({"add": {"partitionValues": {"day": "2013-01-01' OR 1=1"}, "dataChange": True}}, set(), {}),
    "Hive's name for no day": ({"remove": {"partitionValues": {"day": "__HIVE_DEFAULT_PARTITION__"}}}, set(), {}),
    "a removal": ({"remove": {"partitionValues": {"day": "2013-01-02"}, "dataChange": True}}, {D2}, {}),
    "a removal by OPTIMIZE": ({"remove": {"partitionValues": {"day": "2013-01-02"}, "dataChange": False}}, set(), {}),
    "no day, then a day": (
        {"add": {"partitionValues": {"day": None}, "dataChange": True}},
        {"add": {"partitionValues": {"day": "2013-01-02"}, "stats": '{"numRecords": 2}', "dataChange": True}},
        {D2},
        {D2: 2},
    ),
    "several files of a day": (
        {"add": {"partitionValues": {"day": "2013-01-02"}, "stats": '{"numRecords": 2}', "dataChange": True}},
        {"add": {"partitionValues": {"day": "2013-01-02"}, "stats": '{"numRecords": 3}', "dataChange": True}},
        {
            "add": {
                "partitionValues": {"day": "2013-01-02", "hour": "7"},
                "stats": '{"numRecords": 4}',
                "dataChange": True,
            }
        },
        {D2},
        {D2: 9},
    ),
    "another column": ({"add": {"partitionValues": {"hour": "2013-01-02"}, "dataChange": True}}, set(), {}),
}


@pytest.mark.parametrize("case", COMMITS.values(), ids=COMMITS.keys())
def test_the_days_of_the_actions_of_a_commit(tmp_path: Path, case: tuple[Any, ...]) -> None:
    *actions, touched, rows = case
    folder = tmp_path / "_delta_log"
    folder.mkdir()
    (folder / f"{7:020d}.json").write_text("".join(json.dumps(action) + "\n" for action in actions))

    commit = Log(str(tmp_path)).commit(7)

    assert commit is not None
    assert (commit.operation, commit.timestamp_ms) == ("", 0)
    assert commit.days("day") == touched
    assert commit.rows_by_day("day") == rows


@pytest.mark.parametrize("text", ["not json", "[1]", "7", '"text"', "", "null"])
def test_metadata_that_somebody_else_wrote_are_no_metadata(tmp_path: Path, text: str) -> None:
    (tmp_path / "_delta_log").mkdir()
    info = {"commitInfo": {"userMetadata": text, "operation": "WRITE", "timestamp": 5}}
    (tmp_path / "_delta_log" / f"{0:020d}.json").write_text(json.dumps(info))

    commit = Log(str(tmp_path)).commit(0)

    assert commit is not None
    assert (commit.metadata, commit.operation, commit.timestamp_ms) == ({}, "WRITE", 5)


def commit_by_hand(folder: Path, version: int, *days: date, about: str = "", **metadata: object) -> None:
    (folder / "_delta_log").mkdir(parents=True, exist_ok=True)
    info = {"timestamp": 5, "userMetadata": json.dumps(metadata)}
    facts = {"size": 1, "modificationTime": 5, "dataChange": True}
    adds = [{"add": {**facts, "path": f"{about}{version}-{day}", "partitionValues": {"day": str(day)}}} for day in days]
    text = "".join(json.dumps(action) + "\n" for action in [{"commitInfo": info}, *adds])
    (folder / "_delta_log" / f"{version:020d}.json").write_text(text)


def test_a_second_look_finds_what_was_committed_since_and_a_table_made_anew(tmp_path: Path) -> None:
    log, schema = Log(str(tmp_path)), pa.schema([pa.field("day", pa.date32())])
    assert (log.version(), log.place(None)) == (None, None)
    DeltaTable.create(str(tmp_path), schema=schema, partition_by=["day"])
    commit_by_hand(tmp_path, 1, D1, D2)
    assert (log.version(), log.newest_touch("day")) == (1, {D1: 1, D2: 1})
    place = log.place(None)
    assert place is not None
    assert log.place(place) == place

    commit_by_hand(tmp_path, 2, D2)
    commit_by_hand(tmp_path, 3, D3)
    assert (log.version(), log.newest_touch("day")) == (3, {D1: 1, D2: 2, D3: 3})
    after = log.place(place)
    assert after is not None
    assert after[0] == 3

    shutil.rmtree(tmp_path / "_delta_log")
    DeltaTable.create(str(tmp_path), schema=schema, partition_by=["day"])
    for version in (1, 2, 3, 4):
        commit_by_hand(tmp_path, version, D3, about="another table")
    assert (log.version(), log.newest_touch("day")) == (4, {D3: 4})
    assert log.place(after) == (4, log.fingerprint(4))


def test_the_newest_moment_of_a_commit_comes_from_the_statistics_of_its_files(tmp_path: Path) -> None:
    (tmp_path / "_delta_log").mkdir()
    latest = [{"at": "2013-01-01T10:00:00.000Z", "n": 7}, {"at": "2013-01-01T11:30:00.000Z", "name": "x"}, {}]
    latest.append({"at": "2013-01-01T09:00:00.000Z"})
    adds = [{"add": {"partitionValues": {}, "stats": json.dumps({"maxValues": values})}} for values in latest]
    (tmp_path / "_delta_log" / f"{0:020d}.json").write_text("".join(json.dumps(add) + "\n" for add in adds))

    commit = Log(str(tmp_path)).commit(0)

    assert commit is not None
    assert commit.newest("at") == datetime(2013, 1, 1, 11, 30, tzinfo=UTC)
    assert [commit.newest(name) for name in ("n", "name", "nothing")] == [None, None, None]


BY_DAY = pa.schema([pa.field("day", pa.date32()), pa.field("n", pa.int64())])


def create(folder: Path) -> Log:
    DeltaTable.create(str(folder), schema=BY_DAY, partition_by=["day"])
    return Log(str(folder))


def put(folder: Path, *rows: tuple[date | None, int]) -> None:
    """Let a table hold files of real rows."""
    found = pa.Table.from_pylist([{"day": day, "n": n} for day, n in rows], schema=BY_DAY)
    write_deltalake(str(folder), found, mode="append", partition_by=["day"])


def test_the_commits_since_a_version_are_all_those_after_it_or_none_where_one_is_gone(tmp_path: Path) -> None:
    assert commits_since(Log(str(tmp_path)), -1) == []
    log = create(tmp_path)
    for version in (1, 2, 3):
        commit_by_hand(tmp_path, version, D1)

    def versions(*of: int) -> list[int] | None:
        found = commits_since(log, *of)
        return None if found is None else [commit.version for commit in found]

    assert [versions(0), versions(2), versions(3), versions(0, 2), versions(2, 2)] == [[1, 2, 3], [3], [], [1, 2], []]
    (tmp_path / "_delta_log" / f"{1:020d}.json").unlink()
    assert [versions(0), versions(1)] == [None, [2, 3]]


def test_of_a_log_that_a_process_knows_only_what_is_new_is_read(tmp_path: Path) -> None:
    log = create(tmp_path)
    commit_by_hand(tmp_path, 1, D1, txn=["a", 7])
    commit_by_hand(tmp_path, 2, D2)
    assert (log.version(), log.newest_txn("a"), log.newest_touch("day")) == (2, 7, {D1: 1, D2: 2})
    table_id = log.table_id()
    for version in (0, 1):
        (tmp_path / "_delta_log" / f"{version:020d}.json").write_text("{")  # whoever reads it now fails
    commit_by_hand(tmp_path, 3, D3, txn=["b", 1])

    assert [log.newest_txn(name) for name in ("b", "a")] == [1, 7]
    assert (log.version(), log.newest_touch("day")) == (3, {D1: 1, D2: 2, D3: 3})
    assert (log.table_id(), log.schema().names) == (table_id, ["day", "n"])


def test_a_new_process_begins_to_read_a_log_where_touches_were_written_down(tmp_path: Path) -> None:
    log = create(tmp_path)
    commit_by_hand(tmp_path, 1, D1)
    commit_by_hand(tmp_path, 2, D2)
    log.write_touches(["day"])
    for version in (0, 1):
        (tmp_path / "_delta_log" / f"{version:020d}.json").write_text("{")  # whoever reads it now fails
    commit_by_hand(tmp_path, 3, D3)
    assert [Log(f"{tmp_path}/.").version(), Log(f"{tmp_path}/./.").table_id()] == [3, log.table_id()]


def test_a_process_that_knows_a_table_reads_no_commit_again_to_name_it(tmp_path: Path) -> None:
    log = create(tmp_path)
    log.write_touches(["day"])
    elsewhere = Log(f"{tmp_path}/.")
    commit_by_hand(tmp_path, 1, D1)
    commit_by_hand(tmp_path, 2, D2)
    table_id, place = elsewhere.table_id(), elsewhere.version()

    with mock.patch.object(Log, "read_file", side_effect=AssertionError("read again")):
        assert (elsewhere.table_id(), elsewhere.version()) == (table_id, place)
    assert (table_id, place) == (log.table_id(), 2)


def test_the_newest_step_under_an_identity_is_found_as_far_back_as_the_log_reaches(tmp_path: Path) -> None:
    assert Log(str(tmp_path)).newest_txn("a") is None
    log = create(tmp_path)
    assert log.newest_txn("a") is None
    commit_by_hand(tmp_path, 1, D1, txn=["a", 7])
    commit_by_hand(tmp_path, 2, D1, txn=["b", 3])
    commit_by_hand(tmp_path, 3, D1, txn="a")
    assert [log.newest_txn(name) for name in ("a", "b", "c")] == [7, 3, None]
    commit_by_hand(tmp_path, 4, D1, txn=["c", 1])
    assert [log.newest_txn(name) for name in ("a", "b", "c")] == [7, 3, 1]
    commit_by_hand(tmp_path, 5, D1, txn=["a", 8])
    commit_by_hand(tmp_path, 6, D1, txn=["a", 9])
    assert [log.newest_txn(name) for name in ("a", "b", "c")] == [9, 3, 1]

    shutil.rmtree(tmp_path / "_delta_log")
    create(tmp_path)
    for version in range(1, 8):
        commit_by_hand(tmp_path, version, D2, txn=["b", 1])
    assert [log.newest_txn(name) for name in ("a", "b", "c")] == [None, 1, None], "another table"


def test_a_step_behind_a_commit_that_was_removed_is_not_known(tmp_path: Path) -> None:
    log = create(tmp_path)
    for version, step in ((1, 5), (2, None), (3, None)):
        commit_by_hand(tmp_path, version, D1, txn=["a", step] if step else None)
    DeltaTable(str(tmp_path)).create_checkpoint()
    assert log.newest_txn("a") == 5
    clean(tmp_path, below=2)
    assert Log(f"{tmp_path}/.").newest_txn("a") is None


def test_rows_are_counted_and_asked_in_sql(tmp_path: Path) -> None:
    log = Log(str(tmp_path / "table"))
    assert (log.rows(), log.query("SELECT count(*) AS c FROM stored"), log.has_rows()) == (0, [], False)
    create(tmp_path / "table")
    assert (log.rows(), log.has_rows()) == (0, False)
    put(tmp_path / "table", (D1, 1), (D1, 2), (D2, 3), (None, 4))
    assert (log.rows(), log.has_rows()) == (4, True)
    assert log.query("SELECT sum(n) AS n FROM stored WHERE day = DATE '2013-01-01'") == [{"n": 3}]
    assert (log.days("day"), log.rows_by_day("day")) == ({D1, D2}, {D1: 2, D2: 1})


def test_files_that_are_gone_are_named_by_day_and_can_be_forgotten(tmp_path: Path) -> None:
    log = Log(str(tmp_path))
    assert (log.gone_files("day"), log.forget_gone_files()) == ({}, False)
    put(tmp_path, (D1, 1), (D2, 2), (None, 3))
    put(tmp_path, (D1, 4))
    assert (log.gone_files("day"), log.forget_gone_files()) == ({}, False)
    for file in [*tmp_path.glob("day=2013-01-01/*.parquet"), *tmp_path.glob("day=__HIVE*/*.parquet")]:
        file.unlink()

    found = log.gone_files("day")

    assert {day: len(paths) for day, paths in found.items()} == {D1: 2, None: 1}
    assert all(path.startswith("day=2013-01-01/") for path in found[D1])
    assert {day: len(paths) for day, paths in log.gone_files(None).items()} == {None: 3}
    assert log.forget_gone_files()
    assert (log.gone_files("day"), log.rows()) == ({}, 1)


def test_files_that_are_gone_are_named_by_one_of_the_days_that_a_table_is_filed_under(tmp_path: Path) -> None:
    rows = pa.table({"landed_on": [D2, D2], "day": [D1, D2], "n": [1, 2]})
    write_deltalake(str(tmp_path), rows, partition_by=["landed_on", "day"])
    for file in tmp_path.glob("landed_on=*/day=2013-01-01/*.parquet"):
        file.unlink()
    log = Log(str(tmp_path))
    assert [list(log.gone_files(column)) for column in ("landed_on", "day")] == [[D2], [D1]]


def test_the_files_of_days_are_told_with_their_rows(tmp_path: Path) -> None:
    log = Log(str(tmp_path))
    assert log.files_by_day("day", [Days.of(D1)]) == {}
    put(tmp_path, (D1, 1), (D1, 2), (D2, 3), (D3, 3))
    put(tmp_path, (D1, 4))
    found = log.files_by_day("day", [Days.of(D1), Days.of(D3)], log.opened())
    assert {day: sorted(files.values()) for day, files in found.items()} == {D1: [1, 2], D3: [1]}
    assert all((tmp_path / path).is_file() for files in found.values() for path in files)
    assert log.files_by_day("n", [Days.of(D1)]) == {}
    commit_by_hand(tmp_path, 2, D2)
    assert log.rows_by_day("day") == {D1: 3, D2: 1, D3: 1}, "a file without statistics counts as none"


def test_the_files_of_days_are_those_of_the_version_that_is_open(tmp_path: Path) -> None:
    put(tmp_path, (D1, 1), (D1, 2))
    before = DeltaTable(str(tmp_path))
    put(tmp_path, (D1, 3))
    found = Log(str(tmp_path)).files_by_day("day", [Days.of(D1)], before)
    assert [sorted(files.values()) for files in found.values()] == [[2]]


def test_files_of_which_none_has_statistics_count_as_none(tmp_path: Path) -> None:
    log = create(tmp_path)
    commit_by_hand(tmp_path, 1, D1, D2)
    assert (log.days("day"), log.rows_by_day("day")) == ({D1, D2}, {D1: 0, D2: 0})


def test_a_table_that_was_opened_follows_its_log_and_is_opened_again_where_it_was_made_anew(tmp_path: Path) -> None:
    log = Log(str(tmp_path / "table"))
    assert log.opened() is None
    put(tmp_path / "table", (D1, 1))
    first = log.opened()
    put(tmp_path / "table", (D1, 2))
    second = log.opened()
    assert second is first
    assert second is not None
    assert second.version() == 1

    shutil.rmtree(tmp_path / "table")
    for _ in range(3):
        put(tmp_path / "table", (D2, 1))
    third = log.opened()
    assert third is not None
    assert (third.version(), third is first) == (2, False)
    assert log.files_by_day("day", [Days.of(D1)], third) == {}


def test_columns_and_identity_are_those_of_the_table_as_it_is_now(tmp_path: Path) -> None:
    log = Log(str(tmp_path / "table"))
    assert log.table_id() is None
    with pytest.raises(TableNotFoundError):
        log.schema()
    create(tmp_path / "table")
    table_id = log.table_id()
    assert (table_id, log.schema().names) == (str(DeltaTable(log.location).metadata().id), ["day", "n"])
    commit_by_hand(tmp_path / "table", 1, D1)
    assert (log.table_id(), log.schema().names) == (table_id, ["day", "n"])
    DeltaTable(log.location).alter.add_columns([Field("m", PrimitiveType("long"))])
    commit_by_hand(tmp_path / "table", 3, D1)
    assert (log.table_id(), log.schema().names) == (table_id, ["day", "n", "m"])

    shutil.rmtree(tmp_path / "table")
    create(tmp_path / "table")
    assert log.table_id() not in (None, table_id)
    for version in range(1, 6):
        commit_by_hand(tmp_path / "table", version, D1)
    assert log.schema().names == ["day", "n"]


def test_a_commit_says_when_it_was_made_and_what_its_writer_left(tmp_path: Path) -> None:
    create(tmp_path)
    commit_by_hand(tmp_path, 1, D1, at="2013-01-01T10:00:00", n=5)
    commit = Log(str(tmp_path)).commit(1)
    assert commit is not None
    assert commit.committed_at == datetime(1970, 1, 1, 0, 0, 0, 5000, tzinfo=UTC)
    assert commit.moment("at") == datetime(2013, 1, 1, 10, tzinfo=UTC)
    assert [commit.moment(name) for name in ("n", "nothing")] == [None, None]


def test_what_was_written_down_of_a_log_serves_after_its_commits_were_removed(tmp_path: Path) -> None:
    log = create(tmp_path)
    Log(str(tmp_path / "nothing")).write_touches(["day"])
    assert not (tmp_path / "nothing").exists()
    commit_by_hand(tmp_path, 1, D1, D2)
    commit_by_hand(tmp_path, 2, D2)
    log.write_touches(["day"])
    written = log.written_touches()
    assert written is not None
    assert (written.version, written.changed, written.days) == (2, 2, {"day": {D1: 1, D2: 2}})
    assert (written.table_id, written.commit) == (log.table_id(), log.fingerprint(2))

    commit_by_hand(tmp_path, 3, D3)
    commit_by_hand(tmp_path, 4)
    DeltaTable(str(tmp_path)).create_checkpoint()
    clean(tmp_path, below=3)
    elsewhere = Log(f"{tmp_path}/.")  # another process has read nothing of it yet
    assert elsewhere.newest_touch("day") == {D1: 1, D2: 2, D3: 3}
    assert elsewhere.newest_touch("n") == {}
    assert elsewhere.newest_change() == 3
    clean(tmp_path, below=4)
    assert Log(f"{tmp_path}/./.").newest_touch("day") == {D1: 3, D2: 3, D3: 3}, "commit 3 was not written down"


def test_what_is_written_down_again_is_read_again(tmp_path: Path) -> None:
    log = create(tmp_path)
    for version in (1, 2):
        commit_by_hand(tmp_path, version, D1)
        log.write_touches(["day"])
        written = log.written_touches()
        assert written is not None
        assert (written.version, written.days) == (version, {"day": {D1: version}})


def test_what_was_written_down_of_another_table_is_not_believed(tmp_path: Path) -> None:
    log = create(tmp_path)
    commit_by_hand(tmp_path, 1, D1)
    log.write_touches(["day"])
    before = log.read_file(TOUCHES_FILE)
    assert before is not None
    commit_by_hand(tmp_path, 1, D2, about="rewritten")
    assert log.written_touches() is None, "its commit is another one"

    shutil.rmtree(tmp_path / "_delta_log")
    (tmp_path / "_delta_log").mkdir()
    log.write_file(TOUCHES_FILE, before)
    assert log.written_touches() is None, "there is no table"
    create(tmp_path)
    assert log.written_touches() is None, "it reaches further than the log"
    commit_by_hand(tmp_path, 1, D1)
    commit_by_hand(tmp_path, 2, D1)
    assert log.written_touches() is None, "the table has another id"
    log.write_file(TOUCHES_FILE, b"torn")
    assert log.written_touches() is None


def test_files_that_were_only_moved_touch_no_day(tmp_path: Path) -> None:
    log = create(tmp_path)
    commit_by_hand(tmp_path, 1, D1)
    facts = {"path": "x", "partitionValues": {"day": str(D2)}, "size": 1, "modificationTime": 5, "dataChange": False}
    write_commit(tmp_path, 2, {"commitInfo": {}}, {"add": facts})
    assert (log.newest_touch("day"), log.days("day")) == ({D1: 1}, {D1, D2})


def test_rows_of_other_programs_are_looked_for_from_their_first_commit_on(tmp_path: Path) -> None:
    log, own = create(tmp_path), {WRITE_MARK: "x"}
    commit_by_hand(tmp_path, 1, D1, **own)
    commit_by_hand(tmp_path, 2)
    assert log.first_foreign("day") is None, "the second commit changed no row"
    for version, facts in ((3, {}), (4, {}), (5, own)):
        commit_by_hand(tmp_path, version, D1, **facts)
    assert log.first_foreign("day") == (2, {})
    commit_by_hand(tmp_path, 6, D1)
    assert log.first_foreign("day") == (2, {})
    assert Log(f"{tmp_path}/.").first_foreign("day") == (2, {}), "for a process that reads it all as well"


def test_rows_of_other_programs_are_known_from_what_was_written_down(tmp_path: Path) -> None:
    log, own = create(tmp_path), {WRITE_MARK: "x"}
    commit_by_hand(tmp_path, 1, D1, **own)
    log.write_touches(["day"])
    assert Log(f"{tmp_path}/.").first_foreign("day") is None
    commit_by_hand(tmp_path, 2, D1)
    assert Log(f"{tmp_path}/./.").first_foreign("day") == (1, {})

    theirs = {"x.parquet": ForeignFile({"day": str(D1)}, 3, 2)}
    log.write_touches(["day"], theirs)
    commit_by_hand(tmp_path, 3, D1, **own)
    elsewhere = Log(f"{tmp_path}/././.")
    assert [elsewhere.first_foreign("day"), elsewhere.first_foreign("day")] == [(2, theirs), (2, theirs)]


def test_a_log_without_any_change_has_none(tmp_path: Path) -> None:
    log = create(tmp_path)
    assert log.newest_change() is None
    commit_by_hand(tmp_path, 1, D1)
    commit_by_hand(tmp_path, 2)
    assert log.newest_change() == 1


def test_an_empty_commit_is_damage_and_named(tmp_path: Path) -> None:
    log = create(tmp_path)
    (tmp_path / "_delta_log" / f"{1:020d}.json").write_text(" \n")
    with pytest.raises(LogDamaged) as damaged:
        log.commit(1)
    assert (damaged.value.file, damaged.value.location) == (f"{1:020d}.json", str(tmp_path))
    assert damaged.value.problem == "it holds no commit"


def test_a_torn_commit_is_damage_and_named_whoever_reads_it(tmp_path: Path) -> None:
    log = create(tmp_path)
    (tmp_path / "_delta_log" / f"{1:020d}.json").write_text('{"add": {"pa')
    asked: list[Callable[[], object]] = [lambda: log.commit(1), lambda: log.added_since(0, 1), log.open]
    for ask in asked:
        with pytest.raises(LogDamaged) as damaged:
            ask()
        assert (damaged.value.file, damaged.value.location) == (f"{1:020d}.json", str(tmp_path))


def test_a_table_that_delta_rs_cannot_read_and_that_is_not_damaged_says_why(tmp_path: Path) -> None:
    log = create(tmp_path)
    protocol = {"protocol": {"minReaderVersion": 99, "minWriterVersion": 99}}
    (tmp_path / "_delta_log" / f"{1:020d}.json").write_text(json.dumps(protocol))
    with pytest.raises(DeltaError, match="99"):
        log.open()


def write_commit(folder: Path, version: int, *actions: dict[str, Any]) -> None:
    """Write a commit's file as another program might."""
    (folder / "_delta_log").mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(action) + "\n" for action in actions)
    (folder / "_delta_log" / f"{version:020d}.json").write_text(text)


def test_the_files_that_later_commits_added_are_named_unless_rows_were_removed(tmp_path: Path) -> None:
    log = Log(str(tmp_path))
    write_commit(tmp_path, 1, {"add": {"path": "day=2013-01-01/a%20b.parquet", "dataChange": True}})
    write_commit(tmp_path, 2, {"commitInfo": {}}, {"add": {"path": "c"}})
    joined = [{"remove": {"path": "c", "dataChange": False}}, {"add": {"path": "d", "dataChange": False}}]
    write_commit(tmp_path, 3, *joined)
    write_commit(tmp_path, 4, {"remove": {"path": "d"}})
    write_commit(tmp_path, 5, {"remove": {"path": "d", "dataChange": True}}, {"add": {"path": "e"}})

    assert log.added_since(0, 2) == ["day=2013-01-01/a b.parquet", "c"]
    assert [log.added_since(1, 3), log.added_since(2, 3), log.added_since(2, 2)] == [["c"], [], []]
    assert [log.added_since(3, 4), log.added_since(4, 5)] == [None, None], "rows were removed"
    assert log.added_since(-1, 1) is None, "the first commit is gone"


def test_the_newest_restored_version_is_one_that_says_so_and_not_one_that_names_the_word(tmp_path: Path) -> None:
    log = create(tmp_path)
    put(tmp_path, (D1, 1))
    put(tmp_path, (D1, 2))
    assert log.restored(0, 2) is None
    DeltaTable(str(tmp_path)).restore(1)
    commit_by_hand(tmp_path, 4, D1, about="RESTORE", note="after a RESTORE")
    assert [log.restored(0, 4), log.restored(2, 3), log.restored(3, 4), log.restored(2, 2)] == [3, 3, None, None]


def test_a_table_at_a_url_is_read_and_written_as_one_in_a_folder(tmp_path: Path) -> None:
    create(tmp_path)
    commit_by_hand(tmp_path, 1, D1)
    log = Log(f"file://{tmp_path}")
    assert (log.version(), log.newest_touch("day"), log.commit(2)) == (1, {D1: 1}, None)
    log.write_touches(["day"])
    written = Log(str(tmp_path)).written_touches()
    assert written is not None
    assert written.days == {"day": {D1: 1}}
    assert log.written_touches() == written
    assert Log(f"file://{tmp_path}/nothing").version() is None


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_a_process_opens_a_version_once_and_the_next_when_it_is_there(tmp_path: Path, scheme: str) -> None:
    create(tmp_path)
    log = Log(f"{scheme}{tmp_path}")
    first = log.open()
    assert first is not None
    assert log.open() is first
    commit_by_hand(tmp_path, 1, D1)
    second = log.open()
    assert second is not None
    assert (first.version(), second.version()) == (0, 1)


def test_what_was_read_of_a_log_is_read_again_once_it_has_moved_on(tmp_path: Path) -> None:
    remembered, reads = Remembered[int](), list[int]()
    log = Log(str(tmp_path))

    def read(place: Place) -> int:
        reads.append(place[0])
        return place[0]

    assert remembered.get(log, read) is None
    create(tmp_path)
    assert [remembered.get(log, read), remembered.get(log, read), reads] == [0, 0, [0]]
    commit_by_hand(tmp_path, 1, D1)
    assert [remembered.get(log, read), remembered.get(log, read), reads] == [1, 1, [0, 1]]
    shutil.rmtree(tmp_path / "_delta_log")
    assert remembered.get(log, read) is None


def test_to_what_was_read_of_a_log_only_what_is_new_is_added(tmp_path: Path) -> None:
    remembered, log = Remembered[list[str]](), create(tmp_path)

    def read(place: Place) -> list[str]:
        return [f"all up to {place[0]}"]

    def advance(known: list[str], before: int, newest: int) -> list[str] | None:
        return None if newest == 4 else [*known, f"{before} to {newest}"]

    def look() -> list[str] | None:
        return remembered.get(log, read, advance)

    assert look() == ["all up to 0"]
    commit_by_hand(tmp_path, 1, D1)
    commit_by_hand(tmp_path, 2, D1)
    assert look() == ["all up to 0", "0 to 2"]
    for version in (0, 1):
        (tmp_path / "_delta_log" / f"{version:020d}.json").write_text("{")  # whoever reads it now fails
    commit_by_hand(tmp_path, 3, D1)
    assert look() == ["all up to 0", "0 to 2", "2 to 3"]
    commit_by_hand(tmp_path, 4, D1)
    assert look() == ["all up to 4"], "the new commit cannot be added"

    shutil.rmtree(tmp_path / "_delta_log")
    create(tmp_path)
    for version in range(1, 7):
        commit_by_hand(tmp_path, version, D1, about="another table")
    assert look() == ["all up to 6"]


def test_a_table_that_is_not_there_is_named(tmp_path: Path) -> None:
    log = Log(str(tmp_path / "nothing"))
    for ask in (log.require, log.schema):
        with pytest.raises(TableNotFoundError, match="nothing"):
            ask()


def test_a_damaged_commit_that_comes_while_a_table_is_open_is_named(tmp_path: Path) -> None:
    write_deltalake(tmp_path, pa.table({"n": [1]}))
    log = Log(str(tmp_path))
    assert log.opened() is not None
    (tmp_path / "_delta_log" / f"{1:020d}.json").write_text('{"add": {"pa')
    with pytest.raises(LogDamaged, match=f"{1:020d}.json"):
        log.opened()


def test_a_version_is_opened_once_and_the_next_one_is_another(tmp_path: Path) -> None:
    write_deltalake(tmp_path, pa.table({"n": [1]}))
    log = Log(str(tmp_path))
    first = log.open()
    assert log.open() is first
    write_deltalake(tmp_path, pa.table({"n": [2]}), mode="append")
    second = log.open()
    assert second is not None
    assert (second.version(), log.rows()) == (1, 2)
    shutil.rmtree(tmp_path)
    write_deltalake(tmp_path, pa.table({"n": [1, 2, 3]}))
    write_deltalake(tmp_path, pa.table({"n": [4]}), mode="append")
    assert log.rows() == 4


def promise_nothing(table: Path) -> None:
    """Make a table whose commits may be removed at once."""
    write_deltalake(table, pa.table({"n": [0]}), configuration={"delta.logRetentionDuration": "interval 0 seconds"})


def remove_commits(table: Path) -> None:
    """Remove what a checkpoint holds, as maintenance does."""
    stored = DeltaTable(table)
    stored.create_checkpoint()
    stored.cleanup_metadata()


def test_a_log_that_maintenance_shortens_meanwhile_is_opened(tmp_path: Path) -> None:
    promise_nothing(tmp_path)

    def keep_house() -> None:
        for number in range(1, 61):
            write_deltalake(tmp_path, pa.table({"n": [number]}), mode="overwrite")
            if number % 3 == 0:
                remove_commits(tmp_path)

    log, opened = Log(str(tmp_path)), 0
    with ThreadPoolExecutor(1) as pool:
        house = pool.submit(keep_house)
        while not house.done():
            log_versions._NEWEST.clear()
            log_versions._OPENED.clear()
            assert log.open() is not None
            assert log.opened() is not None
            opened += 1
        house.result()
    assert opened > 10
    assert log.rows() == 1


def test_a_version_that_maintenance_removes_before_it_is_read_is_read_as_the_next_one(tmp_path: Path) -> None:
    promise_nothing(tmp_path)
    log, asked = Log(str(tmp_path)), list[Place]()

    def read(place: Place) -> int:
        asked.append(place)
        if len(asked) == 1:
            write_deltalake(tmp_path, pa.table({"n": [1, 2]}), mode="overwrite")
            remove_commits(tmp_path)
        return int(log.at(place[0]).count())

    assert Remembered[int]().placed(log, read) == (log.place(None), 2)
    assert [version for version, _ in asked] == [0, 1]


def test_a_version_that_is_there_and_cannot_be_read_says_why(tmp_path: Path) -> None:
    log = create(tmp_path)

    def read(_: Place) -> int:
        raise DeltaError("deletion vectors")

    with pytest.raises(DeltaError, match="deletion vectors"):
        Remembered[int]().get(log, read)
