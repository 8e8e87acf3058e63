"""Remember what this process has seen in the folders of landing days.

A folder whose time is the same holds the same names, so that only the files themselves are looked at again, which may
have been written in place. A folder that changed just now is not remembered, because clocks of file systems tick.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lake.landed_files import LandedFile

__all__ = ["is_plain", "landed_in"]

_TICKS_NS = 2_000_000_000
"""No clock of a file system ticks slower."""


_Mark = tuple[int, int, int]


@dataclass(frozen=True)
class _Seen:
    folder: _Mark
    files: Mapping[str, LandedFile]


_SEEN: dict[str, _Seen] = {}
_PLAIN: dict[str, _Mark] = {}
"""By path of a folder."""


def landed_in(folder: os.DirEntry[str], look: Callable[[], Mapping[str, LandedFile]]) -> Mapping[str, LandedFile]:
    """Find the files of a landing day by name.

    The same object is returned as long as nothing has changed.

    Args:
        folder: of the day.
        look: looks into it.
    """
    mark = _mark(folder)
    known = _SEEN.get(folder.path)
    if known is not None and known.folder == mark and _are_same(known.files):
        return known.files
    files = look()
    if _is_steady(mark):
        _SEEN[folder.path] = _Seen(mark, files)
    return files


def is_plain(folder: os.DirEntry[str], look: Callable[[], bool]) -> bool:
    """Tell whether a folder holds nothing but files that are read.

    Once it did, it does until a name in it changes.

    Args:
        folder: of the day.
        look: looks into it.
    """
    mark = _mark(folder)
    if _PLAIN.get(folder.path) == mark:
        return True
    found = look()
    if found and _is_steady(mark):
        _PLAIN[folder.path] = mark
    return found


def _mark(folder: os.DirEntry[str]) -> _Mark:
    stat = folder.stat()
    return stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino


def _is_steady(mark: _Mark) -> bool:
    return max(mark[:2]) < time.time_ns() - _TICKS_NS


def _are_same(files: Mapping[str, LandedFile]) -> bool:
    try:
        stats = [(file, file.path.stat()) for file in files.values()]
    except OSError:
        return False
    return all((stat.st_size, stat.st_mtime_ns) == (file.size, file.modified_ns) for file, stat in stats)
