"""Which files of the landing folder are read: one rule, for batch, for streams and for who asks what is left.

    landing/<feed>/landed_on=YYYY-MM-DD/<file>

Read is every plain file that lies directly in such a folder, unless its name says that it is not there yet: hidden
(`.name`, `_name`) or temporary (`name.tmp`, `name.part`, `name~`, ...). Nothing else is: neither sub-folders, nor loose
files, nor days that are written otherwise.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache, partial
from pathlib import Path

from lake.days import Days, parse_day
from lake.errors import BadDay
from lake.landing_days import is_plain

__all__ = [
    "Unread",
    "describe_unread",
    "find_unread",
    "is_data",
    "is_hidden",
    "landing_day",
    "leads_out",
    "path_pattern",
]

_TEMPORARY = ("tmp", "temp", "part", "partial", "filepart", "crdownload", "swp", "inprogress", "incomplete")
LEADS_OUT = "is a link that leads out of landing/"
_NAME = r"(?![._])[^/]*" + "".join(rf"(?<!(?i:\.{ending}))" for ending in _TEMPORARY) + r"(?<!\._COPYING_)(?<!~)$"
"""The names of files that are read, for Python and for Java."""


SHOWN = 3
"""How many places a line names."""


@dataclass(frozen=True)
class Unread:
    """Files that landed where no table reads them.

    Attributes:
        path: the file, or the folder that holds them, under the landing folder.
        reason: why they are not read.
        files: how many there are.
    """

    path: str
    reason: str
    files: int = 1

    def __str__(self) -> str:
        return f"{ascii(self.path)[1:-1]} ({self.reason})"


def describe_unread(found: Sequence[Unread]) -> list[str]:
    """One line that counts what is not read and names the first; none where all is read."""
    if not found:
        return []
    files, rest = sum(unread.files for unread in found), len(found) - SHOWN
    counted = "1 file has" if files == 1 else f"{files:,} files have"
    more = f" and {rest:,} more" if rest > 0 else ""
    return [f"{counted} landed that no table reads: {', '.join(map(str, found[:SHOWN]))}{more}"]


@lru_cache(maxsize=100_000)
def landing_day(folder: str) -> date | None:
    """The day of a folder `landed_on=YYYY-MM-DD`; None for any other name."""
    name, _, day = folder.partition("=")
    try:
        return parse_day(day) if name == "landed_on" else None
    except BadDay:
        return None


def path_pattern(folder: Path) -> str:
    """What the URI of a file under a feed's folder matches, in Java, if the file is read."""
    parents = len(Path(os.path.normpath(folder.absolute())).parts) - 1
    return rf"^file:/+(?:[^/]+/){{{parents}}}landed_on=[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}/{_NAME}"


def is_hidden(name: str) -> bool:
    """Whether a name says that it is no delivery: a file under way, or a mark such as `_SUCCESS`."""
    return name.startswith((".", "_"))


def is_data(entry: os.DirEntry[str]) -> bool:
    """Whether an entry of a landing day's folder is read; so is a link to nothing, to fail loudly."""
    is_plain = entry.is_file() or (entry.is_symlink() and not Path(entry.path).exists())
    return is_plain and re.match(_NAME, entry.name) is not None


def leads_out(landing: Path, file: Path) -> bool:
    """Whether a link, the file itself or a folder of it, leads out of the landing folder: not what a source sent."""
    if not any(path.is_symlink() for path in (file, file.parent, file.parent.parent)):
        return False
    return not file.resolve().is_relative_to(landing.resolve())


def find_unread(root: Path, feeds: Collection[str], calendar: Days) -> Iterator[Unread]:
    """What lies in the landing folder and no table will read; hidden names are no deliveries and passed over.

    Args:
        root: the landing folder.
        feeds: the names of those that tables read.
        calendar: landing days outside of it have no partition.
    """
    for entry in _visible(root):
        if entry.name in feeds and entry.is_dir():
            yield from _in_feed(entry, calendar)
        else:
            yield from _all_of(entry, root, "no feed has this name" if entry.is_dir() else "lies in no feed's folder")


def _in_feed(feed: os.DirEntry[str], calendar: Days) -> Iterator[Unread]:
    root = Path(feed.path).parent
    for entry in _visible(feed.path):
        day = landing_day(entry.name)
        if not entry.is_dir():
            yield from _all_of(entry, root, "lies beside the folders of days")
        elif day is None:
            yield from _all_of(entry, root, "is no landing day (landed_on=YYYY-MM-DD)")
        elif day not in calendar:
            yield from _all_of(entry, root, f"outside the calendar {calendar}")
        elif feed.is_symlink() or entry.is_symlink() or not is_plain(entry, partial(_holds_only_files, entry)):
            yield from _in_day(entry, root)


def _holds_only_files(day: os.DirEntry[str]) -> bool:
    return all(is_data(entry) and not entry.is_symlink() for entry in _visible(day.path))


def _in_day(day: os.DirEntry[str], root: Path) -> Iterator[Unread]:
    for entry in _visible(day.path):
        if is_data(entry):
            if leads_out(root, Path(entry.path)):
                yield from _all_of(entry, root, LEADS_OUT)
        elif entry.is_dir():
            yield from _all_of(entry, root, "lies in a sub-folder")
        else:
            named = "has the name of a temporary file" if entry.is_file() else "is no plain file"
            yield from _all_of(entry, root, named)


def _all_of(entry: os.DirEntry[str], root: Path, reason: str) -> Iterator[Unread]:
    """An entry that is not read, with its files; nothing for a folder that holds none."""
    files = _count_files(entry.path) if entry.is_dir() else 1
    if files:
        yield Unread(str(Path(entry.path).relative_to(root)), reason, files)


def _count_files(folder: str) -> int:
    found = (name for _, folders, names in os.walk(folder) for name in names)
    return sum(not is_hidden(name) for name in found)


def _visible(folder: str | Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted((entry for entry in entries if not is_hidden(entry.name)), key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return []
