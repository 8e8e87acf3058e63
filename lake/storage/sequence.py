"""Order the rows in tables of the lake itself.

They are ordered by the commit that wrote them, because a clock may be put right.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
from pyarrow import compute as pc

__all__ = ["in_sequence", "oldest_first"]


def in_sequence(rows: Sequence[Mapping[str, Any]], version: int, schema: pa.Schema) -> pa.Table:
    """Number the rows of one commit by its version.

    The version orders them among rows of other commits, also after files were joined.
    """
    return pa.Table.from_pylist([{**row, "sequence": version} for row in rows], schema=schema)


def oldest_first(rows: pa.Table) -> pa.Array:
    """Find the places of rows in their order.

    Within a commit they stay as they were written. Those of an older release come first, for which there is only the
    clock.
    """
    known = rows["sequence"] if "sequence" in rows.column_names else pa.nulls(rows.num_rows, pa.int64())
    clock = pc.if_else(pc.is_null(known), rows["recorded_at"], None)
    order = pa.table({"sequence": pc.fill_null(known, -1), "clock": clock})
    return pc.sort_indices(order, sort_keys=[("sequence", "ascending"), ("clock", "ascending")])  # the sort is stable
