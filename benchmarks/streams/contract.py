"""Measure what the contract and the key cost a micro-batch.

The query of `follow` runs with them, and with a select instead.

Both read the same messages from tables and folders of their own, in turn, micro-batch by micro-batch, in one session. A
micro-batch is what Spark's own report says: where the source ends, what is in it, write, checkpoint. Without
enforcement rows are still brought together by day, since that makes the files; nothing is checked or ordered, and no
more than the stored columns are taken.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property, partial
from pathlib import Path

import pyarrow as pa
import pyspark.sql.functions as F
import pyspark.sql.types as T
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql.streaming.query import StreamingQuery

from airline.replay import Message
from benchmarks.errors import SidesDiffer
from benchmarks.streams.messages import flight_messages
from benchmarks.streams.query import followed, read_by_query
from benchmarks.streams.results import SampledRun
from lake.declare.days import utc_day
from lake.declare.feed import TOPIC_FRAME
from lake.declare.table import Table
from lake.engine.session import build_session
from lake.storage.landing import Landing
from lake.stream.micro_batch import MicroBatchWriter
from lake.write.bounded import Bounded
from lake.write.enforce import Collected, Enforcer
from lake.write.horizon import Horizon
from lake.write.key_order import IS_VALID
from lake.write.store import DeltaStore
from lakehouse_assets.bronze.departure_events import departure_events
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

    def _judged(self, rows: DataFrame, horizon: Horizon | None) -> tuple[DataFrame, None]:
        del horizon
        return rows.select(*self.table.contract.stored_names, F.lit(True).alias(IS_VALID)), None

    def collect(self, rows: DataFrame, bounded: Bounded, horizon: Horizon | None = None) -> Collected | None:
        here = super().collect(rows, bounded, horizon)
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


@dataclass(frozen=True)
class _Side:
    """One of the two queries, and how rows come into what it reads.

    They are the rows of a micro-batch.
    """

    query: StreamingQuery
    store: DeltaStore
    add: Callable[[int], None]


def measure_contract(home: Path, rows: int, batches: int, say: Callable[[str], None]) -> list[SampledRun]:
    """Return the seconds of each micro-batch with and without enforcement.

    Of a bronze and of a silver table.

    Args:
        home: an empty folder.
        rows: of each micro-batch.
        batches: that are timed, after those that warm up.
        say: told of the progress.

    Raises:
        SidesDiffer: a table does not hold what was sent.
    """
    spark = build_session(app_name="contract")
    _write_messages(spark, home / "messages", rows, batches + WARM_UP)
    runs = []
    for table in (departure_events, departures):
        with ExitStack() as stack:
            sides = {side: stack.enter_context(_running(table, side, spark, home)) for side in SIDES}
            seconds = _seconds(sides, batches + WARM_UP)
            _compare(table, sides, rows * (batches + WARM_UP))
        say(f"  {table.full_name}: {batches} micro-batches of {rows:,} rows each way")
        runs += [
            SampledRun("contract", f"{side} {table.full_name}", seconds[side][WARM_UP:], {"rows": rows})
            for side in SIDES
        ]
    return runs


def _seconds(sides: Mapping[str, _Side], batches: int) -> Mapping[str, list[float]]:
    seconds: dict[str, list[float]] = {side: [] for side in sides}
    for batch in range(batches):
        for name in SIDES if batch % 2 else reversed(SIDES):
            seconds[name].append(read_by_query(sides[name].query, partial(sides[name].add, batch)))
    return seconds


def _compare(table: Table, sides: Mapping[str, _Side], sent: int) -> None:
    for name, side in sides.items():
        held = side.store.read(table).count()
        if held != sent:
            raise SidesDiffer(table.full_name, f"{name} and what was sent", f"{held:,} rows, not {sent:,}")


@contextmanager
def _running(table: Table, side: str, spark: SparkSession, home: Path) -> Iterator[_Side]:
    folder = home / side / table.layer
    store = DeltaStore(str(folder / "tables"), Landing(folder / "landing"), folder / "locks", lambda: spark)
    source, incoming, day = departure_events, folder / "incoming", utc_day(DAY)
    if table is source:
        incoming.mkdir(parents=True)
        received = source(spark.readStream.schema(TOPIC_FRAME).parquet(str(incoming)))
        add = partial(_land, home / "messages", incoming)
    else:
        store.create(source)
        received = table(store.read_stream(source, day))
        add = partial(_append, home / "messages", store)
    store.create(table)
    with followed(table, received, store, folder, since=day, writer=WRITERS[side]) as query:
        yield _Side(query, store, add)


def _land(messages: Path, incoming: Path, batch: int) -> None:
    """Let the messages of a micro-batch land, whole or not at all."""
    [file] = _batch(messages, batch).glob("*.parquet")
    os.link(file, incoming / f"{batch}.parquet")


def _append(messages: Path, store: DeltaStore, batch: int) -> None:
    """Add the messages of a micro-batch to bronze, in one commit."""
    received = departure_events(store.spark.read.parquet(str(_batch(messages, batch))))
    stored = received.select(*departure_events.contract.stored_names)
    stored.coalesce(1).write.format("delta").mode("append").save(store.path(departure_events))


def _batch(messages: Path, number: int) -> Path:
    return messages / f"batch={number}"


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
    return tuple(columns.get(name) for name in TOPIC_FRAME.names)


def main(home: str, rows: str, batches: str) -> None:
    """Measure in a process of its own."""
    runs = measure_contract(Path(home), int(rows), int(batches), lambda line: print(f"  {line}", flush=True))
    (Path(home) / REPORT).write_text(json.dumps({"runs": [asdict(run) for run in runs]}))


if __name__ == "__main__":
    main(*sys.argv[1:])
