"""Read a file that landed, wherever it lies."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, Literal, Protocol

import pyarrow as pa

__all__ = ["SourceFile", "unpacked"]


class SourceFile(Protocol):
    """A file of this machine or of an object store.

    As text it is what Spark opens.
    """

    @property
    def name(self) -> str:
        """Return the last part."""

    @property
    def parts(self) -> Sequence[str]:
        """Return the names on the way to it, and its own."""

    @property
    def parent(self) -> SourceFile:
        """Return the folder that holds it."""

    def open(self, mode: Literal["rb"]) -> BinaryIO:
        """Open it for reading at any place."""


def unpacked(file: SourceFile) -> BinaryIO:
    """Open a file, and unpack it where its name says so, as Spark does."""
    if isinstance(file, Path):
        opened: BinaryIO = pa.input_stream(file, compression="detect")
    else:
        opened = pa.input_stream(file.open("rb"), compression=_packed_by(file.name))
    return opened


def _packed_by(name: str) -> str | None:
    try:
        codec: str = pa.Codec.detect(name).name
    except TypeError:  # it knows no packing of this name
        return None
    return codec
