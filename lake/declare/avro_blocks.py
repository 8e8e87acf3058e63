"""Read how an Avro file is made up, without its rows.

    Obj1  metadata with schema and codec  sync  (rows, bytes, the rows, sync) ...

Every block ends with the same 16 bytes, so a file that was cut off is told from a whole one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

from lake.declare.source_file import SourceFile

__all__ = ["AvroBlocks", "NoAvroError", "read_blocks"]

_MAGIC = b"Obj\x01"
_SYNC_BYTES = 16
_CODECS = ("null", "deflate", "snappy", "bzip2", "xz", "zstandard")
_LONGEST = 10
"""Bytes of a number."""


class NoAvroError(ValueError):
    """A file that is no whole Avro."""


@dataclass(frozen=True)
class AvroBlocks:
    """The parts of a whole file.

    Attributes:
        schema: of its rows.
        rows: how many there are.
    """

    schema: Any
    rows: int


def read_blocks(file: SourceFile) -> AvroBlocks:
    """Go from block to block, to the end of a file.

    Raises:
        NoAvroError: it is of another format, was cut off, or its codec is not known.
        OSError: it cannot be read.
    """
    with file.open("rb") as opened:
        end = opened.seek(0, os.SEEK_END)
        opened.seek(0)
        if _take(opened, len(_MAGIC)) != _MAGIC:
            raise NoAvroError("it does not begin as Avro does")
        said = dict(_metadata(opened))
        if (codec := said.get("avro.codec", b"null").decode(errors="replace")) not in _CODECS:
            raise NoAvroError(f"it is packed by {codec!r}")
        sync = _take(opened, _SYNC_BYTES)
        rows = sum(_blocks(opened, sync, end))
    return AvroBlocks(_schema(said), rows)


def _schema(said: Mapping[str, bytes]) -> Any:
    try:
        return json.loads(said["avro.schema"])
    except (KeyError, ValueError):
        raise NoAvroError("its schema cannot be read") from None


def _blocks(opened: BinaryIO, sync: bytes, end: int) -> Iterator[int]:
    """Give the rows of each block."""
    while opened.tell() < end:
        rows, size = _number(opened), _number(opened)
        if rows < 0 or size < 0 or opened.tell() + size > end:
            raise NoAvroError("it ends within a block")
        opened.seek(size, os.SEEK_CUR)
        if _take(opened, _SYNC_BYTES) != sync:
            raise NoAvroError("a block does not end where it says")
        yield rows


def _metadata(opened: BinaryIO) -> Iterator[tuple[str, bytes]]:
    while count := _number(opened):
        if count < 0:
            _number(opened)  # the bytes of the entries
        for _ in range(abs(count)):
            name = _take(opened, _number(opened)).decode(errors="replace")
            yield name, _take(opened, _number(opened))


def _number(opened: BinaryIO) -> int:
    """Read a number of variable length.

    Seven bits a byte, the lowest first, the sign in the lowest bit.
    """
    found = 0
    for place in range(_LONGEST):
        (byte,) = _take(opened, 1)
        found |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return (found >> 1) ^ -(found & 1)
    raise NoAvroError("a number has no end")


def _take(opened: BinaryIO, size: int) -> bytes:
    found = opened.read(size) if size >= 0 else b""
    if len(found) != size:
        raise NoAvroError("it ends too early")
    return found
