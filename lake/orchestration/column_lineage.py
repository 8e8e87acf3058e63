"""Show in Dagster of which columns each column of a table is made."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import dagster as dg
from pyspark.sql import SparkSession

from lake.declare.column_lineage import ColumnLineage
from lake.declare.table import Table
from lake.project.known_lineage import found_lineage

__all__ = ["as_metadata", "lineage_of"]


def lineage_of(
    home: Path, table: Table, session: Callable[[], SparkSession], warn: Callable[[str], object]
) -> ColumnLineage | None:
    """Return the column lineage of a table.

    None where it is not known. A table whose lineage cannot be found is written all the same.
    """
    try:
        return found_lineage(home, table, session)
    except Exception as error:  # a plan that is unlike all that are known must not fail a run
        warn(f"{table.full_name}: no column lineage: {error}")
        return None


def as_metadata(found: ColumnLineage | None) -> dict[str, dg.TableColumnLineage]:
    """Return the metadata of a materialization.

    Dagster has no word for columns that decide on rows, or for what is not exact.
    """
    if found is None:
        return {}
    lineage = dg.TableColumnLineage(
        {
            name: [dg.TableColumnDep(dg.AssetKey(one.source.split(".")), one.column) for one in sorted(origin)]
            for name, origin in found.columns.items()
            if origin
        }
    )
    return {"dagster/column_lineage": lineage}
