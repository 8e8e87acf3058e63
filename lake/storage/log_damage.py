"""Find the file of a table's log that cannot be read.

It is looked for only once the log could not be opened.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake.fs import DeltaStorageHandler
from pyarrow.fs import FileSelector, FileSystem, FileType, PyFileSystem

from lake.errors import LogDamaged

__all__ = ["find_damage", "names_in_log", "read_actions"]


def read_actions(location: str, name: str, content: bytes) -> list[dict[str, Any]]:
    """Return the actions of one commit's file.

    Raises:
        LogDamaged: it was cut off, or holds nothing: every commit says at least who made it.
    """
    try:
        actions = [json.loads(line) for line in content.splitlines() if line.strip()]
    except ValueError as error:
        raise LogDamaged(location, name, f"it cannot be read ({error})") from error
    if not actions or not all(isinstance(action, dict) for action in actions):
        raise LogDamaged(location, name, "it holds no commit")
    return actions


def names_in_log(files: FileSystem) -> list[str]:
    """List the files of a table's log, none where there is no table."""
    found = files.get_file_info(FileSelector("_delta_log", allow_not_found=True))
    return sorted(file.base_name for file in found if file.type == FileType.File)


def find_damage(location: str, options: Mapping[str, str]) -> LogDamaged | None:
    """Return the newest file of a log that cannot be read, if any."""
    files = PyFileSystem(DeltaStorageHandler(location, dict(options) or None))
    return next(_damages(location, files), None)


def _damages(location: str, files: PyFileSystem) -> Iterator[LogDamaged]:
    for name in reversed(names_in_log(files)):
        try:
            with files.open_input_file(f"_delta_log/{name}") as file:
                if name.endswith(".checkpoint.parquet"):
                    pq.read_metadata(file)
                elif name.endswith(".json") and name[:20].isdigit():
                    read_actions(location, name, file.read())
        except FileNotFoundError:
            continue  # maintenance has removed it meanwhile
        except LogDamaged as damage:
            yield damage
        except (OSError, pa.ArrowException) as error:
            yield LogDamaged(location, name, f"it cannot be read ({str(error).splitlines()[0]})")
