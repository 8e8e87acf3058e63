"""A contract: the one place where a table's columns, types, units, nullability and checks are stated.

A contract is a `pandera.pyspark` model. pandera itself needs one Spark job a check and cannot look at a stream, so the
model is compiled here to plain column expressions: one pass over the rows gives every verdict. A check that cannot be
compiled is refused when the table is declared, never skipped. As in pandera, a null passes every check except
`nullable=False`.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import Any

import pyarrow as pa
import pyspark.sql.functions as F
import pyspark.sql.types as T
from pandera.pyspark import DataFrameModel
from pyspark.sql import Column, DataFrame
from pyspark.sql.pandas.types import to_arrow_schema

from lake.errors import CannotCompile, SchemaDrift

__all__ = ["CompiledContract", "Contract", "ContractColumn", "Rule", "compile_contract"]


class Contract(DataFrameModel):  # type: ignore[type-arg]  # subscripting it makes another class at run time
    """Base of every contract, whose fields read like the table.

    `carrier: T.StringType = Field(description="IATA carrier code", str_length={"min_value": 2, "max_value": 2})`

    `Field(metadata={"stored": False})` states a column that the transform computes only so that it can be checked.
    """


Verdict = Callable[[Column], Column]


def _in_range(stats: Mapping[str, Any]) -> Verdict:
    low, high = stats["min_value"], stats["max_value"]

    def inside(value: Column) -> Column:
        above: Column = value >= low if stats.get("include_min", True) else value > low
        below: Column = value <= high if stats.get("include_max", True) else value < high
        return above & below

    return inside


def _str_length(stats: Mapping[str, Any]) -> Verdict:
    low, high, exact = stats.get("min_value"), stats.get("max_value"), stats.get("exact_value")
    low, high = (exact, exact) if exact is not None else (low, high)

    def fits(value: Column) -> Column:
        long_enough = F.lit(True) if low is None else F.length(value) >= low
        return long_enough if high is None else long_enough & (F.length(value) <= high)

    return fits


def _str_matches(stats: Mapping[str, Any]) -> Verdict:
    pattern = stats["pattern"]
    text = pattern.pattern if isinstance(pattern, re.Pattern) else str(pattern)
    anchored = text if text.startswith("^") else f"^{text}"
    return lambda value: value.rlike(anchored)


_COMPILERS: dict[str, Callable[[Mapping[str, Any]], Verdict]] = {
    "equal_to": lambda stats: lambda value: value == stats["value"],
    "not_equal_to": lambda stats: lambda value: value != stats["value"],
    "greater_than": lambda stats: lambda value: value > stats["min_value"],
    "greater_than_or_equal_to": lambda stats: lambda value: value >= stats["min_value"],
    "less_than": lambda stats: lambda value: value < stats["max_value"],
    "less_than_or_equal_to": lambda stats: lambda value: value <= stats["max_value"],
    "in_range": _in_range,
    "isin": lambda stats: lambda value: value.isin(list(stats["allowed_values"])),
    "notin": lambda stats: lambda value: ~value.isin(list(stats["forbidden_values"])),
    "str_length": _str_length,
    "str_matches": _str_matches,
}


@dataclass(frozen=True)
class Rule:
    """One thing that a row must satisfy.

    Attributes:
        column: the column it looks at.
        check: `not_null`, or the name of the pandera check.
    """

    column: str
    check: str
    _passes: Callable[[Column], Column]

    @property
    def name(self) -> str:
        """`column:check`, as it appears in the quarantine and in receipts."""
        return f"{self.column}:{self.check}"

    def passes(self) -> Column:
        """True where a row satisfies the rule, false where it breaks it, null where the value is null."""
        return self._passes(F.col(self.column))

    def broken(self) -> Column:
        """True where a row breaks the rule; never null."""
        return ~F.coalesce(self.passes(), F.lit(True))


@dataclass(frozen=True)
class ContractColumn:
    """One column of a contract: name, Spark type, nullability, description, and whether the table stores it."""

    name: str
    dtype: T.DataType
    nullable: bool
    description: str
    stored: bool


@dataclass(frozen=True)
class CompiledContract:
    """A contract ready for Spark: its columns in order, and its rules."""

    name: str
    columns: tuple[ContractColumn, ...]
    rules: tuple[Rule, ...]

    @cached_property
    def stored(self) -> tuple[ContractColumn, ...]:
        """The columns that the table stores."""
        return tuple(column for column in self.columns if column.stored)

    @cached_property
    def stored_names(self) -> list[str]:
        """Names of the columns that the table stores, in order."""
        return [column.name for column in self.stored]

    @cached_property
    def schema(self) -> T.StructType:
        """The Spark schema of the stored table; descriptions are column comments."""
        return T.StructType(
            [T.StructField(c.name, c.dtype, c.nullable, {"comment": c.description}) for c in self.stored]
        )

    @cached_property
    def arrow_schema(self) -> pa.Schema:
        """The stored schema as Arrow, comments in the fields' metadata; creates the Delta table without a JVM."""
        plain = to_arrow_schema(self.schema, timezone="UTC")
        return pa.schema(
            [pa.field(c.name, plain.field(c.name).type, c.nullable, {"comment": c.description}) for c in self.stored]
        )

    def column(self, name: str) -> ContractColumn | None:
        """The column of that name, or None."""
        return next((column for column in self.columns if column.name == name), None)

    def is_satisfied(self) -> Column:
        """True where a row satisfies every rule; never null.

        "And" is false where one rule is broken, whatever the others say, and null where some cannot tell.
        """
        return F.coalesce(reduce(operator.and_, [rule.passes() for rule in self.rules], F.lit(True)), F.lit(True))

    def broken_rules(self) -> Column:
        """The names of the rules that a row breaks: ARRAY<STRING>, in the order of the contract."""
        names = [F.when(rule.broken(), F.lit(rule.name)) for rule in self.rules]
        return F.array_compact(F.array(*names)) if names else F.array().cast("array<string>")

    def check_schema(self, rows: DataFrame, table: str) -> None:
        """Compare the frame's columns and types with the contract; looks at the plan only, runs nothing.

        Raises:
            SchemaDrift: a column is missing, is of another type, or is neither in the contract nor lineage (`_...`).
        """
        expected = {column.name: column.dtype.simpleString() for column in self.columns}
        found = {
            field.name: field.dataType.simpleString()
            for field in rows.schema.fields
            if field.name in expected or not field.name.startswith("_")
        }
        if found != expected:
            raise SchemaDrift(table=table, expected=expected, found=found)


