"""A process that computes little starts its JVM for a short life; a long one, and an operator's choice, do not."""

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

from lake.batch.amount import is_little
from lake.batch.lake_view import LakeView
from lake.declare.days import Days
from lake.declare.table import Read
from lake.engine.compiling import compiler_flags, options_of_operator
from lake.errors import LogDamaged
from lake.orchestration.assets import PID, TAKEN_RUN
from lake.orchestration.keys import asset_key
from lake.orchestration.partitions import range_tags
from lake.orchestration.refresher import Refresher
from lake.orchestration.resource import LakehouseResource
from lake.orchestration.short_life import has_short_life
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
MANY = 2_000_000
whole = replace(marks, name="whole", reads=(Read(mark_files),), day=None, read_by=None)


def names(environment: dict[str, str], conf: dict[str, str] | None = None) -> bool:
    """Whether a short life is left out for what an operator says."""
    flags = compiler_flags(is_short=True, options=options_of_operator(conf or {}, environment))
    assert (SERIAL in flags) == (QUICK in flags)
    return SERIAL not in flags


# What the JVM is told


def test_a_short_life_has_the_quick_compiler_and_a_long_one_the_thorough() -> None:
    short, long = compiler_flags(is_short=True, options=[]), compiler_flags(is_short=False, options=[])
    assert {SERIAL, QUICK} <= set(short)
    assert not {SERIAL, QUICK} & set(long)
    assert long, "the thorough compiler leaves out what does not pay"


@pytest.mark.parametrize(
    "option",
    [
        "-XX:+UseG1GC",
        "-Xmx4g -XX:+UseZGC",
        "-XX:-UseParallelGC",
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
    for variable in ("JDK_JAVA_OPTIONS", "JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS", "SPARK_SUBMIT_OPTS"):
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
import json
from lake.engine.session import build_session
spark = build_session(app_name="flags", master="local[1]", is_short=True)
beans = spark._jvm.java.lang.management.ManagementFactory
flags = list(beans.getRuntimeMXBean().getInputArguments())
print(json.dumps([flags, [bean.getName() for bean in beans.getGarbageCollectorMXBeans()]]))
"""


@pytest.mark.spark
@pytest.mark.parametrize(
    ("operator", "is_quick", "collector"),
    [
        (None, True, "Copy"),
        pytest.param("-XX:+UseParallelGC", False, "PS Scavenge", marks=pytest.mark.streams),
    ],
)
def test_the_jvm_starts_with_these_flags_or_with_the_operators(
    operator: str | None, *, is_quick: bool, collector: str
) -> None:
    env = {name: value for name, value in os.environ.items() if "JAVA_O" not in name} | {"PYTHONPATH": str(PROJECT)}
    given = {"JDK_JAVA_OPTIONS": operator} if operator else {}
    done = subprocess.run(
        [sys.executable, "-c", ASK], env=env | given, capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stderr
    flags, collectors = json.loads(done.stdout)
    assert ({SERIAL, QUICK} <= set(flags)) is is_quick
    assert collector in collectors


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


def test_few_rows_are_little_and_a_large_file_of_these_days_is_not(store: DeltaStore) -> None:
    assert is_little(LakeView(store), {mark_files: [D1, D2]})
    land_much(store, D2)
    assert is_little(LakeView(store), {mark_files: [D1]})
    assert not is_little(LakeView(store), {mark_files: [D1, D2]})


def test_rows_of_tables_count_for_the_days_that_read_them(store: DeltaStore) -> None:
    hold(store, mark_files, [D3], MANY)
    assert is_little(LakeView(store), {marks: [D1, D2]})
    assert not is_little(LakeView(store), {marks: [D3]})
    hold(store, marks, [D1], MANY)
    assert not is_little(LakeView(store), {totals: [D2]}), "a day reads the day before it too"
    assert is_little(LakeView(store), {totals: [D3]})


def test_a_table_without_days_reads_all(store: DeltaStore) -> None:
    assert is_little(LakeView(store), {whole: [None]})
    hold(store, mark_files, [D3], MANY)
    assert not is_little(LakeView(store), {whole: [D1]})


def test_many_small_tables_are_much(store: DeltaStore) -> None:
    hold(store, mark_files, [D1], 600_000)
    assert is_little(LakeView(store), {marks: [D1]})
    assert not is_little(LakeView(store), {marks: [D1], replace(marks, name="others"): [D1]})


def test_what_cannot_be_read_is_not_little(store: DeltaStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def damaged(self: Log, column: str) -> dict[date, int]:
        raise LogDamaged(self.location, "x.json", f"torn at {column}")

    monkeypatch.setattr(Log, "rows_by_day", damaged)
    assert not is_little(LakeView(store), {marks: [D1]})


# Who asks


class StoppedError(Exception):
    """Raised in place of starting Spark."""


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """What Spark was started for: a short life or not."""
    lives: list[bool] = []

    def start(settings: Settings, *, is_short: bool) -> None:
        lives.append(is_short)
        raise StoppedError

    monkeypatch.setattr("lake.project.environment.start_session_beside", start)
    monkeypatch.setattr("lake.project.environment.SparkSession.getActiveSession", lambda: None)
    return lives


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
    environment: Environment, started: list[bool], how: Callable[[Refresher], Any]
) -> None:
    refresh(environment, how)
    assert started == [True]
    # Bronze alone comes first, and marks with their many rows wait for it.
    hold(environment.store, mark_files, [D1], MANY)
    refresh(environment, how)
    assert started == [True, False]


def test_a_process_of_dagster_lives_for_its_run_and_the_warm_one_for_more(store: DeltaStore) -> None:
    days = range_tags(Days.between(D1, D2))
    chosen = frozenset([asset_key(marks)])

    def is_short(tags: dict[str, str], selection: frozenset[dg.AssetKey] | None = chosen) -> bool:
        run = dg.DagsterRun("daily", run_id="now", tags={**days, **tags}, asset_selection=selection)
        return has_short_life(run, [mark_files, marks, totals], store)

    assert is_short({})
    assert is_short({TAKEN_RUN: "before"}), "the tag of the run that this one repeats"
    assert not is_short({TAKEN_RUN: "now"})
    assert not is_short({PID: "1@2"}), "a command, which started Spark itself"
    hold(store, marks, [D1], MANY)
    assert is_short({}), "totals are not computed"
    assert not is_short({}, None)


def test_the_resource_asks_when_the_session_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def open_session(settings: Settings, *, is_short: bool) -> str:
        asked.append(f"start {is_short}")
        return "session"

    def has_short_life(run: dg.DagsterRun) -> bool:
        asked.append(run.job_name)
        return True

    @dg.op
    def look(lakehouse: dg.ResourceParam[LakehouseResource]) -> None:
        asked.append("look")
        _ = lakehouse.spark.spark_session

    monkeypatch.setattr("lake.orchestration.resource.open_session", open_session)
    resource = LakehouseResource.from_settings(Settings.from_env({"LAKEHOUSE_HOME": str(tmp_path)}))
    given = {"lakehouse": resource.definition(has_short_life)}
    assert dg.GraphDefinition("looking", node_defs=[look]).to_job(resource_defs=given).execute_in_process().success
    assert asked == ["look", "looking", "start True"]
