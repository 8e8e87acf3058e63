"""Change and compare what Arrow schemas say."""

from __future__ import annotations

import pyarrow as pa

from lake.declare.nested import new_fields

__all__ = ["grown_columns", "names_and_types"]


def names_and_types(schema: pa.Schema) -> pa.Schema:
    """Return names and types of columns, which may be null and say nothing else."""
    return pa.schema([pa.field(one.name, one.type) for one in schema])


def grown_columns(stored: pa.Schema, wanted: pa.Schema) -> list[str]:
    """Name the stored columns in which structs get fields."""
    both = [one for one in wanted if one.name in stored.names]
    return [one.name for one in both if new_fields(stored.field(one.name).type, one.type)]
