"""Contracts: what is compiled gives the verdicts of pandera itself, and what cannot be compiled is refused."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import zip_longest
from typing import Annotated, Any, ClassVar

import pandas as pd
import pandera.pandas as pandas_checks
import pyarrow as pa
import pyspark.sql.types as T
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pandera.pyspark import Check, DataFrameModel, dataframe_check
from pandera.pyspark import Field as PanderaField
from pyspark.sql import Column, DataFrame, SparkSession

from lake.declare.contract import Contract, Field, Rule, compile_contract
from lake.errors import CannotCompile, SchemaDrift

FACTS: dict[str, tuple[type[T.DataType], dict[str, Any]]] = {
    "least": (T.IntegerType, {"ge": 3}),
    "more": (T.IntegerType, {"gt": 3}),
    "most": (T.IntegerType, {"le": 3}),
    "less": (T.IntegerType, {"lt": 3}),
    "same": (T.IntegerType, {"eq": 3}),
    "other": (T.IntegerType, {"ne": 3}),
    "from, not to": (T.LongType, {"in_range": {"min_value": -1, "max_value": 1, "include_max": False}}),
    "inside": (
        T.LongType,
        {"in_range": {"min_value": -1, "max_value": 1, "include_min": False, "include_max": False}},
    ),
    "large": (T.LongType, {"le": 2**62 + 1}),
    "ranged": (T.DoubleType, {"in_range": {"min_value": -1, "max_value": 1}}),
    "positive": (T.DoubleType, {"ge": 0}),
    "above": (T.DoubleType, {"gt": 0}),
    "finite": (T.DoubleType, {"lt": float("inf")}),
    "any number": (T.DoubleType, {"le": float("inf")}),
    "half": (T.DoubleType, {"isin": [0.5, None]}),
    "listed": (T.StringType, {"isin": ["A", "B", ""]}),
    "listed with nothing": (T.StringType, {"isin": ["A", None]}),
    "unlisted": (T.StringType, {"notin": ["A", "B", ""]}),
    "unlisted with nothing": (T.StringType, {"notin": ["A", None]}),
    "sized": (T.StringType, {"str_length": {"min_value": 1, "max_value": 2}}),
    "long": (T.StringType, {"str_length": {"min_value": 2}}),
    "short": (T.StringType, {"str_length": {"max_value": 2}}),
    "place": (T.StringType, {"str_matches": r"^[A-Z]{3}\Z"}),
    "firm": (T.StringType, {"str_matches": r"^(?=.*[A-Z])[A-Z0-9]{2}\Z"}),
    "plate": (T.StringType, {"str_matches": r"^(?=.*[A-Z])[A-Z0-9-]{2,10}\Z"}),
    "either": (T.StringType, {"str_matches": "AA|UA"}),
    "named": (T.StringType, {"str_matches": "(?P<x>A)B"}),
    "anything": (T.StringType, {"str_matches": r"A.B$"}),
    "dated": (T.DateType, {"ge": date(2013, 1, 1)}),
    "timed": (T.TimestampType, {"ge": datetime(2013, 1, 1)}),
    "true": (T.BooleanType, {"eq": True}),
}
"""Every kind of check that a contract of the project uses, and those that one may."""

CHECKS = {
    "eq": "equal_to", "ne": "not_equal_to", "ge": "greater_than_or_equal_to", "gt": "greater_than",
    "le": "less_than_or_equal_to", "lt": "less_than",
}  # fmt: skip
"""Short names, as `Field` takes them, and those of the checks."""
SUPPORTED = {*CHECKS.values(), "in_range", "isin", "notin", "str_length", "str_matches"}
INF, NAN = float("inf"), float("nan")


def one_check(kind: type[T.DataType], facts: dict[str, Any], stated_by: Callable[..., Any] = Field) -> type[Contract]:
    """A contract of one nullable column, `value`."""
    field = stated_by(**{"nullable": True, "description": "any", **facts})
    return type("Odd", (Contract,), {"value": field, "__annotations__": {"value": kind}, "__module__": __name__})


ENDS = ["", "\n", "\r", "\r\n", "\n\n", "\x85", "\u2028", "\x0b", " ", "\0"]
texts = st.builds(
    "".join,
    st.tuples(
        st.sampled_from(
            ["", "A", "B", "AA", "UA", "XUA", "AB", "A\rB", "JFK", "J?K", "9E", "99", "N-1", "é", "Ä", "😀"]
        ),
        st.sampled_from(ENDS),
    )
    | st.tuples(st.text("AB1-\n\r\x85ß٣", max_size=5)),
)
VALUES: dict[type[T.DataType], st.SearchStrategy[Any]] = {
    T.IntegerType: st.integers(0, 6),
    T.LongType: st.integers(-2, 2) | st.integers(2**62, 2**62 + 2),
    T.DoubleType: st.sampled_from(
        [-1.5, -1.0, -0.0, 0.0, 0.5, 1.0, 1.0000001, float("inf"), -float("inf"), float("nan")]
    ),
    T.StringType: texts,
    T.DateType: st.dates(date(2012, 12, 30), date(2013, 1, 2)),
    T.TimestampType: st.datetimes(datetime(2012, 12, 31, 23, 59, 59), datetime(2013, 1, 1, 0, 0, 1)),
    T.BooleanType: st.booleans(),
}
KINDS = list(VALUES)
rows = st.lists(st.tuples(*(st.none() | values for values in VALUES.values())), min_size=10, max_size=40)


def _is_pattern(text: str) -> bool:
    """Whether Python takes it for one; pandera refuses any other."""
    try:
        return bool(re.compile(text))
    except (re.error, FutureWarning):
        return False


atoms = st.sampled_from(
    ["A", "B", "1", "-", ".", "\\.", "ß", "٣", "[A-Z]", "[^A]", "[^\\n]", "[\\r\\n]", "[-A]", "[]A]", "[A&]", "[A[]",
     "\\n", "\\r", "\\x85", "^", "$", "\\A", "\\Z", "(?!\\n)", "(?=A)", "(?<=A)", "(?<!A)", "(?P<x>A)", "(A|B)",
     "(?:AB)", "#", " ", "\\d", "\\s", "\\w", "\\b", "(?i:a)", "A++", "(?>A)", "{", "}", "&&", "\\\\", "|"]
)  # fmt: skip
patterns = st.lists(
    st.builds("".join, st.tuples(atoms, st.sampled_from(["", "", "", "*", "+", "?", "{2}", "{0,1}", "*?", "{,2}"]))),
    min_size=1, max_size=5,
).map("".join).filter(_is_pattern)  # fmt: skip


FEW = settings(
    max_examples=4, deadline=None, derandomize=True, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
)
MANY = settings(
    max_examples=60, deadline=None, print_blob=True, phases=[Phase.reuse, Phase.generate],
    suppress_health_check=list(HealthCheck),
)  # fmt: skip


@pytest.mark.spark
@FEW
@given(values=rows)
def test_verdicts_equal_those_of_pandera(spark: SparkSession, values: list[tuple[Any, ...]]) -> None:
    check_verdicts(spark, values)


@pytest.mark.spark
@pytest.mark.slow
@pytest.mark.soak
@MANY
@given(values=rows)
def test_verdicts_equal_those_of_pandera_for_other_rows_each_time(
    spark: SparkSession, values: list[tuple[Any, ...]]
) -> None:
    check_verdicts(spark, values)


@pytest.mark.spark
@FEW
@given(tried=st.lists(patterns, min_size=60, max_size=60), values=st.lists(texts, min_size=30, max_size=30))
def test_a_pattern_finds_what_python_finds_or_is_refused(
    spark: SparkSession, tried: list[str], values: list[str]
) -> None:
    check_patterns(spark, tried, values)


@pytest.mark.spark
@pytest.mark.slow
@pytest.mark.soak
@MANY
@given(tried=st.lists(patterns, min_size=60, max_size=60), values=st.lists(texts, min_size=30, max_size=30))
def test_other_patterns_each_time_find_what_python_finds_or_are_refused(
    spark: SparkSession, tried: list[str], values: list[str]
) -> None:
    check_patterns(spark, tried, values)


def check_verdicts(spark: SparkSession, values: list[tuple[Any, ...]]) -> None:
    """Each check of `FACTS` on each value, in one pass; uncached, since Spark's cache loses rows with NaN."""
    frame = spark.createDataFrame(values, T.StructType([T.StructField(kind.__name__, kind()) for kind in KINDS]))
    rules = {name: _rule(kind, facts) for name, (kind, facts) in FACTS.items()}
    verdicts = [replace(rule, column=FACTS[name][0].__name__).broken() for name, rule in rules.items()]

    found = frame.select(*verdicts).collect()

    expected = [tuple(_breaks(kind, facts, row[KINDS.index(kind)]) for kind, facts in FACTS.values()) for row in values]
    for row, seen, wanted in zip(values, found, expected, strict=True):
        differing = [name for name, one, other in zip(FACTS, seen, wanted, strict=True) if one != other]
        assert not differing, (row, differing)


