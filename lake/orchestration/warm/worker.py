"""Run the warm process.

It loads the project once, keeps one Spark session, and executes runs one after the other. `lakehouse up` starts it, and
starts it again where it ends. While nobody asks for a run, it looks itself for what is due, and executes that.

It asks for a fresh process of itself where what it has loaded must not run any more. It does so between two runs, where
the project's code has changed, a run did not succeed or was stopped, its JVM has ended, it has taken more memory than
the JVM's heap explains, or it has executed a thousand runs. Whatever it refuses gets a process of its own.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Lock, Thread, Timer

import dagster as dg

from lake.declare.table import Table
from lake.orchestration.assets import TAKEN_RUN, WORKER, this_process
from lake.orchestration.dagster_home import open_instance
from lake.orchestration.open_lineage.sending import flush_all
from lake.orchestration.partitions import build_partitions
from lake.orchestration.runs import fail_runs_of_dead_processes
from lake.orchestration.warm.code_seen import CodeSeen
from lake.orchestration.warm.execute import CodeLocation, execute
from lake.orchestration.warm.fitness import is_fit
from lake.orchestration.warm.hand_over import IDLE, RENEW, STOPPING, TAKEN, listening
from lake.orchestration.warm.settle import Settling
from lake.orchestration.warm.warm_up import WarmUp
from lake.project.opening import open_store, open_tables
from lake.project.settings import Settings

__all__ = ["Worker", "run_and_leave"]

_LOOKS_EVERY_SECONDS = 5.0
"""At its code, its JVM and its memory."""
_WAITS_SECONDS = 0.5
"""For a run that somebody asks for, before it looks for what is due."""
_MOST_RUNS = 1000
_STOPS_WITHIN_SECONDS = 30.0
_PLANNING = "planning"
"""What it does between two runs; this cannot be stopped, and takes a second. A run asked for meanwhile comes next."""


@dataclass
class Worker:
    """Takes one run at a time.

    Attributes:
        instance: where runs are recorded.
        location: what it has loaded.
        code: the files that this was loaded from.
        tables: those of the project, which a run computes two at a time.
        due: finds the runs that are due while nobody asks for one.
        all_of: gives what records them and what follows them, each once the one before has succeeded.
    """

    instance: dg.DagsterInstance
    location: CodeLocation
    code: CodeSeen
    tables: Sequence[Table] = ()
    due: Callable[[], Sequence[dg.RunRequest]] = lambda: ()
    all_of: Callable[[Sequence[dg.RunRequest]], Iterator[Callable[[], dg.DagsterRun]]] = lambda _: iter(())
    runs: int = field(default=0, init=False)
    _current: str | None = field(default=None, init=False)
    _next: dg.DagsterRun | None = field(default=None, init=False)
    _is_closed: bool = field(default=False, init=False)
    _taken: SimpleQueue[dg.DagsterRun] = field(default_factory=SimpleQueue, init=False)
    _guard: Lock = field(default_factory=Lock, init=False)

    def answer(self, question: str, run_id: str) -> str:
        """Answer another process.

        It may ask from any thread.
        """
        with self._guard:
            if question == "take":
                return self._take(run_id)
            if question == "stop":
                return self._stop(run_id)
            return self._current or IDLE

    def serve(self) -> int:
        """Execute what is taken, until this process should be another one.

        Returns the exit code.
        """
        looks_again = 0.0
        while not self._is_closed:
            try:
                run = self._taken.get(timeout=_WAITS_SECONDS)
            except Empty:
                self._start_what_is_due()
            else:
                self._execute([partial(_as_recorded, run)])
            if time.monotonic() >= looks_again:
                with self._guard:
                    self._is_closed |= self._current is None and self._is_worn()
                looks_again = time.monotonic() + _LOOKS_EVERY_SECONDS
        return RENEW

    def _is_worn(self) -> bool:
        return self.runs >= _MOST_RUNS or not is_fit() or self.code.has_changed()

    def _start_what_is_due(self) -> None:
        requests = self.due()
        if not requests:
            return
        with self._guard:
            if self._current is not None:
                return  # somebody was quicker; what is due is found again
            self._is_closed |= self._is_worn()
            if self._is_closed:
                return
            self._current = _PLANNING
        self._execute(self.all_of(requests))

    def _take(self, run_id: str) -> str:
        if self._is_closed or not is_fit() or self.code.has_changed():
            return "the warm process starts anew"
        if self._current not in (None, _PLANNING):
            return f"the warm process executes run {self._current[:8]}"
        if self._next is not None:
            return f"the warm process executes run {self._next.run_id[:8]} next"
        run = self.instance.get_run_by_id(run_id)
        if run is None or not self.location.has(run):
            return "the warm process has not loaded the job"
        self.instance.add_run_tags(run_id, {WORKER: this_process(), TAKEN_RUN: run_id})
        if self._current == _PLANNING:
            self._next = run
        else:
            self._go_to(run)
        return TAKEN

    def _stop(self, run_id: str) -> str:
        if run_id != self._current:
            return "not here"
        self._is_closed = True
        os.kill(os.getpid(), signal.SIGINT)
        # What does not heed the interruption is ended with this process, whose successor closes the run.
        by_force = Timer(_STOPS_WITHIN_SECONDS, os._exit, [1])
        by_force.daemon = True
        by_force.start()
        return STOPPING

    def _execute(self, due: Iterable[Callable[[], dg.DagsterRun]]) -> None:
        """Execute runs one after the other, while all goes well.

        It stops for a run that somebody asks for. What is left is found again after that one.
        """
        for record in due:
            run = self._begin(record)
            if run is None or not self._succeeds(run):
                break
        self.code.note_loaded()
        with self._guard:
            self._current, asked, self._next = None, self._next, None
            if asked is not None:
                self._go_to(asked)

    def _go_to(self, run: dg.DagsterRun) -> None:
        self._current = run.run_id
        self._taken.put(run)

    def _begin(self, record: Callable[[], dg.DagsterRun]) -> dg.DagsterRun | None:
        """Record the run that is due, unless somebody has asked for another one meanwhile."""
        with self._guard:
            if self._next is not None:
                return None
            run = record()
            self._current = run.run_id
            return run

    def _succeeds(self, run: dg.DagsterRun) -> bool:
        self.runs += 1
        succeeded = execute(self.instance, self.location, run, self.tables)
        with self._guard:
            self._is_closed |= not succeeded
            self._current = _PLANNING
        return succeeded


def _as_recorded(run: dg.DagsterRun) -> dg.DagsterRun:
    return run


def main() -> int:
    """Serve until this process should be another one.

    Returns the exit code.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    settings = Settings.from_env()
    own = [settings.root / folder for folder in (settings.package, "resources", "sensors")]
    files = [settings.root / "pyproject.toml", settings.root / ".env"]
    code = CodeSeen([*own, Path(__file__).parents[2]], files, _calendar)
    with open_instance(settings) as instance:
        fail_runs_of_dead_processes(instance)
        try:
            location = CodeLocation.load(settings.root / "workspace.yaml")
        except Exception as error:
            print(f"ERROR: runs get processes of their own until this is mended: {error}", flush=True)
            return _await_change(code)
        code.note_loaded()
        tables, store = list(open_tables(settings)[0].values()), open_store(settings)
        settling = Settling(instance, location, settings, tables, store)
        worker = Worker(instance, location, code, tables, settling.due, settling.all_of)
        warming = WarmUp(settings, tables, store, location, lambda: worker.answer("state", "") == IDLE)
        Thread(target=warming.run, name="warm up", daemon=True).start()
        with listening(settings.dagster_home, worker.answer):
            return worker.serve()


def _calendar() -> str:
    """Identify the calendar of now, which a lake's own clock moves."""
    return build_partitions(Settings.from_env()).get_serializable_unique_identifier()


def _await_change(code: CodeSeen) -> int:
    while not code.has_changed():
        time.sleep(_LOOKS_EVERY_SECONDS)
    return RENEW


def run_and_leave() -> None:
    """Serve, then end this process at once, after what waits for a receiver was sent."""
    try:
        status = main()
    except KeyboardInterrupt:
        status = 0
    flush_all()
    sys.stdout.flush()
    # Threads that wait for the JVM, and Python's farewell to it, take seconds that a fresh process would wait for.
    os._exit(status)


if __name__ == "__main__":
    run_and_leave()
