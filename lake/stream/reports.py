"""Keep what streams report: counts, receipts and the status of each query."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from lake.declare.feed import TopicFeed
from lake.declare.table import Table, stream_reads
from lake.declare.topic_source import TopicSource
from lake.stream.input_events import newest_event
from lake.stream.progress import MicroBatch, Receipts, StreamStatus, write_status
from lake.stream.query import StreamQuery
from lake.write.enforce import Counts
from lake.write.store import DeltaStore

__all__ = ["Reports"]


@dataclass
class Reports:
    """Keep what the queries of one process report.

    Attributes:
        store: where the tables are.
        folder: of the statuses and receipts.
        now: the clock.
        on_receipt: told of every finished micro-batch, from the query's thread.
        counts: rows by table.
    """

    store: DeltaStore
    folder: Path
    now: Callable[[], datetime]
    on_receipt: Callable[[MicroBatch], None] | None
    counts: dict[str, Counts] = field(default_factory=dict)
    _statuses: threading.Lock = field(default_factory=threading.Lock)

    @cached_property
    def receipts(self) -> Receipts:
        """The receipts, which are committed now and then."""
        return Receipts(self.store, self.folder)

    def count(self, receipt: MicroBatch, status: StreamStatus, table: Table) -> None:
        """Count a finished micro-batch, and write the status of its stream."""
        if receipt.counts.rows_in:
            self.receipts.add(receipt)
        commit = self.store.table_log(table).commit(receipt.version)
        with self._statuses:
            status.add(receipt)
            if commit is not None and receipt.is_of(commit):
                self._note_newest(status, newest_event(table, commit))
            self.counts[receipt.table] += receipt.counts
            write_status(self.folder, status)
        if self.on_receipt is not None:
            self.on_receipt(receipt)

    def count_early(self, status: StreamStatus, counts: Counts, version: int | None, seconds: float) -> None:
        """Count a computation of early days beside the streams.

        Its receipts are in the ledger, as those of any other.
        """
        receipt = MicroBatch(status.table, 0, status.batches, counts, -1 if version is None else version, seconds)
        status.add(receipt)
        with self._statuses:
            self.counts[status.table] += counts
        if self.on_receipt is not None:
            self.on_receipt(receipt)

    def note_progress(self, streams: Iterable[StreamQuery], source: TopicSource) -> None:
        """Write every status.

        A stream that waits for its turn, or has no news, is alive.
        """
        for stream in streams:
            query = stream.query
            progress = query.lastProgress if query is not None else None
            if progress:
                self._read_progress(stream, progress, source)
            stream.status.note_busy(is_busy=query is not None and query.status["isTriggerActive"])
            self.write(stream)

    def _read_progress(self, stream: StreamQuery, progress: Any, source: TopicSource) -> None:
        event_time = progress["eventTime"] or {}
        stream.status.watermark = event_time.get("watermark", stream.status.watermark)
        newest = event_time.get("max")
        self._note_newest(stream.status, datetime.fromisoformat(newest) if newest else None)
        for read, part in zip(stream_reads(stream.plan.table), progress["sources"], strict=False):
            if isinstance(read.source, TopicFeed):
                stream.status.lag_messages = source.lag(read.source, part)

    def _note_newest(self, status: StreamStatus, newest: datetime | None) -> None:
        """Note how old the newest event was when it was written.

        Its commit says so, or of what it groups Spark's account.
        """
        if newest is not None:
            status.newest_event_at = newest.isoformat()
            status.lag_seconds = round((self.now() - newest).total_seconds(), 1)

    def write(self, stream: StreamQuery) -> None:
        """Write the status of a stream."""
        self.write_status(stream.status)

    def write_status(self, status: StreamStatus) -> None:
        """Write a status, under a lock.

        Queries report from their own threads.
        """
        with self._statuses:
            write_status(self.folder, status)
