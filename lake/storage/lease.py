"""The lease: only one process runs the streams of a lake.

On one machine it is a file lock held for as long as the process lives; a successor also waits for the JVM of a process
that was killed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from lake.errors import AlreadyFollowed
from lake.storage.holder import JVM_ENDS_WITHIN_SECONDS, await_jvms, hold, read_holder
from lake.storage.lock_files import own_lock_files

__all__ = ["Driver", "is_followed", "lease", "read_driver"]

_LOCK, _DRIVER = "lake.streams.lock", "lake.streams.json"


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
    from filelock import FileLock, Timeout  # who reads the driver alone does not need it

    file, record = locks / _LOCK, locks / _DRIVER
    lock = FileLock(file)
    try:
        with own_lock_files(locks):
            locks.mkdir(parents=True, exist_ok=True)
            lock.acquire(timeout=0)
    except Timeout as error:
        raise AlreadyFollowed(str(read_holder(record) or "its pid is not known")) from error
    try:
        jvm = await_jvms(record, file, JVM_ENDS_WITHIN_SECONDS)
        if jvm is not None:
            raise AlreadyFollowed(f"JVM {jvm} of a process that has ended")
        with hold(record, file):
            yield
    finally:
        lock.release()


def is_followed(locks: Path) -> bool:
    """Tell whether some process holds the lease now."""
    from filelock import FileLock, Timeout

    try:
        with own_lock_files(locks), FileLock(locks / _LOCK).acquire(timeout=0):
            return False
    except Timeout:
        return True
    except FileNotFoundError:
        return False


def read_driver(locks: Path) -> Driver | None:
    """Return who runs the streams, without asking for the lease.

    None where the last one ended in order, or none ever ran.
    """
    found = read_holder(locks / _DRIVER)
    try:
        since = datetime.fromtimestamp((locks / _DRIVER).stat().st_mtime, UTC)
    except OSError:
        return None
    return None if found is None else Driver(found.pid, since, found.is_alive)
