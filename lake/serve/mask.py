"""Hide what a sink does not show of persons.

Columns are left out, or hashed.
A hash is the HMAC-SHA256, in hexadecimal digits, of a value under the secret of the sink: of a text as UTF-8, of bytes
as they are, of any other value as the JSON that a topic would have. So equal values have equal hashes in all sinks of
one secret, and null stays null.
"""

from __future__ import annotations

import hmac
from collections.abc import Collection
from dataclasses import dataclass, field

import pyarrow as pa

from lake.serve.plain import as_json, plain

__all__ = ["Mask"]


@dataclass(frozen=True)
class Mask:
    """Hide some columns of rows.

    Attributes:
        left_out: columns that nobody sees.
        hashed: columns of which hashes are seen.
        secret: of the hashes.
    """

    left_out: Collection[str] = ()
    hashed: Collection[str] = ()
    secret: bytes = field(default=b"", repr=False)

    def apply(self, rows: pa.Table) -> pa.Table:
        """Hide it."""
        for name in self.hashed:
            place = rows.schema.get_field_index(name)
            field_ = pa.field(name, pa.string(), rows.schema.field(name).nullable)
            rows = rows.set_column(place, field_, self._hashes(rows[name]))
        return rows.select([name for name in rows.column_names if name not in self.left_out])

    @property
    def stamp(self) -> str:
        """Name the way in which rows are hidden, to note it.

        Empty where none are.
        """
        if not (self.left_out or self.hashed):
            return ""
        said = as_json([sorted(self.left_out), sorted(self.hashed)])
        return self._digest(f"lakehouse:{said}".encode())[:16]

    def _hashes(self, column: pa.ChunkedArray) -> pa.Array:
        return pa.array([None if value is None else self._hash(value) for value in column.to_pylist()], pa.string())

    def _hash(self, value: object) -> str:
        if isinstance(value, bytes):
            return self._digest(value)
        return self._digest((value if isinstance(value, str) else as_json(plain(value))).encode())

    def _digest(self, content: bytes) -> str:
        return hmac.digest(self.secret, content, "sha256").hex()
