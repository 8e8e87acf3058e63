"""Find the files of a feed that lie by a pattern.

A process remembers what it has seen. A folder is listed again where its time has changed. The newest landing days are
looked at each time, down to the files themselves, because one may be written in place; the older ones where the
look is to be whole.
"""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from threading import Lock

from lake.declare.drop_pattern import DropPattern
from lake.declare.landed import is_data, is_hidden
from lake.errors import FolderNotReadable
from lake.storage.landed_files import LandedFile
from lake.storage.landing_days import NEWEST, TICKS_NS, stat_of

__all__ = ["DropFolder", "drop_folder"]

_Mark = tuple[int, int, int]


@dataclass(frozen=True)
class _Listed:
    """Hold the folders of a folder, and its files with their days."""

    mark: _Mark
    is_steady: bool
    folders: tuple[str, ...]
    files: Mapping[str, tuple[date, LandedFile]]


@dataclass
class DropFolder:
    """Remember the files of one feed.

    Attributes:
        root: the landing folder.
        pattern: where the files lie under it.
        landed: the files of each landing day that holds any, by their paths under the landing folder.
    """

    root: Path
    pattern: DropPattern
    landed: Mapping[date, Mapping[str, LandedFile]] = field(default_factory=dict)
    _seen: dict[str, _Listed] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def look(self, *, is_whole: bool = False) -> DropFolder:
        """Look at the newest days, and at folders that have changed.

        Args:
            is_whole: look at all files.

        Raises:
            FolderNotReadable: nobody may look.
        """
        with self._lock:
            newest = set(sorted(self.landed)[-NEWEST:])
            files_by_day: dict[date, dict[str, LandedFile]] = defaultdict(dict)
            seen: dict[str, _Listed] = {}
            for listed in self._walk("", 0, seen, newest, is_whole=is_whole):
                for path, (day, file) in listed.files.items():
                    files_by_day[day][path] = file
            self._seen = seen
            landed = {day: dict(sorted(files.items())) for day, files in sorted(files_by_day.items())}
            if landed != self.landed:
                self.landed = landed
        return self

    def glance(self) -> tuple[int, int]:
        """Return something that changes when a file comes, goes or changes."""
        facts = [(path, one.size, one.modified_ns) for files in self.landed.values() for path, one in files.items()]
        return len(self.landed), hash(tuple(facts))

    def _walk(
        self, path: str, depth: int, seen: dict[str, _Listed], newest: set[date], *, is_whole: bool
    ) -> Iterator[_Listed]:
        """Go down the folders that match, and give what each holds."""
        listed = self._list(path, depth, newest, is_whole=is_whole)
        if listed is None:
            return
        seen[path] = listed
        yield listed
        for name in listed.folders:
            yield from self._walk(f"{path}/{name}".lstrip("/"), depth + 1, seen, newest, is_whole=is_whole)

    def _list(self, path: str, depth: int, newest: set[date], *, is_whole: bool) -> _Listed | None:
        folder, known = self.root / path, self._seen.get(path)
        try:
            stat = folder.stat()
            mark = (stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino)
            is_old = known is not None and not any(day in newest for day, _ in known.files.values())
            if known is not None and known.is_steady and known.mark == mark and (is_old and not is_whole):
                return known
            with os.scandir(folder) as entries:
                names = sorted(entries, key=lambda entry: entry.name)
            files = dict(self._files(path, names)) if depth == len(self.pattern.segments) - 1 else {}
        except (FileNotFoundError, NotADirectoryError):
            return None
        except PermissionError as error:
            raise FolderNotReadable(str(folder), str(error.strerror)) from error
        is_steady = max(mark[:2]) < time.time_ns() - TICKS_NS
        return _Listed(mark, is_steady, tuple(self._folders(depth, names)), files)

    def _folders(self, depth: int, entries: list[os.DirEntry[str]]) -> Iterator[str]:
        if depth < len(self.pattern.segments) - 1:
            matches = self.pattern.segments[depth].fullmatch
            yield from (one.name for one in entries if matches(one.name) and not is_hidden(one.name) and one.is_dir())

    def _files(self, path: str, entries: list[os.DirEntry[str]]) -> Iterator[tuple[str, tuple[date, LandedFile]]]:
        for entry in entries:
            day = self.pattern.day_of(f"{path}/{entry.name}")
            if day is not None and is_data(entry):
                file = self.root / path / entry.name
                yield f"{path}/{entry.name}", (day, LandedFile.of(file, stat_of(entry)))


_DROPS: dict[tuple[Path, str], DropFolder] = {}


def drop_folder(root: Path, pattern: DropPattern) -> DropFolder:
    """Return what this process remembers of the files that lie by a pattern."""
    return _DROPS.setdefault((root, pattern.text), DropFolder(root, pattern))
