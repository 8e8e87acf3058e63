"""Find what has landed in an object store and no table will read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from lake.declare.days import Days
from lake.declare.drop_pattern import DropPattern
from lake.declare.landed import is_hidden, is_read, landing_day
from lake.storage.store_path import StorePath

__all__ = [
    "BESIDE_DAYS",
    "IN_SUB_FOLDER",
    "NOT_IN_A_FEED",
    "NO_DAY",
    "NO_FEED",
    "NO_PATTERN",
    "TEMPORARY",
    "Unread",
    "find_unread_objects",
    "outside",
]

NO_FEED = "no feed has this name"
NOT_IN_A_FEED = "lies in no feed's folder"
NO_PATTERN = "no feed's pattern takes it"
BESIDE_DAYS = "lies beside the folders of days"
NO_DAY = "is no landing day (landed_on=YYYY-MM-DD)"
IN_SUB_FOLDER = "lies in a sub-folder"
TEMPORARY = "has the name of a temporary file"
"""Why nobody reads what has landed."""


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


def outside(calendar: Days) -> str:
    """Say that a landing day has no partition."""
    return f"outside the calendar {calendar}"


def find_unread_objects(
    root: StorePath, feeds: Collection[str], calendar: Days, patterns: Sequence[DropPattern]
) -> Iterator[Unread]:
    """Find them as in a folder, by one list of all names.

    Args:
        root: the landing folder.
        feeds: the names of those whose files lie in folders of days.
        calendar: landing days outside of it have no partition.
        patterns: where the files of the other feeds lie.
    """
    tops = {pattern.base.partition("/")[0] for pattern in patterns}
    files = Counter[tuple[str, str]]()
    for path, _ in root.walk():
        names = path.parts[len(root.parts) :]
        if any(map(is_hidden, names)):
            continue
        if len(names) > 1 and names[0] in tops:
            found = _by_patterns(names, calendar, patterns)
        elif len(names) > 1 and names[0] in feeds:
            found = _in_feed(names, calendar)
        else:
            found = (1, NO_FEED if len(names) > 1 else NOT_IN_A_FEED)
        if found is not None:
            files["/".join(names[: found[0]]), found[1]] += 1
    yield from (Unread(path, reason, count) for (path, reason), count in sorted(files.items()))


def _by_patterns(names: Sequence[str], calendar: Days, patterns: Sequence[DropPattern]) -> tuple[int, str] | None:
    """Say how many names of a path are told, and why."""
    path = "/".join(names)
    day = next((day for pattern in patterns if (day := pattern.day_of(path)) is not None), None)
    if day is None or not is_read(names[-1]):
        return len(names), NO_PATTERN
    return None if day in calendar else (len(names), outside(calendar))


def _in_feed(names: Sequence[str], calendar: Days) -> tuple[int, str] | None:
    day = landing_day(names[1])
    if len(names) == 2:
        return 2, BESIDE_DAYS
    if day is None:
        return 2, NO_DAY
    if day not in calendar:
        return 2, outside(calendar)
    if len(names) > 3:
        return 3, IN_SUB_FOLDER
    return None if is_read(names[2]) else (3, TEMPORARY)
