"""A process that computes little starts Spark in a quicker way, but never against an operator's choice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from lake.batch.amount import work_of
from lake.batch.lake_view import LakeView
from lake.declare.days import Days
from lake.declare.table import Read
from lake.engine.compiling import Work, compiler_flags, options_of_operator
from lake.errors import LogDamaged
from lake.orchestration.assets import PID, TAKEN_RUN
from lake.orchestration.keys import asset_key
from lake.orchestration.partitions import range_tags
from lake.orchestration.refresher import Refresher
from lake.orchestration.resource import LakehouseResource
from lake.orchestration.work_of_run import work_of_run
from lake.project.environment import Environment
from lake.project.settings import Settings
from lake.storage.log import Log
from lake.write.store import DeltaStore
from tests.lakes import without_spark
from tests.recorded import hold
from tests.tiny import FEED, day_of, land, mark_files, marks, totals

PROJECT = Path(__file__).resolve().parents[2]
D1, D2, D3 = map(day_of, (1, 2, 3))
SERIAL, QUICK = "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"
PARALLEL = "-XX:+UseParallelGC"
MANY = 2_000_000
whole = replace(marks, name="whole", reads=(Read(mark_files),), day=None, read_by=None)


def names(environment: dict[str, str], conf: dict[str, str] | None = None) -> bool:
    """Whether the flags for little work, and the collector of streams, are left out for what an operator says."""
    flags = compiler_flags(Work.LITTLE, options_of_operator(conf or {}, environment))
    assert (SERIAL in flags) == (QUICK in flags)
    streams = compiler_flags(Work.STREAMS, options_of_operator(conf or {}, environment))
    assert (PARALLEL in streams) == (SERIAL in flags)
    return SERIAL not in flags


# What the JVM is told


def test_little_work_has_the_quick_compiler_and_much_the_thorough() -> None:
    tiny, little, much, streams = (compiler_flags(work, []) for work in Work)
    assert {SERIAL, QUICK} <= set(little)
    assert tiny == little
    assert not {SERIAL, QUICK} & set(much)
    assert much, "the thorough compiler leaves out what does not pay"
    assert {*streams} == {*much, PARALLEL}


@pytest.mark.parametrize(
    "option",
    [
        "-XX:+UseG1GC",
        "-Xmx4g -XX:+UseZGC",
        "-XX:-UseParallelGC",
        "-XX:G1HeapRegionSize=32m",
        "-XX:TieredStopAtLevel=4",
        "-XX:-TieredCompilation",
        "-Xint",
        "-XX:CompilationMode=high-only",
        "-XX:ReservedCodeCacheSize=512m",
        "-XX:Flags=/etc/jvm",
        "-Xmx4g @/etc/jvm.args",
        "@/etc/jvm.args",
    ],
)
def test_an_operators_collector_or_compiler_wins(option: str) -> None:
    java = ("JDK_JAVA_OPTIONS", "JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS")
    for variable in (*java, "SPARK_SUBMIT_OPTS", "PYSPARK_SUBMIT_ARGS"):
        assert names({variable: option}), variable
    for setting in ("spark.driver.extraJavaOptions", "spark.driver.defaultJavaOptions"):
        assert names({}, {setting: option}), setting


@pytest.mark.parametrize("file", ["spark-defaults.conf", "spark-env.sh", "java-opts"])
def test_an_operators_collector_wins_from_a_file_of_spark(tmp_path: Path, file: str) -> None:
    where = {"SPARK_CONF_DIR": str(tmp_path)}
    assert not names(where)
    (tmp_path / file).write_text("spark.driver.memory 2g\nexport JDK_JAVA_OPTIONS=-Dx=y\n")
    assert not names(where)
    (tmp_path / file).write_text('spark.driver.extraJavaOptions  "-XX:+UseShenandoahGC"\n')
    assert names(where)


@pytest.mark.parametrize("option", ["-Xmx4g", "-Duser=a@b", "-XX:+UseStringDeduplication", "-XX:+PrintGC", "-Xlog:gc"])
def test_other_options_of_an_operator_do_not_take_it_away(option: str) -> None:
    assert not names({"JDK_JAVA_OPTIONS": option})


ASK = """
import json, sys
from lake.engine.compiling import INTERPRETED, Work
from lake.engine.session import build_session
asked = {"spark.driver.extraJavaOptions": "-Dasked=for -Duser.timezone=Asia/Tokyo"}
spark = build_session(app_name="flags", master=sys.argv[2], work=Work(sys.argv[1]), extra_conf=asked)
beans = spark._jvm.java.lang.management.ManagementFactory
flags = list(beans.getRuntimeMXBean().getInputArguments())
is_interpreted = all(spark.conf.get(name, None) == value for name, value in INTERPRETED.items())
java = spark._jvm.System
properties = [java.getProperty(name) for name in ("asked", "user.timezone", "derby.system.home")]
tasks = [spark.sparkContext.master, spark.conf.get("spark.sql.shuffle.partitions")]
collectors = [bean.getName() for bean in beans.getGarbageCollectorMXBeans()]
print(json.dumps([properties, flags, collectors, is_interpreted, tasks]))
"""


@pytest.mark.spark
@pytest.mark.parametrize(
    ("work", "operator", "is_quick", "collector"),
    [
        (Work.TINY, None, True, "Copy"),
        pytest.param(Work.LITTLE, PARALLEL, False, "PS Scavenge", marks=pytest.mark.streams),
        pytest.param(Work.STREAMS, None, False, "PS Scavenge", marks=pytest.mark.streams),
        pytest.param(Work.STREAMS, "-XX:+UseG1GC", False, "G1 Young Generation", marks=pytest.mark.streams),
    ],
)
def test_the_jvm_starts_with_these_flags_or_with_the_operators(
    work: Work, operator: str | None, *, is_quick: bool, collector: str
) -> None:
    env = {name: value for name, value in os.environ.items() if "JAVA_O" not in name} | {"PYTHONPATH": str(PROJECT)}
    given = {"JDK_JAVA_OPTIONS": operator} if operator else {}
    done = subprocess.run(
        [sys.executable, "-c", ASK, work.value, "local[*]"],
        env=env | given,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    properties, flags, collectors, is_interpreted, tasks = json.loads(done.stdout)
    assert properties[:2] == ["for", "UTC"], "what is asked for wins, but for the zone, which decides the days"
    assert properties[2], "what is not asked for is as ever"
    assert ({SERIAL, QUICK} <= set(flags)) is is_quick
    assert collector in collectors
    assert is_interpreted is (work is Work.TINY), "few rows are not worth generated code"
    cores = len(os.sched_getaffinity(0))
    assert tasks == [f"local[{2 * cores}]" if work is Work.STREAMS else "local[*]", str(cores)]


# How much there is to compute


@pytest.fixture
def store(tmp_path: Path) -> DeltaStore:
    found = without_spark(tmp_path / ".lakehouse")
    land(found, D1, "a", [("a", D1, 1)])
    return found


def land_much(store: DeltaStore, day: date) -> None:
    """A file of a gigabyte that takes no place."""
    land(store, day, "much", [])
    file = next(store.landing.folder(FEED, day).glob("much*"))
    os.truncate(file, 2**30)


def test_work_grows_with_the_rows(store: DeltaStore) -> None:
    for rows, work in ((1_000, Work.TINY), (100_000, Work.LITTLE), (MANY, Work.MUCH)):
        hold(store, mark_files, [D1], rows)
        assert work_of(LakeView(store), {marks: [D1]}) is work


def test_few_rows_are_little_and_a_large_file_of_these_days_is_not(store: DeltaStore) -> None:
    assert work_of(LakeView(store), {mark_files: [D1, D2]}) is Work.TINY
    land_much(store, D2)
    assert work_of(LakeView(store), {mark_files: [D1]}) is Work.TINY
    assert work_of(LakeView(store), {mark_files: [D1, D2]}) is Work.MUCH


def test_rows_of_tables_count_for_the_days_that_read_them(store: DeltaStore) -> None:
    hold(store, mark_files, [D3], MANY)
    assert work_of(LakeView(store), {marks: [D1, D2]}) is Work.TINY
    assert work_of(LakeView(store), {marks: [D3]}) is Work.MUCH
    hold(store, marks, [D1], MANY)
    assert work_of(LakeView(store), {totals: [D2]}) is Work.MUCH, "a day reads the day before it too"
    assert work_of(LakeView(store), {totals: [D3]}) is Work.TINY


def test_a_table_without_days_reads_all(store: DeltaStore) -> None:
    assert work_of(LakeView(store), {whole: [None]}) is Work.TINY
    hold(store, mark_files, [D3], MANY)
    assert work_of(LakeView(store), {whole: [D1]}) is Work.MUCH


def test_many_small_tables_are_much(store: DeltaStore) -> None:
    hold(store, mark_files, [D1], 600_000)
    assert work_of(LakeView(store), {marks: [D1]}) is Work.LITTLE
    assert work_of(LakeView(store), {marks: [D1], replace(marks, name="others"): [D1]}) is Work.MUCH


def test_what_cannot_be_read_is_not_little(store: DeltaStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def damaged(self: Log, column: str) -> dict[date, int]:
        raise LogDamaged(self.location, "x.json", f"torn at {column}")

    monkeypatch.setattr(Log, "rows_by_day", damaged)
    assert work_of(LakeView(store), {marks: [D1]}) is Work.MUCH


# Who asks


class StoppedError(Exception):
    """Raised in place of starting Spark."""


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Work]:
    """What Spark was started for."""
    works: list[Work] = []

    def start(settings: Settings, work: Work) -> None:
        works.append(work)
        raise StoppedError

    monkeypatch.setattr("lake.project.environment.start_session_beside", start)
    monkeypatch.setattr("lake.project.environment.SparkSession.getActiveSession", lambda: None)
    return works


@pytest.fixture
def environment(store: DeltaStore, tmp_path: Path) -> Environment:
    given = {"LAKEHOUSE_HOME": str(tmp_path / ".lakehouse"), "LAKEHOUSE_NOW": "2013-01-05T00:00:00Z"}
    return Environment(Settings.from_env(given), {one.full_name: one for one in (mark_files, marks, totals)}, store)


def refresh(environment: Environment, how: Callable[[Refresher], Any]) -> None:
    with Refresher(environment, lambda _: None) as refresher, pytest.raises(StoppedError):
        how(refresher)


@pytest.mark.parametrize(
    "how", [lambda it: it.to_date([totals]), lambda it: it.days([totals], Days.of(D1))], ids=["to date", "days"]
)
def test_a_refresh_starts_spark_for_what_it_will_compute(
    environment: Environment, started: list[Work], how: Callable[[Refresher], Any]
) -> None:
    refresh(environment, how)
    assert started == [Work.TINY]
    # Bronze alone comes first, and marks with their many rows wait for it.
    hold(environment.store, mark_files, [D1], MANY)
    refresh(environment, how)
    assert started == [Work.TINY, Work.MUCH]


def test_a_process_of_dagster_lives_for_its_run_and_the_warm_one_for_more(store: DeltaStore) -> None:
    days = range_tags(Days.between(D1, D2))
    chosen = frozenset([asset_key(marks)])

    def asked(tags: dict[str, str], selection: frozenset[dg.AssetKey] | None = chosen) -> Work:
        run = dg.DagsterRun("daily", run_id="now", tags={**days, **tags}, asset_selection=selection)
        return work_of_run(run, [mark_files, marks, totals], store)

    assert asked({}) is Work.TINY
    assert asked({TAKEN_RUN: "before"}) is Work.TINY, "the tag of the run that this one repeats"
    assert asked({TAKEN_RUN: "now"}) is Work.MUCH
    assert asked({PID: "1@2"}) is Work.MUCH, "a command, which started Spark itself"
    hold(store, marks, [D1], MANY)
    assert asked({}) is Work.TINY, "totals are not computed"
    assert asked({}, None) is Work.MUCH


def test_the_resource_asks_when_the_session_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def open_session(settings: Settings, work: Work) -> str:
        asked.append(f"start {work.value}")
        return "session"

    def work_of_run(run: dg.DagsterRun) -> Work:
        asked.append(run.job_name)
        return Work.TINY

    @dg.op
    def look(lakehouse: dg.ResourceParam[LakehouseResource]) -> None:
        asked.append("look")
        _ = lakehouse.spark.spark_session

    monkeypatch.setattr("lake.orchestration.resource.open_session", open_session)
    resource = LakehouseResource.from_settings(Settings.from_env({"LAKEHOUSE_HOME": str(tmp_path)}))
    given = {"lakehouse": resource.definition(work_of_run)}
    assert dg.GraphDefinition("looking", node_defs=[look]).to_job(resource_defs=given).execute_in_process().success
    assert asked == ["look", "looking", "start tiny"]
