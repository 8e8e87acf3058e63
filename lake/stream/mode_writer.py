"""Define the base class that writes the micro-batches of a table.

Each write mode has its own. A micro-batch is the same for all modes: own days -> verdicts -> write -> quarantine ->
receipt. What differs is which days are the stream's own, what the first micro-batch of a generation does, and what a
repeat may find done.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

import pyarrow as pa
import pyspark.sql.functions as F
from pyspark.sql import Column, DataFrame

from lake.declare.days import Days
from lake.declare.table import Table
from lake.errors import RowsLost
from lake.ownership.frontier import LAST_DAY
from lake.storage.commits import Commit
from lake.write.enforce import NOTHING_DROPPED, Collected, Counts, Enforced
from lake.write.horizon import Horizon
from lake.write.store import DeltaStore, Txn

__all__ = ["Batch", "ModeWriter"]


@dataclass(frozen=True)
class Batch:
    """Describe one micro-batch under way.

    Attributes:
        number: of it.
        rows: all that it gave, whoever owns their days.
        first_day: the first day that the stream may write.
        believed: which times are.
    """

    number: int
    rows: DataFrame
    first_day: date
    believed: Horizon

    @property
    def open_days(self) -> list[Days]:
        """The days that the stream owns."""
        return [Days(self.first_day, LAST_DAY)]


@dataclass
class ModeWriter(ABC):
    """Write the micro-batches of one table in its mode.

    Attributes:
        table: which.
        store: where it is.
        redelivers: whether a source may give a message twice to one checkpoint.
        txn: gives the transaction id of a step of a micro-batch.
        metadata: gives what the commits of a micro-batch say.
    """

    table: Table
    store: DeltaStore
    redelivers: bool
    txn: Callable[[str, int], Txn]
    metadata: Callable[[int], Mapping[str, Any]]
    _condition: tuple[date, Column] | None = field(default=None, init=False, repr=False)

    def own(self, batch: Batch) -> DataFrame:
        """Select the rows of days that the stream owns.

        A rejected row goes with the day under which it is filed. A row without any day is the stream's.
        """
        rows, first_day = batch.rows, batch.first_day
        if self._condition is None or self._condition[0] != first_day:
            filed = [name for name in ("_event_date", self.table.day) if name is not None and name in rows.columns]
            is_own = F.coalesce(F.coalesce(*filed) >= F.lit(first_day), F.lit(True)) if filed else F.lit(True)
            self._condition = (first_day, is_own)
        return rows.where(self._condition[1])

    @abstractmethod
    def takes_few(self, batch: Batch) -> bool:
        """Tell whether rows that fit into this process are committed from here."""

    @abstractmethod
    def write_few(self, rows: Collected, batch: Batch) -> Commit | None:
        """Add rows that are in this process. None where none is new."""

    @abstractmethod
    def write(self, rows: Enforced, batch: Batch, *, fails: bool) -> Commit:
        """Write rows by Spark.

        Args:
            rows: with their verdicts.
            batch: of which they are.
            fails: whether a row that breaks the contract fails all.
        """

    def finish(self, rows: Enforced, batch: Batch) -> None:  # noqa: B027
        """Do the steps behind the first, which was committed before a crash.

        Most modes have none.
        """

    def days(self, batch: Batch) -> Sequence[Days]:
        """Name the days among which the rows of a micro-batch lie."""
        return batch.open_days

    @abstractmethod
    def quarantine(self, rows: Enforced | Collected, counts: Counts, batch: Batch) -> None:
        """File the rejected rows of a micro-batch, once."""

    def inserted(self, counts: Counts, commit: Commit | None) -> Counts:
        """Count a row whose key the table held already as a duplicate too.

        Where rows are replaced, none is.
        """
        if not self.table.write.only_adds:
            return counts
        rows = commit.rows if commit else 0
        return replace(counts, rows_out=rows, duplicates=counts.duplicates + counts.rows_out - rows)

    def _append(self, rows: DataFrame | pa.Table, batch: Batch) -> Commit:
        return self.store.append(self.table, rows, self.txn("write", batch.number), self.metadata(batch.number))

    def _insert_new(self, rows: DataFrame, days: Sequence[Days], batch: Batch, step: str = "write") -> Commit:
        said = self.metadata(batch.number)
        return self.store.insert_new(self.table, rows, days, self.txn(step, batch.number), said)

    def _frame(self, rows: pa.Table) -> DataFrame:
        return self.store.spark.createDataFrame(rows, self.table.contract.schema)

    def _file(self, rows: Enforced | Collected, counts: Counts, batch: Batch, replaced: Sequence[Days] | None) -> None:
        """Add rejected rows to the quarantine, or replace what it holds of some days."""
        table, store, txn = self.table, self.store, self.txn("quarantine", batch.number)
        if not counts.rejected:
            if replaced:
                store.store_quarantine(table, NOTHING_DROPPED.rejected, replaced)
        elif not store.is_committed(store.quarantine_path(table), txn):
            if replaced:
                store.replace_quarantine(table, rows.rejected(), replaced, txn=txn)
            else:
                store.append_quarantine(table, rows.rejected(), txn)

    def _refuse_loss(self, handed: int, commit: Commit | None) -> None:
        """Raise where a commit holds other rows than were handed to it.

        The micro-batch is not over then.

        Raises:
            RowsLost: a commit that only adds or replaces has other rows. An upsert says nothing of what it found there.
        """
        stored = commit.rows if commit else 0
        if commit is not None and not commit.operation and self.store.is_shared:
            return  # on an object store a step that another driver has done is passed over
        if stored != handed:
            raise RowsLost(self.table.full_name, f"{handed:,} rows", "the same", stored)
