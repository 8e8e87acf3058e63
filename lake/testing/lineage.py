"""Hold column lineage against what a transform does: change inputs, and see which columns change.

The plan says what a column is made of; here its values say it.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from decimal import Decimal
from random import Random
from typing import Any

from pyspark.sql import DataFrame

from lake.declare.column_lineage import ColumnLineage, find_lineage
from lake.declare.column_origins import InputColumn
from lake.declare.table import Table

__all__ = ["assert_changes_follow_lineage"]

_TURNS = 4
_NOT_TOLD_APART = (bool, type(None))
"""Values of which others may be changed into the same."""


def assert_changes_follow_lineage(table: Table, inputs: Sequence[DataFrame], seed: int = 0) -> None:
    """Assert that a column changes where an input changes of which it is made, and nowhere else.

    Args:
        table: of which the transform is applied.
        inputs: some rows of each input.
        seed: chooses the columns that are changed together.
    """
    lineage = find_lineage(table, inputs[0].sparkSession)
    if lineage is None or lineage.decided_by is None:
        return  # nothing is claimed
    frames = [(frame, frame.collect()) for frame in inputs]
    before = _rows(table, inputs)
    for changed in _choices(table, lineage, Random(seed)):
        others = [_changed(table, place, *one, changed) for place, one in enumerate(frames)]
        _compare(lineage, changed, before, _rows(table, others))


def _compare(
    lineage: ColumnLineage, changed: Collection[InputColumn], before: list[dict[str, Any]], after: list[dict[str, Any]]
) -> None:
    known = {name: origin for name, origin in lineage.columns.items() if origin is not None}
    same = [name for name, origin in known.items() if not origin.keys() & set(changed)]
    assert _only(before, same) == _only(after, same), f"{same} do not depend on {sorted(changed)}"
    for name, origin in known.items():
        is_passed_on = all(hows == {"same"} for hows in origin.values()) and origin
        if is_passed_on and origin.keys() <= set(changed) and _can_be_told(row[name] for row in before):
            assert _only(before, [name]) != _only(after, [name]), f"{name} is {sorted(origin)}, and does not follow"


def _choices(table: Table, lineage: ColumnLineage, random: Random) -> Iterator[Collection[InputColumn]]:
    """Choose columns to change: all that decide on no row, then some of them in turn."""
    free = [one for one in _columns(table) if one not in (lineage.decided_by or ())]
    random.shuffle(free)
    yield from (chosen for chosen in (free, *(free[turn::_TURNS] for turn in range(_TURNS))) if chosen)


def _columns(table: Table) -> list[InputColumn]:
    sources = [read.source for read in table.reads]
    return [InputColumn(source.full_name, name) for source in sources for name in source.schema.names]


def _rows(table: Table, inputs: Sequence[DataFrame]) -> list[dict[str, Any]]:
    return [row.asDict(recursive=True) for row in table(*inputs).select(*table.contract.stored_names).collect()]


def _only(rows: list[dict[str, Any]], names: Collection[str]) -> Counter[str]:
    return Counter(repr([row[name] for name in names]) for row in rows)


def _can_be_told(values: Iterator[Any]) -> bool:
    return any(not isinstance(value, _NOT_TOLD_APART) for value in values)


def _changed(
    table: Table, place: int, frame: DataFrame, rows: Sequence[Any], changed: Collection[InputColumn]
) -> DataFrame:
    source = table.reads[place].source.full_name
    names = {one.column for one in changed if one.source == source}
    if not names:
        return frame
    other = [tuple(_other(row[name]) if name in names else row[name] for name in frame.columns) for row in rows]
    return frame.sparkSession.createDataFrame(other, frame.schema)


def _other(value: Any) -> Any:
    """Return another value of the same type; a null stays one."""
    match value:
        case bool():
            return not value
        case int() | float() | Decimal():
            return value + 1
        case str():
            return value[::-1] + "x"
        case bytes() | bytearray():
            return bytes(value) + b"x"
        case dt.datetime() | dt.date():
            return value + dt.timedelta(days=1)
    return value
