"""The command as a scheduler of another environment finds it, and a real Airflow in an environment of its own."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, TextIO

import pytest
from filelock import FileLock

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "docs" / "examples"
LOCK = Path(__file__).with_name("airflow.lock")
_OURS = ("LAKEHOUSE_", "PYTHON", "DAGSTER_", "AIRFLOW", "VIRTUAL_ENV")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.schedulers)
            item.add_marker(pytest.mark.slow)


@pytest.fixture
def command(tmp_path: Path) -> Path:
    """The command of this checkout, which needs nothing of its caller's environment."""
    program = tmp_path / "bin" / "lakehouse"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {Path(sys.executable).parent}/lakehouse "$@"\n')
    program.chmod(0o755)
    return program


def environment_of_a_user() -> dict[str, str]:
    """The variables of this process, without those that choose a lake or a Python."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}


@dataclass(frozen=True)
class Airflow:
    """An Airflow whose database, logs and DAGs lie in a folder."""

    programs: Path
    environment: Mapping[str, str]

    @property
    def home(self) -> Path:
        return Path(self.environment["AIRFLOW_HOME"])

    def start(self, *arguments: str, out: int | TextIO = subprocess.PIPE) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [self.programs / "airflow", *arguments],
            env=self.environment,
            stdout=out,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *arguments: str, ends_with: int = 0) -> str:
        with self.start(*arguments) as process:
            said, _ = process.communicate()
        assert process.returncode == ends_with, said
        return said

    def standing(self, day: date) -> tuple[str, int]:
        """State of the task of a logical date, and how often it was tried."""
        ((state, tries),) = self.asked(day, "task.state, task.try_number")
        return state, tries

    def asked(self, day: date, columns: str) -> list[tuple[Any, ...]]:
        """Columns of the task and the run of a logical date: one row, none before the scheduler has made the run."""
        query = f"""SELECT {columns} FROM task_instance task JOIN dag_run run
            ON run.run_id = task.run_id AND run.dag_id = task.dag_id WHERE date(run.logical_date) = ?"""
        return self._query(query, f"{day}")

    def codes(self, day: date) -> list[int]:
        """Exit codes of the tries of a logical date, as their logs have them."""
        [(run,)] = self.asked(day, "run.run_id")
        logs = sorted((self.home / "logs" / "dag_id=lakehouse" / f"run_id={run}").rglob("attempt=*.log"))
        return [int(code) for log in logs for code in re.findall(r"exited with return code (-?\d+)", log.read_text())]

    def knows_its_dag(self) -> bool:
        return bool(self._query("SELECT 1 FROM serialized_dag"))

    def _query(self, query: str, *given: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.home / "airflow.db")) as database:
            return database.execute(query, given).fetchall()


@pytest.fixture(scope="session")
def airflow_programs() -> Path:
    """An environment that holds what its lock says: `build/airflow` of this checkout, made where it is not there."""
    made = ROOT / "build" / "airflow"
    made.parent.mkdir(exist_ok=True)
    with FileLock(made.with_suffix(".making")):  # of two workers one makes it
        if not (made / LOCK.name).exists() or (made / LOCK.name).read_bytes() != LOCK.read_bytes():
            shutil.rmtree(made, ignore_errors=True)
            subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(made)], check=True)
            pip = [sys.executable, "-m", "pip", "--python", str(made / "bin" / "python"), "install", "--quiet"]
            subprocess.run([*pip, "--no-deps", "--require-hashes", "-r", str(LOCK)], check=True)
            shutil.copy(LOCK, made)
    return made / "bin"


@pytest.fixture
def airflow(airflow_programs: Path, command: Path, tmp_path: Path) -> Airflow:
    """An Airflow with the DAG of the docs, for the project in `tmp_path/shop`."""
    home = tmp_path / "airflow"
    (home / "dags").mkdir(parents=True)
    shutil.copy(EXAMPLES / "airflow_dag.py", home / "dags")
    given = {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DEFAULT_TASK_RETRY_DELAY": "5",
        "AIRFLOW_VAR_LAKEHOUSE_PROJECT": str(tmp_path / "shop"),
        "AIRFLOW_VAR_LAKEHOUSE_COMMAND": str(command),
        "AIRFLOW_VAR_LAKEHOUSE_ENVIRONMENT": "production",
        "LAKEHOUSE_LOCK_TIMEOUT": "2",
    }
    airflow = Airflow(airflow_programs, environment_of_a_user() | given)
    airflow.run("db", "migrate")
    return airflow
