"""Enforce: every candidate row gets one verdict, in the pass that writes it."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime
from random import Random

import pyspark.sql.functions as F
import pyspark.sql.types as T
import pytest
from pyspark.sql import DataFrame, Observation, SparkSession

from lake.declare.contract import Contract, Field, compile_contract
from lake.declare.days import Days
from lake.declare.table import InsertNew
from lake.errors import RowsWithoutDay
from lake.write.bounded import Bounded
from lake.write.enforce import Counts, Enforced, Enforcer, day_within, enforce
from tests.tiny import day_of, marks, totals

pytestmark = pytest.mark.spark

D1, D2, D3 = (day_of(number) for number in (1, 2, 3))
SCHEMA = (
    "name STRING, day DATE, points INT, _event_date DATE, _raw STRING, _landed_on DATE, _file STRING, _line_number INT"
)


def candidates(spark: SparkSession, *rows: tuple[str | None, date | None, int | None, date, int]) -> DataFrame:
    """name, day, points, event day and place; a frame in the order given, on two partitions."""
    values = [(name, day, n, event, f"{name} as received", event, "f", place) for name, day, n, event, place in rows]
    return spark.createDataFrame(values, SCHEMA).repartition(2)


def test_counts_add_up() -> None:
    assert Counts(5, 2, 2, 1) + Counts(1, 1) == Counts(6, 3, 2, 1)


def test_the_first_row_of_a_key_is_kept_and_the_others_are_duplicates(spark: SparkSession) -> None:
    rows = candidates(spark, ("a", D1, 3, D1, 3), ("a", D1, 1, D1, 1), ("a", D1, 2, D1, 2), ("a", D2, 9, D2, 1))

    enforced = enforce(marks, rows, None, partitions=2)

    assert sorted(map(tuple, enforced.accepted().collect())) == [("a", D1, 1), ("a", D2, 9)]
    assert enforced.observed() == Counts(rows_in=4, rows_out=2, rejected=0, duplicates=2)


def test_a_broken_row_does_not_stand_in_the_way_of_a_good_one_with_its_key(spark: SparkSession) -> None:
    rows = candidates(spark, ("a", D1, -1, D1, 1), ("a", D1, 5, D1, 2))

    enforced = enforce(marks, rows, None, partitions=2)

    assert [tuple(row) for row in enforced.accepted().collect()] == [("a", D1, 5)]
    assert enforced.observed() == Counts(2, 1, 1, 0)


def test_rows_that_agree_in_the_declared_order_are_chosen_by_their_values_not_by_chance(spark: SparkSession) -> None:
    """The control: with an order of nothing, two orders of input would give two results."""
    rows = [("a", D1, number, D1, 1) for number in (4, 2, 7)]

    found = {
        tuple(map(tuple, enforce(marks, candidates(spark, *order), None, partitions=2).accepted().collect()))
        for order in (rows, rows[::-1], [rows[1], rows[2], rows[0]])
    }

    assert found == {(("a", D1, 2),)}


def test_a_table_without_declared_order_is_just_as_certain(spark: SparkSession) -> None:
    unordered = replace(marks, write=InsertNew(first_by=["_line_number"]))
    frame = candidates(spark, ("a", D1, 5, D1, 1), ("a", D1, 4, D1, 1))

    assert [tuple(row) for row in enforce(unordered, frame, None, partitions=1).accepted().collect()] == [("a", D1, 4)]


def test_rejected_rows_keep_everything_that_was_known_of_them(spark: SparkSession) -> None:
    rows = candidates(spark, ("b", None, None, D3, 1))

    (row,) = enforce(marks, rows, None, partitions=1).rejected().collect()

    assert (row["day"], list(row["rules"]), row["raw"]) == (D3, ["day:not_null", "points:not_null"], "b as received")
    assert row["row"] == (
        '{"name":"b","day":null,"points":null,"_event_date":"2013-01-03","_landed_on":"2013-01-03",'
        '"_file":"f","_line_number":1}'
    )


def test_counts_by_day_file_a_row_under_its_event_day(spark: SparkSession) -> None:
    rows = candidates(spark, ("a", D1, 1, D1, 1), ("a", D1, 2, D1, 2), ("b", None, 1, D3, 1), ("c", D2, 1, D2, 1))

    counts = enforce(marks, rows, None, partitions=2).counts_by_day()

    assert counts == {D1: Counts(2, 1, 0, 1), D2: Counts(1, 1, 0, 0), D3: Counts(1, 0, 1, 0)}


def test_duplicates_that_say_something_else_than_the_row_that_is_kept_are_counted(spark: SparkSession) -> None:
    """A copy differs from the first in its place alone; a row that breaks the contract disagrees with nothing."""
    kept, copy, other, again = (("a", D1, points, D1, place) for place, points in enumerate((1, 1, 2, 2)))
    broken, alone = ("a", D1, -1, D1, 9), ("a", D2, 7, D2, 1)

    enforced = enforce(marks, candidates(spark, again, broken, other, alone, copy, kept), None, partitions=2)

    by_day = enforced.counts_by_day()
    assert by_day == enforced.dropped().counts({D1: 1, D2: 1}) == {D1: Counts(5, 1, 1, 3), D2: Counts(1, 1)}
    for counts in (by_day, enforced.dropped().counts({D1: 1, D2: 1})):
        assert {day: count.disagreeing for day, count in counts.items()} == {D1: 2, D2: 0}


def test_older_lines_of_a_table_without_days_do_not_disagree(spark: SparkSession) -> None:
    """They differ as a matter of course: such a table keeps the newest line."""
    dimension = replace(marks, day=None, key=("name",))
    rows = candidates(spark, ("a", D1, 1, D1, 1), ("a", D2, 2, D2, 2))

    counts = enforce(dimension, rows, None, partitions=1).counts_by_day()

    assert (counts[None].duplicates, counts[None].disagreeing) == (1, 0)


def test_two_rows_of_a_key_that_miss_the_same_value_agree(spark: SparkSession) -> None:
    rows = spark.createDataFrame([(D1, None, 1), (D1, None, 2), (D1, 5, 3)], "day DATE, points BIGINT, _n INT")
    flagged = rows.withColumns({"_is_valid": F.lit(True), "_place_in_key": F.col("_n")})
    first_by = replace(totals, write=InsertNew(first_by=["_n"]))

    counts = Enforced(first_by, flagged, Observation()).counts_by_day()

    assert (counts[D1].duplicates, counts[D1].disagreeing) == (2, 1)


def test_rules_are_counted_most_broken_first(spark: SparkSession) -> None:
    rows = candidates(spark, ("long", D1, -1, D1, 1), ("b", D1, -1, D1, 2), ("c", D1, 1, D1, 3))

    assert enforce(marks, rows, None, partitions=1).rules() == {
        "points:greater_than_or_equal_to": 2,
        "name:str_length": 1,
    }


def test_a_table_that_reads_around_its_days_drops_the_rows_of_others_before_counting(spark: SparkSession) -> None:
    rows = spark.createDataFrame([(D1, 1), (D2, 2), (D3, 3)], "day DATE, points BIGINT")

    enforced = enforce(totals, rows, Days.of(D2), partitions=1)

    assert [tuple(row) for row in enforced.accepted().collect()] == [(D2, 2)]
    assert enforced.observed() == Counts(1, 1)


def test_no_rows_give_no_rows_and_counts_of_zero(spark: SparkSession) -> None:
    enforced = enforce(marks, spark.createDataFrame([], SCHEMA), None, partitions=2)

    assert enforced.accepted().collect() == []
    assert enforced.observed() == Counts()


def test_enforcing_runs_nothing_and_writing_is_one_job_per_stage_of_the_plan(spark: SparkSession) -> None:
    """Counting the three kinds of rows costs no job of its own: as many run with it as without."""
    rows = candidates(spark, ("a", D1, 1, D1, 1), ("b", D1, -1, D1, 2))
    tracker = spark.sparkContext.statusTracker()

    def jobs(name: str, frame: DataFrame) -> int:
        spark.sparkContext.setJobGroup(name, name)
        frame.write.format("noop").mode("overwrite").save()
        return len(tracker.getJobIdsForGroup(name))

    spark.sparkContext.setJobGroup("enforcing", "enforcing")
    enforced = enforce(marks, rows, None, partitions=2)
    accepted = enforced.accepted()
    assert list(tracker.getJobIdsForGroup("enforcing")) == []

    plain = enforced.flagged.where(F.col("_is_valid") & (F.col("_place_in_key") == 1))
    assert jobs("with counts", accepted) == jobs("without", plain)


def few(at_most: int) -> Bounded:
    return Bounded(at_most, most_bytes=1_000_000)


def test_collected_rows_have_the_verdicts_that_spark_writes(spark: SparkSession) -> None:
    good, bad, unfiled = ("a", D1, 3, D1, 2), ("b", D1, -1, D1, 1), ("c", None, None, D3, 1)
    rows = candidates(spark, good, ("a", D1, 1, D1, 1), bad, unfiled)

    enforced, here = enforce(marks, rows, None, partitions=2), Enforcer(marks).collect(rows.coalesce(1), few(4))

    assert here is not None
    written = enforced.accepted().toArrow()
    assert here.accepted.to_pylist() == written.to_pylist() == [{"name": "a", "day": D1, "points": 1}]
    assert here.accepted.schema == written.schema
    assert here.counts == enforced.observed() == Counts(rows_in=4, rows_out=1, rejected=2, duplicates=1)
    assert sorted(here.rejected().collect()) == sorted(enforced.rejected().collect())


def test_more_rows_than_shall_be_collected_are_left_to_spark(spark: SparkSession) -> None:
    rows = candidates(spark, ("a", D1, 3, D1, 2), ("b", D1, 1, D1, 1)).coalesce(1)

    assert (Enforcer(marks).collect(rows, few(1)), Enforcer(marks).collect(rows, few(2)) is not None) == (None, True)


def test_a_collected_row_that_nothing_says_where_to_file_is_refused(spark: SparkSession) -> None:
    rows = candidates(spark, ("a", D1, 1, D1, 1), ("b", None, 1, D1, 2)).coalesce(1)

    filed = Enforcer(marks).collect(rows, few(9))

    assert filed is not None
    assert filed.counts == Counts(rows_in=2, rows_out=1, rejected=1, duplicates=0)
    with pytest.raises(RowsWithoutDay, match="day"):
        Enforcer(marks).collect(rows.drop("_event_date"), few(9))


class OfEveryType(Contract):
    """One row of each key, whatever the types of the other columns."""

    key: T.IntegerType = Field(description="key")
    on: T.DateType = Field(description="day")
    said: T.StringType = Field(nullable=True, description="text")
    at: T.TimestampType = Field(nullable=True, description="moment")
    count: T.LongType = Field(nullable=True, description="whole number")
    share: T.DoubleType = Field(nullable=True, description="fraction")
    is_so: T.BooleanType = Field(nullable=True, description="flag")


def test_collected_rows_of_a_key_are_ordered_as_spark_orders_them(spark: SparkSession) -> None:
    """Nulls last, NaN above all numbers, text by its bytes, whatever order they come in."""
    table = replace(marks, contract=compile_contract(OfEveryType), key=("key",), day="on", write=InsertNew(["said"]))
    dice = Random(20131)
    texts = [None, "", "a", "B", "ä", "\u20ac", "\U0001f600", "ab"]
    moments = [None, datetime(2013, 1, 1, 9), datetime(1969, 12, 31, 23, 59, 59, 999999)]
    values = [
        (
            dice.randrange(40), dice.choice([D1, D2]), dice.choice(texts), dice.choice(moments),
            dice.choice([None, -(2**40), 0, 7]), dice.choice([None, float("nan"), -1.5, 1e300, float("-inf")]),
            dice.choice([None, True, False]),
        )
        for _ in range(400)
    ]  # fmt: skip
    rows = spark.createDataFrame(values, table.contract.schema).coalesce(1)

    here = Enforcer(table).collect(rows, few(len(values)))

    assert here is not None
    by_spark = enforce(table, rows, None, partitions=2).accepted().toArrow()
    assert sorted(map(repr, here.accepted.to_pylist())) == sorted(map(repr, by_spark.to_pylist()))
    assert here.counts.rows_out == len({(row[0], row[1]) for row in values})


def test_days_as_a_condition_are_half_open(spark: SparkSession) -> None:
    rows = spark.createDataFrame([(D1,), (D2,), (D3,), (None,)], "day DATE")

    assert [row[0] for row in rows.where(day_within("day", Days.between(D1, D2))).collect()] == [D1, D2]
