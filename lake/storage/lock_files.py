"""Turn a lock file that may not be used into a message.

The message names the remedy.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lake.errors import FolderNotWritable

__all__ = ["own_lock_files"]


@contextmanager
def own_lock_files(locks: Path) -> Iterator[None]:
    """Turn a refused permission into a message, because another user may own the file.

    Raises:
        FolderNotWritable: the message.
    """
    try:
        yield
    except PermissionError as error:
        name = Path(str(error.filename or locks)).name
        raise FolderNotWritable(locks, f"{name}: {error.strerror}; it may belong to another user") from error