def check_patterns(spark: SparkSession, tried: list[str], values: list[str]) -> None:
    compiled = {pattern: rule for pattern in tried if (rule := _rule_or_none({"str_matches": pattern})) is not None}
    frame = spark.createDataFrame([(value,) for value in values], "value STRING")

    found = frame.select(*(rule.broken() for rule in compiled.values())).collect()

    for value, seen in zip(values, found, strict=True):
        for pattern, is_broken in zip(compiled, seen, strict=True):
            assert is_broken == (re.match(pattern, value) is None), (pattern, value)


def _rule(kind: type[T.DataType], facts: dict[str, Any]) -> Rule:
    (rule,) = compile_contract(one_check(kind, facts)).judging
    return rule


def _rule_or_none(facts: dict[str, Any]) -> Rule | None:
    try:
        return _rule(T.StringType, facts)
    except CannotCompile:
        return None


def _breaks(kind: type[T.DataType], facts: dict[str, Any], value: Any) -> bool:
    """What pandera for pandas says of one value; a null passes."""
    ((name, stated),) = facts.items()
    check = getattr(pandas_checks.Check, CHECKS.get(name, name))
    built = check(**stated, ignore_na=False) if isinstance(stated, dict) else check(stated, ignore_na=False)
    return value is not None and not built(pd.Series([value], dtype=object)).check_passed


