"""DeltaStore: where tables lie, and the only module that writes them.

Batch replaces explicit days, so a day that is now empty becomes empty. Every writer of a table holds its lock for the
whole write: two processes that commit to one local Delta table can otherwise be told that both wrote the same version.
"""

from __future__ import annotations

import json
import operator
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from functools import reduce
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyspark.sql.functions as F
import pyspark.sql.types as T
from deltalake import CommitProperties, DeltaTable, Schema, Transaction, write_deltalake
from deltalake.exceptions import CommitFailedError
from filelock import FileLock, Timeout
from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql.pandas.types import to_arrow_schema

from lake.declare.days import Days
from lake.declare.table import Table
from lake.engine.failpoints import failpoint, killed_after_files
from lake.errors import RowsOutsideDays, SchemaDrift, TableLocked, WrittenMeanwhile
from lake.storage.commits import WRITE_MARK, Commit, Log
from lake.storage.durable import flush_commits
from lake.storage.holder import JVM_ENDS_WITHIN_SECONDS, await_jvms, hold, note_session, read_holder
from lake.storage.landing import Landing
from lake.storage.lock_files import own_lock_files
from lake.storage.own_format import DESCRIPTION, readable
from lake.storage.retention import properties_of
from lake.write.checksum import write_checksum
from lake.write.enforce import QUARANTINE, day_within

__all__ = ["LOCKS", "DeltaStore", "Txn", "day_predicate"]

LOCKS = ".locks"
"""Folder of the lock files, in the folder of the tables."""

_ALL_FILES = 2_000_000_000
_POLL_SECONDS = 0.1
_REPLACE = "replace"
"""Transaction id of those who replace days of a quarantine."""
_CONFLICT = re.compile(
    r"DELTA_(CONCURRENT_\w+|METADATA_CHANGED|PROTOCOL_CHANGED)"
    r"|(Concurrent\w+|MetadataChanged|ProtocolChanged)Exception|[Cc]oncurrent transaction"
)
"""How Delta, and delta-rs, refuse the second of two writers."""
_OUTSIDE = "a row belongs to a day that was not asked for"
_REPORT_AFTER_SECONDS = 1.0


