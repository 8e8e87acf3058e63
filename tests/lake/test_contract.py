"""Contracts: what is compiled gives the verdicts of pandera itself, and what cannot be compiled is refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, datetime
from typing import Any, ClassVar

import pyarrow as pa
import pyspark.sql.types as T
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pandera.pyspark import Field, dataframe_check
from pyspark.sql import DataFrame, SparkSession

from lake.contract import Contract, compile_contract
from lake.errors import CannotCompile, SchemaDrift
from lakehouse_assets.silver.flight_key import AIRPORT, CARRIER, TAIL_NUMBER
from tests.lakes import TABLES, interpreted

FACTS: dict[str, tuple[type[T.DataType], dict[str, Any]]] = {
    "required": (T.IntegerType, {"nullable": False}),
    "least": (T.IntegerType, {"ge": 3}),
    "more": (T.IntegerType, {"gt": 3}),
    "most": (T.IntegerType, {"le": 3}),
    "less": (T.IntegerType, {"lt": 3}),
    "same": (T.IntegerType, {"eq": 3}),
    "other": (T.IntegerType, {"ne": 3}),
    "ranged": (T.DoubleType, {"in_range": {"min_value": -1, "max_value": 1}}),
    "inside": (
        T.LongType,
        {"in_range": {"min_value": -1, "max_value": 1, "include_min": False, "include_max": False}},
    ),
    "listed": (T.StringType, {"isin": ["A", "B", ""]}),
    "unlisted": (T.StringType, {"notin": ["A", "B", ""]}),
    "sized": (T.StringType, {"str_length": {"min_value": 1, "max_value": 2}}),
    "airport": (T.StringType, {"str_matches": AIRPORT}),
    "carrier": (T.StringType, {"str_matches": CARRIER}),
    "tail": (T.StringType, {"str_matches": TAIL_NUMBER}),
    "dated": (T.DateType, {"ge": date(2013, 1, 1)}),
    "timed": (T.TimestampType, {"ge": datetime(2013, 1, 1)}),
}
"""Every kind of check that a contract of the project uses, and those that one may."""

WIDTH = 6
"""Columns of each kind. In a frame of one row each column gives its own verdict: pandera's tells no rows apart."""


def every_check() -> type[Contract]:
    """A contract with each check of `FACTS` on columns `<name>_0`, `<name>_1` and so on."""
    names = [(f"{name}_{number}", name) for name in FACTS for number in range(WIDTH)]
    fields = {column: Field(**{"nullable": True, "description": "any", **FACTS[name][1]}) for column, name in names}
    annotations = {column: FACTS[name][0] for column, name in names}
    return type("EveryCheck", (Contract,), {**fields, "__annotations__": annotations, "__module__": __name__})


EVERY_CHECK = every_check()
COMPILED = compile_contract(EVERY_CHECK)

numbers = st.none() | st.integers(0, 6)
letters = st.sampled_from(
    ["", " ", "A", "B", "AB", "ABC", "JFK", "jfk", "J?K", "JFK\n", "9E", "99", "N-1", "N12345", "é", "ÄÖÜ"]
)
VALUES: dict[type[T.DataType], st.SearchStrategy[Any]] = {
    T.IntegerType: numbers,
    T.LongType: st.none() | st.integers(-2, 2),
    T.DoubleType: st.none() | st.sampled_from([-1.5, -1.0, -0.0, 0.0, 1.0, 1.0000001, float("inf"), float("nan")]),
    T.StringType: st.none() | letters | st.text("AB1-\nß", max_size=4),
    T.DateType: st.none() | st.dates(date(2012, 12, 30), date(2013, 1, 2)),
    T.TimestampType: st.none() | st.datetimes(datetime(2012, 12, 31, 23, 59, 59), datetime(2013, 1, 1, 0, 0, 1)),
}
one_row = st.tuples(*(VALUES[type(column.dtype)] for column in COMPILED.columns))


def test_the_test_below_knows_every_kind_of_check_that_a_contract_uses() -> None:
    used = {rule.check for table in TABLES.values() for rule in table.contract.rules}

    assert used <= {rule.check for rule in COMPILED.rules}


@pytest.mark.spark
@pytest.mark.slow
@settings(
    max_examples=3, deadline=None, derandomize=True, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
)
@given(values=one_row)
def test_verdicts_equal_those_of_pandera(spark: SparkSession, values: tuple[Any, ...]) -> None:
    check_verdicts_equal_those_of_pandera(spark, values)