VERDICTS: dict[str, tuple[type[T.DataType], dict[str, Any], list[Any], list[Any]]] = {
    "equal": (T.IntegerType, {"eq": 3}, [3], [2, 4]),
    "not equal": (T.IntegerType, {"ne": 3}, [2, 4], [3]),
    "at least": (T.IntegerType, {"ge": 3}, [3, 4], [2]),
    "more than": (T.IntegerType, {"gt": 3}, [4], [2, 3]),
    "at most": (T.LongType, {"le": 2**62 + 1}, [2**62, 2**62 + 1], [2**62 + 2]),
    "less than": (T.IntegerType, {"lt": 3}, [2], [3, 4]),
    "range": (T.IntegerType, {"in_range": {"min_value": -1, "max_value": 1}}, [-1, 0, 1], [-2, 2]),
    "range without ends": (
        T.IntegerType,
        {"in_range": {"min_value": -1, "max_value": 1, "include_min": False, "include_max": False}},
        [0],
        [-2, -1, 1, 2],
    ),
    "range without its first": (
        T.LongType, {"in_range": {"min_value": -1, "max_value": 1, "include_min": False}}, [0, 1], [-2, -1, 2],
    ),
    "range without its last": (
        T.LongType, {"in_range": {"min_value": -1, "max_value": 1, "include_max": False}}, [-1, 0], [-2, 1, 2],
    ),
    "double at least": (T.DoubleType, {"ge": 0}, [-0.0, 0.0, INF], [-1.5, -INF, NAN]),
    "double at most": (T.DoubleType, {"le": INF}, [0.5, INF, -INF], [NAN]),
    "double range": (T.DoubleType, {"in_range": {"min_value": -1, "max_value": 1}}, [-1.0, 1.0], [1.0000001, INF, NAN]),
    "float more than": (T.FloatType, {"gt": 0}, [0.5, INF], [0.0, NAN]),
    "decimal at least": (T.DecimalType, {"ge": Decimal(2)}, [Decimal(2)], [Decimal(1)]),
    "listed": (T.StringType, {"isin": ["A", "", None]}, ["A", ""], ["B", "a"]),
    "not listed": (T.StringType, {"notin": ["A", "", None]}, ["B", "a"], ["A", ""]),
    "length": (T.StringType, {"str_length": {"min_value": 1, "max_value": 2}}, ["A", "AB", "😀"], ["", "ABC"]),
    "least length": (T.StringType, {"str_length": {"min_value": 2}}, ["AB", "ABC"], ["", "A"]),
    "greatest length": (T.StringType, {"str_length": {"max_value": 2}}, ["", "AB"], ["ABC"]),
    "exact length": (T.StringType, {"str_length": {"exact_value": 2}}, ["AB"], ["A", "ABC"]),
    "no length": (T.StringType, {"str_length": {"exact_value": 0}}, [""], ["A"]),
    "pattern": (T.StringType, {"str_matches": "AA|UA"}, ["AA", "UAX"], ["XUA", "A", "aa"]),
    "pattern to the very end": (
        T.StringType, {"str_matches": r"^[A-Z]{2}\Z"}, ["UA"], ["UA\n", "UA\r", "UA\x85", "UA\r\n", "UA\u2028"],
    ),
    "pattern to the end": (
        T.StringType, {"str_matches": "^[A-Z]{2}$"}, ["UA", "UA\n"], ["UA\r", "UA\x85", "UA\r\n", "UA\u2028"],
    ),
    "pattern to the end, no line break behind it": (
        T.StringType, {"str_matches": r"^[A-Z]{2}$(?!\n)"}, ["UA"], ["UA\n", "UA\r", "UA\x85", "UA\r\n", "UA\u2028"],
    ),
    "date at least": (T.DateType, {"ge": date(2013, 1, 1)}, [date(2013, 1, 1)], [date(2012, 12, 31)]),
    "time before": (T.TimestampType, {"lt": datetime(2013, 1, 1)}, [datetime(2012, 12, 31)], [datetime(2013, 1, 1)]),
    "true": (T.BooleanType, {"eq": True}, [True], [False]),
    "bytes": (T.BinaryType, {"eq": b"A"}, [b"A"], [b"B", b""]),
}  # fmt: skip
"""Checks, each with values that pass and values that do not. A null does neither."""


