"""Keep the open days of batch-only tables current beside streams.

Such a table looks around a row in ways that no stream has. Its days depend on days that streams own, so batch leaves
them alone until they are sealed. Meanwhile one thread of the process that runs the streams has batch compute those of
which an input has changed. An error there stops no stream: the status of the table tells it, and a later look tries
again.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

from pyspark.sql import SparkSession

from lake.declare.table import Table
from lake.errors import LakeError
from lake.stream.progress import StreamStatus
from lake.stream.query import first_lines
from lake.stream.reports import Reports
from lake.write.enforce import Counts

__all__ = ["EARLY_EVERY", "Computed", "Early", "EarlyTables", "nothing_early"]

EARLY_EVERY = timedelta(seconds=30)
"""How long to wait between two looks at a table that declares no `early_every`."""
_LOOKS_EVERY_SECONDS = 1.0
_ENDS_WITHIN_SECONDS = 60.0
"""A job that is interrupted ends at once; what follows it, at most a wait for a lock and a commit, does not."""
_PATIENCE_SECONDS = 5.0
"""A table that another process writes is looked at again by a later look."""


class Computed(Protocol):
    """Say what became of some days, as a receipt of batch does."""

    @property
    def total(self) -> Counts:
        """Counts over all days."""

    @property
    def version(self) -> int | None:
        """Version of the table after it."""

    @property
    def seconds(self) -> float:
        """Seconds that it took."""


@dataclass(frozen=True)
class Early:
    """Say which tables are kept current early, and how.

    Attributes:
        tables: upstream first.
        compute: computes the early days of one that are due, range by range, and waits so many seconds at most for
            another process that writes it; None: as long as any refresh.
    """

    tables: Sequence[Table]
    compute: Callable[[Table, float | None], Iterable[Computed]]


def nothing_early() -> Early:
    """Return what keeps no table current."""
    return Early((), lambda _table, _patience: ())


@dataclass
class EarlyTables:
    """Compute early days beside the streams of one process.

    Attributes:
        early: which, and how.
        spark: the session of the streams, which computes these days too.
        reports: told of each computation.
        may_write: raises where another driver may have the lease of the lake by now.
        stopping: set when no further computation shall begin.
    """

    early: Early
    spark: Callable[[], SparkSession]
    reports: Reports
    may_write: Callable[[], None]
    stopping: threading.Event
    _statuses: dict[str, StreamStatus] = field(default_factory=dict)
    _next_look: dict[str, float] = field(default_factory=dict)
    _failures: dict[Table, Exception] = field(default_factory=dict)
    _thread: threading.Thread | None = None

    def start(self, *, once: bool = False) -> None:
        """Look at the tables in a thread, once or from time to time."""
        for table in self.early.tables:
            self._statuses[table.full_name] = StreamStatus(table.full_name, pid=os.getpid())
            self.reports.counts[table.full_name] = Counts()
        if self.early.tables:
            # A daemon, because a process that was stopped must not wait for another's lock.
            self._thread = threading.Thread(target=self._run, args=(once,), name="early", daemon=True)
            self._thread.start()

    @property
    def is_running(self) -> bool:
        """Tell whether its thread is there."""
        return self._thread is not None and self._thread.is_alive()

    def check(self) -> None:
        """Raise what kept the first table from being computed just now."""
        for failure in self._failures.values():
            raise failure

    def write_statuses(self) -> None:
        """Write the status of each table, also while one is computed."""
        for status in self._statuses.values():
            self.reports.write_status(status)

    def stop(self) -> None:
        """End the computation under way, and begin no other.

        Nothing of it is lost: its days are due at the next start. The streams have ended before, because all jobs of
        their session are interrupted.
        """
        self.stopping.set()
        deadline = time.monotonic() + _ENDS_WITHIN_SECONDS
        while self._thread is not None and self._thread.is_alive() and time.monotonic() < deadline:
            with suppress(Exception):  # the session is gone, and the thread ends by itself
                self.spark().interruptAll()
            self._thread.join(0.2)
        for status in self._statuses.values():
            status.state = "stopped" if status.state == "running" else status.state
        self.write_statuses()

    def _run(self, once: bool) -> None:
        while not self.stopping.is_set():
            now = time.monotonic()
            due = [one for one in self.early.tables if self._next_look.get(one.full_name, now) <= now]
            self._failures = self._look(due, None if once else _PATIENCE_SECONDS)
            for table in due:
                pause = table.early_every or EARLY_EVERY
                self._next_look[table.full_name] = time.monotonic() + pause.total_seconds()
            if once:
                return
            self.stopping.wait(_LOOKS_EVERY_SECONDS)

    def _look(self, tables: Sequence[Table], patience: float | None) -> dict[Table, Exception]:
        """Compute what is due of some tables, and return why some failed.

        What reads a table that failed waits, because it would be computed from old rows.
        """
        failures: dict[Table, Exception] = {}
        for table in tables:
            if self.stopping.is_set():
                return failures
            status = self._statuses[table.full_name]
            waits_for = next((one for one in table.inputs if one in failures), None)
            if waits_for is not None:
                failures[table] = failures[waits_for]
                status.last_error = f"waits for {waits_for.full_name}"
                continue
            try:
                self._compute(table, status, patience)
            except Exception as error:  # whatever it is, the streams go on
                if self.stopping.is_set():
                    return failures  # its jobs were interrupted
                failures[table] = error
                self._fail(status, error)
        return failures

    def _compute(self, table: Table, status: StreamStatus, patience: float | None) -> None:
        self.may_write()
        status.note_busy(is_busy=True)
        try:
            for computed in self.early.compute(table, patience):
                self.reports.count_early(status, computed.total, computed.version, computed.seconds)
                if self.stopping.is_set():
                    return
        finally:
            status.note_busy(is_busy=False)
        status.state, status.last_error = "running", None

    def _fail(self, status: StreamStatus, error: Exception) -> None:
        """Tell of an error.

        One that may go away by itself is no failure.
        """
        status.last_error = first_lines(error)
        if not (isinstance(error, LakeError) and error.retryable):
            status.state = "failed"
