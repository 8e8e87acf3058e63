"""Run one query alone, as `follow` runs it.

Those of its inputs would replace the rows that were made up for it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql.streaming.query import StreamingQuery

from lake.declare.table import Table
from lake.engine.session import STREAM_CONF
from lake.engine.settings_meanwhile import set_all
from lake.ownership.frontier import FrontierTable
from lake.stream.generation import Checkpoints, begin_generations, plan_stream
from lake.stream.micro_batch import MicroBatchWriter
from lake.write.store import DeltaStore

__all__ = ["followed", "progress", "read_by_query"]


@contextmanager
def followed(
    table: Table,
    rows: DataFrame,
    store: DeltaStore,
    home: Path,
    *,
    since: date,
    writer: type[MicroBatchWriter] = MicroBatchWriter,
) -> Iterator[StreamingQuery]:
    """Run the query of a table for as long as the block lasts.

    Args:
        table: whose query.
        rows: what its transform gives, unbounded.
        store: where it is.
        home: checkpoints go to `home/checkpoints`.
        since: the first open day.
        writer: what does something with each micro-batch.
    """
    set_all(store.spark, STREAM_CONF)
    frontier, checkpoints = FrontierTable(store), Checkpoints(home / "checkpoints")
    plan = plan_stream(table, store.spark)
    state = begin_generations(frontier, [plan], checkpoints, since=since, now=datetime.now(UTC))
    generation = state.generations[table.full_name]
    write = writer(
        plan, store, frontier, generation, redelivers=False, stopping=threading.Event(), on_receipt=lambda _: None
    )
    query = rows.writeStream.outputMode(plan.output_mode).foreachBatch(write)
    running = query.option("checkpointLocation", str(checkpoints.folder(plan, generation))).start()
    try:
        yield running
    finally:
        running.stop()


def progress(query: StreamingQuery) -> list[Any]:
    """Spark's reports of its newest micro-batches, oldest first."""
    return list(query.recentProgress)


def read_by_query(query: StreamingQuery, add: Callable[[], None]) -> float:
    """Add rows to a query's input and time the micro-batches that read them.

    Returns the seconds of these.
    """
    before = max((one["batchId"] for one in progress(query)), default=-1)
    add()
    query.processAllAvailable()
    read = [one for one in progress(query) if one["batchId"] > before and one["numInputRows"]]
    return float(sum(one["durationMs"]["triggerExecution"] for one in read)) / 1000