@pytest.mark.spark
def test_every_check_passes_what_it_states_and_nothing_beyond(spark: SparkSession) -> None:
    """All in one query: a column for each check, which holds the values that it passes, then the others, then null."""
    schema = T.StructType([T.StructField(name, kind()) for name, (kind, *_) in VERDICTS.items()])
    values = [[*passing, *breaking] for _, _, passing, breaking in VERDICTS.values()]
    rows = [*zip_longest(*values), (None,) * len(values)]
    rules = [replace(_rule(kind, facts), column=name) for name, (kind, facts, *_) in VERDICTS.items()]

    found = spark.createDataFrame(rows, schema).select(*(rule.passes() for rule in rules)).collect()

    for (name, (_, _, passing, breaking)), seen in zip(VERDICTS.items(), zip(*found, strict=True), strict=True):
        nothing = [None] * (len(rows) - len(passing) - len(breaking))
        assert list(seen) == [True] * len(passing) + [False] * len(breaking) + nothing, name


@pytest.mark.parametrize("name", VERDICTS)
def test_the_verdicts_stated_above_are_those_of_pandera(name: str) -> None:
    kind, facts, passing, breaking = VERDICTS[name]
    checked = {value: _breaks(kind, facts, value) for value in [*passing, *breaking]}
    assert checked == {**dict.fromkeys(passing, False), **dict.fromkeys(breaking, True)}


@pytest.mark.parametrize(
    ("kind", "facts", "said"),
    [
        (T.StringType, {"isin": [1]}, "1 is no value of string"),
        (T.StringType, {"isin": [None]}, "it lists no value"),
        (T.StringType, {"isin": []}, "it lists no value"),
        (T.StringType, {"eq": b"A"}, "no value of string"),
        (T.StringType, {"ge": "A"}, "string has no order"),
        (T.IntegerType, {"eq": "3"}, "no value of int"),
        (T.IntegerType, {"ge": 0.5}, "no value of int"),
        (T.IntegerType, {"ge": True}, "no value of int"),
        (T.LongType, {"le": 2**63}, "no value of bigint"),
        (T.DoubleType, {"ge": float("nan")}, "nan is no value of double"),
        (T.DoubleType, {"le": 2**53 + 1}, "no value of double"),
        (T.DateType, {"ge": datetime(2013, 1, 1)}, "no value of date"),
        (T.TimestampType, {"ge": date(2013, 1, 1)}, "no value of timestamp"),
        (T.IntegerType, {"str_matches": "A"}, "int is no text"),
        (T.IntegerType, {"str_length": {"min_value": 1}}, "int is no text"),
        (T.StringType, {"str_matches": r"\d"}, "list them, as [0-9]"),
        (T.StringType, {"str_matches": r"(?i)a"}, "it has flags"),
        (T.StringType, {"str_matches": re.compile("a", re.IGNORECASE)}, "it has flags"),
        (T.StringType, {"str_matches": r"(A)\1"}, "it uses groupref"),
        (T.StringType, {"str_matches": r"\bA"}, "state the neighbours"),
        (T.StringType, {"str_matches": "A{20000}"}, "it repeats more than 10,000 times"),
    ],
)
def test_a_check_that_spark_would_read_otherwise_is_refused_with_what_to_write(
    kind: type[T.DataType], facts: dict[str, Any], said: str
) -> None:
    with pytest.raises(CannotCompile) as refused:
        compile_contract(one_check(kind, facts))

    assert said in str(refused.value)
    assert "contract Odd, column value" in str(refused.value)


def _is_even(value: Column) -> Column:
    return value.try_cast("int") % 2 == 0


def own_check(**metadata: Any) -> type[Contract]:
    return one_check(T.StringType, {"metadata": metadata})


@pytest.mark.spark
def test_an_own_check_breaks_rows_by_its_name_and_what_it_cannot_tell_of_too(spark: SparkSession) -> None:
    compiled = compile_contract(own_check(checks={"is_even": _is_even}))
    rows = spark.createDataFrame([("2",), ("3",), ("x",), (None,)], "value STRING")

    found = rows.select("value", compiled.broken_rules(), compiled.is_satisfied()).collect()

    broken = ["value:is_even"]
    assert found == [("2", [], True), ("3", broken, False), ("x", broken, False), (None, [], True)]


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        ({"check": {"is_even": _is_even}}, "its metadata has 'check'"),
        ({"checks": {"isin": _is_even}}, "no name of pandera's"),
        ({"checks": {"not_null": _is_even}}, "no name of pandera's"),
        ({"checks": {"Is Even": _is_even}}, "lower case letters"),
        ({"checks": {"is_even": "value % 2 = 0"}}, "comes without an expression"),
    ],
)
def test_an_own_check_without_a_name_of_its_own_or_an_expression_is_refused(
    metadata: dict[str, Any], said: str
) -> None:
    with pytest.raises(CannotCompile) as refused:
        compile_contract(own_check(**metadata))

    assert said in str(refused.value)
    assert "contract Odd, column value" in str(refused.value)


