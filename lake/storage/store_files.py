"""Files of an object store, as Arrow reads and writes them through delta-rs."""

from __future__ import annotations

import io
import shutil
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, BinaryIO

import pyarrow as pa
from deltalake.fs import DeltaStorageHandler
from pyarrow.fs import PyFileSystem

__all__ = ["StoreFiles", "store_folder"]

_PART_BYTES = 2**20


class _Written(io.RawIOBase):
    """A file that is there, as a whole, once it is closed."""

    def __init__(self, opened: Any) -> None:
        self._opened = opened
        self._size = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._size

    def write(self, part: Any) -> int:
        """Write bytes.

        Arrow hands on what is large as a buffer, and delta-rs takes none.
        """
        self._size += int(self._opened.write(bytes(part)))
        return len(part)

    def close(self) -> None:
        if not self.closed:
            self._opened.close()
            super().close()

    def abandon(self) -> None:
        """Close without a file being there: Python would close it as whole."""
        super().close()


class StoreFiles(DeltaStorageHandler):
    """The files below one URL."""

    def open_output_stream(self, path: str, metadata: dict[str, str] | None = None) -> pa.PythonFile:
        """Write a file, of any size."""
        return pa.PythonFile(_Written(self._handler.open_output_stream(path, metadata)), mode="w")

    def put(self, path: str, content: BinaryIO) -> None:
        """Write a file of any size, whole or not at all."""
        written = _Written(self._handler.open_output_stream(path, None))
        try:
            shutil.copyfileobj(content, written, _PART_BYTES)
        except BaseException:
            written.abandon()
            raise
        written.close()


def store_folder(location: str, options: Mapping[str, str]) -> PyFileSystem:
    """Open the folder at a URL, once in a process."""
    return _open(location, tuple(sorted(options.items())))


@lru_cache(maxsize=64)
def _open(location: str, options: tuple[tuple[str, str], ...]) -> PyFileSystem:
    return PyFileSystem(StoreFiles(location, dict(options) or None))  # this takes 15 ms
