"""A group of real, small processes: who is started again, what ends the group, and that nothing is left of it."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from rich.console import Console

from lake.commands.log_view import LogView
from lake.commands.supervisor import Child, end_left_behind, supervise
from lake.storage.noted import Noted

pytestmark = pytest.mark.slow

WAITS = """
import signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
print("up", flush=True)
signal.sigwait([signal.SIGTERM])
print("down", flush=True)
open(sys.argv[1], "a").write(sys.argv[2] + "\\n")
"""
DEAF = """
import signal, subprocess, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
sleeper = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
print(sleeper.pid, flush=True)
signal.pause()
"""
LEAVES_A_CHILD = """
import subprocess, sys
sleeper = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
print(sleeper.pid, flush=True)
sys.exit(7)
"""


class Group:
    """Services in one folder, and what their view shows."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.screen = io.StringIO()
        self.services: list[Child] = []

    @property
    def ended(self) -> list[str]:
        """The names of the waiting services in the order in which they ended."""
        return (self.folder / "ended").read_text().split() if (self.folder / "ended").exists() else []

    def add(self, name: str, script: str, **options: Any) -> Child:
        command = [sys.executable, "-c", script, str(self.folder / "ended"), name]
        self.services.append(Child(name, command, self.folder / f"{name}.log", **options))
        return self.services[-1]

    def stop_when(self, is_time: Callable[[], bool]) -> None:
        """Add a service that waits, and on whose account this process gets SIGTERM when it is time."""

        def announce(_pid: int) -> str | None:
            if not is_time() or "up" not in self.log("last"):
                return None
            os.kill(os.getpid(), signal.SIGTERM)
            return "it was time"

        self.add("last", WAITS, announce=announce)

    def log(self, name: str) -> str:
        file = self.folder / f"{name}.log"
        return file.read_text() if file.exists() else ""

    def run(self, console: Console | None = None) -> int:
        view = LogView(console or Console(file=self.screen, width=200), [one.name for one in self.services])
        return supervise(self.services, view)


@pytest.fixture
def group(tmp_path: Path) -> Group:
    return Group(tmp_path)


def test_a_signal_stops_all_in_the_reverse_of_the_order_in_which_they_started(group: Group) -> None:
    for name in ("first", "second"):
        group.add(name, WAITS)
    group.stop_when(lambda: "up" in group.log("first") and "up" in group.log("second"))

    assert group.run() == 0
    assert group.ended == ["last", "second", "first"]


def test_the_view_shows_the_lines_of_all_with_their_names_up_to_the_last(group: Group) -> None:
    group.add("first", WAITS)
    group.stop_when(lambda: "up" in group.log("first"))

    group.run()

    shown = group.screen.getvalue().splitlines()
    assert {"first | up", "first | down", "last  | up", "last  | down"} <= set(shown)
    assert shown.index("up    | stopping") < shown.index("last  | down") < shown.index("first | down")


def test_handlers_of_signals_are_as_before(group: Group) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    group.stop_when(lambda: True)

    group.run()

    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before


def test_a_service_that_ends_is_started_again_until_its_attempts_are_used_up(group: Group) -> None:
    group.add("weak", 'print("started"); raise SystemExit(3)', restart_after=(0.0, 0.1))
    group.stop_when(lambda: "given up" in group.screen.getvalue())

    assert group.run() == 1
    assert group.log("weak").count("started") == 3
    said = group.screen.getvalue()
    assert "weak ended by itself (exit code 3); attempt 1 of 2 to start it again in 0 s; the reason is in" in said
    assert "attempt 2 of 2 to start it again in 0.1 s" in said
    assert "given up after 2 attempts, the others go on" in said
    assert group.ended == ["last"]


def test_a_service_that_recovers_costs_no_more_than_its_attempt(group: Group) -> None:
    once = group.folder / "once"
    script = f"import pathlib, sys; p = pathlib.Path({str(once)!r})\nif not p.exists(): p.touch(); sys.exit(1)\n{WAITS}"
    group.add("weak", script, restart_after=(0.0,))
    group.stop_when(lambda: "up" in group.log("weak"))

    assert group.run() == 0
    assert group.ended == ["last", "weak"]


def test_the_end_of_a_service_without_attempts_ends_the_group_and_says_why(group: Group) -> None:
    group.add("steady", WAITS)
    group.add("vital", f"import time\nwhile 'up' not in open({str(group.folder / 'steady.log')!r}).read(): pass\n1 / 0")

    assert group.run() == 1
    assert group.ended == ["steady"]
    said = group.screen.getvalue()
    assert f"vital ended by itself (exit code 1); the reason is in {group.folder / 'vital.log'}" in said
    assert "vital  | ZeroDivisionError: division by zero" in said


def test_what_does_not_listen_is_ended_with_its_children(group: Group) -> None:
    deaf = group.add("deaf", DEAF, stops_within_seconds=0.2)
    group.stop_when(lambda: group.log("deaf").endswith("\n"))

    assert group.run() == 0
    assert deaf.process is not None
    assert not psutil.pid_exists(deaf.process.pid)
    assert not _runs(int(group.log("deaf")))


