"""Run services as one group, with nothing left behind.

They are started in order, watched, and stopped in the reverse order. A service that ends by itself is started again if
it says so, after a pause that grows; otherwise it ends the group.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Protocol, Self

import psutil

from lake.commands.log_view import LogView
from lake.storage.holder import began_then
from lake.storage.noted import Noted

__all__ = ["Child", "Service", "end_left_behind", "supervise"]

POLL_SECONDS = 0.2
FORCED_END_SECONDS = 3.0
STABLE_AFTER_SECONDS = 600.0
"""What has run for so long has recovered: its next failure is the first again."""


class Service(Protocol):
    """Something that runs until it is stopped.

    Attributes:
        name: in the log view.
        log: where it writes.
        shown: only lines of the log in which this regular expression is found are in the log view.
        restart_after: seconds to wait before each further start, where it ends by itself; none: it ends the group.
    """

    name: str
    log: Path
    shown: str
    restart_after: Sequence[float]

    def start(self) -> int:
        """Start it and return where in its log the lines of this start begin."""

    def announcement(self) -> str | None:
        """Return what to say once it does its work, None before."""

    def ended(self) -> str | None:
        """Return how it has ended, None while it runs."""

    def stop(self) -> None:
        """Stop it and whatever it started, and wait until nothing of it is left."""


@dataclass
class Child:
    """A service that is a command of its own session.

    So Ctrl-C reaches the supervisor alone.

    Attributes:
        name: in the log view.
        command: what to run.
        log: gets what it prints; written anew by the first start.
        announce: given its pid, what to say once it does what it is for; None before.
        env: its environment.
        stop_signal: asks it to end.
        stops_within_seconds: after which it is ended by force.
        restart_after: seconds to wait before each further start.
        shown: lines of the log view; all.
        record: where its process is noted, because a supervisor that is killed leaves it running.
        renewed_by: ending with this code, it asks for a fresh process of itself at once; nobody is told.
    """

    name: str
    command: Sequence[str]
    log: Path
    announce: Callable[[int], str | None] = lambda _: None
    env: Mapping[str, str] | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    stops_within_seconds: float = 45.0
    restart_after: Sequence[float] = ()
    shown: str = ""
    record: Noted | None = None
    renewed_by: int | None = None
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def start(self) -> int:
        """Start it, after ending what an earlier process of it may have left."""
        if self.process is not None:
            _end_family(self.process.pid)
        with self.log.open("wb" if self.process is None else "ab") as output:
            self.process = subprocess.Popen(
                self.command,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        if self.record is not None:
            started = psutil.Process(self.process.pid).create_time()
            self.record.note({self.name: {"pid": self.process.pid, "started": started}})
        return 0

    def announcement(self) -> str | None:
        return self.announce(self.process.pid) if self.process is not None else None

    def ended(self) -> str | None:
        code = self.process.poll() if self.process is not None else None
        if code is not None and code == self.renewed_by:
            self.start()
            return None
        return None if code is None else f"exit code {code}"

    def stop(self) -> None:
        """Ask its first process to end, and wait for its whole family.

        Whatever is left then is ended by force.
        """
        if self.process is not None:
            _end(self.process.pid, self.stop_signal, self.stops_within_seconds)
            self.process.poll()


def end_left_behind(record: Noted, seconds: float, say: Callable[[str], None]) -> None:
    """End the services of a supervisor that was killed.

    Args:
        record: where the services noted their processes.
        seconds: how long each may take to end in order.
        say: told before each is ended.
    """
    for name, noted in record.read().items():
        pid, started = int(noted["pid"]), float(noted["started"])
        if not _is_stranger(pid, started) and any(map(_is_alive, _family(pid))):
            say(f"{name} still runs (pid {pid}), because what started it was killed; it is ended first")
            _end(pid, signal.SIGTERM, seconds)


def _end(leader: int, stop_signal: signal.Signals, seconds: float) -> None:
    family = _family(leader)
    with suppress(psutil.NoSuchProcess):
        if _is_alive(first := psutil.Process(leader)):
            first.send_signal(stop_signal)
            _await_end(family, seconds)
    _end_family(leader, family)


def _end_family(leader: int, known: Sequence[psutil.Process] = ()) -> None:
    """End by force whatever is left of a process's family."""
    left = {*known, *_family(leader)}
    for end in (psutil.Process.terminate, psutil.Process.kill):
        for process in filter(_is_alive, left):
            with suppress(psutil.NoSuchProcess):
                end(process)
        _await_end(left, FORCED_END_SECONDS)


def _await_end(processes: Iterable[psutil.Process], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while any(map(_is_alive, processes)) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS / 4)


