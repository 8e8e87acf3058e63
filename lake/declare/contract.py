"""State a table's columns, types, units, nullability and checks in one place.

A contract is a schema of `pandera.pyspark`: of a model of pandera, or of a `Contract`, which becomes one when rows are
judged. pandera itself needs one Spark job a check and cannot look at a stream, so its schema is compiled here to plain
column expressions: one pass over the rows gives every verdict. The verdict is that of pandera for pandas on the same
value, because for Spark pandera takes over what Java and SQL think of NaN, of nulls in a list and of patterns. A check
that cannot be compiled so is refused when the table is declared, never skipped. A null passes every check except
`nullable=False`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cached_property, partial, reduce
from math import isnan
from typing import Any

import pyarrow as pa
import pyspark.sql.functions as F
import pyspark.sql.types as T
from pyspark.sql import Column, DataFrame
from pyspark.sql.pandas.types import to_arrow_schema

from lake.declare.fields import CHECKS, Contract, Facts, Field, Stated, stated_columns
from lake.declare.names import is_name
from lake.declare.nested import comparable, inner_rules, stored_type
from lake.declare.pandera_schema import columns_of_model, is_model, schema_of
from lake.declare.patterns import UnfitCheckError, java_pattern
from lake.declare.pii import Pii, refuse_stated
from lake.declare.stated import stated
from lake.errors import CannotCompile, SchemaDrift

__all__ = ["CompiledContract", "Contract", "ContractColumn", "Field", "Rule", "compile_contract"]


Verdict = Callable[[Column], Column]

_LARGEST_EXACT = 2**53
"""Whole numbers beyond it are rounded where they meet a DOUBLE."""
_LARGEST = 2**63 - 1


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _LARGEST


def _is_number(value: object) -> bool:
    if isinstance(value, float):
        return not isnan(value)
    return isinstance(value, int) and _is_whole(value) and abs(value) <= _LARGEST_EXACT


def _is_decimal(value: object) -> bool:
    return _is_whole(value) or (isinstance(value, Decimal) and value.is_finite())


_FITTING: dict[type[T.DataType], Callable[[object], bool]] = {
    T.IntegralType: _is_whole,
    T.FractionalType: _is_number,
    T.DecimalType: _is_decimal,
    T.StringType: lambda value: isinstance(value, str),
    T.BooleanType: lambda value: isinstance(value, bool),
    T.DateType: lambda value: isinstance(value, date) and not isinstance(value, datetime),
    T.TimestampType: lambda value: isinstance(value, datetime),
    T.BinaryType: lambda value: isinstance(value, bytes),
}
"""Which values a column of a type can be compared with so that Spark and Python agree."""
_ORDERED = (T.IntegralType, T.FractionalType, T.DecimalType, T.DateType, T.TimestampType)


def _literal(value: object, dtype: T.DataType) -> Any:
    """Return what Spark compares a column with.

    A time without a zone is UTC, whatever zone this process has.
    """
    kinds = (fits for kind, fits in reversed(_FITTING.items()) if isinstance(dtype, kind))
    fits = next(kinds, None)
    if fits is None or not fits(value):
        raise UnfitCheckError(f"{value!r} is no value of {dtype.simpleString()}", "state values of the column's type")
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) and value.tzinfo is None else value


def _ordered(value: object, dtype: T.DataType) -> Any:
    if not isinstance(dtype, _ORDERED):
        raise UnfitCheckError(f"{dtype.simpleString()} has no order", "use isin, notin, eq or ne")
    return _literal(value, dtype)


def _known(value: Column, dtype: T.DataType) -> Column:
    """Return a condition that is true of numbers and false of NaN.

    Spark takes NaN for greater than all numbers, Python for greater than none.
    """
    return ~F.isnan(value) if isinstance(dtype, T.DoubleType | T.FloatType) else F.lit(True)


def _compared(compare: Callable[[Any, Any], Any], fact: str, facts: Facts, dtype: T.DataType) -> Verdict:
    bound = _ordered(facts[fact], dtype)
    return lambda value: _known(value, dtype) & compare(value, bound)


def _equal(facts: Facts, dtype: T.DataType) -> Verdict:
    wanted = _literal(facts["value"], dtype)
    return lambda value: value == wanted


def _in_range(facts: Facts, dtype: T.DataType) -> Verdict:
    low, high = (_ordered(facts.get(name), dtype) for name in ("min_value", "max_value"))
    if low > high or (low == high and not (facts["include_min"] and facts["include_max"])):
        raise UnfitCheckError(f"no value lies between {low!r} and {high!r}", "state the lower value first")
    above = operator.ge if facts["include_min"] else operator.gt
    below = operator.le if facts["include_max"] else operator.lt
    return lambda value: above(value, low) & below(value, high)  # NaN is below none, to Spark too


def _is_in(fact: str, facts: Facts, dtype: T.DataType) -> Verdict:
    # A null in the list would make every verdict null, which passes. Of a null value `nullable` decides alone.
    listed = [_literal(one, dtype) for one in facts[fact] if one is not None]
    if not listed:
        raise UnfitCheckError("it lists no value", "list the values")
    return lambda value: value.isin(listed)


def _not(compiler: Callable[[Facts, T.DataType], Verdict], facts: Facts, dtype: T.DataType) -> Verdict:
    passes = compiler(facts, dtype)
    return lambda value: ~passes(value)


def _of_text(dtype: T.DataType) -> None:
    if not isinstance(dtype, T.StringType):
        raise UnfitCheckError(f"{dtype.simpleString()} is no text", "use it on a STRING")


def _str_length(facts: Facts, dtype: T.DataType) -> Verdict:
    _of_text(dtype)
    low, high, exact = (facts.get(name) for name in ("min_value", "max_value", "exact_value"))
    is_stated = (exact is None) != (low is None and high is None)
    low, high = (exact, exact) if exact is not None else (low, high)
    if not (is_stated and all(bound is None or _is_whole(bound) for bound in (low, high))) or (
        low is not None and high is not None and low > high
    ):
        raise UnfitCheckError(
            f"no length lies between {low!r} and {high!r}", "state min_value, max_value or exact_value"
        )

    def fits(value: Column) -> Column:
        long_enough = F.lit(True) if low is None else F.length(value) >= low
        return long_enough if high is None else long_enough & (F.length(value) <= high)

    return fits


def _str_matches(facts: Facts, dtype: T.DataType) -> Verdict:
    _of_text(dtype)
    pattern = java_pattern(facts["pattern"])
    return lambda value: value.rlike(pattern)


_COMPILERS: dict[str, Callable[[Facts, T.DataType], Verdict]] = {
    "equal_to": _equal,
    "not_equal_to": partial(_not, _equal),
    "greater_than": partial(_compared, operator.gt, "min_value"),
    "greater_than_or_equal_to": partial(_compared, operator.ge, "min_value"),
    "less_than": partial(_compared, operator.lt, "max_value"),
    "less_than_or_equal_to": partial(_compared, operator.le, "max_value"),
    "in_range": _in_range,
    "isin": partial(_is_in, "allowed_values"),
    "notin": partial(_not, partial(_is_in, "forbidden_values")),
    "str_length": _str_length,
    "str_matches": _str_matches,
}


_METADATA = {"stored", "checks", "pii"}


@dataclass(frozen=True)
class Rule:
    """One thing that a row must satisfy.

    Attributes:
        column: the column it looks at.
        check: `not_null`, or the name of the pandera check.
        stated: what it states, as `>= 0`; empty where the name says it.
    """

    column: str
    check: str
    _passes: Callable[[Column], Column]
    stated: str = ""

    @property
    def name(self) -> str:
        """`column:check`, as it appears in the quarantine and in receipts."""
        return f"{self.column}:{self.check}"

    @property
    def text(self) -> str:
        """The statement of the rule, or its name."""
        return self.stated or self.check

    def passes(self) -> Column:
        """Return whether a row satisfies the rule, null for a null value."""
        return self._passes(F.col(self.column))

    def broken(self) -> Column:
        """Return whether a row breaks the rule, never null."""
        return ~F.coalesce(self.passes(), F.lit(True))


@dataclass(frozen=True)
class ContractColumn:
    """One column of a contract.

    Attributes:
        name: of the column.
        dtype: its Spark type.
        nullable: whether it may be null.
        description: its meaning, with its unit.
        stored: whether the table stores it.
        pii: what it tells of a person, as stated; None where nothing is.
    """

    name: str
    dtype: T.DataType
    nullable: bool
    description: str
    stored: bool
    pii: Pii | None = None

    @property
    def is_personal(self) -> bool:
        """Tell whether it tells something of a person."""
        return self.pii not in (None, "none")

    @property
    def stored_facts(self) -> dict[str, str]:
        """Return the metadata of the column in Delta and Arrow."""
        return {"comment": self.description, **({"pii": str(self.pii)} if self.is_personal else {})}


@dataclass(frozen=True)
class CompiledContract:
    """A contract ready for Spark.

    Attributes:
        name: of the contract.
        columns: in order.
        rules: what it states of them.
        stated: the same as it was stated, for pandera; empty where the framework itself made the rules.
    """

    name: str
    columns: tuple[ContractColumn, ...]
    rules: tuple[Rule, ...]
    stated: tuple[tuple[str, T.DataType, Stated], ...] = field(default=(), repr=False, compare=False)

    @cached_property
    def judging(self) -> tuple[Rule, ...]:
        """The rules that judge rows.

        They are compiled from the schema that pandera makes of the contract, so this loads pandera.

        Raises:
            CannotCompile: pandera refuses the contract.
        """
        if not self.stated:
            return self.rules
        try:
            schema = schema_of(self.name, self.stated)
        except (TypeError, ValueError) as error:
            remedy = "state the check as pandera.pyspark documents it"
            raise CannotCompile(self.name, "(pandera)", "schema", problem=str(error), remedy=remedy) from error
        read = [(name, dtype, facts, schema.columns[name]) for name, dtype, facts in self.stated]
        return tuple(
            rule
            for name, dtype, facts, column in read
            for rule in _rules(self.name, name, dtype, replace(facts, checks=column.checks, nullable=column.nullable))
        )

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
        """The Spark schema of the stored table, with descriptions as column comments."""
        return T.StructType(
            [T.StructField(c.name, stored_type(c.dtype), c.nullable, c.stored_facts) for c in self.stored]
        )

    @cached_property
    def arrow_schema(self) -> pa.Schema:
        """The stored schema as Arrow, with comments in the fields' metadata.

        It creates the Delta table without a JVM.
        """
        plain = to_arrow_schema(self.schema, timezone="UTC")
        return pa.schema([pa.field(c.name, plain.field(c.name).type, c.nullable, c.stored_facts) for c in self.stored])

    @cached_property
    def personal(self) -> tuple[ContractColumn, ...]:
        """The stored columns that tell something of a person."""
        return tuple(column for column in self.stored if column.is_personal)

    def column(self, name: str) -> ContractColumn | None:
        """Return the column of that name, or None."""
        return next((column for column in self.columns if column.name == name), None)

    def checks_on(self, name: str) -> list[Rule]:
        """Return what the contract states of a column, beyond that it is there."""
        return [rule for rule in self.rules if rule.column == name and rule.check != "not_null"]

    def comparable(self, name: str) -> Column:
        """Return what a column is ordered by and compared with."""
        column = self.column(name)
        return F.col(name) if column is None else comparable(F.col(name), column.dtype)

    def is_satisfied(self) -> Column:
        """Return whether a row satisfies every rule, never null.

        "And" is false where one rule is broken, whatever the others say, and null where some cannot tell.
        """
        return F.coalesce(reduce(operator.and_, [rule.passes() for rule in self.judging], F.lit(True)), F.lit(True))

    def broken_rules(self) -> Column:
        """Return the names of the rules that a row breaks.

        An ARRAY<STRING>, in the order of the contract.
        """
        names = [F.when(rule.broken(), F.lit(rule.name)) for rule in self.judging]
        return F.array_compact(F.array(*names)) if names else F.array().cast("array<string>")

    def check_schema(self, rows: DataFrame, table: str) -> None:
        """Compare the frame's columns and types with the contract.

        Looks at the plan only and runs nothing.

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


