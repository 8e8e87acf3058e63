"""Dagster's SQLite storage, with the events of a run written in batches.

A refresh of a year makes 365 events a table, and Dagster's own storage opens and commits a database for each: 8 ms an
event, minutes for a backfill that computes in seconds. Here a batch is one transaction in each of the two databases
that an event belongs to; what is stored, and every answer given from it, is the same. This leans on private parts of
`dagster==1.13.27`: the version is pinned, and tests compare a run's answers with those of Dagster's own storage.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, Self

from dagster._config.config_schema import UserConfigSchema
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationPlanned
from dagster._core.events import ASSET_CHECK_EVENTS, ASSET_EVENTS, EVENT_TYPE_TO_PIPELINE_RUN_STATUS
from dagster._core.events.log import EventLogEntry
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage, _event_logs_directory
from dagster._record import copy
from dagster._serdes import ConfigurableClassData
from sqlalchemy.engine import Connection

__all__ = ["BatchedSqliteEventLogStorage", "BatchedSqliteStorage"]

# Dagster hands events over in batches only where this is set; every process that opens the storage imports this module.
os.environ.setdefault("DAGSTER_EVENT_BATCH_SIZE", "1000")


class BatchedSqliteEventLogStorage(SqliteEventLogStorage):
    """An event log that stores a batch of events in one transaction a database."""

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        """Store events of one run.

        The index comes first: it is the one that other processes may keep locked, and where it fails nothing was
        written and Dagster stores the events one by one.
        """
        asset_events = [event for event in events if event.dagster_event_type in ASSET_EVENTS]
        check_events = [event for event in events if event.dagster_event_type in ASSET_CHECK_EVENTS]
        status_events = [event for event in events if event.dagster_event_type in EVENT_TYPE_TO_PIPELINE_RUN_STATUS]
        with self.index_transaction() as index:
            self._index_asset_events(index, asset_events)
            check_ids = self._insert(index, check_events)
            self._insert(index, status_events)
        for event, event_id in zip(check_events, check_ids, strict=True):
            self.store_asset_check_event(event, event_id)
        for run_id in dict.fromkeys(event.run_id for event in events):
            with self.run_connection(run_id) as log:
                self._insert(log, [event for event in events if event.run_id == run_id])

    def _index_asset_events(self, index: Connection, events: Sequence[EventLogEntry]) -> None:
        ids = self._insert(index, events)
        self._store_asset_event_tags(index, events, ids)
        # An asset's entry keeps the newest event of each kind, so the others of the batch need not touch it.
        numbered = zip(events, ids, strict=True)
        newest = {(_asset_of(event), event.dagster_event_type): (event, event_id) for event, event_id in numbered}
        for event, event_id in newest.values():
            self._store_asset_event(index, event, event_id)

    def _insert(self, connection: Connection, events: Sequence[EventLogEntry]) -> list[int]:
        insert = SqlEventLogStorageTable.insert()
        results = (connection.execute(insert, self._event_to_row(event)) for event in events)
        return [int(key[0]) for result in results if (key := result.inserted_primary_key) is not None]

    def _store_asset_check_evaluation_planned(self, event: EventLogEntry, event_id: int | None) -> None:
        """Plan a check once a run. A row for each of its days would stay "planned" for ever: the verdict has no day."""
        planned = event.dagster_event and event.dagster_event.event_specific_data
        if event.dagster_event and isinstance(planned, AssetCheckEvaluationPlanned) and planned.partitions_subset:
            once = copy(planned, partitions_subset=None)
            event = event._replace(dagster_event=event.dagster_event._replace(event_specific_data=once))
        super()._store_asset_check_evaluation_planned(event, event_id)


def _asset_of(event: EventLogEntry) -> object:
    return event.dagster_event and event.dagster_event.asset_key


class BatchedSqliteStorage(DagsterSqliteStorage):
    """Runs, events and schedules in SQLite under one folder, events batched; `storage: custom` in dagster.yaml."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(base_dir, inst_data)
        self._event_log_storage = BatchedSqliteEventLogStorage(_event_logs_directory(base_dir))

    @classmethod
    def config_type(cls) -> UserConfigSchema:
        return DagsterSqliteStorage.config_type()

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]) -> Self:
        return cls.from_local(inst_data=inst_data, **config_value)
