"""Run one process and measure it with all that it starts.

Measured are wall and processor time, and the peak memory of the whole process tree.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.errors import SideFailed

__all__ = ["Measured", "processor_seconds", "python", "run_measured"]

SAMPLE_SECONDS = 0.1


@dataclass(frozen=True)
class Measured:
    """One run of a process and all that it started.

    Attributes:
        seconds: wall time from start to exit.
        cpu_seconds: processor time of all its processes, up to the last sample of each.
        peak_bytes: the largest sum of their resident memory.
    """

    seconds: float
    cpu_seconds: float
    peak_bytes: int


def processor_seconds(command: Sequence[str], env: Mapping[str, str] | None = None) -> float:
    """Run a command that has to succeed, and return the processor time that it took.

    It may keep what it compiles of the sources, as every installation does, also where this process may not.
    """
    given = os.environ if env is None else env
    env = {name: value for name, value in given.items() if name != "PYTHONDONTWRITEBYTECODE"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, env=env, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def run_measured(command: Sequence[str], *, env: Mapping[str, str], log: Path, folder: Path | None = None) -> Measured:
    """Run a command to its end and measure it.

    Its output goes to `log`, lines that begin with a blank also to the terminal.

    Raises:
        SideFailed: it did not exit with 0.
    """
    started = time.monotonic()
    with (
        log.open("w", buffering=1) as written,
        subprocess.Popen(
            list(command), env=dict(env), cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process,
    ):
        sampler = _Sampler(process.pid)
        sampler.start()
        try:
            for line in process.stdout or ():
                written.write(line)
                if line.startswith("    "):
                    print(line, end="", flush=True)
            exit_code = process.wait()
        except BaseException:
            _end(process)
            raise
        finally:
            seconds = time.monotonic() - started
            sampler.stop()
    if exit_code:
        raise SideFailed(" ".join(command), exit_code, log)
    return Measured(round(seconds, 2), round(sampler.cpu_seconds, 2), sampler.peak_bytes)


class _Sampler(threading.Thread):
    """Looks at a process and all its descendants, again and again."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.peak_bytes = 0
        self._cpu: dict[psutil.Process, float] = {}
        self._root = psutil.Process(pid)
        self._stopped = threading.Event()

    @property
    def cpu_seconds(self) -> float:
        return sum(self._cpu.values())

    def run(self) -> None:
        while not self._stopped.wait(SAMPLE_SECONDS):
            self.peak_bytes = max(self.peak_bytes, self._sample())

    def stop(self) -> None:
        self._stopped.set()
        self.join()

    def _sample(self) -> int:
        """Note the processor time of each process and return the memory of all.

        It is their resident memory.
        """
        try:
            tree = [self._root, *self._root.children(recursive=True)]
        except psutil.Error:
            return 0
        return sum(self._look_at(process) for process in tree)

    def _look_at(self, process: psutil.Process) -> int:
        try:
            with process.oneshot():
                spent = process.cpu_times()
                self._cpu[process] = spent.user + spent.system
                return int(process.memory_info().rss)
        except psutil.Error:
            return 0


def _end(process: subprocess.Popen[str]) -> None:
    """End the process and what it started: an interrupted benchmark leaves no JVM behind."""
    try:
        tree = psutil.Process(process.pid).children(recursive=True)
    except psutil.Error:
        tree = []
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
    for child in tree:
        if child.is_running():
            child.kill()


def python(module: str) -> list[str]:
    """Return the command that runs a module in this environment."""
    return [sys.executable, "-m", module]
