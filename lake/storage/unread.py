"""Find what has landed and no table will read, without a JVM.

`lake.declare.landed` says what is read.
"""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Collection, Iterator, Sequence
from datetime import date
from pathlib import Path

from lake.declare.days import Days
from lake.declare.drop_pattern import DropPattern
from lake.declare.landed import LEADS_OUT, SHOWN, folder_name, is_data, is_hidden, landing_day, leads_out
from lake.errors import FolderNotReadable
from lake.storage.drop_folder import drop_folder
from lake.storage.landing_days import feed_folder
from lake.storage.store_path import AnyPath, StorePath
from lake.storage.unread_objects import (
    BESIDE_DAYS,
    IN_SUB_FOLDER,
    NO_DAY,
    NO_FEED,
    NO_PATTERN,
    NOT_IN_A_FEED,
    TEMPORARY,
    Unread,
    find_unread_objects,
    outside,
)

__all__ = ["Unread", "describe_unread", "find_unread"]


def describe_unread(found: Sequence[Unread]) -> list[str]:
    """Return a line that counts what is not read and names the first.

    No line where all is read.
    """
    if not found:
        return []
    files, rest = sum(unread.files for unread in found), len(found) - SHOWN
    counted = "1 file has" if files == 1 else f"{files:,} files have"
    more = f" and {rest:,} more" if rest > 0 else ""
    return [f"{counted} landed that no table reads: {', '.join(map(str, found[:SHOWN]))}{more}"]


def find_unread(
    root: AnyPath, feeds: Collection[str], calendar: Days, patterns: Sequence[DropPattern] = ()
) -> Iterator[Unread]:
    """Find what lies in the landing folder and no table will read.

    Hidden names are no deliveries and passed over.

    Args:
        root: the landing folder.
        feeds: the names of those that tables read, and whose files lie in folders of days.
        calendar: landing days outside of it have no partition.
        patterns: where the files of the other feeds lie.
    """
    if isinstance(root, StorePath):
        yield from find_unread_objects(root, feeds, calendar, patterns)
        return
    tops = {pattern.base.partition("/")[0] for pattern in patterns}
    for entry in _visible(root):
        if entry.name in tops and entry.is_dir():
            yield from _by_patterns(root, Path(entry.path), calendar, patterns)
        elif entry.name in feeds and entry.is_dir():
            yield from _in_feed(Path(entry.path), calendar)
        else:
            reason = NO_FEED if entry.is_dir() else NOT_IN_A_FEED
            yield from _all_of(Path(entry.path), root, reason)


def _by_patterns(root: Path, top: Path, calendar: Days, patterns: Sequence[DropPattern]) -> Iterator[Unread]:
    """Find the files under a folder that no pattern takes."""
    try:
        looks = [drop_folder(root, pattern).look() for pattern in patterns]
    except FolderNotReadable:
        return  # a reader of the feed says so
    days = {path: day for look in looks for day, files in look.landed.items() for path in files}
    for folder, folders, names in os.walk(top):
        folders[:] = sorted(name for name in folders if not is_hidden(name))
        for file in sorted(Path(folder, name) for name in names if not is_hidden(name)):
            day = days.get(str(file.relative_to(root)))
            if day is None:
                yield from _all_of(file, root, NO_PATTERN)
            elif day not in calendar:
                yield from _all_of(file, root, outside(calendar))
            elif leads_out(root, file):
                yield from _all_of(file, root, LEADS_OUT)


def _in_feed(feed: Path, calendar: Days) -> Iterator[Unread]:
    try:
        folder = feed_folder(feed).look()
    except FolderNotReadable:
        return  # a reader of the feed says so
    strange = (
        set(folder.days) if feed.is_symlink() else {*folder.not_plain, *folder.linked, *_outside(folder.days, calendar)}
    )
    names = [name for name in folder.others if not is_hidden(name)]
    for path in sorted([feed / name for name in names] + [feed / folder_name(day) for day in strange]):
        yield from _beside_data(path, calendar)


def _outside(days: Sequence[date], calendar: Days) -> list[date]:
    """Find the days, of some in order, that a calendar does not have."""
    return [*days[: bisect_left(days, calendar.start)], *days[bisect_left(days, calendar.end) :]]


def _beside_data(path: Path, calendar: Days) -> Iterator[Unread]:
    root, day = path.parents[1], landing_day(path.name)
    if not path.is_dir():
        yield from _all_of(path, root, BESIDE_DAYS)
    elif day is None:
        yield from _all_of(path, root, NO_DAY)
    elif day not in calendar:
        yield from _all_of(path, root, outside(calendar))
    else:
        yield from _in_day(path, root)


def _in_day(day: Path, root: Path) -> Iterator[Unread]:
    for entry in _visible(day):
        path = Path(entry.path)
        if is_data(entry):
            if leads_out(root, path):
                yield from _all_of(path, root, LEADS_OUT)
        elif entry.is_dir():
            yield from _all_of(path, root, IN_SUB_FOLDER)
        else:
            named = TEMPORARY if entry.is_file() else "is no plain file"
            yield from _all_of(path, root, named)


def _all_of(path: Path, root: Path, reason: str) -> Iterator[Unread]:
    """Give what is not read, with the number of its files.

    Nothing for a folder that holds none.
    """
    files = _count_files(path) if path.is_dir() else 1
    if files:
        yield Unread(str(path.relative_to(root)), reason, files)


def _count_files(folder: Path) -> int:
    found = (name for _, folders, names in os.walk(folder) for name in names)
    return sum(not is_hidden(name) for name in found)


def _visible(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted((entry for entry in entries if not is_hidden(entry.name)), key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return []
