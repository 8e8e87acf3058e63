"""DeltaStore: where tables lie, and how rows of them are read and written.

Batch replaces explicit days, so a day that is now empty becomes empty. Every writer of a table holds its lock for the
whole write; `lake.write.committer` commits.
"""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import date
from functools import reduce
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyspark.sql.functions as F
import pyspark.sql.types as T
from deltalake import DeltaTable, Schema, write_deltalake
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql.pandas.types import to_arrow_schema

from lake.declare.days import Days
from lake.declare.table import Table
from lake.errors import SchemaDrift
from lake.storage.commits import Commit
from lake.storage.durable import flush_commits
from lake.storage.holder import note_session
from lake.storage.landing import Landing
from lake.storage.location import is_local
from lake.storage.log import Log
from lake.storage.own_format import DESCRIPTION, readable
from lake.storage.retention import properties_of
from lake.storage.table_locks import TableLocks
from lake.write.checksum import write_checksum
from lake.write.committer import Committer, Txn, Write
from lake.write.data_files import FOLDER
from lake.write.enforce import QUARANTINE, day_within

__all__ = ["LOCKS", "DeltaStore", "Txn", "day_predicate"]

LOCKS = ".locks"
"""Folder of the lock files, in the folder of the tables."""
_ALL_FILES = 2_000_000_000


