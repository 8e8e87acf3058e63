"""The warm process of a real `lakehouse up`: clicks in the UI reach it, and the loss of it is survived."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from deltalake import DeltaTable

from airline.replay import replay
from lake.declare.days import Days
from lake.engine.ports import free_ports
from lake.orchestration.assets import WORKER
from lake.orchestration.dagster_home import open_instance
from lake.project.environment import open_environment
from lake.project.settings import Settings
from tests.airline_lakes import cut_source
from tests.open_lineage import Heard, receiving

pytestmark = [pytest.mark.streams, pytest.mark.slow, pytest.mark.spark, pytest.mark.faults]

DAY = "2013-01-01"
PATIENCE_SECONDS = 240
LAUNCH = """mutation($asked: ExecutionParams!) { launchPipelineExecution(executionParams: $asked) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
STOP = """mutation($run: String!) { terminateRun(runId: $run) { __typename } }"""
RUNS = """{ runsOrError { ... on Runs { results { runId status parentRunId } } } }"""
ENDED = {"SUCCESS", "FAILURE", "CANCELED"}


@dataclass
class Up:
    """A running `lakehouse up`, as its UI sees it, and what a slow receiver of OpenLineage hears of its runs."""

    port: int
    settings: Settings
    heard: Heard

    def ask(self, query: str, **variables: object) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        asked = json.dumps({"query": query, "variables": variables})
        connection.request("POST", "/graphql", asked, {"Content-Type": "application/json"})
        answer = json.loads(connection.getresponse().read())
        connection.close()
        assert "errors" not in answer, answer
        return answer["data"]

    def materialize(self) -> str:
        """Click on Materialize for a day of bronze."""
        selector = {
            "repositoryLocationName": "lakehouse",
            "repositoryName": "__repository__",
            "pipelineName": "__ASSET_JOB",
            "assetSelection": [{"path": ["bronze", "departure_events"]}],
        }
        tags = [{"key": "dagster/partition", "value": DAY}]
        asked = {"selector": selector, "mode": "default", "runConfigData": "{}", "executionMetadata": {"tags": tags}}
        run_id: str = self.ask(LAUNCH, asked=asked)["launchPipelineExecution"]["run"]["runId"]
        return run_id

    def runs(self) -> dict[str, Mapping[str, Any]]:
        found = self.ask(RUNS)["runsOrError"]["results"]
        return {one["runId"]: one for one in found}

    def status(self, run_id: str) -> str:
        return str(self.runs()[run_id]["status"])

    def told_of(self, run_id: str) -> list[tuple[str, str]]:
        """What the receiver has heard of a run, in order."""
        events = [one for one in self.heard.events if one["run"]["facets"]["parent"]["run"]["runId"] == run_id]
        return [(one["job"]["name"].partition("events")[2], one["eventType"]) for one in events]

    def executed_by(self, run_id: str) -> int:
        """The process of a run, as its tags say that the UI hides."""
        with open_instance(self.settings) as instance:
            run = instance.get_run_by_id(run_id)
        assert run is not None
        return int(run.tags[WORKER].partition("@")[0])

    def until(self, is_so: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not is_so():
            log = self.settings.dagster_home / "warm_worker.log"
            assert time.monotonic() < deadline, f"still not: {what}; {log.read_text()[-5000:]}"
            time.sleep(0.3)

    def worker(self) -> int | None:
        """The warm process that listens now."""
        try:
            pid = int(json.loads((self.settings.dagster_home / "warm_worker.json").read_text())["pid"])
        except (OSError, ValueError):
            return None
        return pid if psutil.pid_exists(pid) else None

    def until_another_than(self, pid: int) -> None:
        self.until(lambda: self.worker() not in (None, pid), "a fresh warm process")

    def until_it_waits(self, run_id: str) -> None:
        """Until a run is executed by the warm process, which waits for the table."""
        self.until(lambda: self.status(run_id) == "STARTED", "the run has started")


@pytest.fixture
def up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Up]:
    monkeypatch.setenv("DAGSTER_HOME", "")
    settings = Settings.from_env({"LAKEHOUSE_HOME": str(tmp_path)})
    settings.make_folders()
    days = Days.parse(DAY)
    replay(settings.landing.root, days, cut_source(tmp_path / "source", days, one_of=50))
    (port,) = free_ports(1)
    with receiving(pause=0.8) as heard:
        env = {**os.environ, "LAKEHOUSE_HOME": str(tmp_path), "LAKEHOUSE_SPARK_MASTER": "local[2]"}
        env |= {"LAKEHOUSE_OPENLINEAGE": heard.url, "OPENLINEAGE_DISABLED": "false"}
        command = [sys.executable, "-m", "lake.commands.cli", "up", "--port", str(port)]
        with subprocess.Popen(command, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
            try:
                assert process.stdout is not None
                assert any("is ready" in line for line in process.stdout)
                found = Up(port, settings, heard)
                found.until(lambda: found.worker() is not None, "a warm process")
                yield found
                (last, *_) = found.runs()
                family = psutil.Process(process.pid).children(recursive=True)
                process.send_signal(signal.SIGTERM)
                process.communicate(timeout=120)
            finally:
                process.kill()
    assert process.returncode == 0
    assert [one for one in family if _runs(one)] == []
    told = [("", "START"), ("", "COMPLETE"), (".checks", "START"), (".checks", "COMPLETE")]
    assert found.told_of(last) == told


def _runs(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def test_runs_share_a_process_until_one_is_stopped_or_the_process_is_killed(up: Up) -> None:
    first = up.worker()
    assert first is not None
    table = open_environment(up.settings).tables["bronze.departure_events"]
    lines = sum(
        len(file.read_text().splitlines())
        for file in up.settings.landing.root.glob(f"departures/landed_on={DAY}/*.jsonl")
    )

    done = []
    for _ in range(2):
        done.append(up.materialize())
        up.until(lambda: up.status(done[-1]) in ENDED, "the run has ended")
    runs = up.runs()
    assert [runs[run_id]["status"] for run_id in done] == ["SUCCESS", "SUCCESS"]
    assert {up.executed_by(run_id) for run_id in done} == {first}
    assert DeltaTable(f"{up.settings.tables}/{table.path}").to_pyarrow_table().num_rows == lines > 0
    for run_id in done:
        (said,) = (up.settings.dagster_home / "storage" / run_id / "compute_logs").glob("*.err")
        assert run_id in said.read_text()

    with open_environment(up.settings).store.lock(table.full_name):
        stopped = up.materialize()
        up.until_it_waits(stopped)
        assert up.ask(STOP, run=stopped)["terminateRun"]["__typename"] == "TerminateRunSuccess"
        up.until(lambda: up.status(stopped) in ENDED, "the run was stopped")
        assert up.status(stopped) == "CANCELED"
        up.until_another_than(first)

        second = up.worker()
        assert second is not None
        killed = up.materialize()
        up.until_it_waits(killed)
        assert up.executed_by(killed) == second
        os.kill(second, signal.SIGKILL)
        up.until(lambda: up.status(killed) == "FAILURE", "the run of the killed process is closed")
        up.until_another_than(second)

    # Dagster itself starts a run again whose process was killed.
    up.until(lambda: _again(up, killed) == "SUCCESS", "the run was started again")
    last = up.materialize()
    up.until(lambda: up.status(last) in ENDED, "the next run has ended")
    assert up.status(last) == "SUCCESS"


def _again(up: Up, killed: str) -> str | None:
    return next((str(run["status"]) for run in up.runs().values() if run["parentRunId"] == killed), None)