def _print_wait(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Txn:
    """The identity of one step of one micro-batch. Its commit carries it in its metadata, so that a repeat is known.

    Appends to an object store carry it as a transaction id of Delta's, too. To write one, Spark first computes the
    whole state of the table in a job, half of the time of a small micro-batch, so where the lease keeps writers apart,
    and for Spark's writes that are keyed or that replace, it is left out.

    Attributes:
        app_id: query, table, step and generation; two steps never share one.
        version: the micro-batch.
    """

    app_id: str
    version: int


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
        return "://" in self.tables

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

    # Locks

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Hold the write lock of a table, `layer.name`.

        Raises:
            TableLocked: another process, or the JVM of one that was killed, kept it for longer than
                `lock_timeout_seconds`.
            FolderNotWritable: its file belongs to another user.
        """
        file, record = self.locks / f"{name}.lock", self.locks / f"{name}.holder"
        lock = FileLock(file)
        with own_lock_files(self.locks):
            self.locks.mkdir(parents=True, exist_ok=True)
            self._acquire(lock, name, record)
        try:
            self._await_jvms(name, record, file)
            with hold(record, file, stays_if_interrupted=True):
                yield
        finally:
            lock.release()

    def _acquire(self, lock: FileLock, name: str, record: Path) -> None:
        try:
            lock.acquire(timeout=min(_REPORT_AFTER_SECONDS, self.lock_timeout_seconds), poll_interval=_POLL_SECONDS)
            return
        except Timeout:
            self.on_wait(f"{name}: waiting for {_name(record)}, which is writing it (Ctrl-C stops waiting)")
        try:
            rest = max(self.lock_timeout_seconds - _REPORT_AFTER_SECONDS, 0)
            lock.acquire(timeout=rest, poll_interval=_POLL_SECONDS)
        except Timeout as error:
            raise TableLocked(name, self.lock_timeout_seconds, _name(record)) from error

    def _await_jvms(self, name: str, record: Path, file: Path) -> None:
        """Wait for what a killed writer left behind, because it may commit until it ends."""

        def tell(pid: int) -> None:
            self.on_wait(f"{name}: waiting for JVM {pid} of a writer that was killed (Ctrl-C stops waiting)")

        patience = min(JVM_ENDS_WITHIN_SECONDS, self.lock_timeout_seconds)
        jvm = await_jvms(record, file, patience, tell)
        if jvm is not None:
            raise TableLocked(name, patience, f"JVM {jvm} of a writer that was killed")

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

        With `txn`, ask `is_committed` first: a repeat would be written again.
        With `since`, the version at which the caller asked who owns the days: nobody may have written them after it.

        Raises:
            RowsOutsideDays: a row belongs to another day; nothing was written.
            WrittenMeanwhile: another writer was faster; nothing was written.
            SchemaDrift: the stored table has other columns than the contract, beyond added nullable ones.
        """
        path = self.path(table)
        self._create(path, table.contract.arrow_schema, table.partition_columns, table)
        grows = self._check_stored_schema(path, table)
        try:
            return self._replace(path, rows, table.day, days, metadata, merge_schema=grows, txn=txn, since=since)
        except (PySparkException, Py4JError) as error:  # a failed task is the second on a classic session
            if not table.day or not days or not _is_about_days(error):
                raise
            if not (outside := _days_outside(rows, table.day, days)):
                raise  # Delta calls every broken invariant so, also a null in a column that has none
            raise RowsOutsideDays(table.full_name, table.day, ", ".join(map(str, days)), outside) from error

    def replace_quarantine(
        self, table: Table, rejects: DataFrame, days: Sequence[Days] | None, *, txn: Txn | None = None
    ) -> Commit:
        """Replace these days of the table's quarantine."""
        path = self.quarantine_path(table)
        day = "day" if table.day else None
        self._create(path, to_arrow_schema(QUARANTINE, timezone="UTC"), ["day"] if day else [], table)
        return self._replace(path, rejects, day, days, {}, merge_schema=False, txn=txn)

    def store_quarantine(self, table: Table, rejects: pa.Table, days: Sequence[Days] | None) -> None:
        """Replace these days of the quarantine by rows that are already here; needs no JVM."""
        path = self.quarantine_path(table)
        log, day = self.log(path), "day" if table.day else None
        if not rejects.num_rows and not _holds_any(log, day, days):
            return
        schema = to_arrow_schema(QUARANTINE, timezone="UTC")
        self._create(path, schema, [day] if day else [], table)
        # delta-rs refuses the second of two writers only by a transaction id that both carry.
        ids = [Transaction(_REPLACE, (log.version() or 0) + 1)] if self.is_shared else []
        with self.flushed(path), self._refusals(path):
            write_deltalake(
                log.location,
                rejects.cast(schema),
                mode="overwrite",
                predicate=day_predicate(day, days) if day and days is not None else None,
                storage_options=dict(self.storage_options),
                commit_properties=CommitProperties(app_transactions=ids),
            )

    # Writing as a stream: the caller holds the table's lock and has asked `is_committed`

    def create(self, table: Table) -> None:
        """Create the table, without rows, where it does not exist."""
        self._create(self.path(table), table.contract.arrow_schema, table.partition_columns, table)

    def lacks_columns(self, table: Table) -> bool:
        """Ask whether the contract has nullable columns that the stored table lacks.

        Raises:
            SchemaDrift: the two differ in another way.
        """
        return self._check_stored_schema(self.path(table), table)

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

    def is_committed(self, path: str, txn: Txn) -> bool:
        """Whether this step, or the same step of a later micro-batch, was committed; needs no JVM."""
        newest = self.log(path).newest_txn(txn.app_id)
        return newest is not None and newest >= txn.version

    def append(self, table: Table, rows: DataFrame, txn: Txn, metadata: Mapping[str, Any]) -> Commit:
        """Add rows that the table cannot hold yet."""
        self.create(table)
        grows = self._check_stored_schema(self.path(table), table)
        return self._append(self.path(table), rows, metadata, txn, merge_schema=grows)

    def append_quarantine(self, table: Table, rejects: DataFrame, txn: Txn) -> Commit:
        """Add rows that broke the table's contract."""
        path = self.quarantine_path(table)
        self._create(path, to_arrow_schema(QUARANTINE, timezone="UTC"), ["day"] if table.day else [], table)
        return self._append(path, rejects, {}, txn, merge_schema=False)

    def insert_new(
        self, table: Table, rows: DataFrame, days: Sequence[Days], txn: Txn | None, metadata: Mapping[str, Any]
    ) -> Commit:
        """Add the rows whose key the table does not hold; what it holds stays. The commit only adds files.

        Args:
            table: where to.
            rows: at most one row per key, all of these days.
            days: literal days, so that Delta reads and guards only their files.
            txn: makes a repeat a no-op; None where the key alone does.
            metadata: kept in the commit.
        """
        return self._merge(table, rows, days, txn, metadata, "WHEN NOT MATCHED THEN INSERT *")

    def count_missing(self, table: Table, rows: DataFrame, days: Sequence[Days]) -> int:
        """How many of these rows, all of these days, have a key that the table does not hold; a job of its own."""
        return self._missing(table, rows, days).count()

    def count_differing(self, table: Table, rows: DataFrame, days: Sequence[Days]) -> dict[date, int]:
        """How many of these rows, all of these days, differ from the row that the table holds of their key; by day."""
        assert table.day is not None
        key = list(dict.fromkeys([*table.key, table.day]))
        others = [name for name in table.contract.stored_names if name not in key]
        held = self.read(table).where(_within_any(table.day, days))
        both = rows.join(held.select(*key, F.struct(*others).alias("_held")), on=key, how="inner")
        differing = both.where(~F.struct(*others).eqNullSafe(F.col("_held")))
        return {row[0]: row[1] for row in differing.groupBy(table.day).count().collect()}

    def add_new(
        self, table: Table, rows: DataFrame, days: Sequence[Days], txn: Txn, metadata: Mapping[str, Any]
    ) -> Commit:
        """As `insert_new`, for less than half of its price, where nobody else could write these days meanwhile.

        A stream alone writes its open days, and a successor waits until the JVM of a killed one has ended. MERGE would
        notice another writer, which costs three more jobs.
        """
        self.create(table)
        path = self.path(table)
        grows = self._check_stored_schema(path, table)
        return self._append(path, self._missing(table, rows, days), metadata, txn, merge_schema=grows)

    def _missing(self, table: Table, rows: DataFrame, days: Sequence[Days]) -> DataFrame:
        """Those of these rows, all of these days, whose key the table does not hold."""
        held = self._held_keys(table, days)
        return rows if held is None else rows.join(held, on=held.columns, how="left_anti")

    def _held_keys(self, table: Table, days: Sequence[Days]) -> DataFrame | None:
        """Day and key of the rows that a table holds of these days, read from its files; None where it has no file."""
        assert table.day is not None
        held = self.table_log(table).files_by_day(table.day, days).values()
        files = [path for paths in held for path in paths]
        if not files:
            return None
        names = list(dict.fromkeys([*table.key, table.day]))
        columns = T.StructType([table.contract.schema[name] for name in names])
        path = self.path(table)
        stored = self.spark.read.schema(columns).option("basePath", path).parquet(*(f"{path}/{name}" for name in files))
        return stored.select(*names)  # bronze is partitioned by one more column, which Spark adds

    def upsert(
        self, table: Table, rows: DataFrame, days: Sequence[Days], txn: Txn | None, metadata: Mapping[str, Any]
    ) -> Commit:
        """Add the rows whose key the table does not hold and replace the others. Arguments as for `insert_new`."""
        both = "WHEN MATCHED THEN UPDATE SET * WHEN NOT MATCHED THEN INSERT *"
        return self._merge(table, rows, days, txn, metadata, both)

    # The same for rows that are already here, without the jobs that Spark takes to commit a few rows

    def append_arrow(self, table: Table, rows: pa.Table, txn: Txn, metadata: Mapping[str, Any]) -> Commit:
        """As `append`."""

        def write(stored: DeltaTable, properties: CommitProperties) -> None:
            write_deltalake(
                stored,
                rows.cast(table.contract.arrow_schema),
                mode="append",
                schema_mode="merge" if self._check_stored_schema(self.path(table), table) else None,
                commit_properties=properties,
            )

        return self._write_arrow(table, txn, metadata, write)

    def upsert_arrow(self, table: Table, rows: pa.Table, txn: Txn, metadata: Mapping[str, Any]) -> Commit:
        """As `upsert`."""
        assert table.day is not None
        days = Days.ranges(rows.column(table.day).to_pylist())
        literal = [f"({day_predicate(f'stored.`{table.day}`', days)})"] if days else []
        key = [f"stored.`{name}` = incoming.`{name}`" for name in dict.fromkeys([table.day, *table.key])]

        def merge(stored: DeltaTable, properties: CommitProperties) -> None:
            merger = stored.merge(
                rows.cast(table.contract.arrow_schema),
                " AND ".join([*literal, *key]),
                source_alias="incoming",
                target_alias="stored",
                merge_schema=self._check_stored_schema(self.path(table), table),
                commit_properties=properties,
            )
            merger.when_matched_update_all().when_not_matched_insert_all().execute()

        return self._write_arrow(table, txn, metadata, merge)

    def _write_arrow(
        self, table: Table, txn: Txn, metadata: Mapping[str, Any], write: Callable[[DeltaTable, CommitProperties], None]
    ) -> Commit:
        self.create(table)
        path = self.path(table)
        log = self.log(path)
        stored = log.opened()
        assert stored is not None, "it was just created"
        before, token = log.version(), _token()
        # The lease keeps other writers away on this machine only.
        ids = [Transaction(txn.app_id, txn.version)] if "://" in path else []
        if not any(_has_seen(stored, one) for one in ids):
            properties = CommitProperties({"userMetadata": _user_metadata(metadata, token, txn)}, app_transactions=ids)
            with self._write_points(path):
                write(stored, properties)
            write_checksum(log, log.version() or 0)
        return _find_commit(log, before, token)

    def compact(self, table: Table, days: Days) -> None:
        """Join the small files of these days; changes no row.

        By Spark: delta-rs does not notice that another writer joins the same files meanwhile, and would double rows.
        """
        assert table.day is not None
        with self.flushed(self.path(table)):
            self.spark.sql(f"OPTIMIZE {_quoted_path(self.path(table))} WHERE {day_predicate(table.day, [days])}")

    def _append(
        self, path: str, rows: DataFrame, metadata: Mapping[str, Any], txn: Txn, *, merge_schema: bool
    ) -> Commit:
        log = self.log(path)
        before, token = log.version(), _token()
        writer = rows.write.format("delta").mode("append").option("mergeSchema", merge_schema)
        if "://" in path:
            # On this machine the lease waits for the JVM of a process that was killed; elsewhere nothing else would
            # keep a writer that came back to life from appending once more.
            writer = writer.option("txnAppId", txn.app_id).option("txnVersion", txn.version)
        with self._write_points(path):
            writer.option("userMetadata", _user_metadata(metadata, token, txn)).save(path)
        return _find_commit(log, before, token)

    def _merge(
        self,
        table: Table,
        rows: DataFrame,
        days: Sequence[Days],
        txn: Txn | None,
        metadata: Mapping[str, Any],
        clauses: str,
    ) -> Commit:
        assert table.day is not None
        self.create(table)
        path, incoming = self.path(table), f"incoming_{table.layer}_{table.name}"
        evolution = "WITH SCHEMA EVOLUTION " if self._check_stored_schema(path, table) else ""
        log = self.log(path)
        before, token = log.version(), _token()
        on = " AND ".join(f"stored.`{name}` = incoming.`{name}`" for name in dict.fromkeys([table.day, *table.key]))
        literal = day_predicate(f"stored.`{table.day}`", days)
        rows.createOrReplaceTempView(incoming)
        try:
            with _commit_metadata(rows.sparkSession, _user_metadata(metadata, token, txn)), self._write_points(path):
                rows.sparkSession.sql(
                    f"MERGE {evolution}INTO {_quoted_path(path)} AS stored USING {incoming} AS incoming "
                    f"ON ({literal}) AND {on} {clauses}"
                )
        finally:
            rows.sparkSession.catalog.dropTempView(incoming)
        return _find_commit(log, before, token)

    @contextmanager
    def _write_points(self, path: str) -> Iterator[None]:
        """The failpoints around one write."""
        name = self._name_of(path)
        failpoint("before_write", name)
        with self.flushed(path):
            with killed_after_files(path, name), self._refusals(path):
                yield
            failpoint("after_commit", name)

    @contextmanager
    def flushed(self, path: str) -> Iterator[None]:
        """Force to the disk what is committed to a table meanwhile, because a receipt or a checkpoint may follow."""
        log = self.log(path)
        before = log.version()
        yield
        flush_commits(log.location, before)

    @contextmanager
    def _refusals(self, path: str) -> Iterator[None]:
        """Say which table it was where Delta refuses a commit because another writer was faster.

        Raises:
            WrittenMeanwhile: nothing was written.
        """
        try:
            yield
        except (PySparkException, Py4JError, CommitFailedError) as error:
            if (found := _CONFLICT.search(str(error))) is None:
                raise
            raise WrittenMeanwhile(self._name_of(path), found[0]) from error

    def _name_of(self, path: str) -> str:
        return path.removeprefix(f"{self.tables}/").replace("/", ".")

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

    def _check_stored_schema(self, path: str, table: Table) -> bool:
        """Whether the contract has nullable columns that the stored table lacks; raises on any other difference."""
        stored = self.log(path).schema()
        found = {name: str(stored.field(name).type) for name in stored.names}
        expected = {name: str(table.contract.arrow_schema.field(name).type) for name in table.contract.stored_names}
        new = {name for name in expected if name not in found}
        grown = {c.name for c in table.contract.stored if c.nullable}
        if new <= grown and all(expected.get(name) == kind for name, kind in found.items()):
            return bool(new)
        raise SchemaDrift(table.full_name, expected, found)

    def _replace(
        self,
        path: str,
        rows: DataFrame,
        day: str | None,
        days: Sequence[Days] | None,
        metadata: Mapping[str, Any],
        *,
        merge_schema: bool,
        txn: Txn | None = None,
        since: int | None = None,
    ) -> Commit:
        log = self.log(path)
        before, token = log.version(), _token()
        if not self.is_shared and not _holds_any(log, day, days):
            # Delta would list the files of these days, in more jobs, to find that there are none to remove. Where the
            # lock does not reach every writer, it must: of two who append to an empty day it refuses neither.
            writer = _only_within(rows, day, days).write.format("delta").mode("append")
        else:
            writer = rows.write.format("delta").mode("overwrite")
            if day is not None and days is not None:
                writer = writer.option("replaceWhere", day_predicate(day, days))
        writer = writer.option("mergeSchema", merge_schema)
        writer = writer.option("userMetadata", _user_metadata(metadata, token, txn))
        with self._write_points(path):
            if self.is_shared and since is not None:
                self._refuse_written(path, day, days, since)
            writer.save(path)
        return _find_commit(log, before, token)

    def _refuse_written(self, path: str, day: str | None, days: Sequence[Days] | None, since: int) -> None:
        """Raise where another machine has written these days after a version; Delta sees only what comes later."""
        log = self.log(path)
        for version in range(since + 1, (log.version() or 0) + 1):
            commit = log.commit(version)
            if commit is None or _touches(commit, day, days):
                raise WrittenMeanwhile(self._name_of(path), f"version {version}")


def _touches(commit: Commit, day: str | None, days: Sequence[Days] | None) -> bool:
    if day is None or days is None:
        return bool(commit.touched)
    return any(one in part for part in days for one in commit.days(day))


def _has_seen(stored: DeltaTable, step: Transaction) -> bool:
    """Whether Delta's own record says that this step was committed; a later writer is refused when it commits."""
    newest = stored.transaction_version(step.app_id)
    return newest is not None and newest >= step.version


def _token() -> str:
    return f"{os.getpid()}-{time.time_ns()}"


def _user_metadata(metadata: Mapping[str, Any], token: str, txn: Txn | None) -> str:
    step = {} if txn is None else {"txn": [txn.app_id, txn.version]}
    return json.dumps({**metadata, **step, WRITE_MARK: token}, default=str)


@contextmanager
def _commit_metadata(spark: SparkSession, metadata: str) -> Iterator[None]:
    """What SQL leaves in its commit, which it takes from the session only; unset at once, for the next write."""
    name = "spark.databricks.delta.commitInfo.userMetadata"
    spark.conf.set(name, metadata)
    try:
        yield
    finally:
        spark.conf.unset(name)


def _quoted_path(path: str) -> str:
    return "delta.`" + path.replace("`", "``") + "`"


def _find_commit(log: Log, before: int | None, token: str) -> Commit:
    """The commit that carries the token. Delta makes none where nothing was there before and nothing was written."""
    newest = log.version()
    for version in range(-1 if newest is None else newest, -1 if before is None else before, -1):
        commit = log.commit(version)
        if commit is not None and commit.metadata.get(WRITE_MARK) == token:
            return commit
    return Commit(-1 if newest is None else newest, 0, "", {}, {}, frozenset())


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


def _only_within(rows: DataFrame, day: str | None, days: Sequence[Days] | None) -> DataFrame:
    """The same rows; a row of another day fails the job before anything is committed, as `replaceWhere` would."""
    if day is None or days is None:
        return rows
    inside = F.coalesce(_within_any(day, days), F.lit(False))
    # The random number, always true, keeps Spark from asking before other filters, of rows that they would drop.
    return rows.where(F.when(inside, F.rand() >= 0).otherwise(F.raise_error(F.lit(_OUTSIDE))))


def _is_about_days(error: Exception) -> bool:
    condition = error.getCondition() if isinstance(error, PySparkException) else None
    return condition == "DELTA_REPLACE_WHERE_MISMATCH" or _OUTSIDE in str(error)


def _within_any(day: str, days: Sequence[Days]) -> Column:
    return reduce(operator.or_, (day_within(day, part) for part in days))


def _days_outside(rows: DataFrame, day: str, days: Sequence[Days]) -> dict[object, int]:
    outside = rows.where(~F.coalesce(_within_any(day, days), F.lit(False))).groupBy(day).count().orderBy(day)
    return {row[0]: row[1] for row in outside.collect()}


def _in_contract_columns(rows: DataFrame, table: Table) -> DataFrame:
    """The contract's columns in order; nullable ones that the stored table does not have yet are null."""
    stored = set(rows.columns)
    return rows.select(
        *(F.col(c.name) if c.name in stored else F.lit(None).cast(c.dtype).alias(c.name) for c in table.contract.stored)
    )


def _name(record: Path) -> str:
    return str(read_holder(record) or "another process")