def _print_wait(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


@dataclass
class DeltaStore:
    """The Delta tables under one root.

    Attributes:
        tables: folder or URL that holds `layer/table`.
        landing: where feeds land.
        locks: local folder for the lock files of a lake on an object store. A lake in a folder keeps them in itself,
            because all who write one table must meet at one lock.
        session: gives the Spark session; called only when rows are read or written, never for the log.
        storage_options: as delta-rs takes them, for object stores.
        lock_timeout_seconds: how long to wait for a table that another process writes.
        on_wait: told once when a wait for a lock begins.
    """

    tables: str
    landing: Landing
    locks: Path
    session: Callable[[], SparkSession]
    storage_options: Mapping[str, str] = field(default_factory=dict)
    lock_timeout_seconds: float = 1800.0
    on_wait: Callable[[str], None] = _print_wait

    def __post_init__(self) -> None:
        if not self.is_shared:
            self.locks = Path(self.tables).resolve() / LOCKS

    @property
    def spark(self) -> SparkSession:
        """The Spark session, started on first use."""
        session = self.session()
        note_session(session)
        return session

    @property
    def is_shared(self) -> bool:
        """Whether other machines may write these tables, whom no lock of this one reaches."""
        return not is_local(self.tables)

    # Where tables lie, and their logs

    def path(self, table: Table) -> str:
        """Folder or URL of the table."""
        return f"{self.tables}/{table.path}"

    def quarantine_path(self, table: Table) -> str:
        """Folder or URL of the rows that broke the table's contract."""
        return f"{self.tables}/quarantine/{table.path}"

    def log(self, path: str) -> Log:
        """The log at a path; needs no JVM."""
        location = path.replace("s3a://", "s3://", 1) if path.startswith("s3a://") else path
        return Log(location, tuple(sorted(self.storage_options.items())))

    def table_log(self, table: Table) -> Log:
        """The log of a table."""
        return self.log(self.path(table))

    def version(self, table: Table) -> int | None:
        """The newest version of the table; None where it was never written. Needs no JVM."""
        return self.table_log(table).version()

    def lock(self, name: str) -> AbstractContextManager[None]:
        """Hold the write lock of a table, `layer.name`.

        Raises:
            TableLocked: another process, or the JVM of one that was killed, kept it for longer than
                `lock_timeout_seconds`.
            FolderNotWritable: its file belongs to another user.
        """
        return TableLocks(self.locks, self.lock_timeout_seconds, self.on_wait).hold(name)

    # Reading

    def read(self, table: Table, days: Days | None = None, *, version: int | None = None) -> DataFrame:
        """The table's rows, in the contract's columns; lazy. A table never written reads as empty.

        Args:
            table: what to read.
            days: only rows whose `read_by` column lies in these days.
            version: as of this version; None for the newest.
        """
        newest = self.version(table)
        if newest is None:
            return self._no_rows(table.contract.schema)
        pinned = newest if version is None else version
        rows = self.spark.read.format("delta").option("versionAsOf", pinned).load(self.path(table))
        if days is not None and table.read_by is not None:
            rows = rows.where(day_within(table.read_by, days))
        return _in_contract_columns(rows, table)

    def read_stream(self, table: Table, first_day: date) -> DataFrame:
        """The table's rows as a stream: all that it holds at once, then what is added; in the contract's columns.

        Commits that change or remove rows are passed over: a day that batch rewrote reaches readers through batch. So
        is what lies before `first_day`, as a literal that prunes files: batch filling an empty day is a pure add.
        """
        reader = self.spark.readStream.format("delta").option("skipChangeCommits", "true")
        # Read file by file, a table's counts would go down before they went up, and late rows would be lost.
        rows = reader.option("maxFilesPerTrigger", _ALL_FILES).load(self.path(table))
        if table.read_by is not None:
            rows = rows.where(F.col(table.read_by) >= F.lit(first_day))
        return _in_contract_columns(rows, table)

    def read_current(self, table: Table, first_day: date | None = None) -> DataFrame:
        """The table's rows for the static side of a stream: each micro-batch sees the newest version. It must exist."""
        rows = self.spark.read.format("delta").load(self.path(table))
        if first_day is not None and table.read_by is not None:
            rows = rows.where(F.col(table.read_by) >= F.lit(first_day))
        return _in_contract_columns(rows, table)

    def read_quarantine(self, table: Table, days: Days | None = None) -> DataFrame:
        """The table's rejected rows: day, rules, raw, row; lazy."""
        path = self.quarantine_path(table)
        if self.log(path).version() is None:
            return self._no_rows(QUARANTINE)
        rows = self.spark.read.format("delta").load(path)
        return rows if days is None else rows.where(day_within("day", days))

    # Writing: the caller holds the table's lock

    def create(self, table: Table) -> None:
        """Create the table, without rows, where it does not exist."""
        self._create(self.path(table), table.contract.arrow_schema, table.partition_columns, table)

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
        """Replace exactly these days (None: the whole table) by `rows`; all of it or nothing.

        With `since`, the version at which the caller asked who owns the days: nobody may have written them after it.

        Raises:
            RowsOutsideDays: a row belongs to another day; nothing was written.
            WrittenMeanwhile: another writer was faster; nothing was written.
            SchemaDrift: the stored table has other columns than the contract, beyond added nullable ones.
        """
        return self._of_table(table).replace(rows, days, Write(metadata, txn, since))

    def append(self, table: Table, rows: DataFrame | pa.Table, txn: Txn, metadata: Mapping[str, Any]) -> Commit:
        """Add rows that the table cannot hold yet."""
        return self._of_table(table).add(rows, Write(metadata, txn))

    def insert_new(
        self,
        table: Table,
        rows: DataFrame,
        days: Sequence[Days],
        txn: Txn | None,
        metadata: Mapping[str, Any],
    ) -> Commit:
        """Add the rows whose key the table does not hold; what it holds stays.

        Args:
            table: where to.
            rows: at most one row per key, all of these days.
            days: where to look for their keys.
            txn: makes a repeat a no-op; None where the key alone does.
            metadata: kept in the commit.
        """
        target = self._of_table(table)
        before = target.log.version()
        return target.add(self._missing(table, rows, days), Write(metadata, txn, before))

    def upsert(self, table: Table, rows: DataFrame | pa.Table, txn: Txn | None, metadata: Mapping[str, Any]) -> Commit:
        """Add the rows whose key the table does not hold and replace the others; at most one row per key."""
        return self._of_table(table).merge(rows, _day_and_key(table), Write(metadata, txn))

    def count_missing(self, table: Table, rows: DataFrame, days: Sequence[Days]) -> int:
        """How many of these rows, all of these days, have a key that the table does not hold; a job of its own."""
        return self._missing(table, rows, days).count()

    def count_differing(self, table: Table, rows: DataFrame, days: Sequence[Days]) -> dict[date, int]:
        """How many of these rows, all of these days, differ from the row that the table holds of their key; by day."""
        assert table.day is not None
        key = _day_and_key(table)
        others = [name for name in table.contract.stored_names if name not in key]
        says = F.struct(*(table.contract.comparable(name).alias(name) for name in others))
        held = self.read(table).where(_within_any(table.day, days))
        both = rows.join(held.select(*key, says.alias("_held")), on=key, how="inner")
        differing = both.where(~says.eqNullSafe(F.col("_held")))
        return {row[0]: row[1] for row in differing.groupBy(table.day).count().collect()}

    def _missing(self, table: Table, rows: DataFrame, days: Sequence[Days]) -> DataFrame:
        """Those of these rows, all of these days, whose key the table does not hold."""
        held = self._held_keys(table, days)
        return rows if held is None else rows.join(held, on=held.columns, how="left_anti")

    def _held_keys(self, table: Table, days: Sequence[Days]) -> DataFrame | None:
        """Day and key of the rows that a table holds of these days, read from its files; None where it has no file."""
        assert table.day is not None
        held = self.table_log(table).files_by_day(table.day, days).values()
        files = [name for names in held for name in names]
        if not files:
            return None
        names, path = _day_and_key(table), self.path(table)
        if any(name.startswith(FOLDER) for name in files):
            return self.read(table).where(_within_any(table.day, days)).select(*names)
        # Delta would first compute in a job which files these are.
        columns = T.StructType([table.contract.schema[name] for name in names])
        read = self.spark.read.schema(columns).option("basePath", path)
        return read.parquet(*(f"{path}/{name}" for name in files)).select(*names)

    # Rows that broke the contract

    def replace_quarantine(
        self, table: Table, rejects: DataFrame, days: Sequence[Days] | None, *, txn: Txn | None = None
    ) -> Commit:
        """Replace these days of the table's quarantine."""
        return self._of_quarantine(table).replace(rejects, days, Write({}, txn))

    def store_quarantine(self, table: Table, rejects: pa.Table, days: Sequence[Days] | None) -> None:
        """Replace these days of the quarantine by rows that are already here; needs no JVM."""
        if rejects.num_rows or _holds_any(self.log(self.quarantine_path(table)), "day" if table.day else None, days):
            self._of_quarantine(table).replace(rejects, days, Write({}))

    def append_quarantine(self, table: Table, rejects: DataFrame, txn: Txn) -> Commit:
        """Add rows that broke the table's contract."""
        return self._of_quarantine(table).add(rejects, Write({}, txn))

    def _of_quarantine(self, table: Table) -> Committer:
        path, schema = self.quarantine_path(table), to_arrow_schema(QUARANTINE, timezone="UTC")
        day = "day" if table.day else None
        partition_by = [day] if day else []
        self._create(path, schema, partition_by, table)
        return Committer(self._name_of(path), path, self.log(path), schema, tuple(partition_by), day)

    # What a stored table may become

    def lacks_columns(self, table: Table) -> bool:
        """Ask whether the contract has nullable columns that the stored table lacks.

        Raises:
            SchemaDrift: the two differ in another way.
        """
        stored = self.table_log(table).schema()
        found = {name: str(stored.field(name).type) for name in stored.names}
        expected = {name: str(table.contract.arrow_schema.field(name).type) for name in table.contract.stored_names}
        new = {name for name in expected if name not in found}
        grown = {c.name for c in table.contract.stored if c.nullable}
        if new <= grown and all(expected.get(name) == kind for name, kind in found.items()):
            return bool(new)
        raise SchemaDrift(table.full_name, expected, found)

    def grow(self, table: Table) -> None:
        """Add the nullable columns that `lacks_columns` speaks of; changes no row.

        Before a query reads the table, because Spark refuses a micro-batch with other columns than it began with.
        """
        path = self.path(table)
        log = self.log(path)
        stored, wanted = log.schema(), table.contract.arrow_schema
        fields = Schema.from_arrow(pa.schema([field for field in wanted if field.name not in stored.names])).fields
        with self.flushed(path):
            DeltaTable(log.location, storage_options=dict(self.storage_options)).alter.add_columns(fields)
        write_checksum(log, log.version() or 0)

    def _of_table(self, table: Table) -> Committer:
        """Prepare commits to the table, which is made or given new columns where that is needed.

        Raises:
            SchemaDrift: the stored table has other columns than the contract, beyond added nullable ones.
        """
        self.create(table)
        if self.lacks_columns(table):
            self.grow(table)
        path, columns = self.path(table), tuple(table.partition_columns)
        return Committer(table.full_name, path, self.log(path), table.contract.arrow_schema, columns, table.day)

    def is_committed(self, path: str, txn: Txn) -> bool:
        """Whether this step, or the same step of a later micro-batch, was committed; needs no JVM."""
        newest = self.log(path).newest_txn(txn.app_id)
        return newest is not None and newest >= txn.version

    def compact(self, table: Table, days: Days) -> None:
        """Join the small files of these days; changes no row.

        By Spark: delta-rs does not notice that another writer joins the same files meanwhile, and would double rows.
        """
        assert table.day is not None
        with self.flushed(self.path(table)):
            self.spark.sql(f"OPTIMIZE {_quoted_path(self.path(table))} WHERE {day_predicate(table.day, [days])}")

    @contextmanager
    def flushed(self, path: str) -> Iterator[None]:
        """Force to the disk what is committed to a table meanwhile, because a receipt or a checkpoint may follow."""
        log = self.log(path)
        before = log.version()
        yield
        flush_commits(log.location, before)

    def _name_of(self, path: str) -> str:
        return path.removeprefix(f"{self.tables}/").replace("/", ".")

    # The lake's own tables

    def rows_in_lake(self, name: str) -> pa.Table | None:
        """Read a table of the lake itself (`lake/<name>`) without a JVM; None where nothing was ever written.

        Raises:
            LogDamaged: a file of its log cannot be read.
        """
        stored = readable(name, self.log(f"{self.tables}/lake/{name}").open())
        return None if stored is None else stored.to_pyarrow_table()

    def append_to_lake(self, name: str, rows: Callable[[int], pa.Table]) -> None:
        """Append rows to a table of the lake itself (`lake/<name>`), without a JVM, under its lock.

        Nullable columns that a release adds are added to a table that an older one wrote.

        Args:
            name: which table.
            rows: gives the rows for the version that their commit will have.
        """
        log = self.log(f"{self.tables}/lake/{name}")
        with self.lock(f"lake.{name}"), self.flushed(f"{self.tables}/lake/{name}"):
            stored = readable(name, log.open())
            write_deltalake(
                log.location,
                rows(0 if stored is None else stored.version() + 1),
                mode="append",
                description=DESCRIPTION,
                schema_mode="merge",
                storage_options=dict(self.storage_options),
            )

    def replace_in_lake(self, name: str, rows: pa.Table) -> None:
        """Replace the rows of a table of the lake itself; the caller holds its lock."""
        location = f"{self.tables}/lake/{name}"
        with self.flushed(location):
            write_deltalake(
                self.log(location).location, rows, mode="overwrite", storage_options=dict(self.storage_options)
            )

    def _create(self, path: str, schema: pa.Schema, partition_by: list[str], table: Table) -> None:
        """Create a table or its quarantine where it does not exist."""
        log = self.log(path)
        if log.version() is None:
            with self.flushed(path):
                DeltaTable.create(
                    log.location,
                    schema=schema,
                    mode="ignore",
                    partition_by=partition_by or None,
                    description=table.description.partition("\n")[0] if path == self.path(table) else None,
                    configuration=properties_of(table),
                    storage_options=dict(self.storage_options),
                )
            write_checksum(log, 0)

    def _no_rows(self, schema: T.StructType) -> DataFrame:
        """An empty frame; `createDataFrame` would start a Python worker for it."""
        columns = (F.lit(None).cast(field.dataType).alias(field.name) for field in schema.fields)
        return self.spark.range(0).select(*columns)


def _quoted_path(path: str) -> str:
    return "delta.`" + path.replace("`", "``") + "`"


def day_predicate(column: str, days: Sequence[Days]) -> str:
    """SQL text for some ranges of days. `column` comes from a contract, the dates are dates: nothing to escape."""
    ranges = [f"({column} >= DATE'{part.start}' AND {column} < DATE'{part.end}')" for part in days]
    return " OR ".join(ranges)


def _holds_any(log: Log, day: str | None, days: Sequence[Days] | None) -> bool:
    """Whether a table holds a file of these days (None: any file)."""
    if day is None or days is None:
        return log.has_rows()
    held = log.days(day)
    return any(one in part for part in days for one in held)


def _within_any(day: str, days: Sequence[Days]) -> Column:
    return reduce(operator.or_, (day_within(day, part) for part in days))


def _day_and_key(table: Table) -> list[str]:
    """What no two rows of a table share."""
    return list(dict.fromkeys([*table.key, *([table.day] if table.day else [])]))


def _in_contract_columns(rows: DataFrame, table: Table) -> DataFrame:
    """The contract's columns in order; nullable ones that the stored table does not have yet are null."""
    stored = set(rows.columns)
    return rows.select(
        *(F.col(c.name) if c.name in stored else F.lit(None).cast(c.dtype).alias(c.name) for c in table.contract.stored)
    )
