"""List the files of a feed in an object store.

Every look lists them, because a store keeps no time of a folder; it gives a thousand names at once.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date

from pyarrow.fs import FileInfo

from lake.declare.feed import Feed
from lake.declare.landed import folder_name, is_hidden, is_read, landing_day
from lake.storage.landed_files import LandedFile, content_hash, hash_of
from lake.storage.store_path import StorePath

__all__ = ["ObjectFolder"]

_SECOND_NS = 10**9
_YOUNG_NS = 10 * _SECOND_NS
"""So much may the clocks of a store and of this machine differ."""
_FEW = 7
"""So many landing days are listed one by one."""


def _described(path: StorePath, info: FileInfo) -> LandedFile:
    """Describe an object.

    A store tells its time to the second. So what was written just now gets a fraction that its content says, because
    it may be written once more within that second.
    """
    file = LandedFile(path, int(info.size), int(info.mtime_ns))
    if file.modified_ns < time.time_ns() - _YOUNG_NS:
        return file
    return replace(file, modified_ns=file.modified_ns + int(content_hash(path), 16) % _SECOND_NS)


@dataclass
class ObjectFolder:
    """The files of one feed.

    Attributes:
        root: the landing folder.
        feed: which.
        landed: the files of each landing day that holds any, by name, or by their paths where a pattern says.
    """

    root: StorePath
    feed: Feed
    landed: Mapping[date, Mapping[str, LandedFile]] = field(default_factory=dict)

    def look(self, *, is_whole: bool = False, days: Collection[date] | None = None) -> ObjectFolder:
        """List the files, of some days at least.

        A look is always whole.
        """
        del is_whole
        landed: defaultdict[date, dict[str, LandedFile]] = defaultdict(dict)
        for folder in self._folders(days):
            for path, info in folder.walk():
                if (found := self._place(path)) is not None:
                    landed[found[0]][found[1]] = _described(path, info)
        self.landed = dict(sorted(landed.items()))
        return self

    def _folders(self, days: Collection[date] | None) -> Iterator[StorePath]:
        if self.feed.pattern is not None:
            yield self.root / self.feed.pattern.base
        elif days is None or len(days) > _FEW:
            yield self.root / self.feed.name
        else:
            yield from (self.root / self.feed.name / folder_name(day) for day in sorted(days))

    def _place(self, path: StorePath) -> tuple[date, str] | None:
        """Give the landing day and name of a file that is read."""
        names = path.parts[len(self.root.parts) :]
        if not is_read(path.name) or any(map(is_hidden, names)):
            return None
        if self.feed.pattern is not None:
            within = "/".join(names)
            day = self.feed.pattern.day_of(within)
            return None if day is None else (day, within)
        _, folder, *more = names
        day = landing_day(folder)
        return (day, path.name) if day is not None and len(more) == 1 else None

    def glance(self) -> tuple[int, str | None]:
        """Return something that changes when a file comes, goes or changes."""
        files = {str(one.path): one for day in self.landed.values() for one in day.values()}
        return len(files), hash_of(files)
