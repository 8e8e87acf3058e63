"""Find in the landing folder what arrived, by feed and landing day.

`lake.declare.landed` says which files are read.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

from lake.declare.delta_feed import DeltaFeed
from lake.declare.feed import Feed, TopicFeed
from lake.declare.landed import LEADS_OUT, folder_name, leads_out
from lake.declare.topic_source import PassedMessage, Received, TopicSource, Unread
from lake.errors import FolderNotReadable, LandingDamaged
from lake.storage.delta_folder import DeltaFolder
from lake.storage.drop_folder import DropFolder, drop_folder
from lake.storage.landed_files import LandedFile, hash_of
from lake.storage.landing_days import FeedFolder, feed_folder, read_day

__all__ = ["Landing", "still_unreadable"]

_MOST_COUNTED_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Landing:
    """The landing folder, by feed and landing day.

    It needs no JVM except to read rows. It is also a `TopicSource`: the topics' archives.
    """

    root: Path

    @property
    def redelivers(self) -> bool:
        """A file may be delivered twice under two names."""
        return True

    def read_topic(
        self, spark: SparkSession, feed: TopicFeed, first_day: date, without: Collection[str] = ()
    ) -> DataFrame:
        """Return the archive of a topic as a stream."""
        return feed.read_stream(spark, self.root, first_day, without)

    def unreadable(self, feed: TopicFeed, first_day: date) -> dict[str, str]:
        """Say why files of `first_day` or later cannot be read.

        Reads each to its end.
        """
        found = self.find_damaged(feed, (day for day in self.days(feed) if day >= first_day))
        files = {path: problem for files in found.values() for path, problem in files.items()}
        return {**files, **self.closed(feed)}  # Spark lists them, whatever their day

    def closed(self, feed: TopicFeed) -> dict[str, str]:
        """Say why folders of landing days cannot be looked into."""
        paths = (file.path for files in self.landed(feed, is_whole=True).values() for file in files.values())
        folders = (path for path in paths if path.parent == self.root / feed.name)
        return {str(folder): problem for folder in folders if (problem := _damage(folder))}

    def delivered(self, feed: TopicFeed) -> Mapping[str, str]:
        """Return a mark of each file of the topic, by its path.

        The mark is size, time and a hash of the content, the path that under the feed's folder.

        Raises:
            LandingDamaged: one is a link that leads out of the landing folder.
            FolderNotReadable: the feed's folder cannot be looked into. Of a day that cannot it says nothing.
        """
        landed = self.landed(feed, is_whole=True)
        if out := self.find_leading_out(feed, landed):
            refused = {path: why for files in out.values() for path, why in files.items()}
            raise LandingDamaged(feed.name, sorted(out), refused)
        files = [file for day in landed.values() for file in day.values()]
        seen = [file for file in files if file.path.parent != self.root / feed.name]
        return {f"{file.path.parent.name}/{file.path.name}": " ".join(map(str, file.mark())) for file in seen}

    def topic(self, feed: TopicFeed) -> str:
        return feed.name

    def identity(self, feed: TopicFeed) -> str | None:
        """Return None, because an archive is a folder."""
        del feed
        return None

    def bounds(self, feed: TopicFeed) -> Mapping[int, tuple[int, int]]:
        """Tell nothing: what bronze holds may be removed from the archive."""
        del feed
        return {}

    def message(self, feed: TopicFeed, partition: int, offset: int) -> Unread | None:
        """Return None, because an archive is not looked into by offset."""
        del feed, partition, offset
        return None

    def passing(self, passed: Sequence[PassedMessage]) -> TopicSource:
        """Return the same source.

        Files have no message that Spark refuses.
        """
        del passed
        return self

    def read_passed(self, spark: SparkSession, feed: TopicFeed, first_day: date) -> DataFrame | None:
        """Return None, because a stream of files begins with the first."""
        del spark, feed, first_day
        return None

    def first_from(self, feed: TopicFeed, offsets: Mapping[int, int]) -> Mapping[int, Received]:
        """Find nothing: an archive is not looked into by offset."""
        del feed, offsets
        return {}

    def first_day(self, feed: TopicFeed) -> date | None:
        """Tell the first landing day that holds a file."""
        return min(self.days(feed), default=None)

    def count_before(self, feed: TopicFeed, day: date) -> int:
        """Count none, because batch loads them."""
        del feed, day
        return 0

    def lag(self, feed: TopicFeed, progress: Mapping[str, Any]) -> int | None:
        """Return None, because files do not say how many lines they hold."""
        del feed, progress
        return None

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
        """Name the folder of one landing day, or of all."""
        return self.root / feed.name / folder_name(day) if feed.pattern is None else self.root / feed.pattern.base

    def place(self, feed: Feed, day: date, hour: int | None, name: str) -> Path | None:
        """Say where a file lands, None where its feed takes no such file.

        Args:
            feed: whose file it is.
            day: the landing day.
            hour: the hour, where the feed's pattern has one.
            name: of the file.
        """
        if feed.pattern is None:
            return self.folder(feed, day) / name if hour is None else None
        path = feed.pattern.path(day, hour, name)
        return None if path is None else self.root / path

    def layout(self, feed: Feed) -> str:
        """Say where the files of a feed lie."""
        if feed.pattern is not None:
            return f"{self.root}/{feed.pattern.text}"
        if isinstance(feed, DeltaFeed):
            return f"the Delta table {feed.location(self.root)}, by {feed.day}"
        return f"{self.root / feed.name}/landed_on=YYYY-MM-DD/"

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
        if feed.pattern is None and not isinstance(feed, DeltaFeed):
            return {day: read_day(self.folder(feed, day)).files for day in days}
        landed = self.landed(feed, is_whole=True)
        return {day: landed.get(day, {}) for day in days}

    def landed(self, feed: Feed, *, is_whole: bool = False) -> Mapping[date, Mapping[str, LandedFile]]:
        """Return the files of each landing day that holds at least one.

        A process that has looked before looks at the newest days and some of the others: `lake.storage.landing_days`.

        Args:
            feed: whose files.
            is_whole: look at all.
        """
        return self._seen(feed).look(is_whole=is_whole).landed

    def _seen(self, feed: Feed) -> FeedFolder | DropFolder | DeltaFolder:
        """Give what this process remembers of a feed's files."""
        if isinstance(feed, DeltaFeed):
            return DeltaFolder(feed, self.root)
        return feed_folder(self.root / feed.name) if feed.pattern is None else drop_folder(self.root, feed.pattern)

    def glance(self, feed: Feed) -> tuple[object, ...]:
        """Return a cheap fingerprint of the folders and files of a feed.

        It is equal as long as none that `landed` looks at came, went or changed.
        """
        try:
            return self._seen(feed).look().glance()
        except FolderNotReadable as error:
            return (str(error),)

    def fingerprint(self, feed: Feed, day: date) -> str | None:
        """Return a hash of the names, sizes and times of the day's files.

        None where nothing has landed.
        """
        return hash_of(self.files(feed, day))

    def count_rows(self, feed: Feed, day: date) -> int:
        """Count the rows that landed on a day, without Spark."""
        if isinstance(feed, DeltaFeed):
            return DeltaFolder(feed, self.root).count_rows(day)
        return sum(feed.count_rows(path) for path in self._files(feed, [day])[day])

    def read(self, spark: SparkSession, feed: Feed, days: Iterable[date]) -> DataFrame:
        """Read the rows that landed on these days.

        An empty frame of the same columns where nothing did.
        """
        if isinstance(feed, DeltaFeed):
            version = DeltaFolder(feed, self.root).look().version
            return (
                feed.read_version(spark, self.root, version, list(days)) if version is not None else _none(spark, feed)
            )
        paths = [str(path) for files in self._files(feed, days).values() for path in files]
        return feed.read(spark, paths) if paths else _none(spark, feed)

    def find_damaged(self, feed: Feed, days: Iterable[date]) -> dict[date, dict[str, str]]:
        """Return why files of these days cannot be read, by day and path.

        Reads each to its end.
        """
        return self._problems(feed, days, lambda path: LEADS_OUT if leads_out(self.root, path) else _damage(path))

    def find_leading_out(self, feed: Feed, days: Iterable[date]) -> dict[date, dict[str, str]]:
        """Return the files of these days that lie elsewhere, by day and path.

        They are refused; none is opened.
        """
        return self._problems(feed, days, lambda path: LEADS_OUT if leads_out(self.root, path) else None)

    def _problems(
        self, feed: Feed, days: Iterable[date], problem_of: Callable[[Path], str | None]
    ) -> dict[date, dict[str, str]]:
        found = {
            day: {str(path): problem for path in files if (problem := problem_of(path))}
            for day, files in self._files(feed, days).items()
        }
        return {day: files for day, files in found.items() if files}

    def _files(self, feed: Feed, days: Iterable[date]) -> dict[date, list[Path]]:
        """Find the files of some days, none of a Delta table."""
        if isinstance(feed, DeltaFeed):
            return {day: [] for day in days}
        return {day: [file.path for file in files.values()] for day, files in self.files_by_day(feed, days).items()}


def _none(spark: SparkSession, feed: Feed) -> DataFrame:
    return spark.createDataFrame([], feed.schema)


def still_unreadable(files: Iterable[str]) -> dict[str, str]:
    """Keep those files that are there and cannot be read, with the reason."""
    found = {path: _damage(Path(path)) for path in files if os.path.lexists(path)}
    return {path: problem for path, problem in found.items() if problem}


def _damage(path: Path) -> str | None:
    """Say why a file, or the folder of a day, cannot be read."""
    if path.is_dir():
        return None if os.access(path, os.R_OK | os.X_OK, effective_ids=True) else os.strerror(errno.EACCES)
    if ":" in path.name:
        return "Spark cannot open a name with a colon"
    try:
        path.open("rb").close()
        with pa.input_stream(path, compression="detect") as file:
            while file.read(2**20):
                pass
    except (OSError, ValueError) as error:
        return ((isinstance(error, OSError) and error.strerror) or str(error)).splitlines()[0]
    return None