def test_what_an_ended_service_left_behind_is_ended_too(group: Group) -> None:
    group.add("vital", LEAVES_A_CHILD)

    assert group.run() == 1
    assert not _runs(int(group.log("vital")))


def test_what_an_ended_service_left_behind_is_ended_before_it_starts_again(group: Group) -> None:
    group.add("weak", LEAVES_A_CHILD, restart_after=(0.0,))
    left: list[bool] = []

    def has_started_twice() -> bool:
        pids = group.log("weak").split()
        left.extend([_runs(int(pids[0]))] if len(pids) == 2 and not left else [])
        return "given up" in group.screen.getvalue()

    group.stop_when(has_started_twice)

    group.run()

    assert left == [False]
    assert not any(_runs(int(pid)) for pid in group.log("weak").split())


def test_a_reader_who_does_not_read_holds_up_nothing(group: Group) -> None:
    reading, writing = os.pipe()
    group.add("chatty", f"print(('x' * 99 + '\\n') * 20_000, flush=True)\n{WAITS}")
    group.stop_when(lambda: group.log("chatty").endswith("up\n"))

    with os.fdopen(writing, "w") as nobody_reads:
        assert group.run(Console(file=nobody_reads)) == 0
        os.set_blocking(reading, False)
        shown = os.read(reading, 1_000_000)

    os.close(reading)
    assert b"chatty | xxx" in shown
    assert group.ended == ["last", "chatty"]


def test_a_reader_who_has_gone_holds_up_nothing(group: Group) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    group.add("first", WAITS)
    group.stop_when(lambda: "up" in group.log("first"))

    with os.fdopen(writing, "w") as nobody_reads:
        assert group.run(Console(file=nobody_reads)) == 0

    assert group.ended == ["last", "first"]


def test_a_service_that_cannot_start_leaves_nothing_running(group: Group) -> None:
    group.add("first", WAITS)
    group.services.append(Child("missing", ["/no/such/program"], group.folder / "missing.log"))

    with pytest.raises(FileNotFoundError):
        group.run()

    first = group.services[0].process
    assert first is not None
    assert not psutil.pid_exists(first.pid)


def _runs(pid: int) -> bool:
    """Whether it runs; one that nobody has waited for yet does not."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


SUPERVISES = """
import sys
from pathlib import Path
from rich.console import Console
from lake.commands.log_view import LogView
from lake.commands.supervisor import Child, supervise
from lake.storage.noted import Noted
folder = Path(sys.argv[1])
command = [sys.executable, "-c", sys.argv[2], str(folder / "ended"), "service"]
child = Child("service", command, folder / "service.log", record=Noted(folder / "services.json"))
supervise([child], LogView(Console(), ["service"]))
"""


@pytest.mark.parametrize(
    "script",
    [pytest.param(WAITS, id="ends in order"), pytest.param(DEAF, id="ends by force", marks=pytest.mark.streams)],
)
def test_what_a_killed_supervisor_left_is_ended_by_the_next(tmp_path: Path, script: str) -> None:
    record = Noted(tmp_path / "services.json")
    with subprocess.Popen([sys.executable, "-c", SUPERVISES, str(tmp_path), script]) as supervisor:
        wait_until(lambda: (tmp_path / "service.log").exists() and (tmp_path / "service.log").read_text() != "")
        supervisor.kill()
    left = psutil.Process(record.read()["service"]["pid"])
    family = [left, *left.children()]
    said: list[str] = []

    end_left_behind(record, 2.0, said.append)

    assert [line.partition(",")[0] for line in said] == [f"service still runs (pid {left.pid})"]
    assert [process for process in family if process.is_running() and process.status() != psutil.STATUS_ZOMBIE] == []
    assert (tmp_path / "ended").exists() == (script == WAITS)
    end_left_behind(record, 2.0, said.append)
    assert len(said) == 1


def test_a_stranger_that_has_the_number_of_a_service_by_now_is_left_alone(tmp_path: Path) -> None:
    record = Noted(tmp_path / "services.json")
    with subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"], start_new_session=True) as stranger:
        record.note({"service": {"pid": stranger.pid, "started": psutil.Process(stranger.pid).create_time() - 60}})

        end_left_behind(record, 2.0, pytest.fail)

        assert stranger.poll() is None
        stranger.kill()


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


RENEWED_ONCE = """
import pathlib, signal, sys
seen = pathlib.Path(sys.argv[1]).with_name("seen")
is_first = not seen.exists()
seen.touch()
if is_first:
    sys.exit(75)
print("fresh", flush=True)
signal.sigwait([signal.SIGTERM])
"""


def test_a_service_that_asks_for_a_fresh_process_gets_it_and_nobody_is_told(tmp_path: Path) -> None:
    group = Group(tmp_path)
    group.add("renewed", RENEWED_ONCE, renewed_by=75)
    group.stop_when(lambda: "fresh" in group.log("renewed"))

    assert group.run() == 0

    assert "ended by itself" not in group.screen.getvalue()
