"""Choose which of the rows of a key a table keeps.

Spark does it and, for a few rows, this process.
"""

from __future__ import annotations

import pyarrow as pa
import pyspark.sql.functions as F
from pyarrow import compute as pc
from pyspark.sql import DataFrame, Window, WindowSpec

from lake.declare.table import Table
from lake.storage.log import Log

__all__ = [
    "IS_VALID",
    "PLACE_IN_KEY",
    "day_and_key",
    "first_by_key",
    "has_unordered_repeats",
    "newer_than_held",
    "places",
    "with_held",
]

IS_VALID, PLACE_IN_KEY = "_is_valid", "_place_in_key"
"""Columns with the verdict on a candidate row: whether it satisfies the contract, and its place among those that do."""
_IS_NEW = "_is_new"


def day_and_key(table: Table) -> list[str]:
    """Return what no two rows of a table share, the day first.

    Rows in its order need no sorting to be written.
    """
    return list(dict.fromkeys([*([table.day] if table.day else []), *table.key]))


def _order(table: Table) -> list[tuple[str, bool]]:
    """Return the columns by which the rows of a key are ordered.

    Each comes with whether its greatest value is first. All columns that the declaration does not name follow, because
    the order of the input must never matter.
    """
    stated = table.write.order
    first = {name.removeprefix("-"): name.startswith("-") for name in stated}
    rest = (name for name in table.contract.stored_names if name not in {*first, *table.key, table.day})
    return [*first.items(), *((name, False) for name in rest)]


def places(table: Table) -> WindowSpec:
    """Return the rows of a key, valid ones apart, first to last."""
    placed = [(table.contract.comparable(name), falls) for name, falls in _order(table)]
    by = [one.desc_nulls_last() if falls else one.asc_nulls_last() for one, falls in placed] or [F.lit(1)]
    return Window.partitionBy(*day_and_key(table), IS_VALID).orderBy(*by)


def has_unordered_repeats(rows: pa.Table, table: Table) -> bool:
    """Tell whether a key repeats whose rows Arrow cannot sort, because columns are nested."""
    if not any(pa.types.is_nested(rows.schema.field(name).type) for name, _ in _order(table)):
        return False
    by = day_and_key(table)
    return bool(rows.select(by).group_by(by).aggregate([]).num_rows < rows.num_rows)


def first_by_key(rows: pa.Table, table: Table) -> pa.Table:
    """Return the first row of each day and key, as `_order` says.

    It is what the window of `Enforcer` does in Spark.
    """
    by = day_and_key(table)
    if rows.select(by).group_by(by).aggregate([]).num_rows == rows.num_rows:
        return rows
    order = [(name, "descending" if falls else "ascending") for name, falls in _order(table)]
    placed = rows.take(pc.sort_indices(rows, order)) if order else rows
    numbered = placed.append_column(PLACE_IN_KEY, pa.array(range(placed.num_rows)))
    first = numbered.group_by(by).aggregate([(PLACE_IN_KEY, "min")])
    return placed.take(first.column(f"{PLACE_IN_KEY}_min"))


def newer_than_held(table: Table, rows: pa.Table, log: Log) -> pa.Table | None:
    """Return the rows that come before what the table holds under their keys.

    None where only Spark can tell.

    Args:
        table: which keeps one row of each key, whatever its day.
        rows: one of each key, in the contract's stored columns.
        log: of the table, which was created.
    """
    schema, stored, key = table.contract.arrow_schema, log.opened(), table.key[0]
    assert stored is not None, "it was created before the stream began"
    wanted = rows.select(schema.names).cast(schema)
    held = stored.to_pyarrow_table(filters=pc.field(key).isin(wanted.column(key).unique()))
    both = pa.concat_tables(
        part.append_column(_IS_NEW, pa.array([is_new] * part.num_rows, pa.bool_()))
        for part, is_new in ((held.select(schema.names).cast(schema), False), (wanted, True))
    )
    if has_unordered_repeats(both, table):
        return None
    # A stable sort: of rows that are equal, that which is held comes first.
    return first_by_key(both, table).filter(pc.field(_IS_NEW)).select(schema.names)


def with_held(table: Table, rows: DataFrame, held: DataFrame) -> DataFrame:
    """Return the first row of each key, new or held.

    New are the rows that come, held are those of the table.
    """
    # In the session of the rows, which is the query's own: only there does what observes them hear of the end.
    both = rows.unionByName(held).withColumn(IS_VALID, F.lit(True))
    placed = both.withColumn(PLACE_IN_KEY, F.row_number().over(places(table)))
    return placed.where(F.col(PLACE_IN_KEY) == 1).select(*table.contract.stored_names)
