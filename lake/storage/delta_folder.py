"""Find the days of another team's Delta table and their changes.

Its log tells, without a JVM.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from lake.declare.delta_feed import DeltaFeed
from lake.errors import FeedNotByDay
from lake.storage.landed_files import LandedFile, Mark
from lake.storage.log import Log
from lake.storage.store_path import AnyPath

__all__ = ["DeltaFolder"]

_NAME = "delta"


@dataclass(frozen=True)
class _Version(LandedFile):
    """The rows of one day in a table, as a landed file.

    `modified_ns` is the newest version that changed the day.

    Attributes:
        read: the newest version, which is read.
        table_id: the table's id, which a table that is made anew changes.
    """

    read: int = 0
    table_id: str = ""

    def digest(self) -> str:
        return self.table_id

    def mark(self, before: Mark | None = None) -> Mark:
        """Return a mark with the version that is read.

        The log tells whether a later one changed the day.
        """
        del before
        return [self.size, self.read, self.table_id]

    def has(self, mark: Mark) -> bool:
        _, read, table_id = mark
        return bool(table_id == self.table_id and self.modified_ns <= read)


@dataclass
class DeltaFolder:
    """The table of one feed.

    Attributes:
        feed: which.
        landing: the landing folder.
        landed: what it holds of each day, or has held.
        version: the newest version; None where there is no table.
    """

    feed: DeltaFeed
    landing: AnyPath
    landed: Mapping[date, Mapping[str, LandedFile]] = field(default_factory=dict)
    version: int | None = None

    @property
    def log(self) -> Log:
        """The table's log."""
        return Log(self.location, tuple(self.options.items()))

    @property
    def location(self) -> str:
        """The folder or URL of the table.

        A relative one lies in the landing folder.
        """
        path = Path(self.feed.table)
        return str(path if path.is_absolute() else self.landing / self.feed.table)

    @property
    def options(self) -> Mapping[str, str]:
        """The storage options with which the table is opened."""
        return {} if isinstance(self.landing, Path) else self.landing.options

    def look(self, *, is_whole: bool = False) -> DeltaFolder:
        """Look at the newest version.

        Raises:
            FeedNotByDay: the table is not partitioned by the feed's day.
        """
        del is_whole
        table = self.log.open()
        if table is None:
            return self
        columns = list(table.metadata().partition_columns)
        if self.feed.day not in columns:
            raise FeedNotByDay(self.feed.name, self.log.location, self.feed.day, columns)
        self.version, table_id = table.version(), str(table.metadata().id)
        self.landed = {
            day: {_NAME: _Version(Path(self.log.location), 0, touched, self.version, table_id)}
            for day, touched in sorted(self.log.newest_touch(self.feed.day).items())
        }
        return self

    def glance(self) -> tuple[int | None, int]:
        """Return something that is equal as long as nobody commits to the table."""
        return self.version, len(self.landed)

    def count_rows(self, day: date) -> int:
        """Count the rows of a day, from file statistics."""
        return self.log.rows_by_day(self.feed.day).get(day, 0)
