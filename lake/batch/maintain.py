"""Join small files, remove unneeded ones and keep logs short.

Safe beside streams and refreshes: each step holds the table's lock, so that a writer waits for seconds. Killed at any
point it leaves the same rows, because every step is one commit, or removes only what nobody can read.

Only days that batch owns are joined; the stream joins those that it writes. Files and commits are kept for as long as
`lake.storage.retention` promises, and longer where a stream has not read them yet.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from math import ceil
from pathlib import Path
from types import MappingProxyType

from delta.tables import DeltaTable as SparkTable
from deltalake import DeltaTable
from pyarrow.fs import FileSelector, FileSystem, FileType
from pyspark.sql import SparkSession

from lake.batch.foreign_rows import foreign_files
from lake.declare.days import Days
from lake.declare.table import Table
from lake.declare.words import counted
from lake.engine.settings_meanwhile import settings_meanwhile
from lake.ownership.frontier import Frontier, FrontierTable
from lake.ownership.ledger import Ledger
from lake.storage.durable import flush_files
from lake.storage.log import Log
from lake.storage.log_damage import names_in_log
from lake.storage.offsets_files import versions_read
from lake.storage.retention import Promise, kept_for, properties_of
from lake.storage.store_path import AnyPath
from lake.write.data_files import FOLDER
from lake.write.store import DeltaStore, day_predicate

__all__ = ["Maintained", "Maintenance", "Place", "describe", "maintain", "summarize"]

_CROWDED = 4
"""More files of one partition than this are joined; a refresh writes one, a few late messages a few more."""
_DAYS_AT_ONCE = 31
"""So many days are joined under one lock, because writers wait meanwhile."""
_LEDGER_KEPT = timedelta(days=90)
"""How long ledger entries stay that a newer one of their day has replaced."""
_FEW_LISTING_TASKS = {"spark.sql.sources.parallelPartitionDiscovery.parallelism": "8"}
"""Left alone VACUUM starts 10,000, however little a folder holds."""
_UNTOUCHED = {"lease"}
"""Own tables that are left alone: whoever holds the lease writes it without a lock."""


@dataclass(frozen=True)
class Maintained:
    """The work that was done on one table.

    Attributes:
        name: `layer.name`, `quarantine.layer.name`, or `lake.name`.
        days_joined: days whose small files were joined.
        files_removed: data files that no version within the promise holds.
        commits_removed: commits that no reader needs.
        note: why something was left as it is; empty where nothing was.
    """

    name: str
    days_joined: int = 0
    files_removed: int = 0
    commits_removed: int = 0
    note: str = ""

    @property
    def did_anything(self) -> bool:
        """Tell whether there was something to do."""
        return bool(self.days_joined or self.files_removed or self.commits_removed)


@dataclass(frozen=True)
class Place:
    """A Delta table to maintain.

    It is a declared table, the quarantine of one, or one of the lake's own.

    Attributes:
        name: as in `Maintained`.
        lock: the name of its lock.
        path: where it lies.
        day: the column of its days; None where it has none.
        table: the declared table; None for one of the lake's own.
        columns: what readers ask for the newest change of.
    """

    name: str
    lock: str
    path: str
    day: str | None
    table: Table | None
    columns: tuple[str, ...] = ()


def maintain(
    tables: Iterable[Table],
    store: DeltaStore,
    *,
    checkpoints: AnyPath,
    now: datetime | None = None,
    promises: Mapping[str, Sequence[Promise]] = MappingProxyType({}),
    on_done: Callable[[Maintained], None] = lambda _: None,
) -> list[Maintained]:
    """Maintain these tables, their quarantines and the lake's own tables, one after the other.

    Args:
        tables: the declared tables.
        store: where they are.
        checkpoints: folder of the streams' checkpoints; what their streams have not read yet is kept.
        now: the clock, aware; that of the machine where None.
        promises: by table, what its sinks still need.
        on_done: told of each table when it is done.

    Raises:
        TableLocked: another process kept writing a table. What was done before stays done.
    """
    work = Maintenance(store, checkpoints, now or datetime.now(UTC), promises)
    done = []
    for place in work.places(tables):
        done.append(work.maintain(place))
        on_done(done[-1])
    return done


def _declared(tables: Iterable[Table], store: DeltaStore) -> Iterator[Place]:
    for table in tables:
        name, columns = table.full_name, tuple(table.partition_columns)
        yield Place(name, name, store.path(table), table.day, table, columns)
        day = "day" if table.day else None
        yield Place(f"quarantine.{name}", name, store.quarantine_path(table), day, table)


def _own(store: DeltaStore) -> Iterator[Place]:
    root = f"{store.tables}/lake"
    found = store.log(root).files.get_file_info(FileSelector("", allow_not_found=True))
    for name in sorted(one.base_name for one in found if one.type == FileType.Directory):
        if name not in _UNTOUCHED:
            yield Place(f"lake.{name}", f"lake.{name}", f"{root}/{name}", None, None)


@dataclass(frozen=True)
class Maintenance:
    """Maintain the tables of one store.

    Attributes:
        store: where they are.
        checkpoints: folder of the streams' checkpoints.
        now: the clock, aware.
        promises: by table, what its sinks still need.
    """

    store: DeltaStore
    checkpoints: AnyPath
    now: datetime
    promises: Mapping[str, Sequence[Promise]] = field(default_factory=dict)

    def places(self, tables: Iterable[Table]) -> Iterator[Place]:
        """Find the existing tables among these, their quarantines and the lake's own."""
        for place in [*_declared(tables, self.store), *_own(self.store)]:
            if self._log(place).version() is not None:
                yield place

    def maintain(self, place: Place) -> Maintained:
        """Join files, remove old ones, then remove commits.

        The order matters: a call that is killed between two steps has lost nothing.
        """
        days = self._join(place)
        with self.store.lock(place.lock):
            self._set_properties(place)
            if place.name == "lake.ledger":
                Ledger(self.store).forget(self.now - _LEDGER_KEPT)
            reason = self._needed(place)
            if reason:
                return Maintained(place.name, days, note=reason)
            files = self.vacuum(place)
            return Maintained(place.name, days, files, self.shorten_log(place))

    def _log(self, place: Place) -> Log:
        return self.store.log(place.path)

    @cached_property
    def _frontier(self) -> Frontier | None:
        return FrontierTable(self.store).state()

    # Small files

    def _join(self, place: Place) -> int:
        """Join the small files of batch's days and return how many days had any."""
        if place.table is None:
            return self._join_own(place)
        crowded = _crowded(self._log(place), place.day)
        first_open = self._frontier.first_open_day(place.table) if self._frontier else None
        mine = [day for day in crowded if first_open is None or day < first_open]
        for days in (part for whole in Days.ranges(mine) for part in _parts(whole)):
            with self.store.lock(place.lock), self.store.flushed(place.path):
                stored = SparkTable.forPath(self.store.spark, place.path)
                stored.optimize().where(day_predicate(str(place.day), [days])).executeCompaction()
        return len(mine)

    def _join_own(self, place: Place) -> int:
        with self.store.lock(place.lock), self.store.flushed(place.path):
            table = DeltaTable(place.path, storage_options=dict(self.store.storage_options))
            if len(table.file_uris()) <= _CROWDED:
                return 0
            table.optimize.compact()
            return 1

    # Remove what no reader needs.

    def _needed(self, place: Place) -> str:
        """Return why commits beyond the promise are still needed, if they are."""
        oldest = self.now - kept_for(place.table)
        log = self._log(place)
        version = self._readers.get(log.table_id() or "")
        if version is not None and _committed_at(log, version) < oldest:
            return f"a stream has read up to version {version} only"
        for promise in self.promises.get(place.name, ()):
            if promise.since < oldest:
                return f"{promise.by} needs the version of {promise.since:%Y-%m-%d %H:%M}"
        step = self._newest_step(log) if self._is_claimed(place) else None
        if step is not None and _committed_at(log, step) < oldest:
            return f"version {step} may be asked for by the stream that wrote it"
        return ""

    def _is_claimed(self, place: Place) -> bool:
        claimed = self._frontier.claimed if self._frontier else frozenset()
        return place.table is not None and place.table.full_name in claimed

    @staticmethod
    def _newest_step(log: Log) -> int | None:
        """Return the newest version that a stream committed.

        After a crash the stream asks whether its last step was done.
        """
        newest = log.version()
        for version in range(-1 if newest is None else newest, -1, -1):
            commit = log.commit(version)
            if commit is None:
                return None
            if "txn" in commit.metadata:
                return version
        return None

    @cached_property
    def _readers(self) -> Mapping[str, int]:
        """The oldest version that a stream of this home continues from.

        By the id of the table that the stream reads.
        """
        oldest: dict[str, int] = {}
        for folder in self.checkpoints.glob("*/*/*/offsets"):
            for name, version in _read_up_to(folder).items():
                oldest[name] = min(version, oldest.get(name, version))
        return oldest

    def vacuum(self, place: Place) -> int:
        """Remove files of no promised version and return how many.

        A version is promised for as long as `kept_for` says.
        """
        files = self._log(place).files
        before = _parquet_files(files)
        _remove_unfinished(files, self.now - kept_for(place.table))
        hours = kept_for(place.table).total_seconds() / 3600
        if place.table is None:
            table = DeltaTable(place.path, storage_options=dict(self.store.storage_options))
            table.vacuum(int(hours), dry_run=False, full=True)
        else:
            with settings_meanwhile(self.store.spark, _FEW_LISTING_TASKS), _silent(self.store.spark):
                SparkTable.forPath(self.store.spark, place.path).vacuum(ceil(hours))
        return before - _parquet_files(files)

    def shorten_log(self, place: Place) -> int:
        """Write a checkpoint, remove older commits and return how many.

        Which commit touched which day is written down first, because it can be read nowhere else afterwards.
        """
        log = self._log(place)
        before = _commits(log.files)
        foreign = foreign_files(log, place.day) if place.columns and place.day else {}
        log.write_touches(place.columns, foreign)
        table = DeltaTable(place.path, storage_options=dict(self.store.storage_options))
        table.create_checkpoint()
        # The checkpoint must be on the disk before the commits go.
        flush_files(Path(place.path, "_delta_log").glob("*checkpoint*"))
        table.cleanup_metadata()
        return before - _commits(log.files)

    def _set_properties(self, place: Place) -> None:
        """Give a table that an older release made the properties of this one."""
        wanted = properties_of(place.table)
        table = DeltaTable(place.path, storage_options=dict(self.store.storage_options))
        stored = table.metadata().configuration
        if any(stored.get(name) != value for name, value in wanted.items()):
            table.alter.set_table_properties(wanted)


