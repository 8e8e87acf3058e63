"""The session: what every query relies on, whatever the machine it runs on has set."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.spark

PROJECT = Path(__file__).resolve().parents[2]


def test_the_days_of_timestamps_are_days_in_utc(spark: SparkSession) -> None:
    row = spark.sql("select to_date(timestamp_seconds(1359676799)) as day").first()
    assert row is not None
    assert row.day == date(2013, 1, 31)
    assert spark.conf.get("spark.sql.session.timeZone") == "UTC"


def test_delta_tables_are_written_merged_and_replaced_by_predicate(spark: SparkSession, tmp_path: Path) -> None:
    table = str(tmp_path / "table")
    rows = [(1, date(2013, 1, 1)), (2, date(2013, 1, 2))]
    frame = spark.createDataFrame(rows, "id int, day date")
    frame.write.format("delta").partitionBy("day").save(table)
    frame.limit(0).write.format("delta").mode("overwrite").option("replaceWhere", "day = '2013-01-02'").save(table)
    spark.createDataFrame([(1, date(2013, 1, 1)), (3, date(2013, 1, 3))], "id int, day date").createOrReplaceTempView(
        "new"
    )
    spark.sql(f"merge into delta.`{table}` t using new n on t.id = n.id when not matched then insert *")
    assert sorted(row.id for row in spark.read.format("delta").load(table).collect()) == [1, 3]


@pytest.fixture(autouse=True)
def few_rows() -> None:
    """Leave the session as it was built."""


def test_a_literal_timestamp_comes_back_as_it_went_in(spark: SparkSession) -> None:
    moment = datetime(2013, 3, 10, 2, 30)  # an hour that New York does not have
    assert spark.createDataFrame([(moment,)], "at timestamp").collect() == [(moment,)]


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("spark.databricks.delta.snapshotPartitions", "2"),
        ("spark.sql.shuffle.partitions", "2"),
        ("spark.sql.adaptive.enabled", "false"),
        ("spark.sql.catalogImplementation", "in-memory"),
        ("spark.driver.host", "127.0.0.1"),
        ("spark.driver.bindAddress", "127.0.0.1"),
        ("spark.ui.enabled", "false"),
    ],
)
def test_a_setting_that_others_rely_on(spark: SparkSession, setting: str, value: str) -> None:
    assert spark.conf.get(setting) == value


def test_reading_many_listed_files_starts_no_job_of_its_own(spark: SparkSession, tmp_path: Path) -> None:
    paths = [tmp_path / f"{number:03}.jsonl" for number in range(40)]  # Spark lists from 33 paths on with a job
    for path in paths:
        path.write_text("{}\n")
    spark.sparkContext.setJobGroup("listing", "")
    spark.read.text([str(path) for path in paths])
    assert spark.sparkContext.statusTracker().getJobIdsForGroup("listing") == []


DEFAULTS_OF_OTHERS = """
spark.sql.session.timeZone                       Asia/Tokyo
spark.sql.timestampType                          TIMESTAMP_NTZ
spark.sql.files.ignoreCorruptFiles               true
spark.sql.files.ignoreMissingFiles               true
spark.sql.sources.partitionOverwriteMode         dynamic
spark.sql.ansi.enabled                           false
spark.sql.storeAssignmentPolicy                  LEGACY
spark.sql.caseSensitive                          true
spark.sql.jsonGenerator.ignoreNullFields         false
spark.databricks.delta.schema.autoMerge.enabled  true
spark.databricks.delta.stalenessLimit            1h
spark.databricks.delta.autoCompact.enabled       true
spark.sql.streaming.multipleWatermarkPolicy      max
spark.sql.streaming.noDataMicroBatches.enabled   false
spark.eventLog.enabled                           true
spark.eventLog.dir                               file:/nowhere/at/all
spark.submit.deployMode                          cluster
spark.hadoop.fs.defaultFS                        hdfs://nowhere.invalid:8020
"""
"""What an operator may have written for other programs; each line changes rows or keeps a session from starting."""

AMONG_OTHERS = """
import gzip, json, sys
from pathlib import Path
from lake.engine.session import build_session
from lake.testing.lakes import INTERPRETED
asked = {**INTERPRETED, "spark.sql.shuffle.partitions": "7"}
spark = build_session(app_name="pinned", master="local[1]", extra_conf=asked)
here = Path.cwd()
spark._jvm.System.err.println("said by the JVM")
spark.sql("create table numbers as select 1 as one")
spark.sql("drop table numbers")
print("what follows fails on purpose", file=sys.stderr, flush=True)
left = sorted(path.name for path in here.iterdir())