ITEM = T.StructType([T.StructField("sku", T.StringType(), False), T.StructField("size", T.IntegerType())])
ITEMS: Any = Annotated[T.ArrayType, ITEM, False]
BOX: Any = Annotated[T.StructType, [T.StructField("items", T.ArrayType(ITEM, False), False)]]
INSIDE: dict[str, tuple[Any, Any, list[str]]] = {
    "whole": (ITEMS, [("a", None)], []),
    "empty": (ITEMS, [], []),
    "no value": (ITEMS, None, []),
    "null in an array": (ITEMS, [("a", 1), None], ["element:not_null"]),
    "null in a struct": (Annotated[T.ArrayType, ITEM, True], [None, (None, 1)], ["element.sku:not_null"]),
    "null is allowed": (Annotated[T.ArrayType, T.StringType(), True], [None], []),
    "null in a map": (Annotated[T.MapType, T.StringType(), ITEM, False], {"a": None}, ["value:not_null"]),
    "deep": (BOX, ([(None, 1)],), ["items.element.sku:not_null"]),
    "no struct": (BOX, None, []),
    "null in the struct": (BOX, (None,), ["items:not_null"]),
}
"""Types, each with a value and the rules that it breaks."""


@pytest.mark.spark
def test_what_has_to_be_there_inside_of_a_value_is_a_rule_with_its_path(spark: SparkSession) -> None:
    """All in one query: a column for each case."""
    compiled = {name: compile_contract(one_check(kind, {})) for name, (kind, _, _) in INSIDE.items()}
    schema = T.StructType([T.StructField(name, one.schema["value"].dataType) for name, one in compiled.items()])
    rows = spark.createDataFrame([tuple(value for _, value, _ in INSIDE.values())], schema)
    told = [replace(compiled[name], rules=tuple(replace(one, column=name) for one in compiled[name].rules), stated=())
            for name in INSIDE]  # fmt: skip

    (found,) = rows.select(*(one.broken_rules() for one in told)).collect()

    wanted = [[f"{name}:{check}" for check in broken] for name, (_, _, broken) in INSIDE.items()]
    assert list(found) == wanted


VALUES_OF = "state values of the column's type"
BOUNDS = "state min_value, max_value or exact_value"


@pytest.mark.parametrize(
    ("kind", "facts", "problem", "remedy"),
    [
        (T.IntegerType, {"eq": "3"}, "'3' is no value of int", VALUES_OF),
        (T.StringType, {"ge": "A"}, "string has no order", "use isin, notin, eq or ne"),
        (T.IntegerType, {"str_matches": "A"}, "int is no text", "use it on a STRING"),
        (T.StringType, {"isin": [None]}, "it lists no value", "list the values"),
        (T.StringType, {"str_length": {"min_value": True}}, "no length lies between True and None", BOUNDS),
        (T.StringType, {"str_length": {"max_value": 1.5}}, "no length lies between None and 1.5", BOUNDS),
        (T.DecimalType, {"ge": Decimal("NaN")}, "Decimal('NaN') is no value of decimal(10,0)", VALUES_OF),
        (T.DecimalType, {"ge": 0.5}, "0.5 is no value of decimal(10,0)", VALUES_OF),
        (T.LongType, {"ge": -(2**63)}, f"-{2**63} is no value of bigint", VALUES_OF),
        (T.DoubleType, {"ge": -(2**53) - 1}, f"-{2**53 + 1} is no value of double", VALUES_OF),
    ],
)  # fmt: skip
def test_a_refused_check_says_what_is_wrong_and_what_to_write(
    kind: type[T.DataType], facts: dict[str, Any], problem: str, remedy: str
) -> None:
    with pytest.raises(CannotCompile) as refused:
        compile_contract(one_check(kind, facts))
    assert (refused.value.problem, refused.value.remedy) == (problem, remedy)
    (check,) = (CHECKS.get(name, name) for name in facts)
    assert (refused.value.contract, refused.value.column, refused.value.check) == ("Odd", "value", check)


NO_VALUE, NO_LENGTH = "no value lies between", "no length lies between"


@pytest.mark.parametrize(
    ("kind", "facts", "said"),
    [
        (T.LongType, {"in_range": {"min_value": 2, "max_value": 1}}, NO_VALUE),
        (T.LongType, {"in_range": {"min_value": 1, "max_value": 1, "include_max": False}}, NO_VALUE),
        (T.LongType, {"in_range": {"min_value": 1}}, "None is no value of bigint"),
        (T.StringType, {"str_length": {"min_value": 2, "max_value": 1}}, NO_LENGTH),
        (T.StringType, {"str_length": {"min_value": None, "max_value": None}}, NO_LENGTH),
        (T.StringType, {"str_length": {"exact_value": 2, "max_value": 3}}, NO_LENGTH),
    ],
)
def test_an_interval_that_holds_nothing_is_refused_as_pandera_refuses_it(
    kind: type[T.DataType], facts: dict[str, Any], said: str
) -> None:
    with pytest.raises(CannotCompile, match=said):
        compile_contract(one_check(kind, facts))
    with pytest.raises(
        (ValueError, TypeError), match=r"empty interval|need to be specified|missing|cannot be combined"
    ):
        one_check(kind, facts, PanderaField)


