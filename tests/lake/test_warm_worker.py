"""The warm process, over a project of two assets: what it takes and refuses, and when it asks for a fresh one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.remote_origin import RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._core.workspace.load_target import WorkspaceFileTarget

from lake.orchestration.assets import TAKEN_RUN, WORKER, this_process
from lake.orchestration.dagster_home import open_instance
from lake.orchestration.runs import fail_runs_of_dead_processes
from lake.orchestration.warm.code_seen import CodeSeen
from lake.orchestration.warm.execute import CodeLocation
from lake.orchestration.warm.hand_over import IDLE, RENEW, TAKEN
from lake.orchestration.warm.worker import Worker
from lake.project.settings import Settings
from tests.quiet_dagster import QUIET_DAGSTER

pytestmark = [QUIET_DAGSTER, pytest.mark.slow]

PATIENCE_SECONDS = 60
SUCCESS = dg.DagsterRunStatus.SUCCESS
JOB = "__ASSET_JOB"
PROJECT = """
import time
from pathlib import Path
import dagster as dg

@dg.asset
def good(context: dg.AssetExecutionContext) -> None:
    while not Path(__file__).with_name("go on").exists():
        time.sleep(0.01)
    print("computed", context.run.run_id, flush=True)

@dg.asset
def bad() -> None:
    raise ValueError("no")

