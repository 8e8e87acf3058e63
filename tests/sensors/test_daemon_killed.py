"""The real daemon's loop, killed between the launch of a run and the cursor: the next one launches nothing twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest
from dagster._core.scheduler.instigation import SensorInstigatorData
from dagster._core.storage.tags import RUN_KEY_TAG

from lake.days import Days
from lakehouse_assets.replay import replay
from resources.dagster_home import open_instance
from resources.settings import Settings
from tests.lakes import cut_source

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
from resources.dagster_home import open_instance
from resources.settings import Settings

target = ModuleTarget("lakehouse_assets.definitions", None, None, "lakehouse")
flags = {"reconcile": {point: signal.SIGKILL for point in sys.argv[1:]}}
with open_instance(Settings.from_env()) as instance, WorkspaceProcessContext(instance, target) as workspace:
    (location,) = workspace.create_request_context().code_locations
    (repository,) = location.get_repositories().values()
    instance.start_sensor(repository.get_sensor("reconcile"))
    for error in execute_sensor_iteration(workspace, logging.getLogger(), None, None, debug_crash_flags=flags):
        assert error is None, error
"""


def tick(home: Path, *killed_at: str) -> int:
    """One turn of the sensor daemon in a process of its own; what it started ends with it. Returns its exit code."""
    env = {**os.environ, "LAKEHOUSE_HOME": str(home), "DAGSTER_HOME": "", "PYTHONPATH": str(PROJECT)}
    daemon = subprocess.Popen([sys.executable, "-c", ONE_TICK, *killed_at], env=env, cwd=home, start_new_session=True)
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
