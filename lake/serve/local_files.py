"""Replace files of this machine as a whole.

So a reader has the old one or the new one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lake.serve.target import Place
from lake.storage.durable import flush_files, flush_folders

__all__ = ["hold", "swap"]


@contextmanager
def hold(path: Path, place: Place) -> Iterator[None]:
    """Hold the lock of a file or folder, which lies beside it.

    Processes of several lakes may load the same one.

    Raises:
        TableLocked: another process kept it for too long.
    """
    from lake.storage.table_locks import TableLocks  # which no look at a sink needs

    path.parent.mkdir(parents=True, exist_ok=True)
    with TableLocks(path.parent / ".locks", place.lock_timeout_seconds, place.tell).hold(path.name):
        yield


@contextmanager
def swap(file: Path, aside: Path) -> Iterator[Path]:
    """Give a path to write to, and let the result replace `file`.

    It takes the place of `file` at the end, and survives a power cut.
    """
    aside.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileNotFoundError):
        aside.unlink()  # left by a process that was killed
    try:
        yield aside
        flush_files([aside])
        file.parent.mkdir(parents=True, exist_ok=True)
        aside.replace(file)
    except BaseException:
        with suppress(FileNotFoundError):
            aside.unlink()
        raise
    flush_folders([file.parent])
