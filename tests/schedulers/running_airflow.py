"""The processes of an Airflow that nobody calls: scheduler, reader of DAGs, and the API that tasks report to."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import date
from urllib.parse import quote

import httpx
import psutil

from lake.engine.ports import HOST, free_ports, is_free
from tests.schedulers.conftest import Airflow

__all__ = ["RunningAirflow", "running"]

_PATIENCE = 300
"""Seconds after which a test gives up."""


@dataclass(frozen=True)
class RunningAirflow:
    """An Airflow that runs.

    Attributes:
        airflow: which.
        address: of its API.
        daemons: its processes. Each leads a session, which its children are in.
    """

    airflow: Airflow
    address: str
    daemons: list[subprocess.Popen[str]]

    def until(self, is_so: Callable[[], bool]) -> None:
        """Wait until something is so, while all processes run."""
        deadline = time.monotonic() + _PATIENCE
        while not is_so():
            ended = [one.args for one in self.daemons if one.poll() is not None]
            assert not ended, f"{ended} ended: {self.said()}"
            assert time.monotonic() < deadline, self.said()
            time.sleep(0.1)

    def fail_run(self, day: date) -> None:
        """Press "mark as failed" for the run of a logical date."""
        [(run,)] = self.airflow.asked(day, "run.run_id")
        token = httpx.get(f"{self.address}/auth/token").raise_for_status().json()["access_token"]
        page = f"{self.address}/api/v2/dags/lakehouse/dagRuns/{quote(run)}"
        answer = httpx.patch(page, json={"state": "failed"}, headers={"Authorization": f"Bearer {token}"})
        answer.raise_for_status()

    def said(self) -> str:
        """The last lines that the processes said."""
        return "\n".join(file.read_text()[-5000:] for file in sorted(self.airflow.home.glob("*.out")))

    def commands(self, day: date) -> list[psutil.Process]:
        """The commands of the lakehouse that run for a day."""
        found = psutil.process_iter(["cmdline"])  # None of one that has ended
        asked = ["refresh", "--days", f"{day}"]
        return [one for one in found if (one.info["cmdline"] or [])[-3:] == asked and self._owns(one)]

    def processes(self) -> list[psutil.Process]:
        """All that runs of it: by session, and what has a session of its own by its environment."""
        return [one for one in psutil.process_iter() if self._owns(one)]

    def _owns(self, process: psutil.Process) -> bool:
        with suppress(psutil.Error, OSError):
            if os.getsid(process.pid) in {one.pid for one in self.daemons}:
                return process.status() != psutil.STATUS_ZOMBIE
            return process.environ().get("AIRFLOW_HOME") == str(self.airflow.home)
        return False

    def stop(self) -> list[psutil.Process]:
        """End the processes as a service manager does. Returns what was left, and ends it too."""
        for one in reversed(self.daemons):
            one.terminate()
            with suppress(subprocess.TimeoutExpired):
                one.wait(60)
        left = self.processes()
        for process in left:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        for one in self.daemons:
            one.wait()
        return left


@contextmanager
def running(airflow: Airflow) -> Iterator[RunningAirflow]:
    """Start the processes with the API on a free port of this machine, and see that nothing of them is left."""
    (port,) = free_ports(1)
    address = f"http://{HOST}:{port}"
    told = {
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{address}/execution/",
        "AIRFLOW__CORE__PARALLELISM": "2",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
    }
    airflow = replace(airflow, environment={**airflow.environment, **told})
    run = RunningAirflow(airflow, address, [])
    try:
        _start(run, "api-server", "--host", HOST, "--port", f"{port}")
        _start(run, "dag-processor")
        run.until(lambda: not is_free(port) and airflow.knows_its_dag())
        _start(run, "scheduler", "--skip-serve-logs")
        yield run
    finally:
        left = run.stop()
    assert not left


def _start(run: RunningAirflow, *arguments: str) -> None:
    with (run.airflow.home / f"{arguments[0]}.out").open("w") as out:
        run.daemons.append(run.airflow.start(*arguments, out=out))
