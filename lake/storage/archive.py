"""Read topics from their archives in the landing folder."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from lake.declare.feed import TopicFeed
from lake.declare.topic_source import PassedMessage, Received, TopicSource, Unread
from lake.errors import LandingDamaged
from lake.storage.damage import damage
from lake.storage.landing import Landing
from lake.storage.store_path import StorePath

__all__ = ["TopicArchive"]

_FOLDER = "_folder"
"""A hidden object that makes an archive without files one that Spark can list."""


@dataclass(frozen=True)
class TopicArchive:
    """The topics' archives, as a `TopicSource`.

    Attributes:
        landing: the landing folder.
    """

    landing: Landing

    @property
    def redelivers(self) -> bool:
        """A file may be delivered twice under two names."""
        return True

    def read_topic(
        self, spark: SparkSession, feed: TopicFeed, first_day: date, without: Collection[str] = ()
    ) -> DataFrame:
        """Return the archive of a topic as a stream."""
        folder = self.landing.location / feed.name
        if not isinstance(folder, StorePath):
            folder.mkdir(parents=True, exist_ok=True)
        elif not folder.is_dir():
            (folder / _FOLDER).write(b"")
        return feed.read_stream(spark, str(folder), first_day, without)

    def unreadable(self, feed: TopicFeed, first_day: date) -> dict[str, str]:
        """Say why files of `first_day` or later cannot be read.

        Reads each to its end.
        """
        found = self.landing.find_damaged(feed, (day for day in self.landing.days(feed) if day >= first_day))
        files = {path: problem for files in found.values() for path, problem in files.items()}
        return {**files, **self.closed(feed)}  # Spark lists them, whatever their day

    def closed(self, feed: TopicFeed) -> dict[str, str]:
        """Say why folders of landing days cannot be looked into."""
        paths = (file.path for files in self.landing.landed(feed, is_whole=True).values() for file in files.values())
        folders = (path for path in paths if path.parent == self.landing.location / feed.name)
        return {str(folder): problem for folder in folders if (problem := damage(folder))}

    def delivered(self, feed: TopicFeed) -> Mapping[str, str]:
        """Return a mark of each file of the topic, by its path.

        The mark is size, time and a hash of the content, the path that under the feed's folder.

        Raises:
            LandingDamaged: one is a link that leads out of the landing folder.
            FolderNotReadable: the feed's folder cannot be looked into. Of a day that cannot it says nothing.
        """
        landed = self.landing.landed(feed, is_whole=True)
        if out := self.landing.find_leading_out(feed, landed):
            refused = {path: why for files in out.values() for path, why in files.items()}
            raise LandingDamaged(feed.name, sorted(out), refused)
        files = [file for day in landed.values() for file in day.values()]
        seen = [file for file in files if file.path.parent != self.landing.location / feed.name]
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
        return min(self.landing.days(feed), default=None)

    def count_before(self, feed: TopicFeed, day: date) -> int:
        """Count none, because batch loads them."""
        del feed, day
        return 0

    def lag(self, feed: TopicFeed, progress: Mapping[str, Any]) -> int | None:
        """Return None, because files do not say how many lines they hold."""
        del feed, progress
        return None
