"""Hold what streams follow, and what their queries are made of."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path

from lake.declare.days import ALL_DAYS, Days
from lake.declare.table import Table
from lake.declare.topic_source import Received, TopicSource
from lake.ownership.frontier import FrontierTable
from lake.storage.store_path import AnyPath
from lake.stream.building import Builder
from lake.stream.early import Early, EarlyTables, nothing_early
from lake.stream.generation import Checkpoints
from lake.stream.micro_batch import always
from lake.stream.progress import MicroBatch
from lake.stream.reports import Reports
from lake.stream.topics import TopicGuard
from lake.stream.watch import Watch
from lake.write.store import DeltaStore
from lake.write.store_places import tell_on_stderr

__all__ = ["Following"]


@dataclass
class Following:
    """Hold what is followed, and what its queries are made of.

    Attributes:
        frontier: who owns a day.
        tables: what is followed, upstream first.
        home: of statuses.
        source: where topics are read from.
        asked_to_stop: set from outside.
        now: the clock.
        on_receipt: told of every finished micro-batch.
        stopping: set when no further micro-batch shall begin.
        newest: by topic, the message that each partition ended with.
        may_write: raises where another driver may have the lease of the lake by now.
        calendar: the days that tables can have.
        tell: told what is worth knowing.
        checkpoint_folder: in which the checkpoints lie; None for `home/checkpoints`.
        early: the batch-only tables that are kept current beside the streams.
    """

    frontier: FrontierTable
    tables: Sequence[Table]
    home: Path
    source: TopicSource
    asked_to_stop: threading.Event
    now: Callable[[], datetime]
    on_receipt: Callable[[MicroBatch], None] | None
    stopping: threading.Event = field(default_factory=threading.Event)
    newest: dict[str, dict[int, Received]] = field(default_factory=dict)
    may_write: Callable[[], None] = always
    calendar: Days = ALL_DAYS
    tell: Callable[[str], None] = tell_on_stderr
    checkpoint_folder: AnyPath | None = None
    early: Early = field(default_factory=nothing_early)

    @property
    def store(self) -> DeltaStore:
        """The store of the tables."""
        return self.frontier.store

    @property
    def watch(self) -> Watch:
        """The watch over sources and tables."""
        return Watch(self.tables, self.source, self.topics, self.checkpoints)

    @cached_property
    def reports(self) -> Reports:
        """The reports of the queries."""
        return Reports(self.store, self.home / "streams", self.now, self.on_receipt)

    @cached_property
    def beside(self) -> EarlyTables:
        """The tables that are computed early beside the streams."""
        return EarlyTables(self.early, lambda: self.store.spark, self.reports, self.may_write, self.stopping)

    @cached_property
    def builder(self) -> Builder:
        """The builder of the queries.

        It is made once all is known that it takes.
        """
        return Builder(
            self.frontier,
            self.tables,
            self.source,
            self.reports,
            self.stopping,
            self.may_write,
            self.calendar,
            self.tell,
        )

    @property
    def checkpoints(self) -> Checkpoints:
        """The folders of the queries' checkpoints."""
        return Checkpoints(self.checkpoint_folder or self.home / "checkpoints")

    @property
    def topics(self) -> TopicGuard:
        """The guard of the topics."""
        return TopicGuard(self.tables, self.source, self.store, self.checkpoints.root, self.newest)
