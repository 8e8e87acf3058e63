"""Hold one lease where several machines reach one lake.

It is a row with owner, epoch and renewal, in a Delta table. A commit of Delta creates the file of its version, and
fails where that is there; so of two drivers that take or renew at once one is refused. (On S3 that needs a store which
can create a file only if it is absent; without it this is advisory.) The holder renews all the time. Whoever finds a
renewal older than the limit takes over under the next epoch; the holder that had been asleep until then begins no
further micro-batch, since it knows when it renewed last.
"""

from __future__ import annotations

import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError

from lake.errors import AlreadyFollowed, LeaseLost
from lake.storage.own_format import DESCRIPTION, readable
from lake.write.store import DeltaStore

__all__ = ["SharedLease", "shared_lease"]

LIMIT = timedelta(seconds=90)
"""Without a renewal for so long, a holder is taken to be dead. Clocks of drivers must not differ by as much as half."""

_SCHEMA = pa.schema(
    [
        pa.field("owner", pa.string(), nullable=False),
        pa.field("epoch", pa.int64(), nullable=False),
        pa.field("renewed_at", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("is_released", pa.bool_(), nullable=False),
    ]
)
_AT_ONCE = CommitProperties(max_commit_retries=0)


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass
class SharedLease:
    """The lease of one driver.

    Attributes:
        store: of the lake.
        limit: how long a holder may go without a renewal.
        now: the clock that others read.
        owner: this driver.
        epoch: how often the lease was taken; 0 while this driver does not hold it.
        clean_every: versions after which the files of earlier ones are removed.
    """

    store: DeltaStore
    limit: timedelta = LIMIT
    now: Callable[[], datetime] = _utc_now
    owner: str = field(default_factory=lambda: f"{socket.gethostname()} pid {os.getpid()} {uuid.uuid4().hex[:8]}")
    epoch: int = 0
    clean_every: int = 200
    _stored: DeltaTable | None = None
    _renewed: float = 0.0
    _is_lost: bool = False

    def take(self) -> None:
        """Take it, for the first time or over from a holder that is gone.

        Raises:
            AlreadyFollowed: another driver holds it, or was faster.
        """
        self._stored = self._open()
        held = self._stored.to_pyarrow_table().to_pylist()[0] if self._stored is not None else None
        if held and not held["is_released"] and self.now() - held["renewed_at"] < self.limit:
            raise AlreadyFollowed(f"{held['owner']}, renewed {held['renewed_at']:%Y-%m-%d %H:%M:%S} UTC")
        self.epoch = held["epoch"] + 1 if held else 1
        try:
            self._commit(is_released=False)
        except (CommitFailedError, DeltaError) as error:
            raise AlreadyFollowed("it took the lease at the same moment") from error

    def renew(self) -> None:
        """Say that this driver is alive.

        Where another driver has taken over, remember that.
        """
        self._tell(is_released=False)

    def release(self) -> None:
        """Let the next driver begin at once."""
        if not self._is_lost:
            self._tell(is_released=True)

    def check(self) -> None:
        """Raise where this driver may not write any more.

        Another driver has the lease, or could have it soon.

        Raises:
            LeaseLost: nothing was written.
        """
        if self._is_lost or time.monotonic() - self._renewed > self.limit.total_seconds() / 2:
            raise LeaseLost(self.owner, self.epoch)

    def _tell(self, *, is_released: bool) -> None:
        try:
            self._commit(is_released=is_released)
        except CommitFailedError:
            self._is_lost = True
        except (DeltaError, OSError):
            return  # the store does not answer, and `check` counts the time

    def _open(self) -> DeltaTable | None:
        location, options = self._location, dict(self.store.storage_options)
        if not DeltaTable.is_deltatable(location, options):
            return None
        return readable("lease", DeltaTable(location, storage_options=options))

    @property
    def _location(self) -> str:
        return self.store.log(f"{self.store.tables}/lake/lease").location

    def _commit(self, *, is_released: bool) -> None:
        """Write the row over the version that was seen last.

        The commit is refused where another driver has written since.
        """
        row = {"owner": self.owner, "epoch": self.epoch, "renewed_at": self.now(), "is_released": is_released}
        began, rows = time.monotonic(), pa.Table.from_pylist([row], schema=_SCHEMA)
        if self._stored is None:
            options = dict(self.store.storage_options)
            write_deltalake(
                self._location,
                rows,
                mode="error",
                storage_options=options,
                commit_properties=_AT_ONCE,
                description=DESCRIPTION,
                configuration={"delta.logRetentionDuration": "interval 1 days"},
            )
            self._stored = self._open()
        else:
            self._overwrite(self._stored, rows)
        self._renewed = began

    def _overwrite(self, stored: DeltaTable, rows: pa.Table) -> None:
        before = stored.version()
        write_deltalake(stored, rows, mode="overwrite", commit_properties=_AT_ONCE)
        if stored.version() != before + 1:  # somebody has taken over right after this commit
            self._is_lost = True
        elif stored.version() % self.clean_every == 0:
            stored.vacuum(retention_hours=0, dry_run=False, enforce_retention_duration=False)


@contextmanager
def shared_lease(store: DeltaStore) -> Iterator[SharedLease | None]:
    """Hold the lease of a lake on an object store and keep renewing it.

    Does nothing for a lake on this machine.

    Raises:
        AlreadyFollowed: a driver on another machine holds it.
    """
    if not store.is_shared:
        yield None
        return
    held, ended = SharedLease(store), threading.Event()
    held.take()

    def keep() -> None:
        while not ended.wait(held.limit.total_seconds() / 6):
            held.renew()

    keeper = threading.Thread(target=keep, name="lease", daemon=True)
    keeper.start()
    try:
        yield held
    finally:
        ended.set()
        keeper.join()
        held.release()
