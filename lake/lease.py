"""The lease: only one process runs the streams of a lake.

On one machine it is a file lock held for as long as the process lives. The JVM outlives a killed Python process by
about half a second, so its pid is recorded and a successor waits for it to end.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from lake.durable import write_whole
from lake.errors import AlreadyFollowed
from lake.lock_files import own_lock_files

__all__ = ["Driver", "is_followed", "lease", "read_driver", "record_jvm"]

_LOCK, _DRIVER = "lake.streams.lock", "lake.streams.json"
_JVM_ENDS_WITHIN_SECONDS = 30.0

Process = dict[str, float]


@dataclass(frozen=True)
class Driver:
    """The process that runs the streams, or that was killed while it did.

    Attributes:
        pid: its number.
        since: when it took the lease, or had its session; UTC.
        is_alive: whether it is still there. Its record outlives it only if it was killed.
    """

    pid: int
    since: datetime
    is_alive: bool


@contextmanager
def lease(locks: Path) -> Iterator[None]:
    """Hold the right to run streams.

    Raises:
        AlreadyFollowed: another process holds it, or its JVM is still there.
        FolderNotWritable: its file belongs to another user.
    """
    lock = FileLock(locks / _LOCK)
    try:
        with own_lock_files(locks):
            locks.mkdir(parents=True, exist_ok=True)
            lock.acquire(timeout=0)
    except Timeout as error:
        raise AlreadyFollowed(_holder(locks)) from error
    try:
        _wait_for_jvm(locks)
        with own_lock_files(locks):
            _record(locks, _this_process())
        try:
            yield
        finally:
            # A process that ends by itself has stopped its queries; only a killed one leaves its JVM on record.
            (locks / _DRIVER).unlink(missing_ok=True)
    finally:
        lock.release()


def record_jvm(locks: Path, start: Callable[[], None]) -> None:
    """Start the session and record the JVMs of this process, for a successor to wait for."""
    start()
    children = psutil.Process().children(recursive=True)
    jvms = [{"pid": child.pid, "started": child.create_time()} for child in children if "java" in child.name()]
    _record(locks, {**_this_process(), "jvms": jvms})


def is_followed(locks: Path) -> bool:
    """Whether some process holds the lease now."""
    try:
        with own_lock_files(locks), FileLock(locks / _LOCK).acquire(timeout=0):
            return False
    except Timeout:
        return True
    except FileNotFoundError:
        return False


def read_driver(locks: Path) -> Driver | None:
    """Who runs the streams, without asking for the lease; None where the last one ended in order, or none ever ran."""
    found = _read(locks)
    try:
        pid, started = int(str(found["pid"])), float(str(found["started"]))
        since = datetime.fromtimestamp((locks / _DRIVER).stat().st_mtime, UTC)
    except (OSError, KeyError, ValueError):
        return None
    process = _process({"pid": pid, "started": started})
    return Driver(pid, since, process is not None and process.status() != psutil.STATUS_ZOMBIE)


def _this_process() -> dict[str, object]:
    return {"pid": os.getpid(), "started": psutil.Process().create_time()}


def _record(locks: Path, facts: Mapping[str, object]) -> None:
    write_whole(locks / _DRIVER, json.dumps(facts), flush=False)  # no process outlives a power cut


def _read(locks: Path) -> dict[str, object]:
    try:
        found = json.loads((locks / _DRIVER).read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _holder(locks: Path) -> str:
    pid = _read(locks).get("pid")
    return f"pid {pid}" if pid else "its pid is not known"


def _wait_for_jvm(locks: Path) -> None:
    jvms = _read(locks).get("jvms")
    left = [_process(jvm) for jvm in jvms] if isinstance(jvms, list) else []
    _, alive = psutil.wait_procs([jvm for jvm in left if jvm is not None], timeout=_JVM_ENDS_WITHIN_SECONDS)
    if alive:
        raise AlreadyFollowed(f"JVM {alive[0].pid} of a process that has ended")


def _process(jvm: Process) -> psutil.Process | None:
    """The recorded process if it is still that one: pids are used again."""
    try:
        process = psutil.Process(int(jvm["pid"]))
        return process if abs(process.create_time() - jvm["started"]) < 1 else None
    except (psutil.NoSuchProcess, KeyError, TypeError, ValueError):
        return None
