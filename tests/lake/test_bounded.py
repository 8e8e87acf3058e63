"""Rows are taken into this process as long as they are few and small."""

from __future__ import annotations

import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.classic.dataframe import DataFrame as ClassicFrame

from lake.write.bounded import Bounded


@pytest.fixture
def arrived(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many bytes came into this process, frame by frame."""
    found: list[int] = []
    to_arrow = ClassicFrame.toArrow

    def note(rows: ClassicFrame) -> pa.Table:
        table = to_arrow(rows)
        found.append(table.nbytes)
        return table

    monkeypatch.setattr(ClassicFrame, "toArrow", note)
    return found


def texts(spark: SparkSession, *sizes: int | None) -> DataFrame:
    """A row for each size, its text split between two columns; ä is two bytes."""
    rows = [
        (place, None if size is None else "ä" * (size // 4), None if size is None else b"x" * (size // 2))
        for place, size in enumerate(sizes)
    ]
    return spark.createDataFrame(rows, "place INT, text STRING, bytes BINARY").coalesce(1)


def places(found: pa.Table | None) -> list[int] | None:
    return None if found is None else found.column("place").to_pylist()


@pytest.mark.parametrize(
    ("sizes", "taken"),
    [
        ([100, 100, 100], True),
        ([100, 100, 104], False),
        ([None, 0, None], True),
        ([300], True),
        ([304], False),
        ([100, 100, 100, 0], True),
        ([], True),
    ],
)
def test_rows_are_taken_up_to_the_limit_of_their_bytes(
    spark: SparkSession, sizes: list[int | None], taken: bool
) -> None:
    assert places(Bounded(9, 300).take(texts(spark, *sizes))) == (list(range(len(sizes))) if taken else None)


def test_rows_are_taken_whole_and_with_their_columns(spark: SparkSession) -> None:
    rows = texts(spark, 8, None)

    found = Bounded(2, 300).take(rows)

    assert found is not None
    assert found.to_pylist() == [
        {"place": 0, "text": "ää", "bytes": b"xxxx"}, {"place": 1, "text": None, "bytes": None},
    ]  # fmt: skip
    assert Bounded(1, 300).take(rows) is None


def test_what_is_too_large_does_not_even_arrive(spark: SparkSession, arrived: list[int]) -> None:
    bounded = Bounded(1_000, 100_000)

    assert bounded.take(texts(spark, *[40_000] * 200)) is None
    assert bounded.take(texts(spark, *[40_000, 40_000])) is not None

    assert len(arrived) == 2
    assert max(arrived) < 100_000, "8,000,000 bytes were there"


def test_rows_on_several_partitions_are_left_to_spark(spark: SparkSession) -> None:
    assert Bounded(9, 300).take(texts(spark, 100, 100).repartition(2, "place")) is None
