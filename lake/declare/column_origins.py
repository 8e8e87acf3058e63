"""Find of which columns a value is made.

Spark's analyzed plan says it of each expression.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import pyspark.sql.functions as F
from pyspark.sql import DataFrame, SparkSession

from lake.declare.feed import Feed
from lake.declare.plan_json import PlanNode
from lake.declare.table import Table

__all__ = ["Columns", "How", "InputColumn", "Value", "attribute_of", "marked_input", "merged", "united", "value_of"]

How = Literal["same", "computed", "aggregated", "window"]
"""How a value comes of a column; `window`: the column partitions or orders a window from which it is taken."""

_EXPRESSIONS = "org.apache.spark.sql.catalyst.expressions"
_TOKEN = secrets.token_hex()
"""Begins the text that an input's column carries in its expression. No transform can write it by itself."""
_OPAQUE = frozenset(
    {
        "ApplyFunctionExpression",
        "CallMethodViaReflection",
        "Exists",
        "InputFileBlockLength",
        "InputFileBlockStart",
        "InputFileName",
        "InSubquery",
        "LateralSubquery",
        "ListQuery",
        "MonotonicallyIncreasingID",
        "PythonUDAF",
        "PythonUDF",
        "PythonUDTF",
        "ScalaUDF",
        "ScalarSubquery",
        "SparkPartitionID",
        "UnresolvedPolymorphicPythonUDTF",
        "V2Aggregator",
    }
)
"""Expressions that read more than their arguments, or may."""
_CHOOSING = frozenset(
    {
        "AggregateExpression",
        "Alias",
        "AnyValue",
        "CaseWhen",
        "Cast",
        "Coalesce",
        "First",
        "If",
        "KnownNotNull",
        "KnownNullable",
        "Lag",
        "Last",
        "Lead",
        "WindowExpression",
    }
)
"""Expressions that give one of their arguments as it is, so that a struct keeps its fields apart."""


class InputColumn(NamedTuple):
    """A column of an input: of `layer.name`, a table, or of `feeds.name`."""

    source: str
    column: str


Columns = Mapping[InputColumn, frozenset[How]]


@dataclass(frozen=True)
class Value:
    """The origin of a value.

    Attributes:
        columns: of which it is made; None where the plan does not say it.
        fields: those of a struct, where they are known apart.
        chosen_by: the columns that choose which struct it is, or whether there is one. Each field has them too.
    """

    columns: Columns | None = field(default_factory=dict)
    fields: Sequence[Value] | None = None
    chosen_by: Columns | None = field(default_factory=dict)


_UNKNOWN = Value(None)


def marked_input(spark: SparkSession, source: Table | Feed) -> DataFrame:
    """Return an empty frame of an input whose columns say where they are from.

    They say it in their expression, because Spark gives columns other ids where an input is read twice.
    """
    columns = []
    for one in source.schema.fields:
        said = F.lit(_TOKEN + json.dumps([source.full_name, one.name]))
        columns.append(F.when(said == "", F.lit(None).cast(one.dataType)).alias(one.name))
    return spark.range(0).select(*columns)


def attribute_of(named: PlanNode) -> int:
    """Return the id of an attribute, or of the one that an alias makes.

    It is -1 where there is none.
    """
    return int((named.facts.get("exprId") or {}).get("id", -1))


def value_of(tree: PlanNode, known: Mapping[int, Value]) -> Value:
    """Find of what the value of an expression is made.

    Args:
        tree: the expression.
        known: the attributes that it may take, by id.
    """
    if tree.name == "AttributeReference":
        return known.get(attribute_of(tree), _UNKNOWN)
    if tree.name in _OPAQUE or not tree.package.startswith(_EXPRESSIONS):
        return _UNKNOWN
    if (source := _input_of(tree)) is not None:
        return Value({source: frozenset({"same"})})
    values = [value_of(child, known) for child in tree.children]
    if tree.name == "CreateNamedStruct":
        return Value(_through(tree, merged(one.columns for one in values[1::2])), values[1::2])
    if tree.name == "GetStructField" and (fields := values[0].fields) is not None:
        return fields[int(tree.facts["ordinal"])]
    if tree.name in ("IsNotNull", "IsNull") and values[0].fields is not None:
        return Value(_through(tree, values[0].chosen_by))
    columns = _through(tree, merged(one.columns for one in values))
    return _chosen(tree, values, columns) if tree.name in _CHOOSING else Value(columns)


def _chosen(tree: PlanNode, values: Sequence[Value], columns: Columns | None) -> Value:
    """Keep the fields of structs apart of which one is given."""
    structs = [one for one in values if one.fields is not None]
    others = merged(one.columns for one in values if one.fields is None)
    if not structs or len({len(one.fields or ()) for one in structs}) > 1:
        return Value(columns)
    by = _through(tree, merged([others, *(one.chosen_by for one in structs)]))
    parts = zip(*(one.fields or () for one in structs), strict=True)
    fields = [Value(merged([by, _through(tree, merged(one.columns for one in part))])) for part in parts]
    return Value(columns, fields, by)


def united(values: Sequence[Value]) -> Value:
    """Give the origin of a value that is one of these, by row."""
    columns = merged(one.columns for one in values)
    structs = [one for one in values if one.fields is not None]
    if not structs or any(one.columns != {} for one in values if one.fields is None):
        return Value(columns)  # a null is a struct of any fields
    parts = zip(*(one.fields or () for one in structs), strict=True)
    return Value(columns, [united(part) for part in parts], merged(one.chosen_by for one in structs))


def _through(tree: PlanNode, columns: Columns | None) -> Columns | None:
    """Say how a value comes of columns that an expression takes."""
    if columns is None or tree.name == "Alias":
        return columns
    return {one: frozenset(_how(tree.name, how) for how in hows) for one, hows in columns.items()}


def _how(expression: str, how: How) -> How:
    if expression == "WindowSpecDefinition":
        return "window"
    if expression == "AggregateExpression" and how in ("same", "computed"):
        return "aggregated"
    return "computed" if how == "same" else how


def _input_of(tree: PlanNode) -> InputColumn | None:
    """Return the column of an input that `marked_input` has made."""
    if tree.name != "CaseWhen" or not tree.children[0].children:
        return None
    said = str(tree.children[0].children[0].facts.get("value"))
    return InputColumn(*json.loads(said.removeprefix(_TOKEN))) if said.startswith(_TOKEN) else None


def merged(columns: Iterable[Columns | None]) -> Columns | None:
    """Join columns; None where some are not known."""
    found: dict[InputColumn, frozenset[How]] = {}
    for one in columns:
        if one is None:
            return None
        for column, hows in one.items():
            found[column] = found.get(column, frozenset()) | hows
    return found
