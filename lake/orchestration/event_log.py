"""Dagster's SQLite storage, with the events of a run written in batches.

A refresh of a year makes 365 events a table, and Dagster's own storage opens and commits a database for each: 8 ms an
event, minutes for a backfill that computes in seconds. Here a batch is one transaction in each of the two databases
that an event belongs to, and databases stay open; what is stored, and every answer given from it, is the same. This
leans on private parts of `dagster==1.13.27`: the version is pinned, and tests compare a run's answers with those of
Dagster's own storage.
"""

from __future__ import annotations

import os
import sqlite3
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Self, cast

import sqlalchemy as db
from dagster._config.config_schema import UserConfigSchema
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationPlanned
from dagster._core.events import ASSET_CHECK_EVENTS, ASSET_EVENTS, EVENT_TYPE_TO_PIPELINE_RUN_STATUS
from dagster._core.events.log import EventLogEntry
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable
from dagster._core.storage.event_log.sqlite.sqlite_event_log import INDEX_SHARD_NAME, SqliteEventLogStorage
from dagster._core.storage.sql import create_engine
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage, _event_logs_directory
from dagster._record import copy
from dagster._serdes import ConfigurableClassData
from sqlalchemy.engine import Connection
from sqlalchemy.pool import StaticPool

from lake.orchestration.event_text import events_by_partition, texts_of, told_apart

__all__ = ["BatchedSqliteEventLogStorage", "BatchedSqliteStorage"]

# Dagster hands events over in batches only where this is set. Every process that opens the storage imports this module.
os.environ.setdefault("DAGSTER_EVENT_BATCH_SIZE", "1000")

MOST_OPEN_DATABASES = 8

Row = dict[str, Any]


class BatchedSqliteEventLogStorage(SqliteEventLogStorage):
    """An event log that stores a batch of events in few transactions.

    Each database that an event belongs to gets one, and databases stay open. Dagster opens and closes a database for
    each question and each event. Closing the last connection writes everything back and waits for the disk. So does
    every commit; here one that survives a killed process, if not a power cut, is enough, since what a table holds is in
    its own log.
    """

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        self._databases: OrderedDict[str, db.Engine] = OrderedDict()
        self._known_tables: set[str] = set()
        super().__init__(base_dir, inst_data)

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        with self._db_lock:
            with self._database(shard).begin() as connection:
                changes = _changes(connection)
                yield connection
                changes = _changes(connection) - changes
            if changes and shard != INDEX_SHARD_NAME:
                # The UI follows a run by watching this file, and what is committed goes to another one beside it.
                os.utime(self.path_for_shard(shard))

    def _database(self, shard: str) -> db.Engine:
        """Return the open database of the index or of one run.

        Either is a shard.
        """
        if shard not in self._databases:
            self._databases[shard] = _open_database(self.conn_string_for_shard(shard))
            if len(self._databases) > MOST_OPEN_DATABASES:
                self._databases.popitem(last=False)[1].dispose()
        self._databases.move_to_end(shard)
        if shard not in self._initialized_dbs:
            self._initdb(self._databases[shard])
            self._initialized_dbs.add(shard)
        return self._databases[shard]

    def has_table(self, table_name: str) -> bool:
        if table_name not in self._known_tables and super().has_table(table_name):
            self._known_tables.add(table_name)
        return table_name in self._known_tables

    def wipe(self) -> None:
        self._close_databases()
        super().wipe()

    def dispose(self) -> None:
        super().dispose()
        self._close_databases()

    def _close_databases(self) -> None:
        with self._db_lock:
            while self._databases:
                self._databases.popitem()[1].dispose()

    @property
    def supports_partition_subset_in_asset_materialization_planned_events(self) -> bool:
        """Let Dagster plan a range in one event.

        It costs Dagster as much as the event of one day. Here it becomes many.
        """
        return True

    def store_event(self, event: EventLogEntry) -> None:
        if events_by_partition(event) == [event]:
            super().store_event(event)
        else:
            self.store_event_batch([event])

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        """Store events of one run.

        The index comes first: it is the one that other processes may keep locked, and where it fails nothing was
        written and Dagster stores the events one by one.
        """
        events = list(told_apart(one for event in events for one in events_by_partition(event)))
        batch = list(zip(events, self._rows_of(events), strict=True))
        checks = [(event, row) for event, row in batch if event.dagster_event_type in ASSET_CHECK_EVENTS]
        with self.index_transaction() as index:
            self._index_asset_events(index, [pair for pair in batch if pair[0].dagster_event_type in ASSET_EVENTS])
            check_ids = _insert(index, [row for _, row in checks])
            _insert(index, [row for event, row in batch if _is_status(event)])
        for (event, _), event_id in zip(checks, check_ids, strict=True):
            self.store_asset_check_event(event, event_id)
        for run_id in dict.fromkeys(event.run_id for event in events):
            with self.run_connection(run_id) as log:
                _insert(log, [row for event, row in batch if event.run_id == run_id])

    def _rows_of(self, events: Sequence[EventLogEntry]) -> Iterator[Row]:
        for event, text in zip(events, texts_of(events), strict=True):
            said = event.dagster_event
            key = said and said.asset_key
            yield {
                "run_id": event.run_id,
                "event": text,
                "dagster_event_type": said and said.event_type_value,
                "timestamp": self._event_insert_timestamp(event),  # type: ignore[no-untyped-call]
                "step_key": said.step_key if said else event.step_key,
                "asset_key": key.to_string() if key else None,
                "partition": (said and said.partition) or None,
            }

    def _index_asset_events(self, index: Connection, batch: Sequence[tuple[EventLogEntry, Row]]) -> None:
        ids = _insert(index, [row for _, row in batch])
        events = [event for event, _ in batch]
        self._store_asset_event_tags(index, events, ids)
        # An asset's entry keeps the newest event of each kind, so the others of the batch need not touch it.
        numbered = zip(events, ids, strict=True)
        newest = {(_asset_of(event), event.dagster_event_type): (event, event_id) for event, event_id in numbered}
        for event, event_id in newest.values():
            self._store_asset_event(index, event, event_id)

    def _store_asset_check_evaluation_planned(self, event: EventLogEntry, event_id: int | None) -> None:
        """Plan a check once a run.

        A row for each of its days would stay "planned" for ever, because the verdict has no day.
        """
        planned = event.dagster_event and event.dagster_event.event_specific_data
        if event.dagster_event and isinstance(planned, AssetCheckEvaluationPlanned) and planned.partitions_subset:
            once = copy(planned, partitions_subset=None)
            event = event._replace(dagster_event=event.dagster_event._replace(event_specific_data=once))
        super()._store_asset_check_evaluation_planned(event, event_id)