defs = dg.Definitions([good, bad], executor=dg.in_process_executor)
"""
WORKSPACE = "load_from: [{python_file: {relative_path: warm_project.py, location_name: here}}]"


class Project:
    """A project in a folder, and a worker that has loaded it."""

    def __init__(self, folder: Path, instance: dg.DagsterInstance) -> None:
        self.instance, self.file, self.go_on = instance, folder / "warm_project.py", folder / "go on"
        workspace = folder / "workspace.yaml"
        self.file.write_text(PROJECT)
        workspace.write_text(WORKSPACE)
        (origin,) = WorkspaceFileTarget([str(workspace)]).create_origins()
        self.repository = RemoteRepositoryOrigin(origin, "__repository__")
        self.location = CodeLocation.load(workspace)
        self.worker = Worker(instance, self.location, CodeSeen([], [self.file]))

    def asked_for(self, asset: str) -> str:
        run = self.instance.create_run_for_job(
            self.location.repository.get_job(JOB),
            asset_selection={dg.AssetKey(asset)},
            remote_job_origin=RemoteJobOrigin(self.repository, JOB),
        )
        return run.run_id

    def find_due(self, run_ids: Sequence[str]) -> None:
        """Let the worker find, once, that these runs are due."""
        requests = [[dg.RunRequest("due")]]
        self.worker.due = lambda: requests.pop() if requests else []
        self.worker.all_of = lambda _: (partial(self.found, run_id) for run_id in run_ids)

    def found(self, run_id: str) -> dg.DagsterRun:
        run = self.instance.get_run_by_id(run_id)
        assert run is not None
        return run

    def status(self, run_id: str) -> dg.DagsterRunStatus:
        return self.found(run_id).status

    def until(self, is_so: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not is_so():
            assert time.monotonic() < deadline
            time.sleep(0.01)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    monkeypatch.setenv("DAGSTER_HOME", "")
    for wait in ("_LOOKS_EVERY_SECONDS", "_WAITS_SECONDS"):
        monkeypatch.setattr(f"lake.orchestration.warm.worker.{wait}", 0.01)
    with open_instance(Settings.from_env({"LAKEHOUSE_HOME": str(tmp_path / "home")})) as instance:
        # The tests create runs with an origin of their own.
        vars(instance).pop("create_run_for_job")
        yield Project(tmp_path, instance)


@contextmanager
def serving(project: Project) -> Iterator[Future[int]]:
    """The worker serves in a thread until the block ends, and then its code has changed."""
    with ThreadPoolExecutor(1) as thread:
        served = thread.submit(project.worker.serve)
        try:
            yield served
        finally:
            project.go_on.touch()
            project.file.write_text(PROJECT + "# changed")


def test_it_executes_one_run_after_the_other_and_each_has_its_own_output(project: Project) -> None:
    with serving(project) as served:
        first, second = project.asked_for("good"), project.asked_for("good")

        assert project.worker.answer("take", first) == TAKEN
        assert project.worker.answer("take", second) == f"the warm process executes run {first[:8]}"
        assert project.worker.answer("state", "") == first
        project.go_on.touch()
        project.until(lambda: project.worker.answer("take", second) == TAKEN)
        project.until(lambda: project.worker.answer("state", "") == IDLE)
    assert served.result() == RENEW

    assert [project.status(run_id) for run_id in (first, second)] == [dg.DagsterRunStatus.SUCCESS] * 2
    assert project.worker.runs == 2
    for run_id in (first, second):
        run = project.instance.get_run_by_id(run_id)
        assert run is not None
        assert (run.tags[WORKER], run.tags[TAKEN_RUN]) == (this_process(), run_id)
        (captured,) = (project.instance.root_directory / Path("storage") / run_id / "compute_logs").glob("*.out")
        assert f"computed {run_id}" in captured.read_text()


def test_after_a_run_that_failed_it_asks_for_a_fresh_process(project: Project) -> None:
    failing = project.asked_for("bad")
    assert project.worker.answer("take", failing) == TAKEN

    assert project.worker.serve() == RENEW

    assert project.status(failing) == dg.DagsterRunStatus.FAILURE
    assert project.worker.answer("take", project.asked_for("good")) == "the warm process starts anew"


def test_what_is_due_is_executed_one_after_the_other_without_being_asked_for(project: Project) -> None:
    due = [project.asked_for("good") for _ in range(3)]
    project.find_due(due)
    project.go_on.touch()

    with serving(project) as served:
        project.until(lambda: project.worker.runs == 3 and project.worker.answer("state", "") == IDLE)
    assert served.result() == RENEW

    assert [project.status(run_id) for run_id in due] == [dg.DagsterRunStatus.SUCCESS] * 3


def test_while_something_due_is_executed_no_other_run_is_taken(project: Project) -> None:
    due, other = project.asked_for("good"), project.asked_for("good")
    project.find_due([due])

    with serving(project):
        project.until(lambda: project.worker.answer("state", "") == due)
        assert project.worker.answer("take", other) == f"the warm process executes run {due[:8]}"
        project.go_on.touch()
        project.until(lambda: project.worker.answer("take", other) == TAKEN)
        project.until(lambda: project.status(other) == dg.DagsterRunStatus.SUCCESS)


@pytest.mark.parametrize("planned", [0, 1, 2])
def test_a_run_asked_for_while_it_plans_goes_before_what_it_plans(project: Project, planned: int) -> None:
    due, clicked = [project.asked_for("good") for _ in range(2)], project.asked_for("good")
    left, answers = [*due], list[str]()
    clicked_was: list[dg.DagsterRunStatus] = []

    def begin() -> dg.DagsterRun:
        clicked_was.append(project.status(clicked))
        return project.found(left.pop(0))

    def plan(_: Sequence[dg.RunRequest]) -> Iterator[Callable[[], dg.DagsterRun]]:
        while True:
            if len(clicked_was) == planned and not answers:
                answers.extend(project.worker.answer("take", one) for one in (clicked, project.asked_for("good")))
            if not left:
                return
            yield begin

    project.worker.due = lambda: [dg.RunRequest("due")] if left else []
    project.worker.all_of = plan
    project.go_on.touch()
    with serving(project):
        project.until(lambda: not left and project.worker.answer("state", "") == IDLE)

    assert answers == [TAKEN, f"the warm process executes run {clicked[:8]} next"]
    assert clicked_was == [SUCCESS if planned <= number else dg.DagsterRunStatus.NOT_STARTED for number in range(2)]
    assert [project.status(run_id) for run_id in (*due, clicked)] == [SUCCESS] * 3


def test_after_a_run_asked_for_meanwhile_has_failed_nothing_due_is_recorded(project: Project) -> None:
    clicked = project.asked_for("bad")
    recorded: list[str] = []

    def record() -> dg.DagsterRun:
        recorded.append(clicked)
        return project.found(clicked)

    def plan(_: Sequence[dg.RunRequest]) -> Iterator[Callable[[], dg.DagsterRun]]:
        assert project.worker.answer("take", clicked) == TAKEN
        yield record

    project.find_due([])
    project.worker.all_of = plan
    with serving(project) as served:
        project.until(served.done)

    assert project.status(clicked) == dg.DagsterRunStatus.FAILURE
    assert not recorded


def test_what_is_due_is_never_started_by_code_that_has_changed(project: Project) -> None:
    due = project.asked_for("good")
    project.find_due([due])
    project.go_on.touch()
    project.worker.code.has_changed = lambda: True  # type: ignore[method-assign]

    assert project.worker.serve() == RENEW
    assert project.status(due) == dg.DagsterRunStatus.NOT_STARTED


def test_after_one_that_failed_nothing_follows(project: Project) -> None:
    first, second, third = project.asked_for("good"), project.asked_for("bad"), project.asked_for("good")
    project.find_due([first, second, third])
    project.go_on.touch()

    with serving(project) as served:
        project.until(served.done)

    assert project.status(first) == dg.DagsterRunStatus.SUCCESS
    assert project.status(second) == dg.DagsterRunStatus.FAILURE
    assert project.status(third) == dg.DagsterRunStatus.NOT_STARTED


def test_changed_code_never_runs_even_before_it_has_looked(project: Project) -> None:
    project.file.write_text(PROJECT.replace('"no"', '"another reason"'))

    assert project.worker.answer("take", project.asked_for("good")) == "the warm process starts anew"
    assert project.worker.serve() == RENEW


def test_it_takes_no_run_of_another_code_location(project: Project) -> None:
    run = project.instance.create_run_for_job(project.location.repository.get_job(JOB))

    assert project.worker.answer("take", run.run_id) == "the warm process has not loaded the job"
    assert project.worker.answer("take", "unknown") == "the warm process has not loaded the job"
    assert project.worker.answer("stop", run.run_id) == "not here"


def test_a_run_that_it_took_again_is_closed_where_it_is_killed(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that is started again has the tags of the one before it, and may have the same process."""
    before = project.asked_for("good")
    assert project.worker.answer("take", before) == TAKEN
    project.go_on.touch()
    project.worker.code.has_changed = lambda: True  # type: ignore[method-assign]
    project.worker.serve()
    run = project.instance.get_run_by_id(before)
    assert run is not None
    again = project.instance.create_run_for_job(
        project.location.repository.get_job(JOB),
        tags={**run.tags, TAKEN_RUN: "x"},
        parent_run_id=before,
        root_run_id=before,
    )
    project.instance.report_run_canceling(again)
    monkeypatch.setattr("lake.orchestration.runs._is_alive", lambda _: False)

    assert fail_runs_of_dead_processes(project.instance) == []
    project.instance.add_run_tags(again.run_id, {TAKEN_RUN: again.run_id})
    assert fail_runs_of_dead_processes(project.instance) == [again.run_id]
