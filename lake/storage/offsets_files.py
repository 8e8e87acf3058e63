"""Read what Spark wrote down before a micro-batch.

It says how far Spark reads its inputs. Needs no JVM.
"""

from __future__ import annotations

import json
from typing import Any

from lake.storage.store_path import AnyPath

__all__ = ["said_in", "versions_read"]


def said_in(offsets: AnyPath) -> list[Any]:
    """Read the JSON objects in a file of offsets.

    There are none where it cannot be read.
    """
    try:
        return [json.loads(line) for line in offsets.read_text().splitlines() if line.startswith("{")]
    except (OSError, ValueError):
        return []


def versions_read(offsets: AnyPath) -> dict[str, int]:
    """Return the version up to which a micro-batch read each Delta table.

    By the table's id, from a file of offsets. The file is Spark's, the lines in it are Delta's. One that cannot be read
    says nothing.
    """
    try:
        found = said_in(offsets)
        # An index below 0: none of this version's files, which may not even be there.
        return {o["reservoirId"]: o["reservoirVersion"] - (o["index"] < 0) for o in found if "reservoirId" in o}
    except (LookupError, TypeError):
        return {}
