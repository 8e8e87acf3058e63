"""Small micro-batches are interpreted, large ones compiled, in the same query."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from lake.stream.interpreting import FEW_ROWS, Interpreting
from lake.testing.lakes import compiled

pytestmark = [pytest.mark.spark, pytest.mark.slow]

IS_COMPILED = "*("
"""So Spark marks what it compiles, in a plan."""


def test_the_size_of_a_micro_batch_decides_how_the_next_one_runs(spark: SparkSession, tmp_path: Path) -> None:
    incoming, chosen = tmp_path / "incoming", Interpreting()
    incoming.mkdir()

    def write(rows: DataFrame, _: int) -> None:
        chosen.note(rows.sparkSession, rows.count())

    numbers = spark.readStream.schema("number INT").json(str(incoming)).where("number > 0")
    writer = numbers.writeStream.option("checkpointLocation", str(tmp_path / "checkpoint")).foreachBatch(write)
    with compiled(spark):
        query = writer.start()
    wrapped: Any = query
    plans = []
    try:
        for place, rows in enumerate((1, 1, FEW_ROWS + 1, 1, 1)):
            (incoming / f".{place}").write_text('{"number": 1}\n' * rows)
            (incoming / f".{place}").rename(incoming / f"{place}.json")
            query.processAllAvailable()
            plans.append(wrapped._jsq.explainInternal(False))
    finally:
        query.stop()

    assert [IS_COMPILED in plan for plan in plans] == [True, False, False, True, False]
    assert spark.conf.get("spark.sql.codegen.wholeStage") == "false", "other sessions stay as they are"
