"""Use a file or folder in an object store as one of this machine.

Only what checkpoints and landing need: files that are written whole, and lists of names.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import BinaryIO, Literal, TypeAlias

from pyarrow.fs import FileInfo, FileSelector, FileType, PyFileSystem

from lake.storage.durable import write_whole
from lake.storage.location import is_local
from lake.storage.reached import refuse_unreachable
from lake.storage.store_files import store_folder

__all__ = ["AnyPath", "StorePath", "copy_tree", "lies", "open_path", "remove_tree", "write_text"]


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
    def _files(self) -> PyFileSystem:
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

    def exists(self) -> bool:
        """Tell whether there is a file, or anything below."""
        return bool(self._files.get_file_info(self._within).type != FileType.NotFound)

    def open(self, mode: Literal["rb"] = "rb") -> BinaryIO:
        """Open a file for reading at any place.

        Raises:
            FileNotFoundError: there is none.
        """
        del mode
        opened: BinaryIO = self._files.open_input_file(self._within)
        return opened

    def read_bytes(self) -> bytes:
        """Read a file.

        Raises:
            FileNotFoundError: there is none.
        """
        with self.open() as file:
            return bytes(file.read())

    def read_text(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Read a file.

        Raises:
            FileNotFoundError: there is none.
        """
        return self.read_bytes().decode(encoding, errors)

    def write(self, content: bytes) -> None:
        """Write a file as a whole."""
        with self._files.open_output_stream(self._within) as file:
            file.write(content)

    def put(self, file: Path) -> None:
        """Write what a file of this machine holds, whole or not at all."""
        with file.open("rb") as content:
            self._files.handler.put(self._within, content)

    def walk(self) -> Iterator[tuple[StorePath, FileInfo]]:
        """List the files below, in whatever folder, by their names in order.

        Empty objects that some programs write for folders are passed over.
        """
        found = self._files.get_file_info(FileSelector(self._within, recursive=True, allow_not_found=True))
        folders = {one.path for one in found if one.type == FileType.Directory}
        for one in sorted(found, key=lambda one: str(one.path)):
            if one.type == FileType.File and one.path not in folders:
                yield StorePath(self.root, tuple(one.path.split("/")), self.options), one

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


def lies(path: AnyPath) -> bool:
    """Tell whether anything has this name, be it a link to nothing."""
    return path.exists() if isinstance(path, StorePath) else os.path.lexists(path)


def copy_tree(folder: Path, to: AnyPath) -> None:
    """Copy a folder of this machine to a place where nothing lies yet."""
    if isinstance(to, Path):
        shutil.copytree(folder, to)
        return
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        (to / file.relative_to(folder).as_posix()).put(file)


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
