"""Have a fresh warm process do once what runs will ask of it.

The first run after a start would else load classes, compile queries and import modules, which takes three times as long
as the run itself. So the newest day of each table is computed once more, compared, and thrown away. Nothing
in the lake is written. It ends as soon as a run comes, after a minute, and where memory is short.
"""

from __future__ import annotations

import tempfile
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import psutil
from pyspark.sql import SparkSession

from lake.batch.day_alone import can_differ, computed_alone_and_compared
from lake.declare.days import Day
from lake.declare.table import Table
from lake.orchestration.sensors.reconcile import JOB
from lake.orchestration.warm.execute import CodeLocation
from lake.ownership.ledger import Entry, Ledger
from lake.project.opening import open_session
from lake.project.settings import Settings
from lake.write.store import DeltaStore

__all__ = ["WarmUp"]

_LASTS_SECONDS = 60.0
_MEMORY_LEFT = 2 * 2**30
_MOST_ROWS = 100_000
"""A larger day would keep the processor busy for longer than it is worth."""


@dataclass(frozen=True)
class WarmUp:
    """Warms a process up, for as long as it has nothing else to do.

    Attributes:
        settings: of the environment.
        tables: of the project.
        store: of the environment.
        location: what the process has loaded.
        is_idle: tells whether no run is executed.
    """

    settings: Settings
    tables: Sequence[Table]
    store: DeltaStore
    location: CodeLocation
    is_idle: Callable[[], bool]

    def run(self) -> None:
        """Start Spark, and then do what runs do.

        What fails is printed. A table that cannot be computed is passed over: a run meets the same and says what to do.
        """
        began = time.monotonic()
        try:
            session = open_session(self.settings)
            session.range(10).groupBy("id").count().collect()
            self.location.repository.get_job(JOB)
            _write_aside(session)
            ledger = Ledger(self.store).latest_by_table()
            for table in filter(can_differ, self.tables):
                if not self._goes_on(began):
                    break
                self._compute(table, ledger.get(table.full_name, {}))
        except Exception:
            traceback.print_exc()
        print(f"warm after {time.monotonic() - began:.1f} s", flush=True)

    def _goes_on(self, began: float) -> bool:
        has_time = time.monotonic() - began < _LASTS_SECONDS
        return has_time and self.is_idle() and psutil.virtual_memory().available >= _MEMORY_LEFT

    def _compute(self, table: Table, entries: Mapping[Day, Entry]) -> None:
        small = (day for day, one in entries.items() if day and one.rows_out and one.rows_in <= _MOST_ROWS)
        newest = max(small, default=None)
        if newest is not None:
            with suppress(Exception):
                computed_alone_and_compared(table, self.store, entries[newest], self.settings.horizon())


def _write_aside(session: SparkSession) -> None:
    """Write a file of a few rows, as a table's are written, into a folder of its own, and read it."""
    with tempfile.TemporaryDirectory(prefix="lakehouse-warm-up-") as folder:
        session.range(10).write.parquet(f"{folder}/rows")
        session.read.parquet(f"{folder}/rows").groupBy().count().collect()
