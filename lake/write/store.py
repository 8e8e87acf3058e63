"""DeltaStore: where tables lie, and how rows of them are read and written.

Batch replaces explicit days, so a day that is now empty becomes empty. Every writer of a table holds its lock for the
whole write; `lake.write.committer` commits.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from functools import reduce
from typing import Any

import pyarrow as pa
import pyspark.sql.functions as F
import pyspark.sql.types as T
from pyspark.sql import Column, DataFrame

from lake.declare.days import Days
from lake.declare.table import Table
from lake.errors import WrittenMeanwhile
from lake.storage.commits import Commit
from lake.storage.log import Log
from lake.write.committer import Note, Txn
from lake.write.data_files import FOLDER
from lake.write.enforce import day_within
from lake.write.key_order import day_and_key
from lake.write.own_rows import OwnRows
from lake.write.store_places import LOCKS
from lake.write.store_reads import StoreReads
from lake.write.store_tables import StoreTables

__all__ = ["LOCKS", "DeltaStore", "Txn", "day_predicate"]


@dataclass
class DeltaStore(StoreReads, StoreTables, OwnRows):
    """Read and write the Delta tables under one root.

    The caller holds a table's lock where it writes.
    """

    def replace(
        self,
        table: Table,
        rows: DataFrame,
        days: Sequence[Days] | None,
        metadata: Mapping[str, Any],
        *,
        txn: Txn | None = None,
        since: int | None = None,
    ) -> Commit:
        """Replace exactly these days by `rows`, wholly or not at all.

        Without days (None) the whole table. With `since`, the version at which the caller asked who owns the days:
        nobody may have written them after it.

        Raises:
            RowsOutsideDays: a row belongs to another day; nothing was written.
            WrittenMeanwhile: another writer was faster; nothing was written.
            SchemaDrift: the stored table has other columns than the contract, beyond those that can be added.
        """
        return self._of_table(table).replace(rows, days, Note(metadata, txn, since))

    def append(
        self,
        table: Table,
        rows: DataFrame | pa.Table,
        txn: Txn | None,
        metadata: Mapping[str, Any],
        *,
        since: int | None = None,
    ) -> Commit:
        """Add rows that the table cannot hold yet.

        With `since`, the version as of which it does not: nobody may have written their days after it.
        """
        return self._of_table(table).add(rows, Note(metadata, txn, since))

    def insert_new(
        self,
        table: Table,
        rows: DataFrame,
        days: Sequence[Days],
        txn: Txn | None,
        metadata: Mapping[str, Any],
    ) -> Commit:
        """Add the rows whose key the table does not hold.

        What it holds stays.

        Args:
            table: where to.
            rows: at most one row per key, all of these days.
            days: where to look for their keys.
            txn: makes a repeat a no-op; None where the key alone does.
            metadata: kept in the commit.
        """
        target = self._of_table(table)
        before = target.log.version()
        return target.add(self._missing(table, rows, days), Note(metadata, txn, before))

    def upsert(
        self,
        table: Table,
        rows: DataFrame | pa.Table,
        txn: Txn | None,
        metadata: Mapping[str, Any],
        *,
        since: int | None = None,
    ) -> Commit:
        """Add rows with new keys and replace the others.

        `rows` holds at most one row per key. With `since`, the version at which the caller chose the rows: nobody may
        have written their days after it.
        """
        return self._of_table(table).merge(rows, day_and_key(table), Note(metadata, txn, since))

    def count_missing(self, table: Table, rows: DataFrame, days: Sequence[Days]) -> int:
        """Count the rows whose key the table does not hold.

        All rows are of these days. It takes a job of its own.
        """
        return self._missing(table, rows, days).count()

    def holds_any(self, table: Table, rows: DataFrame, days: Sequence[Days]) -> bool:
        """Tell whether the table holds the key of any of these rows.

        All rows are of these days. It takes a job of its own.
        """
        held = self._held_keys(table, days)
        return held is not None and bool(rows.join(held, on=held.columns, how="left_semi").take(1))

    def count_differing(self, table: Table, rows: DataFrame, days: Sequence[Days]) -> dict[date, int]:
        """Count the rows that differ from the table's row of their key, by day.

        All rows are of these days.
        """
        assert table.day is not None
        key = day_and_key(table)
        others = [name for name in table.contract.stored_names if name not in key]
        says = F.struct(*(table.contract.comparable(name).alias(name) for name in others))
        held = self.read(table).where(_within_any(table.day, days))
        both = rows.join(held.select(*key, says.alias("_held")), on=key, how="inner")
        differing = both.where(~says.eqNullSafe(F.col("_held")))
        return {row[0]: row[1] for row in differing.groupBy(table.day).count().collect()}

    def _missing(self, table: Table, rows: DataFrame, days: Sequence[Days]) -> DataFrame:
        """Return the rows whose key the table does not hold.

        All rows are of these days.
        """
        held = self._held_keys(table, days)
        return rows if held is None else rows.join(held, on=held.columns, how="left_anti")

    def _held_keys(self, table: Table, days: Sequence[Days]) -> DataFrame | None:
        """Read day and key of the rows that a table holds of these days.

        They are read from its files; None where it has no file of them.
        """
        if table.day is None:
            return self.read(table).select(*table.key)
        held = self.table_log(table).files_by_day(table.day, days).values()
        files = [name for names in held for name in names]
        if not files:
            return None
        names, path = day_and_key(table), self.path(table)
        if any(name.startswith(FOLDER) for name in files):
            return self.read(table).where(_within_any(table.day, days)).select(*names)
        # Delta would first compute in a job which files these are.
        columns = T.StructType([table.contract.schema[name] for name in names])
        read = self.spark.read.schema(columns).option("basePath", path)
        return read.parquet(*(f"{path}/{name}" for name in files)).select(*names)

    def replace_quarantine(
        self, table: Table, rejects: DataFrame, days: Sequence[Days] | None, *, txn: Txn | None = None
    ) -> Commit:
        """Replace these days of the table's quarantine."""
        return self._of_quarantine(table).replace(rejects, days, Note({}, txn))

    def store_quarantine(self, table: Table, rejects: pa.Table, days: Sequence[Days] | None) -> None:
        """Replace these days of the quarantine by rows of this process.

        Needs no JVM.
        """
        if rejects.num_rows or _holds_any(self.log(self.quarantine_path(table)), "day" if table.day else None, days):
            self._of_quarantine(table).replace(rejects, days, Note({}))

    def append_quarantine(
        self, table: Table, rejects: DataFrame | pa.Table, txn: Txn | None, *, since: int | None = None
    ) -> Commit:
        """Add rows that broke the table's contract. `since` as for `append`."""
        return self._of_quarantine(table).add(rejects, Note({}, txn, since))

    def is_committed(self, path: str, txn: Txn) -> bool:
        """Tell whether this step was committed, without a JVM.

        The same step of a later micro-batch counts too.
        """
        newest = self.log(path).newest_txn(txn.app_id)
        return newest is not None and newest >= txn.version

    def compact(self, table: Table, days: Days) -> None:
        """Join the small files of these days, without changing a row.

        Of a table without days all. Where somebody else joins the same files meanwhile, that is as good.

        Not by Spark, whose OPTIMIZE let the rows of a stream wait for seconds.
        """
        with suppress(WrittenMeanwhile):
            self._of_table(table).join([days] if table.day else None, Note({"joined": table.full_name}))


def day_predicate(column: str, days: Sequence[Days]) -> str:
    """Return a SQL condition for some ranges of days.

    `column` comes from a contract and the dates are dates, so there is nothing to escape.
    """
    ranges = [f"({column} >= DATE'{part.start}' AND {column} < DATE'{part.end}')" for part in days]
    return " OR ".join(ranges)


def _holds_any(log: Log, day: str | None, days: Sequence[Days] | None) -> bool:
    """Tell whether a table holds a file of these days (None: any file)."""
    if day is None or days is None:
        return log.has_rows()
    held = log.days(day)
    return any(one in part for part in days for one in held)


def _within_any(day: str, days: Sequence[Days]) -> Column:
    return reduce(operator.or_, (day_within(day, part) for part in days))
