"""Runs handed over from Dagster's launcher to the warm process: who may ask, and who executes the run then."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import dagster as dg
import psutil
import pytest
from dagster._core.launcher import LaunchRunContext
from dagster._core.launcher.default_run_launcher import DefaultRunLauncher

from lake.engine.ports import HOST
from lake.orchestration.dagster_home import open_instance
from lake.orchestration.warm.code_seen import CodeSeen
from lake.orchestration.warm.hand_over import TAKEN, ask, listening
from lake.orchestration.warm.launcher import WarmLauncher
from lake.project.settings import Settings
from tests.quiet_dagster import QUIET_DAGSTER

pytestmark = [QUIET_DAGSTER, pytest.mark.slow]

POST = "warm_worker.json"


@dg.asset
def one() -> None:
    """Nothing."""


JOB = dg.Definitions(assets=[one]).resolve_implicit_global_asset_job_def()


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    monkeypatch.setenv("DAGSTER_HOME", "")
    with open_instance(Settings.from_env({"LAKEHOUSE_HOME": str(tmp_path)})) as opened:
        yield opened


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The runs that get a process of their own."""
    launched: list[str] = []
    monkeypatch.setattr(
        DefaultRunLauncher, "launch_run", lambda _, context: launched.append(context.dagster_run.run_id)
    )
    return launched


def launch(instance: dg.DagsterInstance) -> str:
    run = instance.create_run_for_job(JOB)
    launcher = instance.run_launcher
    assert isinstance(launcher, WarmLauncher)
    launcher.launch_run(LaunchRunContext(run, None))
    return run.run_id


def _noting(asked: list[tuple[str, ...]]) -> Callable[[str, str], str]:
    def answer(*question: str) -> str:
        asked.append(question)
        return TAKEN

    return answer


def home(instance: dg.DagsterInstance) -> Path:
    return Path(instance.root_directory)


def test_a_run_goes_to_the_warm_process_and_nowhere_else(instance: dg.DagsterInstance, alone: list[str]) -> None:
    asked: list[tuple[str, ...]] = []

    with listening(home(instance), _noting(asked)):
        run_id = launch(instance)

    assert asked == [("take", run_id)]
    assert alone == []


def test_what_the_warm_process_refuses_gets_a_process_of_its_own_and_says_why(
    instance: dg.DagsterInstance, alone: list[str]
) -> None:
    with listening(home(instance), lambda *_: "the warm process executes run 12345678"):
        run_id = launch(instance)

    assert alone == [run_id]
    said = [entry.message for entry in instance.all_logs(run_id)]
    assert "the warm process executes run 12345678, so the run gets a process of its own" in said


def test_without_a_warm_process_a_run_gets_a_process_of_its_own(instance: dg.DagsterInstance, alone: list[str]) -> None:
    run_id = launch(instance)

    assert alone == [run_id]


def test_one_that_was_killed_is_not_asked(instance: dg.DagsterInstance, alone: list[str]) -> None:
    """Its file is still there, and another program may listen on its port by now."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    with socket.create_server((HOST, 0)) as other:
        post = {"pid": ended.pid, "started": 1.0, "port": other.getsockname()[1], "secret": "x"}
        (home(instance) / POST).write_text(json.dumps(post))

        run_id = launch(instance)

    assert alone == [run_id]


def test_a_run_is_launched_nowhere_else_where_the_answer_is_lost(
    instance: dg.DagsterInstance, alone: list[str]
) -> None:
    def hang_up() -> None:
        connection, _ = other.accept()
        connection.makefile().readline()
        connection.close()

    with socket.create_server((HOST, 0)) as other, ThreadPoolExecutor(1) as threads:
        own = psutil.Process()
        post = {"pid": own.pid, "started": own.create_time(), "port": other.getsockname()[1], "secret": "x"}
        (home(instance) / POST).write_text(json.dumps(post))
        threads.submit(hang_up)

        with pytest.raises(RuntimeError, match="run the same again"):
            launch(instance)

    assert alone == []


def test_who_does_not_know_the_secret_is_not_answered(tmp_path: Path) -> None:
    asked: list[tuple[str, ...]] = []
    with listening(tmp_path, _noting(asked)):
        post = json.loads((tmp_path / POST).read_text())
        mode = (tmp_path / POST).stat().st_mode & 0o777
        for line in (
            json.dumps({"secret": "guessed", "question": "take", "run_id": "1"}),
            json.dumps({"question": "take", "run_id": "1"}),
            "POST / HTTP/1.1",
            "[]",
        ):
            with socket.create_connection((HOST, post["port"]), 10) as connection:
                connection.sendall(f"{line}\n".encode())
                assert connection.makefile().readline() == ""
        assert asked == []
        assert ask(tmp_path, "state") == "taken"

    assert mode == 0o600
    assert ask(tmp_path, "state") is None


def test_code_counts_as_changed_where_a_file_is_edited_added_or_removed(tmp_path: Path) -> None:
    (tmp_path / "gold").mkdir()
    table = tmp_path / "gold" / "table.py"
    table.write_text("a = 1\n")
    settings = tmp_path / "pyproject.toml"

    def seen() -> CodeSeen:
        return CodeSeen([tmp_path / "gold"], [settings])

    before = seen()
    assert not before.has_changed()
    table.write_text("a = 12\n")
    assert before.has_changed()
    before = seen()
    (tmp_path / "gold" / "other.py").write_text("")
    assert before.has_changed()
    before = seen()
    table.unlink()
    assert before.has_changed()
    before = seen()
    settings.write_text("")
    assert before.has_changed()


def test_code_counts_as_changed_where_the_calendar_has_moved() -> None:
    days = ["2013-01-05"]
    seen = CodeSeen([], [], lambda: days[-1])
    assert not seen.has_changed()

    days.append("2013-01-06")

    assert seen.has_changed()