def compile_contract(contract: type[DataFrameModel[Any]]) -> CompiledContract:
    """Compile a pandera model to Spark expressions.

    Raises:
        CannotCompile: a check has no equivalent here.
    """
    schema = contract.to_schema()
    _refuse_what_is_of_no_column(contract.__name__, schema)
    columns: list[ContractColumn] = []
    rules: list[Rule] = []
    for name, column in schema.columns.items():
        if column.coerce or column.regex:
            raise CannotCompile(contract.__name__, name, "coerce" if column.coerce else "regex", tuple(_COMPILERS))
        stored = bool((column.metadata or {}).get("stored", True))
        columns.append(ContractColumn(name, column.dtype.type, bool(column.nullable), column.description or "", stored))
        if not column.nullable:
            rules.append(Rule(name, "not_null", lambda value: value.isNotNull()))
        rules.extend(_compile_check(contract.__name__, name, check) for check in column.checks)
    return CompiledContract(contract.__name__, tuple(columns), tuple(rules))


def _refuse_what_is_of_no_column(contract: str, schema: Any) -> None:
    """A rule about whole rows or the whole frame would not be looked at: keys and days are facts of the table."""
    whole = {"unique": schema.unique, "coerce": schema.coerce, "dataframe_check": schema.checks}
    for kind, asked in whole.items():
        if asked:
            raise CannotCompile(contract, "(the whole frame)", kind, tuple(_COMPILERS))


def _compile_check(contract: str, column: str, check: Any) -> Rule:
    compiler = _COMPILERS.get(str(check.name))
    if compiler is None or check.statistics is None or check.raise_warning:
        raise CannotCompile(contract, column, str(check.name), tuple(_COMPILERS))
    return Rule(column, str(check.name), compiler(check.statistics))