def compile_contract(contract: type) -> CompiledContract:
    """Compile a contract, or a model of pandera, to Spark expressions.

    Raises:
        CannotCompile: a check has no equivalent here.
    """
    said = contract.__name__
    given = tuple(columns_of_model(contract) if is_model(contract) else stated_columns(contract))
    columns = tuple(_column(said, *one) for one in given)
    return CompiledContract(said, columns, tuple(rule for one in given for rule in _rules(said, *one)), given)


def _rules(contract: str, name: str, dtype: T.DataType, facts: Stated) -> Iterator[Rule]:
    if facts.coerce or facts.regex:
        raise CannotCompile(contract, name, "coerce" if facts.coerce else "regex", CHECKS)
    if not facts.nullable:
        yield Rule(name, "not_null", lambda value: value.isNotNull())
    yield from (Rule(name, f"{path}:not_null", passes) for path, passes in inner_rules(dtype))
    yield from (_compile_check(contract, name, dtype, check) for check in facts.checks)
    yield from _own_checks(contract, name, facts.metadata)


def _column(contract: str, name: str, dtype: T.DataType, facts: Stated) -> ContractColumn:
    said = facts.metadata
    for problem, remedy in refuse_stated(said.get("pii")):
        raise CannotCompile(contract, name, "pii", problem=problem, remedy=remedy)
    stored = bool(said.get("stored", True))
    return ContractColumn(name, dtype, facts.nullable, facts.description, stored, said.get("pii"))