def fails(action):
    try:
        action()
    except Exception:
        return True
    return False

(here / "torn.gz").write_bytes(gzip.compress(b"line\\n" * 100_000)[:-20])
(here / "gone").mkdir()
(here / "gone" / "one.txt").write_text("one\\n")
gone = spark.read.text(str(here / "gone"))
(here / "gone" / "one.txt").unlink()
days = spark.sql("select 1 as id, date'2013-01-01' as day union all select 2, date'2013-01-02'")
stored = str(here / "stored")
days.write.partitionBy("day").parquet(stored)
days.where("id = 1").write.partitionBy("day").mode("overwrite").parquet(stored)
print(json.dumps({
    "files that a session leaves": left,
    "what is asked for": spark.conf.get("spark.sql.shuffle.partitions"),
    "the zone": spark.sql("select current_timezone()").first()[0],
    "a torn file is an error": fails(spark.read.text(str(here / "torn.gz")).collect),
    "a file that is gone is an error": fails(gone.collect),
    "a bad cast is an error": fails(spark.sql("select cast('x' as int)").collect),
    "an overwrite replaces all": [row.id for row in spark.read.parquet(stored).collect()],
    "a day is a day in UTC": str(spark.sql("select to_date(timestamp_seconds(1359676799))").first()[0]),
    "a timestamp is a moment": spark.sql("select typeof(timestamp'2013-01-01 00:00:00')").first()[0],
    "json leaves nulls out": spark.sql("select to_json(struct(1 as a, null as b))").first()[0],
    "names are SQL's": fails(lambda: days.select("ID").collect()),
    "watermarks": spark.conf.get("spark.sql.streaming.multipleWatermarkPolicy"),
    "the last rows": spark.conf.get("spark.sql.streaming.noDataMicroBatches.enabled"),
    "snapshots": spark.conf.get("spark.databricks.delta.stalenessLimit"),
    "columns more": spark.conf.get("spark.databricks.delta.schema.autoMerge.enabled"),
}))
"""


def test_defaults_a_zone_and_a_spark_of_others_change_no_row_and_keep_no_session_from_starting(tmp_path: Path) -> None:
    conf, work = tmp_path / "conf", tmp_path / "work"
    for folder in (conf, work):
        folder.mkdir()
    (conf / "spark-defaults.conf").write_text(DEFAULTS_OF_OTHERS)
    foreign = {"SPARK_CONF_DIR": str(conf), "SPARK_HOME": "/opt/other-spark", "TZ": "America/New_York"}

    done = subprocess.run(
        [sys.executable, "-c", AMONG_OTHERS],
        cwd=work,
        env={**os.environ, **foreign, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        timeout=200,
    )

    assert done.returncode == 0, done.stderr
    said, _, _ = done.stderr.partition("what follows fails on purpose")
    said_by_java = [line for line in said.splitlines() if "Picked up JDK_JAVA_OPTIONS" not in line]  # of these tests
    assert said_by_java == ["said by the JVM"], "what Java says arrives, but for the module that nobody asked for"
    assert json.loads(done.stdout) == {
        "files that a session leaves": [],
        "what is asked for": "7",
        "the zone": "UTC",
        "a torn file is an error": True,
        "a file that is gone is an error": True,
        "a bad cast is an error": True,
        "an overwrite replaces all": [1],
        "a day is a day in UTC": "2013-01-31",
        "a timestamp is a moment": "timestamp",
        "json leaves nulls out": '{"a":1}',
        "names are SQL's": False,
        "watermarks": "min",
        "the last rows": "true",
        "snapshots": "0",
        "columns more": "false",
    }
