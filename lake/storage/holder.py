"""Record who holds a lock.

A holder that was killed may still write. A file lock is free as soon as its process has ended. Its JVM lives a moment
longer and may commit in that moment. So a holder records itself and its JVMs beside the lock. Whoever takes the lock
and finds such a record waits for those JVMs.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lake.storage.durable import write_whole
from lake.storage.lock_files import own_lock_files

if TYPE_CHECKING:
    import psutil

__all__ = [
    "JVM_ENDS_WITHIN_SECONDS",
    "Holder",
    "await_jvms",
    "began_then",
    "find_process",
    "hold",
    "note_session",
    "read_holder",
]

JVM_ENDS_WITHIN_SECONDS = 30.0
_POLL_SECONDS = 0.05

_HELD: dict[Path, Path] = {}
"""The records of this process, each with its lock."""
_GUARD = threading.Lock()
_JVMS: list[dict[str, float]] = []
_SESSIONS: list[object] = []
"""The session whose JVM is in `_JVMS`: looking for it goes through every process of the machine."""


@dataclass(frozen=True)
class Holder:
    """The process that holds a lock, or held it when it was killed.

    Attributes:
        pid: its process.
        started: when that began, seconds since 1970: numbers of processes are used again.
        jvms: pid and start of each JVM that it had started.
        lock: inode of the lock; another one in the copy of a lake.
    """

    pid: int
    started: float
    jvms: tuple[tuple[int, float], ...] = ()
    lock: int | None = None

    def __str__(self) -> str:
        return f"pid {self.pid}"

    @property
    def is_alive(self) -> bool:
        """Tell whether the process is still there."""
        return find_process(self.pid, self.started) is not None


def find_process(pid: int, started: float) -> psutil.Process | None:
    """Find the process that began then under this number.

    None where it has ended.
    """
    import psutil  # which most looks at a lake do not need

    try:
        process = psutil.Process(pid)
        is_same = began_then(process, started) and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.Error, ValueError):
        return None
    return process if is_same else None


def began_then(process: psutil.Process, started: float) -> bool:
    """Tell whether a process is the one that began then, because numbers of processes are used again.

    Raises:
        psutil.Error: it has ended, or is another user's.
    """
    return abs(process.create_time() - started) < 1


@contextmanager
def hold(record: Path, lock: Path, *, stays_if_interrupted: bool = False) -> Iterator[None]:
    """Record that this process holds a lock, for as long as the block lasts.

    Args:
        record: where to.
        lock: the lock's file.
        stays_if_interrupted: by Ctrl-C for example, because the JVM may go on with a write that it has begun.
    """
    with _GUARD, own_lock_files(record.parent):
        _write(record, lock)
        _HELD[record] = lock
    stays = stays_if_interrupted
    try:
        yield
        stays = False
    except Exception:
        stays = False
        raise
    finally:
        with _GUARD:
            del _HELD[record]
            if not stays:
                with suppress(OSError):
                    record.unlink()


def note_session(session: object) -> None:
    """Add the JVM of a session to the records of this process.

    Call it before the session writes anything.
    """
    if _SESSIONS and _SESSIONS[0] is session:
        return
    with _GUARD:
        _JVMS[:] = _running_jvms()
        _SESSIONS[:] = [session]
        for record, lock in _HELD.items():
            _write(record, lock)


def _running_jvms() -> list[dict[str, float]]:
    import psutil

    found = []
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if "java" in child.name():
                found.append({"pid": child.pid, "started": child.create_time()})
    return found


def read_holder(record: Path) -> Holder | None:
    """Read who holds a lock.

    None where nobody does, or the record cannot be read.
    """
    try:
        found = json.loads(record.read_text())
        jvms = tuple((int(one["pid"]), float(one["started"])) for one in found.get("jvms", ()))
        return Holder(int(found["pid"]), float(found["started"]), jvms, found.get("lock"))
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None


def await_jvms(record: Path, lock: Path, seconds: float, on_wait: Callable[[int], None] = lambda _: None) -> int | None:
    """Wait for the JVMs of a holder that was killed.

    The caller has the lock.

    Args:
        record: of the lock.
        lock: the lock's file.
        seconds: how long to wait at most.
        on_wait: told once, with the pid of a JVM, where there is one to wait for.

    Returns:
        The pid of a JVM that is still there, and may still write; None where none is.
    """
    left, deadline = _left_behind(record, lock), time.monotonic() + seconds
    if left:
        on_wait(left[0])
    while left and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
        left = _left_behind(record, lock)
    return left[0] if left else None


def _left_behind(record: Path, lock: Path) -> list[int]:
    """Return the JVMs on record that are still there.

    This process knows its own, and a copy of a lake has no others.
    """
    holder = read_holder(record)
    if holder is None or holder.pid == os.getpid() or holder.lock not in (None, lock.stat().st_ino):
        return []
    return [pid for pid, started in holder.jvms if find_process(pid, started) is not None]


def _write(record: Path, lock: Path) -> None:
    import psutil

    facts: Mapping[str, Any] = {
        "pid": os.getpid(),
        "started": psutil.Process().create_time(),
        "jvms": _JVMS,
        "lock": lock.stat().st_ino,
    }
    write_whole(record, json.dumps(facts), flush=False)  # no process outlives a power cut