def _open_database(address: str) -> db.Engine:
    """Open a database with one connection.

    The storage's own lock keeps it from being used twice at once.
    """
    arguments = {"timeout": SQLITE_BUSY_TIMEOUT_SECONDS, "check_same_thread": False}
    engine = create_engine(address, poolclass=StaticPool, connect_args=arguments)
    db.event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA synchronous = NORMAL"))
    return engine


def _changes(connection: Connection) -> int:
    """Count the rows written through this connection since it was opened."""
    return cast("sqlite3.Connection", connection.connection.dbapi_connection).total_changes


def _insert(connection: Connection, rows: Sequence[Row]) -> Sequence[int]:
    """Insert rows and return their ids.

    The ids follow each other, because nobody else can write in between.
    """
    if not rows:
        return []
    connection.execute(SqlEventLogStorageTable.insert(), rows)
    newest: int = connection.execute(db.select(db.func.max(SqlEventLogStorageTable.c.id))).scalar_one()
    return range(newest - len(rows) + 1, newest + 1)


def _is_status(event: EventLogEntry) -> bool:
    return event.dagster_event_type in EVENT_TYPE_TO_PIPELINE_RUN_STATUS


def _asset_of(event: EventLogEntry) -> object:
    return event.dagster_event and event.dagster_event.asset_key


class BatchedSqliteStorage(DagsterSqliteStorage):
    """Runs, events and schedules in SQLite under one folder, events batched.

    Named by `storage: custom` in dagster.yaml.
    """

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(base_dir, inst_data)
        self._event_log_storage = BatchedSqliteEventLogStorage(_event_logs_directory(base_dir))

    @classmethod
    def config_type(cls) -> UserConfigSchema:
        return DagsterSqliteStorage.config_type()

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]) -> Self:
        return cls.from_local(inst_data=inst_data, **config_value)