@contextmanager
def _silent(spark: SparkSession) -> Iterator[None]:
    """Keep VACUUM's messages out of the output of a command.

    A program may read that output.
    """
    jvm = getattr(spark, "_jvm", None)
    if jvm is None:  # a remote session prints elsewhere
        yield
        return
    console = getattr(getattr(jvm.scala, "Console$"), "MODULE$")
    before = console.out()
    console.setOutDirect(jvm.java.io.PrintStream(jvm.java.io.OutputStream.nullOutputStream()))
    try:
        yield
    finally:
        console.setOutDirect(before)


def _crowded(log: Log, day: str | None) -> list[date]:
    """Return the days with a partition of too many files, in order."""
    if day is None:
        return []
    files = Counter(log.partitions(day))
    return sorted({held for (held, *_), count in files.items() if held is not None and count > _CROWDED})


def _parts(days: Days) -> Iterator[Days]:
    start = days.start
    while start < days.end:
        end = min(start + timedelta(days=_DAYS_AT_ONCE), days.end)
        yield Days(start, end)
        start = end


def _read_up_to(offsets: AnyPath) -> dict[str, int]:
    """Return the oldest versions that a query may ask for when it goes on.

    These are the versions before its newest micro-batch, by the id of the table that it reads.
    """
    batches = sorted((int(file.name) for file in offsets.iterdir() if file.name.isdigit()), reverse=True)[:2]
    oldest: dict[str, int] = {}
    for batch in batches:
        for name, version in versions_read(offsets / str(batch)).items():
            oldest[name] = min(version, oldest.get(name, version))
    return oldest


