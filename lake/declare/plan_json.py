"""Read the analyzed plan of a frame as Spark's own JSON.

As text it would be ambiguous, because a literal is printed as it is. A session of Spark Connect gives no JSON.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pyspark.sql import DataFrame

__all__ = ["PlanNode", "analyzed_tree", "trees_in"]

_PRODUCT = "class"


@dataclass(frozen=True)
class PlanNode:
    """One operator of a plan, or one expression.

    Attributes:
        name: its class, without the package.
        package: of the class.
        facts: its arguments by name, as Spark writes them.
        children: in order.
    """

    name: str
    package: str
    facts: Mapping[str, Any]
    children: Sequence[PlanNode]


def analyzed_tree(rows: DataFrame) -> PlanNode | None:
    """Return the analyzed plan, without running a job; None where the session gives none."""
    classic = getattr(rows, "_jdf", None)
    return None if classic is None else _tree(json.loads(classic.queryExecution().analyzed().toJSON()))


def trees_in(argument: Any) -> list[PlanNode]:
    """Return the expressions of an argument: one, or a list of them at any depth."""
    if not isinstance(argument, list) or not argument:
        return []
    if isinstance(argument[0], dict):
        return [_tree(argument)]
    return [tree for one in argument for tree in trees_in(one)]


def _tree(listed: Sequence[Mapping[str, Any]]) -> PlanNode:
    """Build a tree of the nodes that Spark lists from the root on."""
    return _taken(iter(listed))


def _taken(listed: Iterator[Mapping[str, Any]]) -> PlanNode:
    facts = next(listed)
    package, _, name = str(facts[_PRODUCT]).rpartition(".")
    return PlanNode(name, package, facts, [_taken(listed) for _ in range(facts["num-children"])])
