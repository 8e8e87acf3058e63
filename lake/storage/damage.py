"""Say why what has landed cannot be read."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from pathlib import Path

from lake.declare.landed import LEADS_OUT, leads_out
from lake.declare.source_file import unpacked
from lake.storage.store_path import AnyPath, StorePath, lies

__all__ = ["WITH_COLON", "damage", "leading_out", "still_unreadable"]

WITH_COLON = "Spark cannot open a name with a colon"
_CHUNK = 2**20


def leading_out(landing: AnyPath, file: AnyPath) -> str | None:
    """Say that a link leads out of the landing folder.

    An object store has no links.
    """
    if isinstance(landing, StorePath) or isinstance(file, StorePath):
        return None
    return LEADS_OUT if leads_out(landing, file) else None


def still_unreadable(landing: AnyPath, files: Iterable[str]) -> dict[str, str]:
    """Keep those files that are there and cannot be read, with the reason."""
    paths = ((text, landing / text.removeprefix(f"{landing}/")) for text in files)
    found = {text: damage(path) for text, path in paths if lies(path)}
    return {text: problem for text, problem in found.items() if problem}


def damage(path: AnyPath) -> str | None:
    """Say why a file, or the folder of a day, cannot be read.

    Reads a file to its end.
    """
    if isinstance(path, Path) and path.is_dir():
        return None if os.access(path, os.R_OK | os.X_OK, effective_ids=True) else os.strerror(errno.EACCES)
    if ":" in path.name:
        return WITH_COLON
    try:
        path.open("rb").close()
        with unpacked(path) as file:
            while file.read(_CHUNK):
                pass
    except (OSError, ValueError) as error:
        return ((isinstance(error, OSError) and error.strerror) or str(error)).splitlines()[0]
    return None