POSITIONAL: dict[str, tuple[type[T.DataType], dict[str, Any]]] = {
    "range as a tuple": (T.LongType, {"in_range": (1, 3)}),
    "open range as a tuple": (T.LongType, {"in_range": (1, 3, False, False)}),
    "one length": (T.StringType, {"str_length": 2}),
    "lengths as a tuple": (T.StringType, {"str_length": (1, 2)}),
    "fact by its name": (T.IntegerType, {"ge": {"min_value": 3}}),
    "several": (T.StringType, {"str_length": {"max_value": 9}, "str_matches": "A", "isin": ["A"], "ne": "B"}),
    "decimal": (Annotated[T.DecimalType, 18, 2], {"ge": 0}),  # type: ignore[dict-item]
    "facts of the type": (T.DecimalType, {"dtype_kwargs": {"precision": 18, "scale": 2}}),
    "other name": (T.LongType, {"alias": "from"}),
    "never null": (T.LongType, {"nullable": False}),
    "only checked": (T.LongType, {"eq": 0, "metadata": {"stored": False}}),
}


@pytest.mark.parametrize("name", [*FACTS, *POSITIONAL])
def test_a_field_states_what_the_same_field_of_pandera_states(name: str) -> None:
    kind, facts = {**FACTS, **POSITIONAL}[name]

    ours, theirs = (compile_contract(one_check(kind, facts, stated_by)) for stated_by in (Field, PanderaField))

    assert ours.columns == theirs.columns
    assert [(rule.name, rule.stated) for rule in ours.rules] == [(rule.name, rule.stated) for rule in theirs.rules]


@pytest.mark.parametrize("name", [*FACTS, *POSITIONAL])
def test_rows_are_judged_by_what_is_stated_as_pandera_reads_it(name: str) -> None:
    compiled = compile_contract(one_check(*{**FACTS, **POSITIONAL}[name]))

    assert [(rule.name, rule.stated) for rule in compiled.judging] == [
        (rule.name, rule.stated) for rule in compiled.rules
    ]


def test_a_contract_that_pandera_refuses_judges_no_row(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**facts: Any) -> Check:
        raise ValueError(f"no check of {facts}")

    compiled = compile_contract(one_check(T.IntegerType, {"ge": 3}))
    monkeypatch.setattr(Check, "greater_than_or_equal_to", refuse)

    with pytest.raises(CannotCompile, match=r"no check of \{'min_value': 3\}"):
        compiled.broken_rules()


def test_a_model_of_pandera_is_a_contract() -> None:
    class Model(DataFrameModel):  # type: ignore[type-arg]  # subscripting it makes another class at run time
        """Read by a team before it had a lake."""

        code: T.StringType = PanderaField(description="a code", isin=["A", "B"], metadata={"pii": "quasi"})
        count: T.IntegerType = PanderaField(ge=0, nullable=True)

    class Same(Contract):
        """The same columns."""

        code: T.StringType = Field(description="a code", isin=["A", "B"], metadata={"pii": "quasi"})
        count: T.IntegerType = Field(ge=0, nullable=True)

    model, same = compile_contract(Model), compile_contract(Same)

    assert model.columns == same.columns
    for rules in (model.rules, model.judging):
        assert [(rule.name, rule.stated) for rule in rules] == [(rule.name, rule.stated) for rule in same.rules]


def test_a_model_of_pandera_has_no_rule_about_whole_rows() -> None:
    class Odd(DataFrameModel):  # type: ignore[type-arg]  # subscripting it makes another class at run time
        """A wish that enforcement would not fulfil."""

        code: T.StringType = PanderaField()

        class Config:
            unique: ClassVar[list[str]] = ["code"]

    with pytest.raises(CannotCompile, match="unique"):
        compile_contract(Odd)


@pytest.mark.spark
def test_pandera_itself_validates_rows_by_a_contract(spark: SparkSession) -> None:
    class Counted(Contract):
        """Nested columns are left to the framework, because pandera does not know them."""

        code: T.StringType = Field(description="a code", isin=["A", "B"])
        count: T.IntegerType = Field(description="how often", ge=0, nullable=True)

    rows = spark.createDataFrame([("A", 1), ("C", -1)], "code STRING, count INT")
    schema = Counted.to_schema()

    errors = str(schema.validate(rows).pandera.errors)
    assert "isin" in errors
    assert "greater_than_or_equal_to" in errors
    assert not schema.validate(rows.limit(1)).pandera.errors


def test_a_fact_that_a_check_does_not_know_is_refused_with_those_it_knows() -> None:
    with pytest.raises(TypeError, match="in_range knows no minimum; it takes min_value, max_value, include_min"):
        Field(in_range={"minimum": 1, "max_value": 2})


@pytest.mark.parametrize(
    ("kind", "said"),
    [(int, "no type of Spark"), (T.LongType | None, "no type of Spark"), (T.ArrayType, "elementType")],
)
def test_a_column_of_a_type_that_spark_does_not_have_is_refused(kind: Any, said: str) -> None:
    with pytest.raises(CannotCompile, match=said) as refused:
        compile_contract(one_check(kind, {}))
    assert (refused.value.contract, refused.value.column) == ("Odd", "value")


