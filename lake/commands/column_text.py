"""Say for people of which columns a column is made."""

from __future__ import annotations

from lake.declare.column_lineage import ColumnLineage

__all__ = ["NOT_EXACT", "made_of", "rows_decided_by"]

NOT_EXACT = "not exact"
"""Where the plan of a transform does not say it."""


def made_of(lineage: ColumnLineage, column: str) -> str:
    """Name the columns of which a column is made.

    How is said where a value is not passed on as it is.
    """
    origin = lineage.columns.get(column)
    if origin is None:
        return NOT_EXACT
    return ", ".join(
        f"{one.source}.{one.column}" + ("" if hows == {"same"} else f" ({', '.join(sorted(hows - {'same'}))})")
        for one, hows in sorted(origin.items())
    )


def rows_decided_by(lineage: ColumnLineage) -> str:
    """Name the columns that decide which rows there are, and in what."""
    if lineage.decided_by is None:
        return NOT_EXACT
    return ", ".join(
        f"{one.source}.{one.column} ({', '.join(sorted(why))})" for one, why in sorted(lineage.decided_by.items())
    )
