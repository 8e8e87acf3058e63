"""Mark the files of a landing day and tell how they changed.

The ledger keeps a mark for each file: its size, its time and a hash of its content. A file is still the same where its
content is: that is looked at only where the size is equal and the time is another one, as in a copy of a whole lake.
It keeps its first mark then, because its time says when the file landed.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lake.storage.store_path import AnyPath

__all__ = [
    "Changes",
    "LandedFile",
    "Mark",
    "changed_in_place",
    "changes_since",
    "content_hash",
    "hash_of",
    "is_same_mark",
]

Mark = Sequence[Any]
"""Size in bytes, time in nanoseconds, hash of the content."""

_CHUNK = 2**20
_UNNAMED = "a file that an older release did not name"
_DIGESTS: dict[AnyPath, tuple[int, int, str]] = {}
"""What this process has read, by path: the hash of what the file held at a size and time."""


@dataclass(frozen=True)
class LandedFile:
    """A file as it is now.

    Attributes:
        place: its path; text where nobody may ask for it, as of years of files that have not changed.
        size: in bytes.
        modified_ns: when it was written.
    """

    place: AnyPath | str
    size: int
    modified_ns: int

    @classmethod
    def of(cls, place: AnyPath | str, stat: os.stat_result) -> LandedFile:
        """Describe a file by its stat, without reading it."""
        return cls(place, stat.st_size, stat.st_mtime_ns)

    @property
    def path(self) -> AnyPath:
        """Return where it is."""
        return Path(self.place) if isinstance(self.place, str) else self.place

    def digest(self) -> str:
        """Return a hash of the content, or "" where it cannot be read.

        A process reads the content once.
        """
        known = _DIGESTS.get(self.path)
        if known is None or known[:2] != (self.size, self.modified_ns):
            try:
                known = (self.size, self.modified_ns, content_hash(self.path))
            except OSError:
                return ""
            _DIGESTS[self.path] = known
        return known[2]

    def mark(self, before: Mark | None = None) -> Mark:
        """Return what the ledger keeps of it.

        An earlier mark that names a hash serves as long as the content is its own.
        """
        if before is not None and before[2] and self.has(before):
            return before
        return [self.size, self.modified_ns, self.digest()]

    def has(self, mark: Mark) -> bool:
        """Tell whether its content is that of a mark.

        What cannot be read is not.
        """
        size, modified_ns, digest = mark
        if self.size != size or self.modified_ns == modified_ns:
            return bool(self.size == size)
        return bool(digest) and bool(self.digest() == digest)


@dataclass(frozen=True)
class Changes:
    """The changes to the files of a landing day since it was read.

    Attributes:
        gone: names of files that were read and are not there any more, in order.
        other: names of files that have come since, or hold something else now, in order.
    """

    gone: tuple[str, ...] = ()
    other: tuple[str, ...] = ()


def changes_since(recorded: object, now: Mapping[str, LandedFile]) -> Changes:
    """Compare the files of a day with what the ledger says of them.

    Args:
        recorded: marks by name; where an older release wrote them, one hash of all; None where there was no file.
        now: the files by name.
    """
    if isinstance(recorded, Mapping):
        gone = tuple(name for name in recorded if name not in now)
        other = (name for name, file in now.items() if name not in recorded or not file.has(recorded[name]))
        return Changes(gone, tuple(other))
    if recorded is None:
        return Changes(other=tuple(now))
    if recorded == hash_of(now):
        return Changes()
    return Changes((_UNNAMED,), tuple(now))


def changed_in_place(recorded: Iterable[object]) -> list[str]:
    """Name the files whose content is not the one first read.

    Args:
        recorded: what the ledger said of them each time, oldest first.
    """
    first: dict[str, tuple[int, str]] = {}
    last: dict[str, tuple[int, str]] = {}
    for marks in recorded:
        read = {n: (m[0], m[2]) for n, m in marks.items() if m[2]} if isinstance(marks, Mapping) else {}
        first, last = read | first, last | read
    return [name for name, content in last.items() if content != first[name]]


def hash_of(files: Mapping[str, LandedFile]) -> str | None:
    """Return one hash of the names, sizes and times of files, if any."""
    facts = "\n".join(f"{name} {file.size} {file.modified_ns}" for name, file in files.items())
    return hashlib.sha256(facts.encode()).hexdigest()[:16] if files else None


def content_hash(path: AnyPath) -> str:
    """Return a hash of what a file holds."""
    read = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(_CHUNK):
            read.update(part)
    return read.hexdigest()[:16]


def is_same_mark(before: str, now: str) -> bool:
    """Tell whether two marks in one line speak of the same content.

    An older release wrote size and time alone.
    """
    if before.endswith(" ") and not now.endswith(" "):  # the file could not be read, and now it can
        return False
    old, new = before.split(), now.split()
    return old[:2] == new[:2] or (old[0] == new[0] and len(old) == len(new) == 3 and old[2] == new[2])
