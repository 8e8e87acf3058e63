"""Files of Avro, written byte by byte as its specification says."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from typing import Any

__all__ = ["avro_file", "number", "text"]

_SYNC = bytes(range(16))


def number(value: int) -> bytes:
    rest, found = (value << 1) ^ (value >> 63), b""
    while rest > 0x7F:
        found, rest = found + bytes([rest & 0x7F | 0x80]), rest >> 7
    return found + bytes([rest])


def text(value: bytes | str) -> bytes:
    held = value.encode() if isinstance(value, str) else value
    return number(len(held)) + held


def deflated(content: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(content) + packer.flush()


def avro_file(rows: Sequence[bytes], schema: Any, *, codec: str = "null", per_block: int = 2) -> bytes:
    said = {
        "avro.schema": json.dumps(schema),
        "avro.codec": codec,
    }
    found = b"Obj\x01" + number(len(said)) + b"".join(text(name) + text(one) for name, one in said.items()) + number(0)
    found += _SYNC
    for start in range(0, len(rows), per_block):
        block = rows[start : start + per_block]
        content = deflated(b"".join(block)) if codec == "deflate" else b"".join(block)
        found += number(len(block)) + text(content) + _SYNC
    return found
