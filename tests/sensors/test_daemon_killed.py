"""The real daemon's loop, killed between the steps of a sensor: the next loses nothing and launches nothing twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from dagster._core.scheduler.instigation import SensorInstigatorData
from dagster._core.storage.tags import RUN_KEY_TAG

from airline.replay import replay
from lake.declare.days import Days
from lake.orchestration.dagster_home import open_instance
from lake.orchestration.keys import asset_key
from lake.orchestration.resource import LakehouseResource
from lake.project.settings import Settings
from tests.airline_lakes import cut_source
from tests.sensors.streamed import D2, D3, DEPARTURES, EVENTS, commit, follow

pytestmark = [pytest.mark.slow, pytest.mark.faults, pytest.mark.soak]

PROJECT = Path(__file__).parents[2]
DAYS = Days.parse("2013-01-01..2013-01-05")
LANDED = [Days.parse("2013-01-01"), Days.parse("2013-01-04")]
"""With days between them, so that one tick asks for two runs."""

ONE_TICK = """
import logging, signal, sys
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import ModuleTarget
from dagster._daemon.sensor import execute_sensor_iteration
from lake.orchestration.dagster_home import open_instance
from lake.project.settings import Settings

target = ModuleTarget("lakehouse_assets.definitions", None, None, "lakehouse")
flags = {"reconcile": {point: signal.SIGKILL for point in sys.argv[1:]}}
with open_instance(Settings.from_env()) as instance, WorkspaceProcessContext(instance, target) as workspace:
    (location,) = workspace.create_request_context().code_locations
    (repository,) = location.get_repositories().values()
    instance.start_sensor(repository.get_sensor("reconcile"))
    for error in execute_sensor_iteration(workspace, logging.getLogger(), None, None, debug_crash_flags=flags):
        assert error is None, error
"""

TICKS = """
import logging, os, signal, sys
import dagster as dg
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import InProcessWorkspaceLoadTarget
from dagster._daemon import sensor
from lake.orchestration.dagster_home import open_instance
from lake.project.settings import Settings

times, point, reports = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
report = dg.DagsterInstance.report_runless_asset_event

def report_and_die(instance, event):
    global reports
    report(instance, event)
    reports -= 1
    if reports == 0:
        os.kill(os.getpid(), signal.SIGKILL)

dg.DagsterInstance.report_runless_asset_event = report_and_die
sensor.is_under_min_interval = lambda *_: False
flags = {"stream_commits": {point: signal.SIGKILL}}
loaded = LoadableTargetOrigin(executable_path=sys.executable, module_name="lakehouse_assets.definitions")
target = InProcessWorkspaceLoadTarget(InProcessCodeLocationOrigin(loaded, location_name="lakehouse"))
with open_instance(Settings.from_env()) as instance, WorkspaceProcessContext(instance, target) as workspace:
    for _ in range(times):
        turn = sensor.execute_sensor_iteration(workspace, logging.getLogger(), None, None, debug_crash_flags=flags)
        for error in turn:
            assert error is None, error
"""


def tick(home: Path, *killed_at: str) -> int:
    """One turn of the sensor daemon in a process of its own; what it started ends with it. Returns its exit code."""
    return run(ONE_TICK, home, *killed_at)


def ticks(home: Path, *, times: int = 1, point: str = "", reports: int = 0) -> int:
    """Some turns of the daemon, killed at a point that Dagster names or when it has reported so many commits."""
    return run(TICKS, home, str(times), point, str(reports))


def run(program: str, home: Path, *arguments: str) -> int:
    env = {**os.environ, "LAKEHOUSE_HOME": str(home), "DAGSTER_HOME": "", "PYTHONPATH": str(PROJECT)}
    daemon = subprocess.Popen([sys.executable, "-c", program, *arguments], env=env, cwd=home, start_new_session=True)
    try:
        return daemon.wait(200)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(daemon.pid, signal.SIGKILL)


def asked_for(settings: Settings) -> tuple[Counter[str], str | None]:
    """Runs by what they were asked for, and the cursor of the sensor."""
    with open_instance(settings) as instance:
        keys = Counter(run.tags[RUN_KEY_TAG] for run in instance.get_runs())
        (state,) = (one for one in instance.all_instigator_state() if one.instigator_name == "reconcile")
        data = state.instigator_data
        assert isinstance(data, SensorInstigatorData)
        return keys, data.cursor


def reported(settings: Settings) -> Counter[tuple[str, str, object]]:
    """How often each commit was reported: table, day and version."""
    with open_instance(settings) as instance:
        return Counter(
            (table.name, found.partition or "", found.metadata["version"].value)
            for table in (EVENTS, DEPARTURES)
            for record in instance.fetch_materializations(asset_key(table), limit=1000).records
            if (found := record.asset_materialization) is not None
        )


@pytest.mark.parametrize("point", ["RUN_CREATED", "RUN_LAUNCHED"])
def test_a_daemon_killed_between_launch_and_cursor_launches_each_run_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", "")
    monkeypatch.setenv("LAKEHOUSE_HOME", str(tmp_path))
    settings = Settings.from_env()
    settings.make_folders()
    source = cut_source(tmp_path / "source", DAYS, one_of=50)
    for days in LANDED:
        replay(settings.landing.root, days, source)

    assert tick(tmp_path, point) == -signal.SIGKILL
    before, cursor = asked_for(settings)
    assert before.total() == 1
    assert cursor is None

    assert tick(tmp_path) == 0
    after, _ = asked_for(settings)
    assert after.total() > 1, "the other days were asked for too"
    assert set(after.values()) == {1}
    assert before <= after


@pytest.mark.parametrize(
    ("killed", "before"),
    [
        ({"point": "TICK_CREATED"}, 0),
        ({"point": "TICK_HELD"}, 0),
        ({"reports": 1}, 1),
        ({"reports": 2}, 2),
        ({"reports": 5}, 5),
    ],
    ids=["before the tick", "at its begin", "within a commit", "between two commits", "before the cursor"],
)
def test_a_daemon_killed_while_it_reports_commits_reports_each_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed: dict[str, Any], before: int
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", "")
    monkeypatch.setenv("LAKEHOUSE_HOME", str(tmp_path))
    settings = Settings.from_env()
    settings.make_folders()
    store = LakehouseResource.from_settings(settings).store()
    follow(store, EVENTS, DEPARTURES)
    commit(store, DEPARTURES, {D2: 1})
    assert ticks(tmp_path, times=3) == 0
    compared = reported(settings)
    assert compared == {("departures", "2013-01-02", 1): 1}

    commit(store, EVENTS, {D2: 5, D3: 1})
    commit(store, DEPARTURES, {D2: 9}, streamed=False)
    commit(store, DEPARTURES, {D2: 4})
    commit(store, EVENTS, {D3: 2})
    commit(store, DEPARTURES, {D3: 2})
    assert ticks(tmp_path, **killed) == -signal.SIGKILL
    seen = reported(settings) - compared
    assert seen.total() == before

    assert ticks(tmp_path, times=2) == 0
    expected = Counter([
        ("departure_events", "2013-01-02", 1), ("departure_events", "2013-01-03", 1),
        ("departure_events", "2013-01-03", 2), ("departures", "2013-01-02", 3), ("departures", "2013-01-03", 4),
    ])  # fmt: skip
    assert reported(settings) - compared == expected + seen
