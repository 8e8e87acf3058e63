"""A worker killed under a run: the real daemon, with the settings of the project, notices and starts the run again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.execution.backfill import PartitionBackfill
from dagster._core.storage.tags import PARENT_RUN_ID_TAG

from lake.orchestration.assets import WORKER
from lake.orchestration.dagster_home import open_instance
from lake.orchestration.keys import asset_key
from lake.project.environment import open_environment
from lake.project.settings import Settings
from lakehouse_assets.bronze.departure_events import departure_events
from tests.definitions import definitions_of

pytestmark = [
    pytest.mark.slow,
    pytest.mark.faults,
    pytest.mark.soak,
    # Dagster's own use of its own deprecated function.
    pytest.mark.filterwarnings("ignore:Function `AssetSelection.sources` is deprecated:DeprecationWarning"),
]

PROJECT = Path(__file__).parents[2]
PATIENCE_SECONDS = 240

Until = Callable[[Callable[[], bool], str], None]


@contextmanager
def daemon_of(home: Path) -> Iterator[Until]:
    """Dagster's daemon in a process of its own; what it started ends with it. Gives a wait for a state of its runs."""
    env = {**os.environ, "LAKEHOUSE_HOME": str(home), "PYTHONPATH": str(PROJECT)}
    command = [sys.executable, "-m", "dagster._daemon", "run", "-m", "lakehouse_assets.definitions"]
    with (home / "daemon.log").open("w") as log:
        daemon = subprocess.Popen(command, env=env, cwd=home, stdout=log, stderr=log, start_new_session=True)
    deadline = time.monotonic() + PATIENCE_SECONDS

    def until(is_so: Callable[[], bool], what: str) -> None:
        while not is_so():
            assert time.monotonic() < deadline, f"still not: {what}; {(home / 'daemon.log').read_text()}"
            with suppress(subprocess.TimeoutExpired):
                code = daemon.wait(0.2)
                raise AssertionError(f"exit code {code} before {what}; {(home / 'daemon.log').read_text()}")

    try:
        yield until
    finally:
        with suppress(ProcessLookupError):
            os.killpg(daemon.pid, signal.SIGKILL)
        daemon.wait()


def backfill(settings: Settings, instance: dg.DagsterInstance, day: str) -> None:
    """Ask the daemon for a day of one table, as a backfill in the UI does."""
    tables = open_environment(settings).tables.values()
    asked = PartitionBackfill.from_asset_partitions(
        "one-day",
        asset_graph=definitions_of(settings, tables).resolve_asset_graph(),
        partition_names=[day],
        asset_selection=[asset_key(departure_events)],
        backfill_timestamp=time.time(),
        tags={},
        dynamic_partitions_store=instance,
        all_partitions=False,
        title=None,
        description=None,
        run_config=None,
    )
    instance.add_backfill(asked)


def workers(instance: dg.DagsterInstance) -> set[str]:
    """The processes that the runs name."""
    return {run.tags[WORKER] for run in instance.get_runs() if WORKER in run.tags}


def test_a_run_whose_worker_is_killed_is_started_again_by_the_daemon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", "")
    monkeypatch.setenv("LAKEHOUSE_HOME", str(tmp_path))
    settings = Settings.from_env()
    store = open_environment(settings).store

    with open_instance(settings) as instance, store.lock(departure_events.full_name):
        backfill(settings, instance, "2013-01-01")
        with daemon_of(tmp_path) as until:
            until(lambda: len(workers(instance)) == 1, "a worker waits for the table")
            (killed,) = instance.get_runs()
            os.kill(int(killed.tags[WORKER].partition("@")[0]), signal.SIGKILL)
            until(lambda: len(instance.get_runs()) == 2, "the run is started again")
            until(lambda: len(workers(instance)) == 2, "it names its own worker")
        again, before = instance.get_runs()

    assert (before.run_id, before.status) == (killed.run_id, dg.DagsterRunStatus.FAILURE)
    assert again.tags[PARENT_RUN_ID_TAG] == killed.run_id
    assert again.asset_selection == before.asset_selection == {asset_key(departure_events)}
