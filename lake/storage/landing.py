"""Find in the landing folder what arrived, by feed and landing day.

`lake.declare.landed` says which files are read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession

from lake.declare.delta_feed import DeltaFeed
from lake.declare.feed import Feed
from lake.declare.landed import folder_name
from lake.errors import FolderNotReadable, NeedsFolder
from lake.storage.damage import damage, leading_out
from lake.storage.delta_folder import DeltaFolder
from lake.storage.drop_folder import DropFolder, drop_folder
from lake.storage.first_read import Marks, read_files
from lake.storage.landed_files import LandedFile, hash_of
from lake.storage.landing_days import FeedFolder, feed_folder, read_day
from lake.storage.object_folder import ObjectFolder
from lake.storage.reached import refuse_unreachable
from lake.storage.store_path import AnyPath, StorePath

__all__ = ["Landing"]

_MOST_COUNTED_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Landing:
    """The landing folder, by feed and landing day.

    It needs no JVM except to read rows.

    Attributes:
        location: a folder of this machine or of an object store.
    """

    location: AnyPath

    @property
    def root(self) -> Path:
        """The landing folder, for what needs one of this machine.

        Raises:
            NeedsFolder: it lies in an object store.
        """
        if isinstance(self.location, StorePath):
            raise NeedsFolder(str(self.location))
        return self.location

    def reach(self) -> AnyPath:
        """Return where it lies, once that has answered.

        Raises:
            StorageUnreachable, StorageRefused, BucketMissing: the object store cannot be used, at the first look.
        """
        if isinstance(self.location, StorePath):
            refuse_unreachable(str(self.location), self.location.options)
        return self.location

    def waiting_since(self, feed: Feed, first_day: date, after: datetime | None) -> datetime | None:
        """Return when the first file with content landed after a moment.

        Without a moment (None), ever. None where no file did, and where nobody may look.

        Args:
            feed: whose files.
            first_day: only landing days from here on.
            after: aware.
        """
        with suppress(FolderNotReadable):
            return min((at for at, _ in self._landed_after(feed, first_day, after)), default=None)
        return None

    def count_waiting(self, feed: Feed, first_day: date, after: datetime | None) -> int | None:
        """Count the rows in the files that `waiting_since` speaks of.

        None where they are many or cannot be read.
        """
        try:
            files = [file for _, file in self._landed_after(feed, first_day, after)]
            if sum(file.size for file in files) > _MOST_COUNTED_BYTES:
                return None
            return sum(feed.count_rows(file.path) for file in files)
        except (OSError, ValueError, FolderNotReadable):
            return None

    def _landed_after(
        self, feed: Feed, first_day: date, after: datetime | None
    ) -> Iterator[tuple[datetime, LandedFile]]:
        days = (files for day, files in self.landed(feed).items() if day >= first_day)
        for file in (file for files in days for file in files.values()):
            landed = datetime.fromtimestamp(file.modified_ns / 1e9, UTC)
            if file.size and (after is None or landed > after):
                yield landed, file

    def folder(self, feed: Feed, day: date) -> Path:
        """Name the folder of this machine that holds one landing day, or all."""
        return self.root / feed.name / folder_name(day) if feed.pattern is None else self.root / feed.pattern.base

    def place(self, feed: Feed, day: date, hour: int | None, name: str) -> AnyPath | None:
        """Say where a file lands, None where its feed takes no such file.

        Args:
            feed: whose file it is.
            day: the landing day.
            hour: the hour, where the feed's pattern has one.
            name: of the file.
        """
        if feed.pattern is None:
            return self.location / feed.name / folder_name(day) / name if hour is None else None
        path = feed.pattern.path(day, hour, name)
        return None if path is None else self.location / path

    def layout(self, feed: Feed) -> str:
        """Say where the files of a feed lie."""
        if feed.pattern is not None:
            return f"{self.location}/{feed.pattern.text}"
        if isinstance(feed, DeltaFeed):
            return f"the Delta table {DeltaFolder(feed, self.location).location}, by {feed.day}"
        return f"{self.location / feed.name}/landed_on=YYYY-MM-DD/"

    def days(self, feed: Feed) -> list[date]:
        """Return the landing days that hold at least one file, in order.

        Folders that are no day are passed over.
        """
        return sorted(self.landed(feed, is_whole=True))

    def files(self, feed: Feed, day: date) -> Mapping[str, LandedFile]:
        """Find the files that landed on a day, by name or path, in order."""
        return self.files_by_day(feed, [day])[day]

    def files_by_day(self, feed: Feed, days: Iterable[date]) -> dict[date, Mapping[str, LandedFile]]:
        """Find the files of some days, each as `files` does.

        One look serves all days where files do not lie in folders of days.
        """
        if feed.pattern is None and not isinstance(feed, DeltaFeed) and isinstance(self.location, Path):
            return {day: read_day(self.folder(feed, day)).files for day in days}
        wanted, seen = list(days), self._seen(feed)
        known = seen.look(days=wanted) if isinstance(seen, ObjectFolder) else seen.look(is_whole=True)
        return {day: known.landed.get(day, {}) for day in wanted}

    def landed(self, feed: Feed, *, is_whole: bool = False) -> Mapping[date, Mapping[str, LandedFile]]:
        """Return the files of each landing day that holds at least one.

        A process that has looked before looks at the newest days and some of the others: `lake.storage.landing_days`.

        Args:
            feed: whose files.
            is_whole: look at all.
        """
        return self._seen(feed).look(is_whole=is_whole).landed

    def _seen(self, feed: Feed) -> FeedFolder | DropFolder | DeltaFolder | ObjectFolder:
        """Give what this process remembers of a feed's files."""
        location = self.reach()
        if isinstance(feed, DeltaFeed):
            return DeltaFolder(feed, location)
        if isinstance(location, StorePath):
            return ObjectFolder(location, feed)
        if feed.pattern is not None:
            return drop_folder(location, feed.pattern)
        return feed_folder(location / feed.name)

    def glance(self, feed: Feed) -> tuple[object, ...]:
        """Return a cheap fingerprint of the folders and files of a feed.

        It is equal as long as none that `landed` looks at came, went or changed.
        """
        try:
            return self._seen(feed).look().glance()
        except FolderNotReadable as error:
            return (str(error),)

    def fingerprint(self, feed: Feed, day: date) -> str | None:
        """Return a hash of the day's files, None where nothing has landed."""
        return hash_of(self.files(feed, day))

    def count_rows(self, feed: Feed, day: date) -> int:
        """Count the rows that landed on a day, without Spark."""
        if isinstance(feed, DeltaFeed):
            return DeltaFolder(feed, self.location).count_rows(day)
        return sum(feed.count_rows(path) for path in self._files(feed, [day])[day])

    def read(self, spark: SparkSession, feed: Feed, days: Iterable[date], marks: Marks | None = None) -> DataFrame:
        """Read the rows that landed on these days.

        An empty frame of the same columns where nothing did. With `marks`, by day and name, only of these files and
        with the times that the marks say: another file may have landed after all were noted.
        """
        if isinstance(feed, DeltaFeed):
            table = DeltaFolder(feed, self.location).look()
            if table.version is None:
                return spark.createDataFrame([], feed.schema)
            return feed.read_version(spark, table.location, table.version, list(days))
        return read_files(spark, feed, self.files_by_day(feed, days), marks)

    def find_damaged(self, feed: Feed, days: Iterable[date]) -> dict[date, dict[str, str]]:
        """Return why files of these days cannot be read, by day and path.

        Reads each to its end.
        """
        return self._problems(feed, days, lambda path: leading_out(self.location, path) or damage(path))

    def find_leading_out(self, feed: Feed, days: Iterable[date]) -> dict[date, dict[str, str]]:
        """Return the files of these days that lie elsewhere, by day and path.

        They are refused; none is opened.
        """
        return self._problems(feed, days, lambda path: leading_out(self.location, path))

    def _problems(
        self, feed: Feed, days: Iterable[date], problem_of: Callable[[AnyPath], str | None]
    ) -> dict[date, dict[str, str]]:
        found = {
            day: {str(path): problem for path in files if (problem := problem_of(path))}
            for day, files in self._files(feed, days).items()
        }
        return {day: files for day, files in found.items() if files}

    def _files(self, feed: Feed, days: Iterable[date]) -> dict[date, list[AnyPath]]:
        """Find the files of some days, none of a Delta table."""
        if isinstance(feed, DeltaFeed):
            return {day: [] for day in days}
        return {day: [file.path for file in files.values()] for day, files in self.files_by_day(feed, days).items()}