def _own_checks(contract: str, column: str, metadata: Mapping[str, Any]) -> Iterator[Rule]:
    """Compile the checks that a contract gives by name, each with its Spark expression.

    One that cannot tell of a value breaks it, because an expression over what it cannot read is null, and a null would
    pass.
    """
    if unknown := set(metadata) - _METADATA:
        problem = f"its metadata has {', '.join(map(repr, sorted(unknown)))}"
        raise CannotCompile(contract, column, "metadata", problem=problem, remedy="use stored, checks and pii")
    for name, expression in (metadata.get("checks") or {}).items():
        if not isinstance(name, str) or not is_name(name) or name in {*_COMPILERS, "not_null"}:
            remedy = "use lower case letters, digits and underscores, and no name of pandera's"
            raise CannotCompile(contract, column, str(name), problem="is no name of an own check", remedy=remedy)
        if not callable(expression):
            remedy = f"give a function, as {{{name!r}: lambda value: F.length(value) > 2}}"
            raise CannotCompile(contract, column, name, problem="comes without an expression", remedy=remedy)
        yield Rule(column, name, _or_broken(expression))


def _or_broken(expression: Verdict) -> Verdict:
    return lambda value: F.when(value.isNotNull(), F.coalesce(expression(value), F.lit(False)))


def _compile_check(contract: str, column: str, dtype: T.DataType, check: Any) -> Rule:
    name = str(check.name)
    compiler = _COMPILERS.get(name)
    if compiler is None or check.statistics is None or check.raise_warning:
        raise CannotCompile(contract, column, name, CHECKS)
    try:
        return Rule(column, name, compiler(check.statistics, dtype), stated(name, check.statistics))
    except UnfitCheckError as error:
        raise CannotCompile(contract, column, name, problem=error.problem, remedy=error.remedy) from error
