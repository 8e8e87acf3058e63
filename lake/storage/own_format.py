"""Keep the format of the lake's own tables (`lake/...`).

So an older release refuses what it cannot read. The format stands in the description of each table, "format 1"; a table
without one is of format 1. A release that changes what a column means raises `FORMAT`, reads the formats before it too,
and writes the new one into a table before it writes rows of it. A column that is only added changes no format, because
older releases pass over it.
"""

from __future__ import annotations

import re
from typing import TypeVar

from deltalake import DeltaTable

from lake.errors import LakeTooNew

__all__ = ["DESCRIPTION", "FORMAT", "readable"]

FORMAT = 1
DESCRIPTION = f"format {FORMAT}"
"""What a new table of the lake says of itself."""

Opened = TypeVar("Opened", bound=DeltaTable | None)


def readable(name: str, table: Opened) -> Opened:
    """Return a table of the lake as it was opened.

    Args:
        name: `ledger` for `lake/ledger`.
        table: opened; None where it was never written.

    Raises:
        LakeTooNew: a newer release wrote it in a format that this one does not know.
    """
    said = re.fullmatch(r"format (\d{1,9})", (table.metadata().description or "") if table is not None else "")
    if said and int(said[1]) > FORMAT:
        raise LakeTooNew(f"lake/{name}", int(said[1]), FORMAT)
    return table
