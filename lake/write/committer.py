"""Commit to a Delta table.

No other module adds files to one or removes them.

Spark, or this process, first writes the rows as files that nobody reads yet. What they hold is known before they are
committed, so a row of another day, or a null where the contract has none, is refused while nothing is visible.

Of two writers of one day the second is refused, on any machine and also where the day was empty: a commit is tried for
one version only, and before the next is tried, what others have committed meanwhile is looked at.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Transaction
from deltalake.exceptions import CommitFailedError
from deltalake.transaction import AddAction, RemoveAction
from pyspark.sql import DataFrame

from lake.declare.days import Days
from lake.engine.failpoints import failpoint
from lake.errors import RowsOutsideDays, WrittenMeanwhile
from lake.storage.commits import MERGE_MARK, WRITE_MARK, Commit, parse_commit
from lake.storage.durable import flush_commits
from lake.storage.log import Log
from lake.write.checksum import write_checksum
from lake.write.data_files import DataFile, Staged, read_file, stage, stage_rows

__all__ = ["Committer", "Note", "Txn"]

_PLACE = "_place"
_SMALL_BYTES = 8 * 2**20
"""Files of this size and larger ones are left alone, else each joining would write all of an open day anew."""
_MOST_JOINED_BYTES = 32 * 2**20
"""So much is read into this process at a time."""


@dataclass(frozen=True)
class Txn:
    """Identify one step of one micro-batch.

    Its commit carries the identity, so that a repeat is known.

    Attributes:
        app_id: query, table, step and generation; two steps never share one.
        version: the micro-batch.
    """

    app_id: str
    version: int


@dataclass(frozen=True)
class Note:
    """Say what a commit is.

    Attributes:
        metadata: kept in the commit.
        txn: which step of a stream it is; None where it is none.
        since: the version at which the caller asked who owns the days, because nobody may have written them after it;
            None for the newest.
    """

    metadata: Mapping[str, Any]
    txn: Txn | None = None
    since: int | None = None


@dataclass(frozen=True)
class Committer:
    """Commit to one table, whose lock the caller holds.

    Attributes:
        name: of the table, for messages.
        path: where it lies, as Spark calls it.
        log: of it.
        schema: its columns.
        partition_by: its partition columns.
        day: the column of its days; None where it has none.
    """

    name: str
    path: str
    log: Log
    schema: pa.Schema
    partition_by: tuple[str, ...]
    day: str | None

    def replace(self, rows: DataFrame | pa.Table, days: Sequence[Days] | None, note: Note) -> Commit:
        """Replace the rows of some days (None: all), wholly or not at all.

        Raises:
            RowsOutsideDays: a row belongs to another day; nothing was written.
            WrittenMeanwhile: another writer was faster; nothing was written.
        """
        change = self._change(note)
        with self._staged(rows) as staged:
            self._refuse_outside(staged, days)
            return change.commit([staged], change.held(days), days)

    def add(self, rows: DataFrame | pa.Table, note: Note) -> Commit:
        """Add rows to what the table holds. Errors as `replace`."""
        change = self._change(note)
        with self._staged(rows) as staged:
            return change.commit([staged], [], self._days(staged))

    def merge(self, rows: DataFrame | pa.Table, key: Sequence[str], note: Note) -> Commit:
        """Add rows, and remove those that the table holds under their keys.

        Only files that hold one of the keys are written anew. Errors as `replace`.

        Args:
            rows: one a key.
            key: what no two rows share; the day is part of it.
            note: what the commit says.
        """
        change = self._change(replace(note, metadata={**note.metadata, MERGE_MARK: True}))
        with self._staged(rows) as staged, ExitStack() as more:
            days = self._days(staged)
            held = change.held(days)
            keys = self._keys(rows, staged, key) if held else None
            rewritten, removed = [staged], list[RemoveAction]()
            for one in held:
                stored = self._read(one.path, one.partition_values or {})
                kept = _without(stored, keys, key)
                if kept.num_rows < stored.num_rows:
                    rewritten.append(more.enter_context(self._staged(kept)))
                    removed.append(one)
            return change.commit(rewritten, removed, days)

    def join(self, days: Sequence[Days] | None, note: Note) -> Commit:
        """Join the small files of some days (None: of all), without changing a row.

        Raises:
            WrittenMeanwhile: another writer wrote the same files anew; nothing was joined.
        """
        change = self._change(note)
        with ExitStack() as more:
            joined, removed = list[Staged](), list[RemoveAction]()
            for group in _small_together(change.held(days, changes=False)):
                rows = pa.concat_tables(self._read(one.path, one.partition_values or {}) for one in group)
                joined.append(more.enter_context(self._staged(rows)))
                removed += group
            return change.commit(joined, removed, [], changes=False)

    def _keys(self, rows: DataFrame | pa.Table, staged: Staged, key: Sequence[str]) -> pa.Table:
        """Return the keys of rows.

        They lie in files where Spark wrote them.
        """
        if isinstance(rows, pa.Table):
            return self._in_columns(rows).select(key)
        return pa.concat_tables(self._read(file.path, file.partition).select(key) for file in staged.files)

    def _in_columns(self, rows: pa.Table) -> pa.Table:
        return rows.select(self.schema.names).cast(self.schema)

    def _days(self, staged: Staged) -> list[Days] | None:
        """Return the days of some files, None for a table without days."""
        return None if self.day is None else Days.ranges(day for day in staged.rows_by_day(self.day) if day is not None)

    def _read(self, path: str, partition: Mapping[str, str | None]) -> pa.Table:
        return read_file(path, partition, self.schema, self.log.files)

    def _staged(self, rows: DataFrame | pa.Table) -> AbstractContextManager[Staged]:
        if isinstance(rows, pa.Table):
            return stage_rows(self._in_columns(rows), self.log, self.partition_by)
        return stage(rows, self.path, self.log, self.partition_by)

    def _refuse_outside(self, staged: Staged, days: Sequence[Days] | None) -> None:
        if self.day is None or days is None:
            return
        rows = staged.rows_by_day(self.day)
        if outside := {day: rows[day] for day in sorted(rows, key=str) if not _is_within(day, days)}:
            raise RowsOutsideDays(self.name, self.day, ", ".join(map(str, days)), outside)

    def _change(self, note: Note) -> _Change:
        """Prepare a commit that changes the newest version."""
        stored = self.log.opened()
        assert stored is not None, "it was just created"
        failpoint("before_write", self.name)
        return _Change(self, note, stored, stored.version())


@dataclass
class _Change:
    """Make one commit. `before` is the version that it changes."""

    target: Committer
    note: Note
    stored: DeltaTable
    before: int
    token: str = field(default_factory=lambda: f"{os.getpid()}-{time.time_ns()}")

    def held(self, days: Sequence[Days] | None, *, changes: bool = True) -> list[RemoveAction]:
        """Return what removes the files that hold rows of some days (None: of any).

        Where the rows stay in the table it `changes` nothing.
        """
        now, day = int(time.time() * 1000), self.target.day
        names = ["path", "size_bytes", *(f"partition.{name}" for name in self.target.partition_by)]
        return [
            RemoveAction(one["path"], changes, now, one["size_bytes"], self._partition(one))
            for one in pa.table(self.stored.get_add_actions(flatten=True)).select(names).to_pylist()
            if days is None or day is None or _is_within(one[f"partition.{day}"], days)
        ]

    def _partition(self, file: Mapping[str, Any]) -> dict[str, str | None]:
        values = {name: file[f"partition.{name}"] for name in self.target.partition_by}
        return {name: None if value is None else str(value) for name, value in values.items()}

    def commit(
        self,
        staged: Sequence[Staged],
        removed: Sequence[RemoveAction],
        days: Sequence[Days] | None,
        *,
        changes: bool = True,
    ) -> Commit:
        """Add files and remove others in one version.

        Without anything to do there is no version.

        Args:
            staged: the files to add.
            removed: the files to remove.
            days: the days that nobody else may write meanwhile; None for all.
            changes: whether the table holds other rows then.
        """
        target, log, paths = self.target, self.target.log, {one.path for one in removed}
        files = [file for one in staged for file in one.files]
        self._refuse_nulls(files)
        self._refuse_overtaken(days, paths, self.before if self.note.since is None else self.note.since)
        if self._is_done() or not (files or removed or self.note.txn):
            return Commit(self.before, 0, "", {}, {}, frozenset())
        failpoint("after_files", target.name)
        for one in staged:
            one.is_kept = True
        version = self._commit([*(file.action(changes=changes) for file in files), *removed], days, paths)
        write_checksum(log, version)
        flush_commits(log.location, self.before)
        failpoint("after_commit", target.name)
        commit = log.commit(version)
        assert commit is not None, "it was just written"
        return commit

    def _commit(
        self, actions: Sequence[AddAction | RemoveAction], days: Sequence[Days] | None, paths: Collection[str]
    ) -> int:
        """Commit the next version that no other writer makes first, and return which."""
        while True:
            before = self.stored.version()
            try:
                self._try(actions)
            except CommitFailedError:
                if self.target.log.commit(before + 1) is None:
                    raise
                self.stored.update_incremental()
                version = self._refuse_overtaken(days, paths, before)
                if version is not None:
                    return version
            else:
                return before + 1

    def _try(self, actions: Sequence[AddAction | RemoveAction]) -> None:
        step = [Transaction(self.note.txn.app_id, self.note.txn.version)] if self.note.txn else []
        said = CommitProperties({"userMetadata": self._metadata()}, max_commit_retries=0, app_transactions=step)
        by = list(self.target.partition_by)
        self.stored.create_write_transaction(list(actions), "append", self.stored.schema(), by, commit_properties=said)

    def _refuse_overtaken(self, days: Sequence[Days] | None, paths: Collection[str], since: int) -> int | None:
        """Look at what was committed after a version.

        Returns:
            The version of this very commit, where its answer was lost; else None.

        Raises:
            WrittenMeanwhile: another writer changed rows of these days, or wrote these files anew.
        """
        log = self.target.log
        for version in range(since + 1, self.stored.version() + 1):
            actions = log.actions(version)
            if actions is None:
                raise WrittenMeanwhile(self.target.name, f"version {version}")
            commit = parse_commit(version, actions)
            if commit.metadata.get(WRITE_MARK) == self.token:
                return version
            removed = (action["remove"]["path"] for action in actions if "remove" in action)
            if self._touches(commit, days) or any(path in paths for path in removed):
                raise WrittenMeanwhile(self.target.name, f"version {version}")
        return None

    def _touches(self, commit: Commit, days: Sequence[Days] | None) -> bool:
        if days is None or self.target.day is None:
            return bool(commit.touched)
        return any(_is_within(day, days) for day in commit.days(self.target.day))

    def _is_done(self) -> bool:
        """Tell whether Delta's own record says that this step was committed."""
        txn = self.note.txn
        newest = None if txn is None else self.stored.transaction_version(txn.app_id)
        return txn is not None and newest is not None and newest >= txn.version

    def _metadata(self) -> str:
        txn = self.note.txn
        step = {} if txn is None else {"txn": [txn.app_id, txn.version]}
        return json.dumps({**self.note.metadata, **step, WRITE_MARK: self.token}, default=str)

    def _refuse_nulls(self, files: Iterable[DataFile]) -> None:
        """Refuse nulls where the contract has none.

        It is the lock behind the contract, which refuses such rows one by one.
        """
        required = [field.name for field in self.target.schema if not field.nullable]
        for file in files:
            for name in required:
                if file.nulls.get(name):
                    found = f"{file.nulls[name]} rows have no {name}, which is NOT NULL"
                    raise RuntimeError(f"{self.target.name}: {found}; nothing was written")


