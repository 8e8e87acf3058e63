"""Show in Dagster of which columns each column of a table is made."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import dagster as dg
from pyspark.sql import SparkSession

from lake.declare.column_lineage import ColumnLineage
from lake.declare.table import Table
from lake.project.known_lineage import found_lineage

__all__ = ["lineage_of"]


def lineage_of(
    home: Path, table: Table, session: Callable[[], SparkSession], warn: Callable[[str], object]
) -> dict[str, dg.TableColumnLineage]:
    """Return the metadata of a materialization.

    A table whose lineage cannot be found is written all the same.
    """
    try:
        found = found_lineage(home, table, session)
    except Exception as error:  # a plan that is unlike all that are known must not fail a run
        warn(f"{table.full_name}: no column lineage: {error}")
        return {}
    return {} if found is None else {"dagster/column_lineage": _as_dagster(found)}


def _as_dagster(found: ColumnLineage) -> dg.TableColumnLineage:
    """Say it as Dagster does, which has no word for columns that decide on rows, or for what is not exact."""
    return dg.TableColumnLineage(
        {
            name: [dg.TableColumnDep(dg.AssetKey(one.source.split(".")), one.column) for one in sorted(origin)]
            for name, origin in found.columns.items()
            if origin
        }
    )
