"""Lock tables for writing, each by a file that says who holds it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from lake.errors import TableLocked
from lake.storage.holder import JVM_ENDS_WITHIN_SECONDS, await_jvms, hold, read_holder
from lake.storage.lock_files import own_lock_files

__all__ = ["TableLocks"]

_POLL_SECONDS = 0.1
_REPORT_AFTER_SECONDS = 1.0


@dataclass(frozen=True)
class TableLocks:
    """Lock the tables of one lake.

    Attributes:
        folder: where their files lie.
        timeout_seconds: how long to wait for one that another process holds.
        on_wait: told once when a wait begins.
    """

    folder: Path
    timeout_seconds: float
    on_wait: Callable[[str], None]

    @contextmanager
    def hold(self, name: str) -> Iterator[None]:
        """Hold the write lock of a table, `layer.name`.

        Raises:
            TableLocked: another process, or the JVM of one that was killed, kept it for longer than
                `timeout_seconds`.
            FolderNotWritable: its file belongs to another user.
        """
        file, record = self.folder / f"{name}.lock", self.folder / f"{name}.holder"
        lock = FileLock(file)
        with own_lock_files(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            self._acquire(lock, name, record)
        try:
            self._await_jvms(name, record, file)
            with hold(record, file, stays_if_interrupted=True):
                yield
        finally:
            lock.release()

    def _acquire(self, lock: FileLock, name: str, record: Path) -> None:
        try:
            lock.acquire(timeout=min(_REPORT_AFTER_SECONDS, self.timeout_seconds), poll_interval=_POLL_SECONDS)
            return
        except Timeout:
            self.on_wait(f"{name}: waiting for {_name(record)}, which is writing it (Ctrl-C stops waiting)")
        try:
            rest = max(self.timeout_seconds - _REPORT_AFTER_SECONDS, 0)
            lock.acquire(timeout=rest, poll_interval=_POLL_SECONDS)
        except Timeout as error:
            raise TableLocked(name, self.timeout_seconds, _name(record)) from error

    def _await_jvms(self, name: str, record: Path, file: Path) -> None:
        """Wait for the JVM that a killed writer left behind.

        It may commit until it ends.
        """

        def tell(pid: int) -> None:
            self.on_wait(f"{name}: waiting for JVM {pid} of a writer that was killed (Ctrl-C stops waiting)")

        patience = min(JVM_ENDS_WITHIN_SECONDS, self.timeout_seconds)
        jvm = await_jvms(record, file, patience, tell)
        if jvm is not None:
            raise TableLocked(name, patience, f"JVM {jvm} of a writer that was killed")


def _name(record: Path) -> str:
    return str(read_holder(record) or "another process")
