"""Run one streaming query, and say why it ended."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date

from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame
from pyspark.sql.streaming.query import StreamingQuery

from lake.declare.table import Table, stream_reads
from lake.errors import UNREADABLE, LakeError, StreamBroken
from lake.storage.store_path import AnyPath
from lake.stream.generation import StreamPlan
from lake.stream.interpreting import Interpreting
from lake.stream.micro_batch import MicroBatchWriter
from lake.stream.progress import StreamStatus

__all__ = ["StreamQuery", "first_lines", "levels"]

_EMPTY_BATCHES = "spark.sql.streaming.noDataMicroBatches.enabled"
_STACK_LINE = re.compile(r"\s+at |\s*\.\.\. \d+ ")


@dataclass
class StreamQuery:
    """One query: how to start it, and what it does with its micro-batches.

    Attributes:
        plan: how its table runs as a stream.
        writer: writes its micro-batches.
        status: what is told of it.
        rows: the transform over streams of the inputs.
        checkpoint: folder of it.
        first_day: the first landing day that it reads.
        query: None until it is started.
    """

    plan: StreamPlan
    writer: MicroBatchWriter
    status: StreamStatus
    rows: DataFrame
    checkpoint: AnyPath
    first_day: date
    query: StreamingQuery | None = None

    @property
    def name(self) -> str:
        """Return `layer.name` of its table."""
        return self.plan.table.full_name

    def start(self, *, drain: bool) -> None:
        """Start the query.

        With `drain` it ends when it has read what there is.
        """
        writer = self.rows.writeStream.queryName(self.name).outputMode(self.plan.output_mode)
        writer = writer.option("checkpointLocation", str(self.checkpoint)).foreachBatch(self.writer)
        self.status.state, self.writer.interpreting = "running", Interpreting()
        # A micro-batch without rows moves the watermark. It gives rows to a join only, and costs an aggregate as much
        # as one with rows. The query takes the setting with it when it starts.
        self.rows.sparkSession.conf.set(_EMPTY_BATCHES, self.plan.output_mode == "append")
        try:
            self.query = (writer.trigger(availableNow=True) if drain else writer).start()
        except (PySparkException, Py4JError) as error:  # a torn checkpoint is the second on a classic session
            raise self.broken(error) from error

    def check(self) -> None:
        """Raise what ended the query, if an error did."""
        if self.query is not None and (error := self.query.exception()) is not None:
            raise self.broken(error) from error

    def broken(self, error: BaseException) -> LakeError:
        """Return the error to show.

        One of ours comes as it was raised in the micro-batch, any other as Spark says it.
        """
        cause = self.writer.failure or error
        self.status.state, self.status.last_error = "failed", first_lines(cause)
        if isinstance(cause, LakeError):
            return cause
        return StreamBroken(self.name, first_lines(cause), str(self.checkpoint))

    def stop(self) -> None:
        """Let the running micro-batch finish, then end the query."""
        if self.query is not None and self.query.isActive:
            with self.writer.guard:
                self.query.stop()
        if self.status.state == "running":
            self.status.state = "stopped"


def first_lines(error: BaseException, limit: int = 800) -> str:
    """Say what an error says without its stack.

    Of a long text: its beginning and its end, which is the root cause.
    """
    lines = f"{type(error).__name__}: {error}".splitlines()
    text = "\n".join(line for line in lines if not _STACK_LINE.match(line)).strip()
    if (unreadable := UNREADABLE.search(text)) is not None:
        return unreadable[0]  # this line names the message, the others say less
    return text if len(text) <= limit else f"{text[: limit // 2]} ... {text[-limit // 2 :]}"


def levels(streams: Sequence[StreamQuery]) -> Iterator[list[StreamQuery]]:
    """Group queries that do not read each other, upstream first."""
    depth: dict[str, int] = {}
    for stream in streams:
        sources = [read.source for read in stream_reads(stream.plan.table) if isinstance(read.source, Table)]
        depth[stream.name] = max((depth[source.full_name] + 1 for source in sources), default=0)
    for level in range(max(depth.values(), default=-1) + 1):
        yield [stream for stream in streams if depth[stream.name] == level]
