"""Remember what this process has seen in the folder of a feed.

So a look costs what has changed.

    landing/<feed>/landed_on=YYYY-MM-DD/<file>

The newest landing days are looked at each time, down to the files themselves, because one may be written in place. An
older day is looked at once in `TURNS` looks, because years of them would cost more than all else. A folder that changed
just now is not remembered, because clocks of file systems tick.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from operator import attrgetter
from pathlib import Path
from threading import Lock
from typing import NamedTuple

from lake.declare.landed import folder_name, is_data, is_hidden, landing_day
from lake.errors import FolderNotReadable
from lake.storage.landed_files import LandedFile

__all__ = ["NEWEST", "TICKS_NS", "TURNS", "DayFolder", "FeedFolder", "feed_folder", "read_day", "stat_of"]

NEWEST = 7
"""So many landing days are looked at each time."""
TURNS = 200
"""So many looks see each of the older days once."""
TICKS_NS = 2_000_000_000
"""No clock of a file system ticks slower."""

_Mark = tuple[int, int, int]


@dataclass(frozen=True)
class DayFolder:
    """The content of the folder of a landing day.

    Attributes:
        files: those that are read, by name, in order.
        is_plain: whether it holds nothing else but hidden names, and no link.
        touched_ns: when any of the files was written or renamed last; 0 where there is none.
    """

    files: Mapping[str, LandedFile]
    is_plain: bool = True
    touched_ns: int = field(default=0, compare=False)


def read_day(folder: Path | str) -> DayFolder:
    """Look into the folder of a landing day.

    It need not be there.

    Raises:
        FolderNotReadable: nobody may look at the folder of the feed.
    """
    try:
        with os.scandir(folder) as found:
            entries = sorted(found, key=attrgetter("name"))
    except FileNotFoundError:
        return DayFolder({})
    except NotADirectoryError:
        return DayFolder({}, is_plain=False)
    except PermissionError as error:
        closed = Path(folder)
        try:
            stat = closed.stat()
        except PermissionError:
            raise FolderNotReadable(str(closed.parent), str(error.strerror)) from error
        # The day may hold files, so a reader of it learns that it cannot be read.
        return DayFolder({closed.name: LandedFile.of(closed, stat)})
    return _content(entries)


def _content(entries: Sequence[os.DirEntry[str]]) -> DayFolder:
    files, is_plain, touched = dict[str, LandedFile](), True, 0
    for entry in entries:
        if is_data(entry):
            stat = stat_of(entry)
            files[entry.name] = LandedFile.of(entry.path, stat)
            touched = max(touched, stat.st_ctime_ns)  # it follows each write, and each rename
            is_plain = is_plain and not entry.is_symlink()
        else:
            is_plain = is_plain and is_hidden(entry.name)
    return DayFolder(files, is_plain, touched)


def stat_of(entry: os.DirEntry[str]) -> os.stat_result:
    """Return size and times of a file, of the link where it leads nowhere."""
    try:
        return entry.stat()
    except FileNotFoundError:
        return entry.stat(follow_symlinks=False)


class _Seen(NamedTuple):
    """A landing day as it was seen.

    The folder itself has no mark after the first look, because years of them would take a fifth longer.
    """

    path: str
    folder: _Mark | None
    content: DayFolder
    is_steady: bool

    def is_same(self, folder: _Mark) -> bool:
        return self.is_steady and self.folder == folder and _are_same(self.content.files)


@dataclass
class FeedFolder:
    """The folder of one feed, as this process has seen it.

    Attributes:
        path: where it is.
        landed: the files of each landing day that holds any. The same object as long as nothing has changed.
        others: names in it that are no landing day.
        not_plain: landing days that hold something which is not read.
        linked: landing days whose folder is a link.
    """

    path: Path
    landed: Mapping[date, Mapping[str, LandedFile]] = field(default_factory=dict)
    others: tuple[str, ...] = ()
    not_plain: set[date] = field(default_factory=set)
    linked: set[date] = field(default_factory=set)
    _mark: _Mark | None = None
    _days: list[date] = field(default_factory=list)
    _seen: dict[date, _Seen] = field(default_factory=dict)
    _unsteady: set[date] = field(default_factory=set)
    _turn: int = 0
    _hashes: dict[date, int] = field(default_factory=dict)
    _sum: int = 0
    _unhashed: set[date] = field(default_factory=set)
    _lock: Lock = field(default_factory=Lock)

    def look(self, *, is_whole: bool = False) -> FeedFolder:
        """Look at the newest days and at some of the older ones.

        Args:
            is_whole: look at all of them.

        Raises:
            FolderNotReadable: nobody may look.
        """
        with self._lock:
            self._list()
            found = {day: self._read(day) for day in self._due(is_whole=is_whole)}
            if any(seen is not self._seen.get(day) for day, seen in found.items()):
                self._remember(found)
            self._turn = (self._turn + 1) % TURNS
        return self

    @property
    def days(self) -> list[date]:
        """The days that have a folder, in order.

        The folder need not hold a file.
        """
        return self._days

    def glance(self) -> tuple[int, int]:
        """Return a cheap fingerprint of the folders and files looked at.

        It is equal as long as none came, went or changed.
        """
        with self._lock:
            for day in self._unhashed:
                before, self._hashes[day] = self._hashes.get(day, 0), _hash(day, self._seen[day].content.files)
                self._sum = (self._sum + self._hashes[day] - before) % 2**64
            self._unhashed.clear()
            return len(self._days), self._sum

    def _list(self) -> None:
        """List the days, if a folder of one has come or gone."""
        try:
            mark = _mark(self.path)
            if mark == self._mark and self._turn:  # not every file system keeps the times of folders
                return
            with os.scandir(self.path) as entries:
                names = {entry.name: entry.is_symlink() for entry in entries}
        except FileNotFoundError:
            mark, names = (0, 0, 0), {}
        except PermissionError as error:
            self._mark = None
            raise FolderNotReadable(str(self.path), str(error.strerror)) from error
        self._mark = mark if _is_steady(mark) else None
        day_by_name = {name: landing_day(name) for name in sorted(names)}
        self._days = [day for day in day_by_name.values() if day is not None]  # their names sort as they do
        self.others = tuple(name for name, day in day_by_name.items() if day is None)
        self.linked = {day for name, day in day_by_name.items() if day is not None and names[name]}
        days = set(self._days)
        self._unsteady |= days - self._seen.keys()
        if gone := self._seen.keys() - days:
            self._forget(gone)

    def _due(self, *, is_whole: bool) -> set[date]:
        if is_whole:
            return set(self._days)
        return {*self._days[-NEWEST:], *self._days[:-NEWEST][self._turn :: TURNS], *self._unsteady}

    def _read(self, day: date) -> _Seen:
        known = self._seen.get(day)
        if known is None:
            path = f"{self.path}{os.sep}{folder_name(day)}"  # years of days make no paths
            content = read_day(path)
            return _Seen(path, None, content, bool(content.files) and _is_past(content.touched_ns))
        try:
            mark = _mark(known.path)
        except FileNotFoundError:
            mark = (0, 0, 0)
        except PermissionError as error:
            raise FolderNotReadable(str(self.path), str(error.strerror)) from error
        return known if known.is_same(mark) else _Seen(known.path, mark, read_day(known.path), _is_steady(mark))

    def _remember(self, found: Mapping[date, _Seen]) -> None:
        changed = [
            day for day, seen in found.items() if day not in self._seen or seen.content != self._seen[day].content
        ]
        self._seen |= found
        steady = {day for day, seen in found.items() if seen.is_steady}
        self._unsteady = (self._unsteady | found.keys()) - steady
        landed = dict(self.landed)
        for day in changed:
            landed.pop(day, None)
            self.not_plain.discard(day)
            content = found[day].content
            if content.files:
                landed[day] = content.files
            if not content.is_plain:
                self.not_plain.add(day)
        self._unhashed.update(changed)
        if changed:
            self.landed = landed

    def _forget(self, gone: set[date]) -> None:
        self.landed = {day: files for day, files in self.landed.items() if day not in gone}
        self.not_plain -= gone
        self._unsteady -= gone
        for day in gone:
            self._seen.pop(day)
            self._sum -= self._hashes.pop(day, 0)
            self._unhashed.discard(day)


_FEEDS: dict[Path, FeedFolder] = {}


def feed_folder(path: Path) -> FeedFolder:
    """Return what this process remembers of the folder of a feed."""
    return _FEEDS.setdefault(path, FeedFolder(path))


def _mark(folder: Path | str) -> _Mark:
    stat = _stat(folder)
    return stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino


def _stat(place: Path | str) -> os.stat_result:
    return os.stat(place)  # noqa: PTH116  # years of days make no paths


def _is_steady(mark: _Mark) -> bool:
    return _is_past(max(mark[:2]))


def _is_past(moment_ns: int) -> bool:
    return moment_ns < time.time_ns() - TICKS_NS


def _are_same(files: Mapping[str, LandedFile]) -> bool:
    try:
        stats = [(file, _stat(str(file.place))) for file in files.values()]
    except OSError:
        return False
    return all((stat.st_size, stat.st_mtime_ns) == (file.size, file.modified_ns) for file, stat in stats)


def _hash(day: date, files: Mapping[str, LandedFile]) -> int:
    facts = [(name, file.size, file.modified_ns) for name, file in files.items()]
    return int.from_bytes(hashlib.sha256(repr((day, facts)).encode()).digest()[:8])
