"""Put files where a feed expects them, each whole.

Nobody should have to write that himself. A file is copied under a hidden name first, which no table reads, and forced
to the disk; then it gets its own name. A day of which nothing has landed yet appears with all its files in one step; in
an object store they appear one after the other, each whole. Needs no JVM.
"""

from __future__ import annotations

import filecmp
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from functools import partial
from itertools import zip_longest
from pathlib import Path
from tempfile import TemporaryDirectory

from lake.declare.delta_feed import DeltaFeed
from lake.declare.feed import Feed
from lake.declare.landed import is_read
from lake.errors import CannotLand
from lake.storage.damage import WITH_COLON
from lake.storage.durable import flush_files, flush_folders
from lake.storage.landing import Landing
from lake.storage.store_path import AnyPath, StorePath, lies

__all__ = ["Delivered", "deliver"]

_CHUNK = 2**20


@dataclass(frozen=True)
class Delivered:
    """The files that were put into the folder of a landing day.

    Attributes:
        folder: of the day.
        new: names of the files that were put there.
        same: names of files that lay there before, with the same content.
    """

    folder: AnyPath
    new: tuple[str, ...] = ()
    same: tuple[str, ...] = ()


def deliver(landing: Landing, feed: Feed, day: date, files: Sequence[Path], hour: int | None = None) -> Delivered:
    """Copy files into the folder of a landing day.

    Killed meanwhile, the same call does the rest: what landed is whole, and is passed over.

    Args:
        landing: the landing folder.
        feed: which one the files are a delivery of.
        day: when they landed.
        files: anywhere; they stay there.
        hour: when they landed, where the feed's pattern has an hour.

    Raises:
        CannotLand: a file cannot be a delivery, or another one of its name landed before. Nothing was copied.
    """
    if isinstance(feed, DeltaFeed):
        raise CannotLand(feed.name, day, {str(file): feed.problem(file) for file in files})
    landing.reach()
    places = {file: landing.place(feed, day, hour, file.name) for file in files}
    problems = {
        str(file): problem
        for file, place in places.items()
        if (problem := _misplaced(feed, hour) if place is None else _problem(file, files, place) or feed.problem(file))
    }
    if problems:
        raise CannotLand(feed.name, day, problems)
    landed = {file.name: place for file, place in places.items() if place is not None}
    same = tuple(name for name, place in landed.items() if place.exists())
    new = [file for file in files if file.name not in same]
    folder = next((place.parent for place in landed.values()), landing.location)
    _put(new, folder)
    return Delivered(folder, tuple(file.name for file in new), same)


def _put(files: Sequence[Path], folder: AnyPath) -> None:
    if isinstance(folder, StorePath):
        for file in files:
            (folder / file.name).put(file)
    elif files:
        with _copied(folder.parent, files) as aside:
            _show(aside, folder, [file.name for file in files])


def _misplaced(feed: Feed, hour: int | None) -> str:
    """Say why a feed takes no file of this name and hour."""
    if feed.pattern is None:
        return "its feed has landing days without hours; leave out --hour"
    if feed.pattern.has_hour and hour is None:
        return f"the feed lies at {feed.pattern.text}; name the hour by --hour"
    return f"the feed lies at {feed.pattern.text}, which takes no file of this name" + (
        "" if hour is None or feed.pattern.has_hour else " and has no hour"
    )


def _problem(file: Path, files: Sequence[Path], landed: AnyPath) -> str | None:
    """Return why a file cannot land, None where it can, or did before."""
    if not file.is_file():
        return "is a folder" if file.is_dir() else "there is no such file"
    if not os.access(file, os.R_OK):
        return "it cannot be read"
    if not is_read(file.name):
        return "no table reads a file of this name: it is hidden, or says that it is not whole yet"
    if ":" in file.name:
        return WITH_COLON
    if sum(other.name == file.name for other in files) > 1:
        return "two files have this name"
    if lies(landed) and not (landed.is_file() and _are_equal(file, landed)):
        return f"another file of this name landed before: {landed}"
    return None


def _are_equal(file: Path, landed: AnyPath) -> bool:
    if isinstance(landed, Path):
        return filecmp.cmp(file, landed, shallow=False)
    with file.open("rb") as one, landed.open("rb") as other:
        parts = zip_longest(*(iter(partial(opened.read, _CHUNK), b"") for opened in (one, other)))
        return all(part == another for part, another in parts)


@contextmanager
def _copied(feed: Path, files: Sequence[Path]) -> Iterator[Path]:
    """Copy files into a hidden folder beside the days.

    The folder is there for as long as the block lasts.
    """
    feed.mkdir(parents=True, exist_ok=True)
    landed_at = time.time_ns()
    with TemporaryDirectory(prefix=".landing-", dir=feed, ignore_cleanup_errors=True) as aside:
        for file in files:
            shutil.copyfile(file, Path(aside, file.name))
        for file in files:  # what lands together has one time
            os.utime(Path(aside, file.name), ns=(landed_at, landed_at))
        Path(aside).chmod(0o755)
        flush_files(Path(aside, file.name) for file in files)
        yield Path(aside)


def _show(aside: Path, folder: Path, names: Sequence[str]) -> None:
    """Give copied files their place.

    All at once where the day has no folder yet, else one after the other.
    """
    try:
        aside.rename(folder)
    except OSError:  # the day has a folder with files
        for name in names:
            (aside / name).rename(folder / name)
        flush_folders([folder])
    flush_folders([folder.parent])
