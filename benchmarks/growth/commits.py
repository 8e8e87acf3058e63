"""Write commits as Spark writes them, with a simulated clock.

What others write is dated by it. No data files: neither `status` nor `reconcile` opens one of a declared table.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from deltalake import DeltaTable

from lake.declare.table import Table
from lake.write.store import DeltaStore

__all__ = ["SimulatedTable", "date_log"]

Day = date | None
_CHECKPOINT_EVERY = 100
_TIMES = re.compile(rb'"(deletionTimestamp|timestamp|modificationTime)":\d{13}')


@dataclass
class SimulatedTable:
    """One declared table, to which rows come without Spark.

    Attributes:
        table: which.
        store: where.
    """

    table: Table
    store: DeltaStore
    version: int = 0
    files: dict[Day, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.store.create(self.table)
        self.id = str(self.store.table_log(self.table).table_id())

    @property
    def path(self) -> Path:
        """Folder of the table."""
        return Path(self.store.path(self.table))

    def replace(self, days: Sequence[Day], now: datetime, metadata: Mapping[str, Any]) -> int:
        """Replace days by one row each and return the version."""
        gone = [self._remove(day, path, now) for day in days for path in self.files.pop(day, [])]
        mode = {"mode": "Overwrite"}
        return self._commit("WRITE", mode, [*gone, *(self._add(day, now) for day in days)], now, metadata)

    def append(self, day: date, now: datetime, metadata: Mapping[str, Any]) -> int:
        """Add a row, as a micro-batch does, and return the version."""
        return self._commit("WRITE", {"mode": "Append"}, [self._add(day, now)], now, metadata)

    def compact(self, now: datetime) -> None:
        """Join the files of days that hold several, as a stream does."""
        actions = []
        for day in [day for day, paths in self.files.items() if len(paths) > 1]:
            paths = self.files.pop(day)
            actions += [self._remove(day, path, now, is_change=False) for path in paths]
            actions.append(self._add(day, now, rows=len(paths), is_change=False))
        if actions:
            self._commit("OPTIMIZE", {}, actions, now, {})

    def _partition(self, day: Day) -> dict[str, str]:
        return {name: str(day) for name in self.table.partition_columns}

    def _add(self, day: Day, now: datetime, *, rows: int = 1, is_change: bool = True) -> dict[str, Any]:
        folder = "".join(f"{name}={value}/" for name, value in self._partition(day).items())
        path = f"{folder}part-00000-{uuid4()}.c000.snappy.parquet"
        self.files.setdefault(day, []).append(path)
        event = {self.table.event_time: f"{now:%Y-%m-%dT%H:%M:%S.000Z}"} if self.table.event_time else {}
        stats = {"numRecords": rows, "minValues": event, "maxValues": event, "nullCount": {}}
        added = {"path": path, "partitionValues": self._partition(day), "size": 4000, "modificationTime": _ms(now)}
        return {"add": {**added, "dataChange": is_change, "stats": json.dumps(stats)}}

    def _remove(self, day: Day, path: str, now: datetime, *, is_change: bool = True) -> dict[str, Any]:
        removed = {"path": path, "deletionTimestamp": _ms(now), "dataChange": is_change, "size": 4000}
        return {"remove": {**removed, "extendedFileMetadata": True, "partitionValues": self._partition(day)}}

    def _commit(
        self,
        operation: str,
        parameters: Mapping[str, str],
        actions: Sequence[Mapping[str, Any]],
        now: datetime,
        metadata: Mapping[str, Any],
    ) -> int:
        self.version = (self.store.version(self.table) or 0) + 1
        said = {"userMetadata": json.dumps({**metadata, "write": uuid4().hex}, default=str)} if metadata else {}
        info = {"timestamp": _ms(now), "operation": operation, "operationParameters": parameters, **said}
        lines = [json.dumps(action, separators=(",", ":")) for action in ({"commitInfo": info}, *actions)]
        file = self.path / "_delta_log" / f"{self.version:020d}.json"
        file.write_text("\n".join(lines))
        os.utime(file, (now.timestamp(), now.timestamp()))
        if self.version % _CHECKPOINT_EVERY == 0:
            DeltaTable(self.path).create_checkpoint()
            date_log(self.path, now)
        return self.version


def date_log(table: Path, now: datetime) -> None:
    """Give what was written to a log just now the simulated time.

    Maintenance goes by it.
    """
    written = (entry for entry in os.scandir(table / "_delta_log") if entry.stat().st_mtime > now.timestamp())
    for entry in written:
        if entry.name.endswith(".json"):
            file = Path(entry.path)
            file.write_bytes(_TIMES.sub(rb'"\1":%d' % _ms(now), file.read_bytes()))
        os.utime(entry.path, (now.timestamp(), now.timestamp()))


def _ms(now: datetime) -> int:
    return int(now.timestamp() * 1000)
