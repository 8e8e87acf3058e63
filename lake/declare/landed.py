"""Decide which files of the landing folder are read.

One rule holds for batch, for streams and for reports of what is left to read.

    landing/<feed>/landed_on=YYYY-MM-DD/<file>

Read is every plain file that lies directly in such a folder, unless its name says that it is not there yet: hidden
(`.name`, `_name`) or temporary (`name.tmp`, `name.part`, `name~`, ...). Nothing else is: neither sub-folders, nor loose
files, nor days that are written otherwise.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from datetime import date
from functools import lru_cache
from itertools import takewhile
from pathlib import Path
from urllib.parse import urlsplit

from lake.declare.days import parse_day
from lake.errors import BadDay

__all__ = [
    "LEADS_OUT",
    "any_but",
    "folder_name",
    "is_data",
    "is_hidden",
    "is_read",
    "landing_day",
    "leads_out",
    "path_pattern",
]

_TEMPORARY = ("tmp", "temp", "part", "partial", "filepart", "crdownload", "swp", "inprogress", "incomplete")
LEADS_OUT = "is a link that leads out of landing/"
_NAME = r"(?![._])[^/]*" + "".join(rf"(?<!(?i:\.{ending}))" for ending in _TEMPORARY) + r"(?<!\._COPYING_)(?<!~)$"
"""The names of files that are read, for Python and for Java."""
_IS_READ = re.compile(_NAME).match
SHOWN = 3
"""How many places a line names."""


@lru_cache(maxsize=100_000)
def landing_day(folder: str) -> date | None:
    """Return the day of a folder `landed_on=YYYY-MM-DD`, if it is one."""
    name, _, day = folder.partition("=")
    try:
        return parse_day(day) if name == "landed_on" else None
    except BadDay:
        return None


def folder_name(day: date) -> str:
    """Name the folder of a landing day."""
    return f"landed_on={day.isoformat()}"


def any_but(names: Iterable[str]) -> str:
    """Return a glob of the folders of all landing days but these.

    Hadoop's globs know no negation.
    """
    left_out = sorted({name.partition("=")[2] for name in names})
    globs = []
    for start in sorted({day[:length] for day in left_out for length in range(len(day))}):
        following = sorted({day[len(start)] for day in left_out if day.startswith(start)})
        globs.append(f"{start}[^{''.join(following)}]*")
    return f"landed_on={{{','.join(globs)}}}"


def path_pattern(folder: str) -> str:
    """Return a Java pattern of the URIs of a feed's files that are read.

    Args:
        folder: of the feed; a path, or a URL.
    """
    scheme = urlsplit(folder).scheme
    path = folder.removeprefix(f"{scheme}:") if scheme else os.path.normpath(Path(folder).absolute())
    parents = len([name for name in path.split("/") if name])
    return rf"^{scheme or 'file'}:/+(?:[^/]+/){{{parents}}}landed_on=[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}/{_NAME}"


def is_hidden(name: str) -> bool:
    """Tell whether a name says that it is no delivery.

    Such are files under way, and marks like `_SUCCESS`.
    """
    return name.startswith((".", "_"))


def is_data(entry: os.DirEntry[str]) -> bool:
    """Tell whether an entry of a landing day's folder is read.

    A link to nothing is, so that it fails loudly.
    """
    is_plain = entry.is_file() or (entry.is_symlink() and not Path(entry.path).exists())
    return is_plain and is_read(entry.name)


def is_read(name: str) -> bool:
    """Tell whether a file of this name is read."""
    return _IS_READ(name) is not None


def leads_out(landing: Path, file: Path) -> bool:
    """Tell whether a link leads out of the landing folder.

    The file itself or a folder of it may be the link. What lies there is not what a source sent.
    """
    folders = takewhile(lambda path: path != landing, file.parents)
    if not any(path.is_symlink() for path in (file, *folders)):
        return False
    return not file.resolve().is_relative_to(landing.resolve())
