"""Hold column lineage against what a transform does: change inputs, and see which columns change.

The plan says what a column is made of. Here its values say it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from random import Random
from typing import Any

import pyarrow as pa
import pyspark.sql.functions as F
from pyspark.sql import DataFrame, SparkSession

from lake.declare.column_lineage import ColumnLineage, find_lineage
from lake.declare.column_origins import InputColumn
from lake.declare.table import Table

__all__ = ["assert_changes_follow_lineage"]

_TURN = "_lineage_turn"
Rows = list[dict[str, Any]]


def assert_changes_follow_lineage(
    spark: SparkSession, table: Table, inputs: Sequence[pa.Table], seed: str, halvings: int = 1
) -> None:
    """Assert that a column changes where an input changes of which it is made, and nowhere else.

    Inputs are changed in columns that decide on no row, half of these at a time, and all is computed in one query. A
    value becomes another one of its column, because a transform may refuse a text of nobody's making, as a time zone.

    Args:
        spark: the session that computes.
        table: of which the transform is applied.
        inputs: some rows of each input.
        seed: chooses the columns that are changed together.
        halvings: how often the columns are shared out. A wrong origin is noticed with each by a chance of one half.
    """
    lineage = find_lineage(table, spark)
    if lineage is None or lineage.decided_by is None:
        return  # nothing is claimed
    turns = list(_halves(_free(table, lineage, inputs), Random(seed), halvings))
    if not turns:
        return
    before, *after = _computed(spark, table, [inputs, *(_changed(table, inputs, one) for one in turns)])
    for changed, rows in zip(turns, after, strict=True):
        _compare(lineage, changed, before, rows)


def _free(table: Table, lineage: ColumnLineage, inputs: Sequence[pa.Table]) -> list[InputColumn]:
    """List the columns that decide on no row and can be changed."""
    found = (
        InputColumn(read.source.full_name, name)
        for read, rows in zip(table.reads, inputs, strict=True)
        for name in rows.column_names
        if len(_distinct(rows[name].to_pylist())) > 1
    )
    return [one for one in dict.fromkeys(found) if one not in (lineage.decided_by or ())]


def _halves(free: Sequence[InputColumn], random: Random, halvings: int) -> Iterator[Collection[InputColumn]]:
    for _ in range(halvings):
        mixed = random.sample(free, len(free))
        yield from (half for half in (mixed[::2], mixed[1::2]) if half)


def _changed(table: Table, inputs: Sequence[pa.Table], changed: Collection[InputColumn]) -> list[pa.Table]:
    names = [{one.column for one in changed if one.source == read.source.full_name} for read in table.reads]
    return [_with_others(rows, chosen) for rows, chosen in zip(inputs, names, strict=True)]


def _with_others(rows: pa.Table, names: Collection[str]) -> pa.Table:
    """Give other values to some columns."""
    columns = [
        pa.array(_exchanged(rows[one.name].to_pylist()), one.type) if one.name in names else rows[one.name]
        for one in rows.schema
    ]
    return pa.table(columns, schema=rows.schema)


def _exchanged(values: list[Any]) -> list[Any]:
    """Make each value the one before it in some order, and the first the second.

    So each changes, and the last is nowhere any more. A null stays.
    """
    known = _distinct(values)
    order = sorted(known)
    into = {one: known[other] for one, other in zip(order, [order[1], *order], strict=False)}
    return [None if value is None else into[repr(value)] for value in values]


def _distinct(values: Iterable[Any]) -> dict[str, Any]:
    return {repr(value): value for value in values if value is not None}


def _computed(spark: SparkSession, table: Table, turns: Sequence[Sequence[pa.Table]]) -> list[Rows]:
    """Apply the transform to each set of inputs, in one query."""
    frames = [_applied(spark, table, inputs).withColumn(_TURN, F.lit(turn)) for turn, inputs in enumerate(turns)]
    together = frames[0]
    for one in frames[1:]:
        together = together.unionAll(one)
    found: list[Rows] = [[] for _ in turns]
    for row in together.toArrow().to_pylist():
        found[row.pop(_TURN)].append(row)
    return found


def _applied(spark: SparkSession, table: Table, inputs: Sequence[pa.Table]) -> DataFrame:
    frames = (spark.createDataFrame(rows, read.source.schema) for read, rows in zip(table.reads, inputs, strict=True))
    return table(*frames).select(*table.contract.stored_names)


def _compare(lineage: ColumnLineage, changed: Collection[InputColumn], before: Rows, after: Rows) -> None:
    known = {name: origin for name, origin in lineage.columns.items() if origin is not None}
    same = [name for name, origin in known.items() if not origin.keys() & set(changed)]
    assert _only(before, same) == _only(after, same), f"{same} do not depend on {sorted(changed)}"
    for name, origin in known.items():
        is_passed_on = list(origin.values()) == [{"same"}] and origin.keys() <= set(changed)
        if is_passed_on and _can_be_told(row[name] for row in before):
            assert _only(before, [name]) != _only(after, [name]), f"{name} is {sorted(origin)}, and does not follow"


def _only(rows: Rows, names: Collection[str]) -> Counter[str]:
    return Counter(repr([row[name] for name in names]) for row in rows)


def _can_be_told(values: Iterable[Any]) -> bool:
    """Tell whether other values are sure to be counted: two that are exchanged may be as many as before."""
    return len(_distinct(values)) not in (0, 2)
