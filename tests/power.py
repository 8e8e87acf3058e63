"""A disk that loses power: it keeps what was forced to it, and only under names that were."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

__all__ = ["Disk"]


class Disk:
    """What this process forces to the disk from now on.

    A file that was forced has its content of that moment, a folder its names. What was not forced is gone: a new file
    is empty, a new name is missing.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._contents: dict[int, bytes] = {}
        self._names: dict[int, dict[str, tuple[int, bool]]] = {}
        self._flush = os.fsync
        monkeypatch.setattr(os, "fsync", self._note)

    def _note(self, opened: int) -> None:
        self._flush(opened)
        seen = os.fstat(opened)
        if stat.S_ISDIR(seen.st_mode):
            with os.scandir(opened) as entries:
                self._names[seen.st_ino] = {entry.name: (entry.inode(), entry.is_dir()) for entry in entries}
        else:
            self._contents[seen.st_ino] = Path(f"/proc/self/fd/{opened}").read_bytes()

    def after_a_power_cut(self, folder: Path, to: Path) -> Path:
        """Write to another folder what would be left of one; it was there and empty at the beginning."""
        to.mkdir(parents=True)
        self._restore(folder.stat().st_ino, to)
        return to

    def _restore(self, inode: int, to: Path) -> None:
        for name, (child, is_folder) in self._names.get(inode, {}).items():
            if is_folder:
                (to / name).mkdir()
                self._restore(child, to / name)
            else:
                (to / name).write_bytes(self._contents.get(child, b""))