def _without(rows: pa.Table, keys: pa.Table, key: Sequence[str]) -> pa.Table:
    """Return the rows that have none of the keys.

    Only keys are joined, because Arrow joins no lists.
    """
    placed = rows.select(key).append_column(_PLACE, pa.array(range(rows.num_rows)))
    return rows.take(placed.join(keys, keys=list(key), join_type="left anti")[_PLACE])


def _small_together(files: Iterable[RemoveAction]) -> Iterator[list[RemoveAction]]:
    """Group the small files of each partition, where there are several."""
    by_partition: dict[str, list[RemoveAction]] = {}
    for file in files:
        if _size(file) < _SMALL_BYTES:
            by_partition.setdefault(json.dumps(file.partition_values, sort_keys=True), []).append(file)
    for alike in by_partition.values():
        groups, size = [list[RemoveAction]()], 0
        for file in sorted(alike, key=_size):
            if size + _size(file) > _MOST_JOINED_BYTES:
                groups.append([])
                size = 0
            groups[-1].append(file)
            size += _size(file)
        yield from (group for group in groups if len(group) > 1)


def _size(file: RemoveAction) -> int:
    return file.size or 0


def _is_within(day: date | None, days: Sequence[Days]) -> bool:
    return day is not None and any(day in part for part in days)
