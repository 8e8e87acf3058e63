"""The table log: which days each version touched, as far as the log reaches, and never less than that."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from pyspark.sql import SparkSession

from lake.commits import Commit, Log
from lake.days import Days
from lake.store import DeltaStore
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

    commits = log.since(before)
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
    clean(store, below=3)

    assert log.newest_touch("day") == {D1: 2, D2: 2, D3: 3}
    assert log.since(2) == [log.commit(3)]
    assert log.since(1) is None
    assert log.commit(1) is None


def checkpoint(spark: SparkSession, store: DeltaStore) -> None:
    """Write a checkpoint of the newest version, as Delta does by itself every few commits."""
    DeltaTable(store.path(marks)).create_checkpoint()


def clean(store: DeltaStore, *, below: int) -> None:
    """Remove the commits below a version, as Delta does when they are older than the log's retention."""
    for file in (Path(store.path(marks)) / "_delta_log").glob("*.json"):
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
    "another column": ({"add": {"partitionValues": {"hour": "2013-01-02"}, "dataChange": True}}, set(), {}),
}


@pytest.mark.parametrize(("action", "touched", "rows"), COMMITS.values(), ids=COMMITS.keys())
def test_the_days_of_one_action(tmp_path: Path, action: dict[str, object], touched: set[date], rows: object) -> None:
    folder = tmp_path / "_delta_log"
    folder.mkdir()
    (folder / f"{7:020d}.json").write_text(json.dumps(action) + "\n")

    commit = Log(str(tmp_path)).commit(7)

    assert commit is not None
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


def commit_by_hand(folder: Path, version: int, *days: date, about: str = "") -> None:
    (folder / "_delta_log").mkdir(parents=True, exist_ok=True)
    facts = {"size": 1, "modificationTime": 5, "dataChange": True}
    adds = [{"add": {**facts, "path": f"{about}{version}-{day}", "partitionValues": {"day": str(day)}}} for day in days]
    text = "".join(json.dumps(action) + "\n" for action in [{"commitInfo": {"timestamp": 5}}, *adds])
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
    adds = [{"add": {"partitionValues": {}, "stats": json.dumps({"maxValues": values})}} for values in latest]
    (tmp_path / "_delta_log" / f"{0:020d}.json").write_text("".join(json.dumps(add) + "\n" for add in adds))

    commit = Log(str(tmp_path)).commit(0)

    assert commit is not None
    assert commit.newest("at") == datetime(2013, 1, 1, 11, 30, tzinfo=UTC)
    assert [commit.newest(name) for name in ("n", "name", "nothing")] == [None, None, None]
