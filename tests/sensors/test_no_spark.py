"""No tick of a sensor or schedule wants Spark: they come every few seconds, on machines that may have no Java."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from airline.replay import replay
from lake.declare.days import Days
from lake.orchestration.resource import LakehouseResource
from lake.ownership.ledger import Entry, Ledger
from lake.project.settings import Settings
from tests.airline_lakes import cut_source
from tests.sensors.streamed import D1, D2, DEPARTURES, EVENTS, commit, follow

pytestmark = pytest.mark.slow

LONG_AGO = datetime(2013, 2, 1, tzinfo=UTC)
"""What was computed just now rests."""
PROJECT = Path(__file__).parents[2]

TICKS = """
import json
from pathlib import Path
import dagster as dg
import psutil
import pyspark.java_gateway
import lake.engine.session
from pyspark.sql import SparkSession
from tests.definitions import definitions_of
from lake.project.environment import open_environment
from lake.orchestration.dagster_home import open_instance
from lake.orchestration.resource import LakehouseResource

wanted, ticked = [], {}

def refuse(*_, **__):
    wanted.append(ticking)
    raise RuntimeError(f"{ticking} wants Spark")

lake.engine.session.build_session = refuse
SparkSession.Builder.getOrCreate = refuse
pyspark.java_gateway.launch_gateway = refuse

@dg.sensor(name="control")
def control(lakehouse: dg.ResourceParam[LakehouseResource]):
    lakehouse.store().spark

environment = open_environment()
definitions = definitions_of(environment.settings, environment.tables.values())
repository = definitions.get_repository_def()
given = {"lakehouse": LakehouseResource.from_settings(environment.settings)}
with open_instance(environment.settings) as instance:
    for sensor in [*repository.sensor_defs, control]:
        ticking, cursor = sensor.name, None
        for _ in range(2):
            with dg.build_sensor_context(
                instance=instance, cursor=cursor, resources=given, definitions=definitions
            ) as context:
                try:
                    done = sensor.evaluate_tick(context)
                except Exception as error:
                    ticked.setdefault(ticking, []).append(f"{type(error).__name__}: {error}")
                else:
                    cursor = done.cursor
                    said = f"{len(done.run_requests)} runs" if done.run_requests else done.skip_message
                    ticked.setdefault(ticking, []).append(said)
    for schedule in repository.schedule_defs:
        ticking = schedule.name
        with dg.build_schedule_context(instance=instance, resources=given) as context:
            ticked[ticking] = [f"{len(schedule.evaluate_tick(context).run_requests)} runs"]
jvms = [child.name() for child in psutil.Process().children(recursive=True) if "java" in child.name()]
Path("ticked.json").write_text(json.dumps([ticked, wanted, jvms]))
"""


def tick_without_java(home: Path) -> tuple[dict[str, list[str]], list[str], list[str]]:
    """What each sensor and schedule said where no Java is found, which of them wanted Spark, and the JVMs there are.

    Among them is a sensor that wants Spark, so that one is seen to be found.
    """
    env = {"LAKEHOUSE_HOME": str(home), "LAKEHOUSE_ALERT_URLS": "", "DAGSTER_HOME": ""}
    env |= {"PYTHONPATH": str(PROJECT), "PATH": "", "JAVA_HOME": "", "HOME": str(home)}
    done = subprocess.run([sys.executable, "-c", TICKS], env=os.environ | env, cwd=home, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    ticked, wanted, jvms = json.loads((home / "ticked.json").read_text())
    return ticked, wanted, jvms


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A lake in which every sensor has something to look at, made without Spark."""
    settings = Settings.from_env({"LAKEHOUSE_HOME": str(tmp_path / "home")})
    settings.make_folders()
    replay(settings.landing.root, Days.of(D1), cut_source(tmp_path / "source", Days.of(D1), one_of=50))
    store = LakehouseResource.from_settings(settings).store()
    follow(store, EVENTS, DEPARTURES)
    commit(store, EVENTS, {D1: 1, D2: 5})
    commit(store, DEPARTURES, {D2: 4})
    computed = Entry("silver.schedules", D1, "written", 1, 1, 0, 0, {}, 1, "code", 1.0, recorded_at=LONG_AGO)
    Ledger(store).record([computed])
    return settings.home


def test_every_sensor_and_schedule_works_where_there_is_no_java(home: Path) -> None:
    ticked, wanted, jvms = tick_without_java(home)

    assert (set(wanted), jvms) == ({"control"}, [])
    assert "control wants Spark" in ticked.pop("control")[0]
    assert ticked == {
        "daily": ["1 runs"],
        "maintain": ["1 runs"],
        "retrain": ["1 runs"],
        "score_today": ["1 runs"],
        "failing_checks": ["0 checks found errors"] * 2,
        "failure_alerts": ["starts from now", "0 runs finished, 0 incidents"],
        "freshness_alerts": ["6 found, 4 causes"] * 2,
        "reconcile": ["2 runs"] * 2,
        "stalled_streams": ["2 found, 1 cause"] * 2,
        "stream_commits": ["2 days of stream commits reported", "1 days of stream commits reported"],
    }, "another sensor is to be looked at here too"