def _family(leader: int) -> list[psutil.Process]:
    """Return a process's descendants, and the processes of its session.

    Those of the session count also where their parent has gone.
    """
    found = {process for process in psutil.process_iter() if _session(process.pid) == leader}
    with suppress(psutil.NoSuchProcess):
        found.update(psutil.Process(leader).children(recursive=True))
    return list(found)


def _is_stranger(pid: int, started: float) -> bool:
    """Tell whether a process has this number that began at another time.

    A number that none has is still that of the session, because no new process gets it while a session has it.
    """
    with suppress(psutil.NoSuchProcess):
        return not began_then(psutil.Process(pid), started)
    return False


def _is_alive(process: psutil.Process) -> bool:
    """Tell whether a process still runs.

    One that has ended and that its parent has not asked about does not.
    """
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except OSError:
        return None


def supervise(services: Sequence[Service], view: LogView) -> int:
    """Run these services until somebody stops them or one ends the group.

    Ctrl-C, SIGTERM and a closed terminal stop them.

    Args:
        services: in the order in which they start.
        view: shows what they write.

    Returns:
        The exit code: 0 where somebody stopped them, 1 where one ended the group or was given up.
    """
    runs = [_Run(service, view) for service in services]
    with _Signals() as signals:
        try:
            _start_and_watch(runs, view, signals)
        finally:
            _stop_all(runs, view)
    return 0 if signals.arrived and not any(run.is_given_up for run in runs) else 1


def _start_and_watch(runs: Sequence[_Run], view: LogView, signals: _Signals) -> None:
    """Returns when a signal has arrived or a service has ended the group."""
    for run in runs:
        if signals.arrived:
            return
        run.start()
        view.show()
    while not signals.arrived and all(run.check() for run in runs):
        view.show()
        time.sleep(POLL_SECONDS)


def _stop_all(runs: Sequence[_Run], view: LogView) -> None:
    """Stop one after the other, the last started first.

    Their last lines are still shown. One that fails stops no other.
    """
    view.say("stopping")
    with ThreadPoolExecutor(1) as stopping:
        for run in reversed(runs):
            stopped = stopping.submit(run.service.stop)
            while not wait([stopped], timeout=POLL_SECONDS).done:
                view.show()
            view.show()
            if (error := stopped.exception()) is not None:
                view.say(f"{run.service.name} could not be stopped: {error}")
    view.finish()


class _Signals:
    """Notes that somebody wants an end, without an interruption.

    Stopping in order takes more than one step.
    """

    def __init__(self) -> None:
        self.arrived = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # Take SIGINT even where it is ignored, because shells start background jobs so. An ignored SIGHUP stays
            # ignored, because `nohup` asks for it.
            if number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, _signum: int, _frame: FrameType | None) -> None:
        self.arrived = True


@dataclass
class _Run:
    """One service under supervision."""

    service: Service
    view: LogView
    is_shown: bool = False
    is_announced: bool = False
    is_given_up: bool = False
    attempts: int = 0
    started_at: float = 0.0
    starts_again_at: float | None = None

    def start(self) -> None:
        """Start it, and show its log."""
        self.is_announced, self.starts_again_at = False, None
        position = self.service.start()
        self.started_at = time.monotonic()
        if not self.is_shown:
            self.view.follow(self.service.name, self.service.log, position, self.service.shown)
            self.is_shown = True

    def check(self) -> bool:
        """Look after it and tell whether the group goes on.

        It does not where the end of this service ends the group.
        """
        if self.is_given_up:
            return True
        if self.starts_again_at is not None:
            if time.monotonic() >= self.starts_again_at:
                self.start()
            return True
        if (how := self.service.ended()) is not None:
            return self._goes_on_after(how)
        if not self.is_announced and (said := self.service.announcement()) is not None:
            self.is_announced = True
            self.view.say(said)
        return True

    def _goes_on_after(self, how: str) -> bool:
        """Say that it has ended and start it again later, if it may.

        It may while it has attempts left.

        Returns:
            False where it never had any.
        """
        pauses = self.service.restart_after
        if time.monotonic() - self.started_at > STABLE_AFTER_SECONDS:
            self.attempts = 0
        said, reason = f"{self.service.name} ended by itself ({how})", f"the reason is in {self.service.log}"
        if self.attempts < len(pauses):
            pause, self.attempts = pauses[self.attempts], self.attempts + 1
            self.starts_again_at = time.monotonic() + pause
            reason = f"attempt {self.attempts} of {len(pauses)} to start it again in {pause:g} s; {reason}"
        elif pauses:
            self.is_given_up = True
            reason = f"given up after {self.attempts} attempts, the others go on; {reason}"
        self.view.say(f"{said}; {reason}")
        return bool(pauses)