@pytest.mark.spark
@pytest.mark.slow
@pytest.mark.soak
@settings(
    max_examples=30, deadline=None, print_blob=True, phases=[Phase.reuse, Phase.generate],
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
@given(values=one_row)
def test_verdicts_equal_those_of_pandera_for_other_rows_each_time(spark: SparkSession, values: tuple[Any, ...]) -> None:
    check_verdicts_equal_those_of_pandera(spark, values)


def check_verdicts_equal_those_of_pandera(spark: SparkSession, values: tuple[Any, ...]) -> None:
    """A hundred verdicts an example: pandera comes to each by a Spark job, the compiled rules to all in one pass."""
    schema = T.StructType([T.StructField(column.name, column.dtype) for column in COMPILED.columns])
    frame = spark.createDataFrame([values], schema)  # uncached: Spark's cache loses rows with NaN

    found = frame.select(COMPILED.broken_rules()).first()

    assert found is not None
    with interpreted(spark):  # a small job for each check
        assert set(found[0]) == _broken_by_pandera(frame)


def _broken_by_pandera(frame: DataFrame) -> set[str]:
    validated: Any = EVERY_CHECK.validate(frame)  # type: ignore[arg-type]  # pandera types its own frames only
    errors: dict[str, dict[str, list[dict[str, str]]]] = validated.pandera.errors
    return {
        f"{entry['column']}:{'not_null' if entry['check'] == 'not_nullable' else entry['check'].partition('(')[0]}"
        for kinds in errors.values()
        for entries in kinds.values()
        for entry in entries
    }


@pytest.mark.spark
def test_each_row_is_told_all_the_rules_that_it_breaks_in_the_order_of_the_contract(spark: SparkSession) -> None:
    class Small(Contract):
        """Two columns."""

        number: T.IntegerType = Field(description="a number", ge=0, le=9)
        code: T.StringType = Field(description="a code", str_matches=r"^[A-Z]{3}$", nullable=True)

    compiled = compile_contract(Small)
    frame = spark.createDataFrame([(5, "JFK"), (-1, "x"), (None, None), (10, "JFK")], "number INT, code STRING")

    found = frame.select(compiled.is_satisfied(), compiled.broken_rules()).collect()

    assert [(ok, list(rules)) for ok, rules in found] == [
        (True, []),
        (False, ["number:greater_than_or_equal_to", "code:str_matches"]),
        (False, ["number:not_null"]),
        (False, ["number:less_than_or_equal_to"]),
    ]


@pytest.mark.spark
def test_a_contract_without_any_rule_accepts_everything(spark: SparkSession) -> None:
    class Anything(Contract):
        """No rule."""

        value: T.StringType = Field(description="anything", nullable=True)

    compiled = compile_contract(Anything)
    frame = spark.createDataFrame([("x",), (None,)], "value STRING")

    assert [tuple(row) for row in frame.select(compiled.is_satisfied(), compiled.broken_rules()).collect()] == [
        (True, []),
        (True, []),
    ]


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
    assert "use one of:" in str(refused.value)
    assert "str_matches" in str(refused.value)


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


def _coerced(**facts: Any) -> type[Contract]:
    class Odd(Contract):
        """A wish that enforcement would not fulfil."""

        code: T.StringType = Field(description="a code", **facts)

    return Odd


@pytest.mark.parametrize(
    ("kind", "odd"),
    {
        "dataframe_check": _whole_frame,
        "unique": _unique_together,
        "coerce": lambda: _coerced(coerce=True),
        "regex": lambda: _coerced(regex=True),
        "isin": lambda: _coerced(isin=["A"], raise_warning=True),
    }.items(),
)
def test_what_enforcement_would_not_look_at_is_refused(kind: str, odd: Callable[[], type[Contract]]) -> None:
    with pytest.raises(CannotCompile) as refused:
        compile_contract(odd())

    assert refused.value.check == kind


def test_stored_and_checked_columns_are_told_apart() -> None:
    class Partly(Contract):
        """One column is only checked."""

        kept: T.IntegerType = Field(description="kept")
        checked: T.IntegerType = Field(description="only checked", eq=0, metadata={"stored": False})

    compiled = compile_contract(Partly)

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

    with pytest.raises(SchemaDrift, match=re.escape(said)):
        compile_contract(Pair).check_schema(spark.createDataFrame([], ddl), "silver.pair")


@pytest.mark.spark
def test_lineage_columns_and_another_order_are_no_drift(spark: SparkSession) -> None:
    class Pair(Contract):
        """Two columns."""

        a: T.IntegerType = Field(description="a")
        b: T.StringType = Field(description="b")

    compile_contract(Pair).check_schema(spark.createDataFrame([], "b STRING, a INT, _raw STRING"), "silver.pair")
