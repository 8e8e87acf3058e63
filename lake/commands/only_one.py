"""Let one `lakehouse up` of a lake run at a time."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from lake.errors import LakeError, Message
from lake.storage.lock_files import own_lock_files
from lake.storage.noted import Noted

__all__ = ["AlreadyUpError", "only_one"]


class AlreadyUpError(LakeError, runbook="docs/runbook.md#lakehouse-up-runs-already"):
    """Another `lakehouse up` of this lake runs: two daemons would start every run twice.

    Attributes:
        home: the lake's home folder.
        pid: of the other one, None where it has not noted it yet.
        address: of its web UI.
    """

    home: Path
    pid: int | None
    address: str

    def message(self) -> Message:
        who = "another process" if self.pid is None else f"pid {self.pid}"
        return Message(
            f"lakehouse up of {self.home}",
            f"it runs already ({who}){f', at {self.address}' if self.address else ''}",
            "open that address, or stop it first: SIGTERM or Ctrl-C ends it in order",
        )


@contextmanager
def only_one(home: Path) -> Iterator[Callable[[str], None]]:
    """Hold the lock of `lakehouse up` for as long as the block lasts.

    Args:
        home: Dagster's folder of the lake.

    Yields:
        What takes the address of the web UI, which whoever comes second is told.

    Raises:
        AlreadyUpError: another process holds it.
    """
    noted = Noted(home / "up.json")
    lock = FileLock(home / "runs.lock", timeout=0)
    try:
        with own_lock_files(home):
            lock.acquire()
    except Timeout:
        other = noted.read()
        raise AlreadyUpError(home.parent, other.get("pid"), other.get("address", "")) from None
    try:
        noted.note({"pid": os.getpid(), "address": ""})
        yield lambda address: noted.note({"address": address})
    finally:
        lock.release()
