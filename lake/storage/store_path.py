"""Use a file or folder in an object store as one of this machine.

Only what checkpoints need: small files that are written whole, and lists of names.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TypeAlias

from pyarrow.fs import FileSelector, FileSystem, FileType

from lake.storage.durable import write_whole
from lake.storage.location import is_local
from lake.storage.reached import refuse_unreachable
from lake.storage.store_files import store_folder

__all__ = ["AnyPath", "StorePath", "open_path", "remove_tree", "write_text"]


@dataclass(frozen=True)
class StorePath:
    """One place below the URL of a folder.

    Attributes:
        root: the URL.
        parts: names from there on.
        options: storage options, as delta-rs takes them.
    """

    root: str
    parts: tuple[str, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)  # they may hold a key

    def __str__(self) -> str:
        return "/".join([self.root, *self.parts])

    def __truediv__(self, name: str) -> StorePath:
        return StorePath(self.root, (*self.parts, *name.split("/")), self.options)

    @property
    def name(self) -> str:
        """Return the last part."""
        return self.parts[-1]

    @property
    def parent(self) -> StorePath:
        """Return the folder that holds it."""
        return StorePath(self.root, self.parts[:-1], self.options)

    @property
    def _files(self) -> FileSystem:
        return store_folder(self.root, self.options)

    @property
    def _within(self) -> str:
        return "/".join(self.parts)

    def is_file(self) -> bool:
        """Tell whether there is a file."""
        return bool(self._files.get_file_info(self._within).type == FileType.File)

    def is_dir(self) -> bool:
        """Tell whether anything lies below."""
        return bool(self._files.get_file_info(self._within).type == FileType.Directory)

    def read_text(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Read a file.

        Raises:
            FileNotFoundError: there is none.
        """
        with self._files.open_input_file(self._within) as file:
            return bytes(file.read()).decode(encoding, errors)

    def write(self, content: bytes) -> None:
        """Write a file as a whole."""
        with self._files.open_output_stream(self._within) as file:
            file.write(content)

    def iterdir(self) -> Iterator[StorePath]:
        """List what lies in a folder.

        Nothing where there is none.
        """
        found = self._files.get_file_info(FileSelector(self._within, allow_not_found=True))
        return (self / name for name in sorted({one.base_name for one in found}))

    def glob(self, pattern: str) -> Iterator[StorePath]:
        """Find what lies below and has names like these.

        `*` and `[0-9]` stand for letters of one name.
        """
        first, _, more = pattern.partition("/")
        here = [self / first] if not any(sign in first for sign in "*?[") else self._named(first)
        for one in here:
            if more:
                yield from one.glob(more)
            elif one.is_file() or one.is_dir():
                yield one

    def _named(self, pattern: str) -> list[StorePath]:
        return [one for one in self.iterdir() if fnmatchcase(one.name, pattern)]

    def remove(self) -> None:
        """Remove a folder with all that lies below."""
        with suppress(FileNotFoundError):
            self._files.delete_dir(self._within)


AnyPath: TypeAlias = Path | StorePath


def open_path(location: str, options: Mapping[str, str]) -> AnyPath:
    """Open a folder of this machine or of an object store.

    Raises:
        StorageUnreachable, StorageRefused, BucketMissing: the object store cannot be used, at the first look.
    """
    if is_local(location):
        return Path(location)
    refuse_unreachable(location, options)
    return StorePath(location, (), options)


def remove_tree(folder: AnyPath) -> None:
    """Remove a folder with all that lies below, as far as that is possible."""
    if isinstance(folder, StorePath):
        folder.remove()
    else:
        shutil.rmtree(folder, ignore_errors=True)


def write_text(file: AnyPath, content: str) -> None:
    """Write a file in one step, so that it survives a power cut."""
    if isinstance(file, StorePath):
        file.write(content.encode())
    else:
        write_whole(file, content)
