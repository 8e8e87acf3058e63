"""Build the streaming query of each table from its declaration."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date

from pyspark.sql import DataFrame

from lake.declare.days import Days
from lake.declare.feed import TopicFeed
from lake.declare.table import Read, Table, stream_reads
from lake.declare.topic_source import TopicSource
from lake.ownership.frontier import Frontier, FrontierTable
from lake.storage.damage import still_unreadable
from lake.storage.own_table import OwnTable
from lake.stream.generation import Checkpoints, StreamPlan
from lake.stream.input_events import InputEvents
from lake.stream.micro_batch import MicroBatchWriter
from lake.stream.progress import StreamStatus, describe_unread_files, read_statuses
from lake.stream.query import StreamQuery
from lake.stream.reports import Reports
from lake.stream.stream_inputs import StreamInputs
from lake.write.enforce import Counts
from lake.write.horizon import Horizon
from lake.write.store import DeltaStore

__all__ = ["Builder"]


@dataclass
class Builder:
    """Build queries: only the edges of a transform differ from batch.

    Attributes:
        frontier: who owns a day.
        tables: all that are followed.
        source: where topics are read from.
        reports: told of each micro-batch.
        stopping: set when no further micro-batch shall begin.
        may_write: raises where another driver may have the lease of the lake by now.
        calendar: the days that tables can have.
        tell: told what a query goes on without.
        unread: by table, files that cannot be read, with the reason.
    """

    frontier: FrontierTable
    tables: Sequence[Table]
    source: TopicSource
    reports: Reports
    stopping: threading.Event
    may_write: Callable[[], None]
    calendar: Days
    tell: Callable[[str], None]
    unread: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def store(self) -> DeltaStore:
        """The store of the tables."""
        return self.frontier.store

    def build(self, plan: StreamPlan, checkpoints: Checkpoints, state: Frontier) -> StreamQuery:
        """Build the query of one table, without starting it."""
        table, generation = plan.table, state.generations[plan.table.full_name]
        first_day, checkpoint = state.first_writable_day(table), checkpoints.folder(plan, generation)
        status = StreamStatus(table.full_name, generation=generation, pid=os.getpid(), first_open=first_day.isoformat())
        if (before := read_statuses(self.reports.folder).get(status.table)) and before.generation == generation:
            status.last_batch_at = before.last_batch_at  # files that were read stay read
        status.unread_files = still_unreadable(
            self.store.landing.location, before.unread_files if before else ()
        ) | self._closed(table)
        self.unread[status.table] = status.unread_files
        self.reports.counts[table.full_name] = Counts()
        inputs = StreamInputs.of(table, self.store, checkpoint)
        writer = MicroBatchWriter(
            plan,
            self.store,
            self.frontier,
            generation,
            redelivers=self.source.redelivers,
            stopping=self.stopping,
            on_receipt=lambda receipt: self.reports.count(receipt, status, table),
            events=_events(table, inputs),
            inputs=inputs,
            own=self._own_table(table),
            horizon=lambda: Horizon(self.reports.now(), self.calendar),
            may_write=self.may_write,
            checkpoint=checkpoint,
        )
        return StreamQuery(plan, writer, status, self.rows(table, first_day), checkpoint, first_day)

    def leave_out_unreadable(self, stream: StreamQuery) -> bool:
        """Build the rows of a failed query anew, without files that cannot be read.

        Returns whether there are more of these than before. It finds them again where their content has changed, or
        their rights: what was delivered is noted.
        """
        table, status = stream.plan.table, stream.status
        found = [self.source.unreadable(feed, stream.first_day) for feed in table.topics]
        more = {path: why for one in found for path, why in one.items() if path not in status.unread_files}
        if not more:
            return False
        status.unread_files.update(more)
        stream.rows = self.rows(table, stream.first_day)
        stream.writer.failure = status.last_error = None
        self.tell(f"{table.full_name} goes on without {describe_unread_files(more)}")
        return True

    def _closed(self, table: Table) -> dict[str, str]:
        """Find folders that no query may list, because it would not even start."""
        found = {path: why for feed in table.topics for path, why in self.source.closed(feed).items()}
        if found:
            self.tell(f"{table.full_name} goes on without {describe_unread_files(found)}")
        return found

    def _own_table(self, table: Table) -> OwnTable:
        own = OwnTable(table.full_name, self.store.table_log(table))
        own.refuse_changed()  # from here on
        return own

    def rows(self, table: Table, first_day: date) -> DataFrame:
        """Apply the transform to streams of the inputs, from a landing day on."""
        return table(*(self._frame(read, table, first_day) for read in table.reads))

    def _frame(self, read: Read, table: Table, first_day: date) -> DataFrame:
        source = read.source
        if isinstance(source, TopicFeed):
            return self.source.read_topic(self.store.spark, source, first_day, self.unread[table.full_name])
        assert isinstance(source, Table), f"{table.full_name} reads the file feed {read.name}: not followable"
        first_read = read.selected(Days.of(first_day)).start
        if read not in stream_reads(table):
            return self.store.read_current(source, first_read)
        rows = self.store.read_stream(source, first_read)
        if source.event_time is None or source.lateness is None:
            return rows
        return rows.withWatermark(source.event_time, f"{int(source.lateness.total_seconds())} seconds")

    def create_tables(self) -> None:
        """Create the tables and their inputs.

        A query needs inputs with the columns of their contracts.
        """
        inputs = [source for table in self.tables for source in table.inputs]
        for table in {*self.tables, *inputs}:
            if self.store.version(table) is not None and not self.store.lacks_columns(table):
                continue  # a refresh may hold it for long
            with self.store.lock(table.full_name):
                self.store.create(table)
                if self.store.lacks_columns(table):
                    self.store.grow(table)


def _events(table: Table, inputs: StreamInputs) -> InputEvents | None:
    """Return the teller of how new the events behind a table's rows are.

    None where the rows say so themselves, or the table has no inputs.
    """
    return InputEvents(inputs) if inputs.inputs and table.event_time is None else None
