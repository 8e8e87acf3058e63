"""Name the places of tables, and open their logs and locks."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pyspark.sql import SparkSession

from lake.declare.table import Table
from lake.storage.durable import flush_commits
from lake.storage.holder import note_session
from lake.storage.landing import Landing
from lake.storage.location import is_local
from lake.storage.log import Log
from lake.storage.reached import refuse_unreachable

__all__ = ["LOCKS", "StorePlaces", "tell_on_stderr"]

LOCKS = ".locks"
"""Folder of the lock files, in the folder of the tables."""


def tell_on_stderr(message: str) -> None:
    """Print a line beside the output of a command."""
    print(message, file=sys.stderr, flush=True)


@dataclass
class StorePlaces:
    """Name the places of Delta tables under one root.

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
    storage_options: Mapping[str, str] = field(default_factory=dict, repr=False)  # they may hold a key
    lock_timeout_seconds: float = 1800.0
    on_wait: Callable[[str], None] = tell_on_stderr

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
        """Tell whether other machines may write these tables.

        No lock of this one reaches them.
        """
        return not is_local(self.tables)

    def path(self, table: Table) -> str:
        """Folder or URL of the table."""
        return f"{self.tables}/{table.path}"

    def quarantine_path(self, table: Table) -> str:
        """Folder or URL of the rows that broke the table's contract."""
        return f"{self.tables}/quarantine/{table.path}"

    def log(self, path: str) -> Log:
        """Return the log at a path, without a JVM.

        Raises:
            StorageUnreachable, StorageRefused, BucketMissing: the object store cannot be used, at the first look.
        """
        if self.is_shared:
            refuse_unreachable(self.tables, self.storage_options)
        location = path.replace("s3a://", "s3://", 1) if path.startswith("s3a://") else path
        return Log(location, tuple(sorted(self.storage_options.items())))

    def table_log(self, table: Table) -> Log:
        """Return the log of a table."""
        return self.log(self.path(table))

    def version(self, table: Table) -> int | None:
        """Return the newest version of the table, without a JVM.

        None where it was never written.
        """
        return self.table_log(table).version()

    def lock(self, name: str) -> AbstractContextManager[None]:
        """Hold the write lock of a table, `layer.name`.

        Raises:
            TableLocked: another process, or the JVM of one that was killed, kept it for longer than
                `lock_timeout_seconds`.
            FolderNotWritable: its file belongs to another user.
        """
        from lake.storage.table_locks import TableLocks  # which no look at a lake needs

        return TableLocks(self.locks, self.lock_timeout_seconds, self.on_wait).hold(name)

    @contextmanager
    def flushed(self, path: str) -> Iterator[None]:
        """Force to the disk what is committed to a table meanwhile.

        A receipt or a checkpoint may follow, which must not outlive it.
        """
        log = self.log(path)
        before = log.version()
        yield
        flush_commits(log.location, before)

    def _name_of(self, path: str) -> str:
        return path.removeprefix(f"{self.tables}/").replace("/", ".")