def _committed_at(log: Log, version: int) -> datetime:
    commit = log.commit(version)
    return commit.committed_at if commit else datetime.max.replace(tzinfo=UTC)


def _parquet_files(files: FileSystem) -> int:
    return sum(one.base_name.endswith(".parquet") for one in files.get_file_info(FileSelector("", recursive=True)))


def _remove_unfinished(files: FileSystem, before: datetime) -> None:
    """Remove files that a killed Spark left unfinished.

    VACUUM does not, because it passes over folders that begin with `_`.
    """
    newest: dict[str, datetime] = {}
    for one in files.get_file_info(FileSelector("", recursive=True)):
        folder, _, within = one.path.partition("/")
        if folder.startswith(FOLDER) and within.startswith("_temporary") and one.mtime is not None:
            newest[folder] = max(one.mtime, newest.get(folder, one.mtime))
    for folder, written in newest.items():
        if written < before:
            files.delete_dir(folder)


def _commits(files: FileSystem) -> int:
    return sum(name.endswith(".json") and name[0].isdigit() for name in names_in_log(files))


def describe(done: Maintained) -> str:
    """Say what was done to one table, in a line."""
    parts = [
        f"small files of {counted(done.days_joined, 'day joined')}" if done.days_joined else "",
        counted(done.files_removed, "file removed") if done.files_removed else "",
        counted(done.commits_removed, "commit removed") if done.commits_removed else "",
        f"left as it is, because {done.note}" if done.note else "",
    ]
    return ", ".join(part for part in parts if part)


def summarize(done: list[Maintained]) -> Mapping[str, int]:
    """Add up what was done, by what it is, in the singular."""
    return {
        "table": len(done),
        "day with joined files": sum(one.days_joined for one in done),
        "file removed": sum(one.files_removed for one in done),
        "commit removed": sum(one.commits_removed for one in done),
    }
