"""Compare columns of a warehouse's tables and note loads in them.

All warehouses have this in common.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import pyarrow as pa

from lake.declare.days import Day
from lake.serve.target import Load

__all__ = ["NOTES", "find_differences", "notes_of"]

NOTES = pa.schema(
    [
        ("sink", pa.string()),
        ("day", pa.date32()),
        ("table_id", pa.string()),
        ("version", pa.int64()),
        ("commit", pa.string()),
        ("rows", pa.int64()),
        ("checksum", pa.string()),
    ]
)
"""Columns of the table `lakehouse.loads`."""


def notes_of(name: str, loaded: Mapping[Day, Load]) -> pa.Table:
    """Write what was loaded as rows of `lakehouse.loads`."""
    rows = [{"sink": name, "day": day, **load.as_dict()} for day, load in loaded.items()]
    return pa.Table.from_pylist(rows, schema=NOTES)


def find_differences(stored: Mapping[str, str], wanted: Mapping[str, str], nullable: Collection[str]) -> list[str]:
    """Say how columns differ beyond nullable ones that are lacking.

    Args:
        stored: column -> type, as it is.
        wanted: column -> type, as the contract says.
        nullable: columns that the contract lets be null.
    """
    other = [
        f"{name} is {kind} there and {wanted[name]} in the contract"
        for name, kind in stored.items()
        if wanted.get(name, kind) != kind
    ]
    extra = [f"{name} is not in the contract" for name in stored if name not in wanted]
    lacking = [f"{name} is missing and not nullable" for name in wanted if name not in stored and name not in nullable]
    return [*other, *extra, *lacking]
