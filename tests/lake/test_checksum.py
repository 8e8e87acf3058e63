"""Checksum files: what this project writes is what Spark would have written, and Spark accepts it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from lake.declare.days import Days
from lake.write.checksum import write_checksum
from lake.write.store import DeltaStore, Txn
from tests.tiny import day_of, marks

pytestmark = pytest.mark.spark

D1, D2, D3 = (day_of(number) for number in (1, 2, 3))


def checksum(store: DeltaStore, version: int) -> dict[str, Any]:
    content = store.table_log(marks).read_file(f"{version:020d}.crc")
    assert content is not None, f"version {version} has no checksum"
    found: dict[str, Any] = json.loads(content)
    return found


def delta_log(store: DeltaStore, *, anew: bool = False) -> Any:
    """The log as Spark reads it; `anew`: forgetting what it knew."""
    jvm: Any = store.spark.sparkContext._jvm
    logs = jvm.org.apache.spark.sql.delta.DeltaLog
    if anew:
        logs.clearCache()
    return logs.forTable(store.spark._jsparkSession, store.path(marks))


def newest_of(log: Any) -> Any:
    return log.update(False, getattr(log, "update$default$2")(), getattr(log, "update$default$3")())


def append(store: DeltaStore, name: str, number: int) -> int:
    rows = pa.table({"name": [name, name], "day": [D1, D2], "points": [number, number]})
    with store.lock(marks.full_name):
        return store.append(marks, rows, Txn("marks:1", number), {}).version


def append_with_spark(store: DeltaStore) -> int:
    """As somebody who writes the table by hand."""
    store.create(marks)
    frame = store.spark.createDataFrame([("spark", D1, 1)], "name STRING, day DATE, points INT")
    frame.write.format("delta").mode("append").save(store.path(marks))
    return store.version(marks) or 0


def test_spark_counts_on_from_it_as_it_counts_itself(store: DeltaStore, spark: SparkSession) -> None:
    append_with_spark(store)
    append(store, "a", 1)
    append(store, "b", 2)

    newest = append_with_spark(store)  # Spark's own, computed from the one before

    snapshot = newest_of(delta_log(store))
    assert checksum(store, newest)["numFiles"] == snapshot.numOfFiles() == 6
    assert checksum(store, newest)["tableSizeBytes"] == sum(
        file.stat().st_size for file in Path(store.path(marks)).rglob("*.parquet")
    )


def test_what_removes_files_is_counted_too(store: DeltaStore) -> None:
    append(store, "a", 1)
    rows = pa.table({"name": ["a"], "day": [D1], "points": [7]})
    with store.lock(marks.full_name):
        version = store.upsert(marks, rows, Txn("marks:1", 2), {}).version

    counted = checksum(store, version)

    files = [
        path for held in store.table_log(marks).files_by_day("day", [Days.between(D1, D3)]).values() for path in held
    ]
    assert counted["numFiles"] == len(files) == 2
    assert counted["tableSizeBytes"] == sum((Path(store.path(marks)) / path).stat().st_size for path in files)


def test_it_says_what_spark_finds_out_without_it(store: DeltaStore) -> None:
    append(store, "a", 1)
    version = append(store, "b", 2)
    said = checksum(store, version)

    for file in Path(store.path(marks), "_delta_log").glob("*.crc"):
        file.unlink()
    found = newest_of(delta_log(store, anew=True))

    assert (said["numFiles"], said["tableSizeBytes"]) == (found.numOfFiles(), found.sizeInBytes()) == (4, ANY)
    assert said["metadata"]["id"] == found.metadata().id()
    assert (said["numMetadata"], said["numProtocol"]) == (found.numOfMetadata(), found.numOfProtocol())


def test_after_versions_without_one_it_is_counted_on_from_the_newest_before(store: DeltaStore) -> None:
    for number in range(3):
        append(store, "a", number)
    newest = append(store, "b", 3)
    expected = checksum(store, newest)
    folder = Path(store.path(marks), "_delta_log")
    (folder / f"{newest - 1:020d}.crc").write_text('{"numFiles": ')  # half written
    (folder / f"{newest - 2:020d}.crc").unlink()

    write_checksum(store.table_log(marks), newest)

    assert checksum(store, newest) == expected


def test_a_log_that_does_not_reach_back_to_one_gets_none(store: DeltaStore) -> None:
    version = append(store, "a", 1)
    folder = Path(store.path(marks), "_delta_log")
    for file in (*folder.glob("*.crc"), folder / f"{0:020d}.json"):
        file.unlink()

    write_checksum(store.table_log(marks), version)

    assert not list(folder.glob("*.crc"))


def test_spark_needs_no_job_to_read_the_log_of_what_was_appended(store: DeltaStore, spark: SparkSession) -> None:
    append(store, "a", 1)
    context: Any = spark.sparkContext._jsc
    scheduler = context.sc().dagScheduler()

    def jobs() -> int:
        before = scheduler.numTotalJobs()
        newest_of(delta_log(store)).metadata()
        return int(scheduler.numTotalJobs() - before)

    jobs()
    append(store, "b", 2)
    assert jobs() == 0

    newest = append(store, "c", 3)
    Path(store.path(marks), "_delta_log", f"{newest:020d}.crc").unlink()
    assert jobs() > 0, "the control: without a checksum Spark needs no job either, so it can go"
