"""Find of which columns of its inputs each column of a table is made.

Spark's analyzed plan says it exactly: each attribute has an id, and each operator says which attributes it takes and
which it gives. Where the plan does not say it (a function in Python, rows that the transform makes itself, an operator
that is not known here) a column has no lineage, because a guess would be believed.

It is the lineage of the transform. Which rows the contract refuses, and which of two rows with one key is kept, the
declaration says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pyspark.sql import SparkSession

from lake.declare.column_origins import (
    Columns,
    InputColumn,
    Value,
    attribute_of,
    marked_input,
    united,
    value_of,
)
from lake.declare.plan_json import PlanNode, analyzed_tree, trees_in
from lake.declare.table import Table

__all__ = ["ColumnLineage", "Why", "find_lineage"]

Why = Literal["filter", "group", "join", "order"]
"""In what a column decides which rows there are."""

_LOGICAL = "org.apache.spark.sql.catalyst.plans.logical"
_WITHOUT_INPUT = ("LocalRelation", "OneRowRelation", "Range")
_BOTH_SIDES = ("Cross", "FullOuter", "Inner", "LeftOuter", "RightOuter")
_PASSING = frozenset(
    {
        "CollectMetrics",
        "EventTimeWatermark",
        "GlobalLimit",
        "LocalLimit",
        "Offset",
        "RebalancePartitions",
        "Repartition",
        "RepartitionByExpression",
        "ResolvedHint",
        "Sample",
        "Sort",
        "SubqueryAlias",
        "Tail",
        "View",
    }
)
"""Operators that give the columns of their one child."""


@dataclass(frozen=True)
class ColumnLineage:
    """The lineage of a table's stored columns.

    Attributes:
        columns: of what each is made; None for one of which the plan does not say it.
        decided_by: the columns that decide which rows there are; None where the plan does not say all of them.
    """

    columns: Mapping[str, Columns | None]
    decided_by: Mapping[InputColumn, frozenset[Why]] | None

    def as_json(self) -> dict[str, Any]:
        """Spell it for a file."""
        made = {name: None if one is None else _spelled(one) for name, one in self.columns.items()}
        return {"columns": made, "decided_by": None if self.decided_by is None else _spelled(self.decided_by)}

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> ColumnLineage:
        """Read what `as_json` has spelled."""
        made = {name: None if one is None else _read(one) for name, one in said["columns"].items()}
        return cls(made, None if said["decided_by"] is None else _read(said["decided_by"]))


def _spelled(columns: Mapping[InputColumn, frozenset[Any]]) -> list[list[Any]]:
    return [[*one, sorted(hows)] for one, hows in sorted(columns.items())]


def _read(spelled: Sequence[Any]) -> dict[InputColumn, frozenset[Any]]:
    return {InputColumn(source, column): frozenset(hows) for source, column, hows in spelled}


def find_lineage(table: Table, spark: SparkSession) -> ColumnLineage | None:
    """Find the lineage of a table's columns, without running a job.

    None where the session does not show its plans (Spark Connect).
    """
    rows = table(*(marked_input(spark, read.source) for read in table.reads))
    plan = analyzed_tree(rows)
    if plan is None:
        return None
    walk = _Walk()
    found = walk.given(plan).named(rows.columns)
    columns = {name: found[name].columns if name in found else None for name in table.contract.stored_names}
    return ColumnLineage(columns, walk.decided if walk.rows_are_exact else None)


@dataclass(frozen=True)
class _Given:
    """The columns that an operator gives, in order."""

    columns: Sequence[tuple[int, Value]] = ()
    is_known: bool = True

    def values(self) -> dict[int, Value]:
        return dict(self.columns)

    def named(self, names: Sequence[str]) -> dict[str, Value]:
        """Give the value of each column by its name.

        None where names do not tell columns apart.
        """
        if not self.is_known or len(names) != len(self.columns) or len(set(names)) < len(names):
            return {}
        return {name: value for name, (_, value) in zip(names, self.columns, strict=True)}


@dataclass
class _Walk:
    """Go through a plan from its leaves on.

    It notes which columns decide on rows.
    """

    decided: dict[InputColumn, frozenset[Why]] = field(default_factory=dict)
    rows_are_exact: bool = True

    def given(self, node: PlanNode) -> _Given:
        """Find what an operator gives."""
        if node.package == _LOGICAL and node.name in _WITHOUT_INPUT:
            return _Given([(attribute_of(one), Value()) for one in trees_in(node.facts.get("output"))])
        given = [self.given(child) for child in node.children]
        made = _OPERATORS.get(node.name) if node.package == _LOGICAL else None
        if made is None or not given or not all(one.is_known for one in given):
            return self._unknown()
        return made(self, node, given)

    def _unknown(self) -> _Given:
        self.rows_are_exact = False
        return _Given(is_known=False)

    def _decide(self, why: Why, argument: Any, given: _Given) -> None:
        for tree in trees_in(argument):
            self._note(why, value_of(tree, given.values()))

    def _note(self, why: Why, value: Value) -> None:
        if value.columns is None:
            self.rows_are_exact = False
        for one in value.columns or ():
            self.decided[one] = self.decided.get(one, frozenset()) | {why}

    def _of_all(self, why: Why, given: Sequence[_Given]) -> _Given:
        for _, value in (column for one in given for column in one.columns):
            self._note(why, value)
        return given[0]

    def _passed(self, node: PlanNode, given: Sequence[_Given]) -> _Given:
        self._decide("order", node.facts.get("order"), given[0])
        return given[0]

    def _project(self, node: PlanNode, given: Sequence[_Given]) -> _Given:
        return _Given(_made(node.facts["projectList"], given[0]))

    def _filter(self, node: PlanNode, given: Sequence[_Given]) -> _Given:
        self._decide("filter", node.facts["condition"], given[0])
        return given[0]

    def _aggregate(self, node: PlanNode, given: Sequence[_Given]) -> _Given:
        self._decide("group", node.facts["groupingExpressions"], given[0])
        return _Given(_made(node.facts["aggregateExpressions"], given[0]))

    def _window(self, node: PlanNode, given: Sequence[_Given]) -> _Given:
        return _Given([*given[0].columns, *_made(node.facts["windowExpressions"], given[0])])

    def _generate(self, node: PlanNode, given: Sequence[_Given]) -> _Given:
        dropped = set(node.facts["unrequiredChildIndex"])
        (value,) = (value_of(tree, given[0].values()) for tree in trees_in(node.facts["generator"]))
        self._note("filter", value)  # how many elements there are is how many rows
        kept = [one for place, one in enumerate(given[0].columns) if place not in dropped]
        made = [(attribute_of(one), Value(value.columns)) for one in trees_in(node.facts["generatorOutput"])]
        return _Given([*kept, *made])

    def _join(self, node: PlanNode, given: Sequence[_Given]) -> _Given:
        both = _Given([*given[0].columns, *given[1].columns])
        self._decide("join", node.facts.get("condition"), both)
        kind = node.facts["joinType"]
        name = str(kind.get("object") or kind.get("product-class")).rpartition(".")[2].removesuffix("$")
        if name in ("LeftSemi", "LeftAnti"):
            return given[0]
        return both if name in _BOTH_SIDES else self._unknown()

    def _union(self, _: PlanNode, given: Sequence[_Given]) -> _Given:
        columns = zip(*(one.columns for one in given), strict=True)
        return _Given([(parts[0][0], united([value for _, value in parts])) for parts in columns])

    def _distinct(self, _: PlanNode, given: Sequence[_Given]) -> _Given:
        return self._of_all("group", given)

    def _compared(self, _: PlanNode, given: Sequence[_Given]) -> _Given:
        return self._of_all("filter", given)

    def _deduplicate(self, node: PlanNode, given: Sequence[_Given]) -> _Given:
        self._decide("group", node.facts["keys"], given[0])
        return given[0]

    def _expand(self, node: PlanNode, given: Sequence[_Given]) -> _Given:
        rows = [[value_of(tree, given[0].values()) for tree in trees_in(one)] for one in node.facts["projections"]]
        ids = [attribute_of(one) for one in trees_in(node.facts["output"])]
        return _Given([(one, united(parts)) for one, parts in zip(ids, zip(*rows, strict=True), strict=True)])


def _made(argument: Any, given: _Given) -> list[tuple[int, Value]]:
    return [(attribute_of(one), value_of(one, given.values())) for one in trees_in(argument)]


_OPERATORS: Mapping[str, Callable[[_Walk, PlanNode, Sequence[_Given]], _Given]] = {
    **dict.fromkeys(_PASSING, _Walk._passed),
    "Aggregate": _Walk._aggregate,
    "Deduplicate": _Walk._deduplicate,
    "DeduplicateWithinWatermark": _Walk._deduplicate,
    "Distinct": _Walk._distinct,
    "Except": _Walk._compared,
    "Expand": _Walk._expand,
    "Filter": _Walk._filter,
    "Generate": _Walk._generate,
    "Intersect": _Walk._compared,
    "Join": _Walk._join,
    "Project": _Walk._project,
    "Union": _Walk._union,
    "Window": _Walk._window,
}
