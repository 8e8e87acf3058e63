"""The lineage of columns is what the plan says, exactly, or there is none; changed inputs are the oracle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyspark.sql.functions as F
import pyspark.sql.types as T
import pytest
from pyspark.sql import Column, DataFrame, SparkSession, Window, WindowSpec

from lake.declare.column_lineage import ColumnLineage, find_lineage
from lake.declare.column_origins import Columns, InputColumn
from lake.declare.contract import Contract, Field
from lake.declare.table import Replace, Table, table
from lake.testing.frames import frame
from lake.testing.lakes import jobs_of
from lake.testing.lineage import assert_changes_follow_lineage
from tests.served import FACTS, fact_files

pytestmark = pytest.mark.spark


class Sales(Contract):
    """A sale."""

    id: T.LongType = Field(description="id")
    shop: T.StringType = Field(description="shop", nullable=True)
    price: T.LongType = Field(description="price", nullable=True)
    words: T.StringType = Field(description="words", nullable=True)


@table(reads=[fact_files], contract=Sales, key=["id"], day=None, write=Replace(), layer="silver", **FACTS)
def sales(fact_files: DataFrame) -> DataFrame:
    """One row per sale."""
    return fact_files


class Shops(Contract):
    """A shop."""

    shop: T.StringType = Field(description="shop")
    city: T.StringType = Field(description="city", nullable=True)


@table(reads=[fact_files], contract=Shops, key=["shop"], day=None, write=Replace(), layer="silver", **FACTS)
def shops(fact_files: DataFrame) -> DataFrame:
    """One row per shop."""
    return fact_files


class Told(Contract):
    """What a test makes of both."""

    a: T.StringType = Field(description="a", nullable=True)
    b: T.LongType = Field(description="b")


@table(reads=[sales, shops], contract=Told, key=["b"], day=None, write=Replace(), layer="gold", **FACTS)
def told(sales: DataFrame, shops: DataFrame) -> DataFrame:
    """One row per something."""
    return sales.crossJoin(shops)


def in_python(name: str) -> Column:
    """A function that Spark cannot look into."""
    return F.udf(lambda text: text and f"{text}!", "string")(name)


def passed_on(s: DataFrame, t: DataFrame) -> DataFrame:
    return s.join(t, "shop", how="left_outer").select(F.col("city").alias("a"), F.col("price").alias("b"))


def a_shop_beside_itself(s: DataFrame, t: DataFrame) -> DataFrame:
    other = s.select(F.col("id").alias("other"), F.col("words").alias("a"))
    return s.join(other, F.col("id") == F.col("other") + 1, how="inner").select("a", F.col("price").alias("b"))


def aggregated(s: DataFrame, t: DataFrame) -> DataFrame:
    return s.filter("words is not null").groupBy(F.upper("shop").alias("a")).agg(F.sum("price").alias("b"))


def counted(s: DataFrame, t: DataFrame) -> DataFrame:
    return s.groupBy(F.col("shop").alias("a")).agg(F.count(F.lit(1)).alias("b"))


def by_shop() -> WindowSpec:
    return Window.partitionBy("shop").orderBy("price", "id")


def of_windows(s: DataFrame, t: DataFrame) -> DataFrame:
    return s.select(F.lag("words").over(by_shop()).alias("a"), F.row_number().over(by_shop()).cast("long").alias("b"))


def exploded(s: DataFrame, t: DataFrame) -> DataFrame:
    return s.select(F.explode(F.split("words", " ")).alias("a"), F.col("id").alias("b"))


def united(s: DataFrame, t: DataFrame) -> DataFrame:
    first = s.select(F.col("words").alias("a"), F.lit(1).cast("long").alias("b"))
    return first.unionByName(t.select(F.length("shop").cast("long").alias("b"), F.col("city").alias("a")))


def fields_apart(s: DataFrame, t: DataFrame) -> DataFrame:
    both = F.when(F.col("price") > 1, F.struct("words", "id"))
    kept = s.select(F.last(both, ignorenulls=True).over(by_shop()).alias("both"))
    return kept.select(F.col("both.words").alias("a"), F.coalesce("both.id", F.lit(0)).alias("b"))


def first_ones(s: DataFrame, t: DataFrame) -> DataFrame:
    one_each = s.orderBy("price", "id").limit(3).dropDuplicates(["id"])
    return one_each.select(F.concat_ws("-", "shop", "words").alias("a"), F.col("id").alias("b"))


def known_shops(s: DataFrame, t: DataFrame) -> DataFrame:
    kept = s.join(t.filter(F.col("city") != "shop#1, price#2L AS b#3"), "shop", how="left_semi")
    return kept.select(F.col("words").alias("a"), F.col("id").alias("b"))


def in_sql(s: DataFrame, t: DataFrame) -> DataFrame:
    asked = "SELECT max_by(words, price) AS a, count(DISTINCT price) AS b FROM {s} GROUP BY shop HAVING min(id) > 0"
    return s.sparkSession.sql(asked, s=s)


def from_python(s: DataFrame, t: DataFrame) -> DataFrame:
    return s.select(in_python("words").alias("a"), F.col("id").alias("b"))


def filtered_in_python(s: DataFrame, t: DataFrame) -> DataFrame:
    return s.filter(in_python("words") != "x").select(F.col("words").alias("a"), F.col("id").alias("b"))


def of_own_rows(s: DataFrame, t: DataFrame) -> DataFrame:
    own = s.sparkSession.createDataFrame(s.rdd, s.schema)
    return own.select(F.col("words").alias("a"), F.col("id").alias("b"))


def joined_to_own_rows(s: DataFrame, t: DataFrame) -> DataFrame:
    own = s.sparkSession.createDataFrame([("x",)], "other string")
    return s.crossJoin(own).select(F.col("other").alias("a"), F.col("id").alias("b"))


def mapped(s: DataFrame, t: DataFrame) -> DataFrame:
    return s.select(F.col("words").alias("a"), F.col("id").alias("b")).mapInPandas(
        lambda frames: frames, "a string, b long"
    )


def of_a_subquery(s: DataFrame, t: DataFrame) -> DataFrame:
    asked = "SELECT words AS a, (SELECT max(length(city)) FROM {t}) * 1L AS b FROM {s}"
    return s.sparkSession.sql(asked, s=s, t=t)


Spelled = dict[str, str] | None
CASES: list[tuple[Callable[[DataFrame, DataFrame], DataFrame], Spelled, Spelled, Spelled]] = [
    (passed_on, {"shops.city": "same"}, {"sales.price": "same"}, {"sales.shop": "join", "shops.shop": "join"}),
    (a_shop_beside_itself, {"sales.words": "same"}, {"sales.price": "same"}, {"sales.id": "join"}),
    (
        aggregated,
        {"sales.shop": "computed"},
        {"sales.price": "aggregated"},
        {"sales.shop": "group", "sales.words": "filter"},
    ),
    (counted, {"sales.shop": "same"}, {}, {"sales.shop": "group"}),
    (
        of_windows,
        {"sales.words": "computed", "sales.shop": "window", "sales.price": "window", "sales.id": "window"},
        {"sales.shop": "window", "sales.price": "window", "sales.id": "window"},
        {},
    ),
    (exploded, {"sales.words": "computed"}, {"sales.id": "same"}, {"sales.words": "filter"}),
    (united, {"sales.words": "same", "shops.city": "same"}, {"shops.shop": "computed"}, {}),
    (
        fields_apart,
        {
            "sales.words": "aggregated",
            "sales.price": "aggregated window",
            "sales.shop": "window",
            "sales.id": "window",
        },
        {"sales.id": "aggregated window", "sales.price": "aggregated window", "sales.shop": "window"},
        {},
    ),
    (
        first_ones,
        {"sales.shop": "computed", "sales.words": "computed"},
        {"sales.id": "same"},
        {"sales.price": "order", "sales.id": "group order"},
    ),
    (
        known_shops,
        {"sales.words": "same"},
        {"sales.id": "same"},
        {"sales.shop": "join", "shops.shop": "join", "shops.city": "filter"},
    ),
    (
        in_sql,
        {"sales.words": "aggregated", "sales.price": "aggregated"},
        {"sales.price": "aggregated"},
        {"sales.shop": "group", "sales.id": "filter"},
    ),
    (from_python, None, {"sales.id": "same"}, {}),
    (filtered_in_python, {"sales.words": "same"}, {"sales.id": "same"}, None),
    (of_own_rows, None, None, None),
    (joined_to_own_rows, None, None, None),
    (mapped, None, None, None),
    (of_a_subquery, {"sales.words": "same"}, None, {}),
]
every_case = pytest.mark.parametrize("case", CASES, ids=[case[0].__name__ for case in CASES])


def made_by(transform: Callable[[DataFrame, DataFrame], DataFrame]) -> Table:
    return replace(told, transform=transform)


def spelled(columns: Any) -> Spelled:
    if columns is None:
        return None
    return {f"{one.source.partition('.')[2]}.{one.column}": " ".join(sorted(hows)) for one, hows in columns.items()}


@pytest.fixture(scope="module")
def inputs(spark: SparkSession) -> list[pa.Table]:
    names, words = ["n", "s", None, "e", "n"], ["a b", "c", None, "d e f", ""]
    sold: list[dict[str, Any]] = [
        {"id": n, "shop": names[n % 5], "price": n * 7 % 4 if n % 6 else None, "words": words[n * 3 % 5]}
        for n in range(1, 30)
    ]
    known: list[dict[str, Any]] = [
        {"shop": "n", "city": "north"},
        {"shop": "s", "city": None},
        {"shop": "w", "city": "west"},
    ]
    return [frame(spark, sales, sold).toArrow(), frame(spark, shops, known).toArrow()]


@every_case
def test_the_lineage_is_what_the_plan_says(spark: SparkSession, case: Any) -> None:
    transform, a, b, decided = case

    found = find_lineage(made_by(transform), spark)

    assert found is not None
    assert spelled(found.columns["a"]) == a
    assert spelled(found.columns["b"]) == b
    assert spelled(found.decided_by) == decided
    assert ColumnLineage.from_json(found.as_json()) == found


@every_case
def test_columns_change_with_their_lineage_alone(spark: SparkSession, inputs: list[pa.Table], case: Any) -> None:
    assert_changes_follow_lineage(spark, made_by(case[0]), inputs, seed="0", halvings=3)


@pytest.mark.parametrize("wrong", ["lacks", "has"])
def test_a_lineage_that_is_wrong_is_noticed(
    spark: SparkSession, inputs: list[pa.Table], monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    """The control: without a column of which a value is made, or with one of which it is not, the law does not hold."""
    price, words = InputColumn("silver.sales", "price"), InputColumn("silver.sales", "words")
    lineage = find_lineage(made_by(passed_on), spark)
    assert lineage is not None
    made: Columns = {} if wrong == "lacks" else {words: frozenset({"same"})}
    spoilt = replace(lineage, columns={**lineage.columns, "b": made})
    assert lineage.columns["b"] == {price: frozenset({"same"})}
    monkeypatch.setattr("lake.testing.lineage.find_lineage", lambda *_: spoilt)

    with pytest.raises(AssertionError, match=r"do not depend on|does not follow"):
        assert_changes_follow_lineage(spark, made_by(passed_on), inputs, seed="0", halvings=3)


def in_their_zones(s: DataFrame, t: DataFrame) -> DataFrame:
    local = F.from_utc_timestamp(F.lit("2024-03-01 12:00:00").cast("timestamp"), F.col("shop"))
    return s.select(F.date_format(local, "HH:mm").alias("a"), F.col("id").alias("b"))


def test_a_text_that_a_transform_may_refuse_becomes_another_of_its_column(spark: SparkSession) -> None:
    zones = ["UTC", "Asia/Tokyo", "Europe/Rome"]
    rows = frame(spark, sales, [{"id": n, "shop": zones[n % 3], "words": "UTC"} for n in range(9)]).toArrow()

    assert_changes_follow_lineage(spark, made_by(in_their_zones), [rows, frame(spark, shops).toArrow()], seed="0")


def test_it_runs_no_job(spark: SparkSession) -> None:
    assert jobs_of(spark, lambda: find_lineage(made_by(aggregated), spark)) == 0


def test_a_session_that_shows_no_plan_has_none(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lake.declare.column_lineage.analyzed_tree", lambda _: None)

    assert find_lineage(told, spark) is None
