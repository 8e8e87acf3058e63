"""Read the files of a table and of its log, without a JVM."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote

import pyarrow as pa
from deltalake.exceptions import DeltaError, TableNotFoundError
from pyarrow.fs import FileSystem, LocalFileSystem, PyFileSystem, SubTreeFileSystem

from lake.errors import LogDamaged
from lake.storage.commits import Commit, parse_commit
from lake.storage.durable import write_whole
from lake.storage.location import is_local
from lake.storage.log_damage import names_in_log, read_actions
from lake.storage.store_files import StoreFiles

__all__ = ["LogFiles", "Mark"]

T = TypeVar("T")
Mark = tuple[int, int, int, int]
"""What is another one where a local file is: inode, size, and the times of its content and of its name."""
_RESTORE = b"RESTORE"
_TRIES = 10


@dataclass(frozen=True)
class LogFiles:
    """Read the files of one table and of its log.

    Attributes:
        location: folder or URL of the table.
        options: storage options, as delta-rs takes them.
    """

    location: str
    options: tuple[tuple[str, str], ...] = field(default=(), repr=False)  # they may hold a key

    @property
    def is_local(self) -> bool:
        """Tell whether the table lies in a folder of this machine."""
        return is_local(self.location)

    @property
    def files(self) -> FileSystem:
        """The folder of the table, to read and to write its files."""
        if self.is_local:
            return SubTreeFileSystem(self.location, LocalFileSystem())
        return PyFileSystem(self._storage)

    @property
    def _storage(self) -> StoreFiles:
        return StoreFiles(self.location, dict(self.options) or None)

    def read_file(self, name: str) -> bytes | None:
        """Return the content of a file of the log, if it is there.

        A sensor reads a few of each table every few seconds: in a local folder, without a storage layer between.
        """
        try:
            if self.is_local:
                return Path(self._path(name)).read_bytes()
            return bytes(self._storage.open_input_file(f"_delta_log/{name}").read())
        except (FileNotFoundError, TableNotFoundError):
            return None

    def _path(self, name: str) -> str:
        """Return where a file of a local log lies."""
        return f"{self.location}/_delta_log/{name}"

    def write_file(self, name: str, content: bytes) -> None:
        """Write a file beside the commits.

        In a local folder it survives a power cut.
        """
        if self.is_local:
            write_whole(Path(self._path(name)), content)
            return
        with PyFileSystem(self._storage).open_output_stream(f"_delta_log/{name}") as file:
            file.write(content)

    def open_file(self, path: str) -> pa.NativeFile:
        """Open a file of the table, relative to it."""
        return self.files.open_input_file(path)

    def _has(self, version: int) -> bool:
        name = _file_of(version)
        if self.is_local:
            return self._mark(name) is not None
        try:
            self._storage.open_input_file(f"_delta_log/{name}")  # asks how long it is, and reads nothing
        except (FileNotFoundError, TableNotFoundError):
            return False
        return True

    def _mark(self, name: str) -> Mark | None:
        """Return a mark that changes whenever a file of a local log does.

        None where there is no file.
        """
        try:
            stat = os.stat(self._path(name))  # noqa: PTH116  # a look at years asks of a thousand, and makes no paths
        except FileNotFoundError:
            return None
        return stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns

    def _content(self, version: int) -> bytes | None:
        content = self.read_file(_file_of(version))
        if content is not None and not content.strip():
            raise LogDamaged(self.location, _file_of(version), "it holds no commit")  # delta-rs passes over it
        return content

    def _read_log(self, read: Callable[[], T]) -> T:
        """Read the log, again where its files change meanwhile.

        Maintenance removes old commits, and delta-rs may have listed them before. Not for ever, because commits may
        come faster than the log is read.
        """
        listed: list[str] | None = None
        for _ in range(_TRIES - 1):
            try:
                return read()
            except TableNotFoundError:
                raise
            except DeltaError:
                before, listed = listed, names_in_log(self.files)
                if listed == before:
                    raise
        return read()

    def fingerprint(self, version: int) -> str | None:
        """Return a hash of one commit's file, if there is one.

        It changes where the table was made anew. In a local folder a process reads the file again only where it is
        another one.
        """
        if not self.is_local:
            return self._hash(version)
        mark = self._mark(_file_of(version))
        return None if mark is None else _hash_once(self, version, mark)

    def _hash(self, version: int) -> str | None:
        content = self._content(version)
        return None if content is None else hashlib.sha256(content).hexdigest()[:16]

    def commit(self, version: int) -> Commit | None:
        """Return one commit.

        None where its file does not exist (not yet, or cleaned up).
        """
        actions = self.actions(version)
        return None if actions is None else parse_commit(version, actions)

    def actions(self, version: int) -> list[dict[str, Any]] | None:
        """Read what one commit's file says.

        None where it does not exist (not yet, or cleaned up).
        """
        content = self._content(version)
        return None if content is None else read_actions(self.location, _file_of(version), content)

    def restored(self, after: int, up_to: int) -> int | None:
        """Find the newest commit of a range that restored an earlier version.

        None where none did, or where it was removed.

        Args:
            after: the version before the first that is looked at.
            up_to: the last.
        """
        for version in range(up_to, after, -1):
            content = self._content(version)
            if content and _RESTORE in content and (commit := self.commit(version)) and commit.operation == "RESTORE":
                return version
        return None

    def added_since(self, version: int, newest: int) -> list[str] | None:
        """Return the files that later commits added, relative to the table.

        None where a commit is gone, removed rows or changed what is said of the table. Commits that only join files say
        nothing new.
        """
        paths: list[str] = []
        for number in range(version + 1, newest + 1):
            content = self._content(number)
            actions = [] if content is None else read_actions(self.location, _file_of(number), content)
            removed = [action["remove"] for action in actions if "remove" in action]
            is_other = any("metaData" in action for action in actions)
            if content is None or is_other or any(one.get("dataChange", True) for one in removed):
                return None
            added = [action["add"] for action in actions if "add" in action]
            paths += [unquote(add["path"]) for add in added if add.get("dataChange", True)]
        return paths


@lru_cache(maxsize=4096)
def _hash_once(log: LogFiles, version: int, _mark: Mark) -> str | None:
    """Hash a commit's file.

    Its mark changes whenever the file does, so that the hash is kept for as long as that is the same.
    """
    return log._hash(version)


def _file_of(version: int) -> str:
    return f"{version:020d}.json"
