"""What the contract and the key cost a micro-batch: the write path of `follow` with them, and with a select instead.

Both write the same messages to tables of their own, in turn, micro-batch by micro-batch, in one session. Without
enforcement rows are still brought together by day, since that makes the files; nothing is checked or ordered, and no
more than the stored columns are taken.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path

import pyarrow as pa
import pyspark.sql.functions as F
import pyspark.sql.types as T
from pyspark.sql import Column, DataFrame, SparkSession

from benchmarks.streams.messages import flight_messages
from benchmarks.streams.results import SampledRun
from lake.days import utc_day
from lake.enforce import IS_VALID, Collected, Enforcer
from lake.feed import TOPIC_FRAME, Landing
from lake.frontier import FrontierTable
from lake.generation import Checkpoints, begin_generations, plan_stream
from lake.micro_batch import MicroBatchWriter
from lake.session import build_session
from lake.store import DeltaStore
from lake.table import Table
from lakehouse_assets.bronze.departure_events import departure_events
from lakehouse_assets.replay import Message
from lakehouse_assets.silver.departures import departures

__all__ = ["REPORT", "SIDES", "TABLES", "measure_contract"]

REPORT = "contract.json"

DAY = datetime(2013, 6, 1, 12, tzinfo=UTC)
WARM_UP = 20
TABLES = (departure_events.full_name, departures.full_name)


class _Selecting(Enforcer):
    """Accepts every row, without a look at it."""

    @cached_property
    def _place(self) -> Column:
        return F.lit(1)

    def _judged(self, rows: DataFrame) -> DataFrame:
        return rows.select(*self.table.contract.stored_names, F.lit(True).alias(IS_VALID))

    def collect(self, rows: DataFrame, at_most: int) -> Collected | None:
        here = super().collect(rows, at_most)
        return None if here is None else _Unordered(here.table, here.judged, here.frame)


class _Unordered(Collected):
    @cached_property
    def accepted(self) -> pa.Table:
        return self.judged.select(self.table.contract.stored_names)


class _WithoutContract(MicroBatchWriter):
    @cached_property
    def _enforce(self) -> Enforcer:
        return _Selecting(self.table)


WRITERS = {"enforced": MicroBatchWriter, "selected": _WithoutContract}
SIDES = tuple(WRITERS)


def measure_contract(home: Path, rows: int, batches: int, say: Callable[[str], None]) -> list[SampledRun]:
    """Seconds of each micro-batch of a bronze and of a silver table, with and without enforcement.

    Args:
        home: an empty folder.
        rows: of each micro-batch.
        batches: that are timed, after those that warm up.
        say: told of the progress.
    """
    spark = build_session(app_name="contract")
    _write_messages(spark, home / "messages", rows, batches + WARM_UP)
    runs = []
    for table, frame in {departure_events: _messages, departures: _events}.items():
        writers = {side: _writer(kind, table, spark, home / side) for side, kind in WRITERS.items()}
        seconds: dict[str, list[float]] = {side: [] for side in SIDES}
        for batch in range(batches + WARM_UP):
            for side in SIDES if batch % 2 else reversed(SIDES):
                seconds[side].append(_timed(writers[side], frame(spark, home / "messages", batch), batch))
        say(f"  {table.full_name}: {batches} micro-batches of {rows:,} rows each way")
        runs += [
            SampledRun("contract", f"{side} {table.full_name}", seconds[side][WARM_UP:], {"rows": rows})
            for side in SIDES
        ]
    return runs


def _timed(writer: MicroBatchWriter, rows: DataFrame, batch: int) -> float:
    started = time.perf_counter()
    writer(rows, batch)
    return round(time.perf_counter() - started, 4)


def _write_messages(spark: SparkSession, path: Path, rows: int, batches: int) -> None:
    """Departure messages as a micro-batch gets them from the topic, one folder per micro-batch."""
    clock = (DAY + timedelta(milliseconds=number) for number in range(2 * rows * batches))
    sent = (message for message in flight_messages(clock) if message.topic == "departures")
    frame = [(*_received(message, offset), offset // rows) for offset, message in enumerate(sent)]
    columns = T.StructType([*TOPIC_FRAME.fields, T.StructField("batch", T.IntegerType())])
    spark.createDataFrame(frame, columns).repartition(2, "batch").write.partitionBy("batch").parquet(str(path))


def _received(message: Message, offset: int) -> tuple[object, ...]:
    columns: Mapping[str, object] = {
        "key": message.key, "value": message.value, "topic": message.topic, "partition": message.partition,
        "offset": offset, "timestamp": message.timestamp, "_landed_on": utc_day(message.timestamp), "_raw": None,
    }  # fmt: skip
    return tuple(columns[name] for name in TOPIC_FRAME.names)


def _messages(spark: SparkSession, path: Path, batch: int) -> DataFrame:
    return departure_events(spark.read.parquet(f"{path}/batch={batch}"))


def _events(spark: SparkSession, path: Path, batch: int) -> DataFrame:
    return departures(_messages(spark, path, batch).select(*departure_events.contract.stored_names))


def _writer(kind: type[MicroBatchWriter], table: Table, spark: SparkSession, home: Path) -> MicroBatchWriter:
    store = DeltaStore(str(home / "tables"), Landing(home / "landing"), home / "locks", lambda: spark)
    frontier, plan, day = FrontierTable(store), plan_stream(table, spark), utc_day(DAY)
    state = begin_generations(frontier, [plan], Checkpoints(home / "checkpoints"), since=day, today=day)
    generation = state.generations[table.full_name]
    return kind(
        plan, store, frontier, generation, redelivers=False, stopping=threading.Event(), on_receipt=lambda _: None
    )


def main(home: str, rows: str, batches: str) -> None:
    """Measure in a process of its own."""
    runs = measure_contract(Path(home), int(rows), int(batches), lambda line: print(f"  {line}", flush=True))
    (Path(home) / REPORT).write_text(json.dumps({"runs": [asdict(run) for run in runs]}))


if __name__ == "__main__":
    main(*sys.argv[1:])