def test_a_column_of_a_type_without_fitting_values_is_compared_with_none() -> None:
    class Odd(Contract):
        """A list."""

        value: T.ArrayType = Field(description="any", isin=["A"], dtype_kwargs={"elementType": T.StringType()})

    with pytest.raises(CannotCompile, match="'A' is no value of array<string>"):
        compile_contract(Odd)


@pytest.mark.parametrize(
    ("kind", "facts"),
    [
        (T.DecimalType, {"ge": 3}),
        (T.DecimalType, {"ge": Decimal("1.5")}),
        (T.LongType, {"le": 2**63 - 1}),
        (T.DoubleType, {"le": 2**53}),
        (T.IntegerType, {"in_range": {"min_value": 1, "max_value": 1}}),
        (T.StringType, {"str_length": {"exact_value": 2}}),
        (T.StringType, {"str_length": {"min_value": 2, "max_value": 2}}),
        (T.BinaryType, {"eq": b"A"}),
    ],
)
def test_the_largest_and_narrowest_facts_that_can_be_compared_are_accepted(
    kind: type[T.DataType], facts: dict[str, Any]
) -> None:
    assert [rule.column for rule in compile_contract(one_check(kind, facts)).rules] == ["value"]


@pytest.mark.spark
def test_a_time_without_a_zone_is_utc_whatever_zone_the_process_has(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        rules = [_rule(T.TimestampType, {"ge": at}) for at in (datetime(2013, 1, 1), datetime(2013, 1, 1, tzinfo=UTC))]
        frame = spark.sql(
            "SELECT explode(array(TIMESTAMP'2012-12-31T23:59:59Z', TIMESTAMP'2013-01-01T00:00:00Z')) value"
        )
        found = [tuple(row) for row in frame.select(*(rule.broken() for rule in rules)).collect()]
    finally:
        monkeypatch.undo()
        time.tzset()
    assert found == [(True, True), (False, False)]


@pytest.mark.spark
def test_each_row_is_told_all_the_rules_that_it_breaks_in_the_order_of_the_contract(spark: SparkSession) -> None:
    class Small(Contract):
        """Two columns."""

        number: T.IntegerType = Field(description="a number", ge=0, le=9)
        code: T.StringType = Field(description="a code", str_matches=r"^[A-Z]{3}$", nullable=True)

    compiled = compile_contract(Small)
    frame = spark.createDataFrame(
        [(5, "JFK"), (5, None), (-1, "x"), (None, None), (10, "JFK")], "number INT, code STRING"
    )

    told = frame.select(compiled.is_satisfied(), compiled.broken_rules()).collect()
    broken = frame.select(*(rule.broken() for rule in compiled.rules)).collect()

    assert [(ok, list(rules)) for ok, rules in told] == [
        (True, []),
        (True, []),
        (False, ["number:greater_than_or_equal_to", "code:str_matches"]),
        (False, ["number:not_null"]),
        (False, ["number:less_than_or_equal_to"]),
    ]
    assert [rule.check for rule in compiled.rules] == [
        "not_null", "greater_than_or_equal_to", "less_than_or_equal_to", "str_matches",
    ]  # fmt: skip
    assert [tuple(row) for row in broken] == [
        (False, False, False, False),
        (False, False, False, False),
        (False, True, False, True),
        (True, False, False, False),
        (False, False, True, False),
    ]


@pytest.mark.spark
def test_a_contract_without_any_rule_accepts_everything(spark: SparkSession) -> None:
    class Anything(Contract):
        """No rule."""

        value: T.StringType = Field(description="anything", nullable=True)

    compiled = compile_contract(Anything)
    frame = spark.createDataFrame([("x",), (None,)], "value STRING")

    told = frame.select(compiled.is_satisfied(), compiled.broken_rules().alias("rules"))
    assert [tuple(row) for row in told.collect()] == [(True, []), (True, [])]
    assert told.schema["rules"].dataType.simpleString() == "array<string>"


@pytest.mark.parametrize(
    "check",
    [{"str_startswith": "A"}, {"str_endswith": "A"}, {"str_contains": "A"}],
    ids=lambda check: next(iter(check)),
)
def test_a_check_that_cannot_be_compiled_is_refused_and_names_those_that_can(check: dict[str, Any]) -> None:
    class Odd(Contract):
        """A check that has no equivalent here."""

        code: T.StringType = Field(description="a code", **check)

    with pytest.raises(CannotCompile) as refused:
        compile_contract(Odd)

    (kind,) = check
    assert (refused.value.contract, refused.value.column, refused.value.check) == ("Odd", "code", kind)
    assert set(refused.value.supported) == SUPPORTED
    assert "use one of: equal_to, greater_than, " in str(refused.value)


def _whole_frame() -> type[Contract]:
    class Odd(Contract):
        """A check of whole rows."""

        code: T.StringType = Field(description="a code")

        @dataframe_check
        @classmethod
        def never(cls, frame: DataFrame) -> bool:
            return False

    return Odd


def _unique_together() -> type[Contract]:
    class Odd(Contract):
        """The key is a fact of the table."""

        code: T.StringType = Field(description="a code")

        class Config:
            unique: ClassVar = ["code"]

    return Odd


def _coerced_together() -> type[Contract]:
    class Odd(Contract):
        """A wish that enforcement would not fulfil."""

        code: T.StringType = Field(description="a code")

        class Config:
            coerce = True

    return Odd


def _coerced(**facts: Any) -> type[Contract]:
    class Odd(Contract):
        """A wish that enforcement would not fulfil."""

        code: T.StringType = Field(description="a code", **facts)

    return Odd


def _by_pandera(**facts: Any) -> type[Contract]:
    class Odd(Contract):
        """A wish that enforcement would not fulfil."""

        code: T.StringType = PanderaField(description="a code", **facts)

    return Odd


def _stray() -> type[Contract]:
    class Odd(Contract):
        """A value where a field belongs."""

        code: T.StringType = T.StringType()

    return Odd


@pytest.mark.parametrize(
    ("odd", "column", "check"),
    [
        (_whole_frame, "(the whole frame)", "never"),
        (_unique_together, "(the whole frame)", "unique"),
        (_coerced_together, "(the whole frame)", "coerce"),
        (lambda: _coerced(coerce=True), "code", "coerce"),
        (lambda: _coerced(regex=True), "code", "regex"),
        (lambda: _coerced(unique=True), "code", "unique"),
        (lambda: _by_pandera(coerce=True), "code", "coerce"),
        (lambda: _by_pandera(regex=True), "code", "regex"),
        (lambda: _by_pandera(isin=["A"], raise_warning=True), "code", "isin"),
        (_stray, "(the whole frame)", "code"),
    ],
)
def test_what_enforcement_would_not_look_at_is_refused(
    odd: Callable[[], type[Contract]], column: str, check: str
) -> None:
    with pytest.raises(CannotCompile) as refused:
        compile_contract(odd())

    assert (refused.value.contract, refused.value.column, refused.value.check) == ("Odd", column, check)
    assert set(refused.value.supported) == SUPPORTED


def test_stored_and_checked_columns_are_told_apart() -> None:
    class Partly(Contract):
        """One column is only checked."""

        kept: T.IntegerType = Field(description="kept")
        checked: T.IntegerType = Field(description="only checked", eq=0, metadata={"stored": False})

    compiled = compile_contract(Partly)

    assert compiled.name == "Partly"
    assert compiled.stored_names == ["kept"]
    assert [column.name for column in compiled.columns] == ["kept", "checked"]
    assert [rule.name for rule in compiled.rules] == ["kept:not_null", "checked:not_null", "checked:equal_to"]


def test_a_child_contract_has_the_columns_of_its_parents_and_its_own() -> None:
    class Parent(Contract):
        """A parent."""

        first: T.IntegerType = Field(description="first")

    class Child(Parent):
        """A child."""

        second: T.IntegerType = Field(description="second", nullable=True)

    assert compile_contract(Child).stored_names == ["first", "second"]


def test_the_schema_says_type_nullability_and_comment_to_spark_and_to_arrow() -> None:
    class Told(Contract):
        """Two columns."""

        at: T.TimestampType = Field(description="a moment, UTC")
        count: T.LongType = Field(description="how many", nullable=True)

    compiled = compile_contract(Told)

    assert [(f.name, f.dataType.simpleString(), f.nullable, f.metadata) for f in compiled.schema.fields] == [
        ("at", "timestamp", False, {"comment": "a moment, UTC"}),
        ("count", "bigint", True, {"comment": "how many"}),
    ]
    assert compiled.arrow_schema.field("at").type == pa.timestamp("us", "UTC")
    assert [field.nullable for field in compiled.arrow_schema] == [False, True]
    assert compiled.arrow_schema.field("count").metadata == {b"comment": b"how many"}


SCHEMAS: list[tuple[str, str]] = [
    ("a INT", "b string is missing"),
    ("a INT, b INT", "b should be string and is int"),
    ("a INT, b STRING, c INT", "c int is not in the contract"),
]


@pytest.mark.spark
@pytest.mark.parametrize(("ddl", "said"), SCHEMAS)
def test_a_frame_with_other_columns_is_refused_without_running_anything(
    spark: SparkSession, ddl: str, said: str
) -> None:
    class Pair(Contract):
        """Two columns."""

        a: T.IntegerType = Field(description="a")
        b: T.StringType = Field(description="b")

    with pytest.raises(SchemaDrift, match=re.escape(said)) as refused:
        compile_contract(Pair).check_schema(spark.createDataFrame([], ddl), "silver.pair")
    assert refused.value.table == "silver.pair"


@pytest.mark.spark
def test_lineage_columns_and_another_order_are_no_drift(spark: SparkSession) -> None:
    class Pair(Contract):
        """Two columns."""

        a: T.IntegerType = Field(description="a")
        b: T.StringType = Field(description="b")

    compile_contract(Pair).check_schema(spark.createDataFrame([], "b STRING, a INT, _raw STRING"), "silver.pair")
