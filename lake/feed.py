"""Feeds: where bronze reads from.

A feed lands as files under `landing/<feed>/landed_on=YYYY-MM-DD/`; `lake.landed` says which of them are read. A topic's
archive holds JSON lines with the columns of Spark's Kafka source; a file feed holds text files that bronze keeps line
by line. Bytes that are not UTF-8 are read as U+FFFD: a table that held them could be written, and then read by Spark
alone.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow as pa
import pyspark.sql.functions as F
import pyspark.sql.types as T
from pyspark.sql import Column, DataFrame, SparkSession

from lake.errors import DeclarationError, FolderNotReadable, LandingDamaged
from lake.landed import LEADS_OUT, folder_name, landing_day, leads_out, path_pattern
from lake.landed_files import LandedFile, hash_of
from lake.landing_days import feed_folder, read_day

if TYPE_CHECKING:
    from lake.passed_over import PassedMessage

__all__ = [
    "EVERY_DAY",
    "FILE_FRAME",
    "SOME_DAYS",
    "TOPIC_FRAME",
    "Delivery",
    "Feed",
    "FileFeed",
    "Landing",
    "Received",
    "TopicFeed",
    "TopicSource",
    "Unread",
    "still_unreadable",
]

TOPIC_FRAME = T.StructType(
    [
        T.StructField("key", T.StringType()),
        T.StructField("value", T.StringType()),
        T.StructField("topic", T.StringType()),
        T.StructField("partition", T.IntegerType()),
        T.StructField("offset", T.LongType()),
        T.StructField("timestamp", T.TimestampType()),
        T.StructField("_raw", T.StringType()),
        T.StructField("_landed_on", T.DateType()),
    ]
)
"""Columns of a topic's frame. `_raw` is the archived line where its envelope could not be read, else null."""

FILE_FRAME = T.StructType(
    [
        T.StructField("line", T.StringType()),
        T.StructField("file", T.StringType()),
        T.StructField("line_number", T.IntegerType()),
        T.StructField("landed_on", T.DateType()),
    ]
)
"""Columns of a file feed's frame: the line as received, the file's base name, its 1-based line, its landing day."""


_ARCHIVED = T.StructType(TOPIC_FRAME.fields[:-1])
_FILE_NAME = "_metadata.file_name"
_MOST_COUNTED_BYTES = 64 * 2**20
_ARCHIVE_OPTIONS = {"mode": "PERMISSIVE", "columnNameOfCorruptRecord": "_raw"}
# Without them Spark makes columns of the folders' names, and a pattern of a file's name.
_AS_NAMED = {"recursiveFileLookup": "true", "__globPaths__": "false"}


@dataclass(frozen=True)
class Delivery:
    """Declare what a feed delivers, because a dead feed looks like a quiet one.

    Attributes:
        every_day: whether something lands on every day. Else on some days, and the newest delivery may be as old as the
            `fresh_within` of the bronze table that reads the feed.
        at_least: rows that a delivery holds at least; one of fewer counts as none.
    """

    every_day: bool = True
    at_least: int = 1

    def __post_init__(self) -> None:
        if self.at_least < 1:
            raise DeclarationError("Delivery", f"at_least={self.at_least}: a delivery without rows cannot be seen", "1")

    def __str__(self) -> str:
        rows = "1 row" if self.at_least == 1 else f"{self.at_least:,} rows"
        return f"{'every day' if self.every_day else 'on some days'}, at least {rows}"


EVERY_DAY = Delivery()
SOME_DAYS = Delivery(every_day=False)


@dataclass(frozen=True)
class Feed:
    """A source of bronze rows.

    Attributes:
        name: folder under `landing/`, and the parameter name in the bronze table that reads it.
        description: what arrives, how often, from whom.
        delivers: what has to land for the tables that read it to be fresh.
    """

    name: str
    description: str
    delivers: Delivery = EVERY_DAY

    @property
    def schema(self) -> T.StructType:
        """The columns that bronze receives."""
        raise NotImplementedError

    def read(self, spark: SparkSession, paths: list[str]) -> DataFrame:
        """Read files of this feed's landing days; lazy."""
        raise NotImplementedError

    def count_rows(self, content: bytes) -> int:
        """The rows that `read` gives for the content of one file, counted without Spark."""
        raise NotImplementedError


@dataclass(frozen=True)
class TopicFeed(Feed):
    """A message topic, archived as JSON lines of key, value, topic, partition, offset and timestamp.

    Attributes:
        idle_after: a stream that has read the topic to its end and has been silent for longer takes it for idle, not
            for behind, so that it does not keep days open for ever. None: it is never idle.
        ahead_at_most: how far the clocks of its producers may be ahead. A message sent later than the lake's clock and
            this says is rejected, because it would close days that are not over.
    """

    idle_after: timedelta | None = None
    ahead_at_most: timedelta = timedelta(minutes=10)

    @property
    def schema(self) -> T.StructType:
        return TOPIC_FRAME

    def read(self, spark: SparkSession, paths: list[str]) -> DataFrame:
        files = spark.read.schema(_ARCHIVED).options(**_ARCHIVE_OPTIONS, **_AS_NAMED).json(paths)
        return _as_topic_frame(files)

    def count_rows(self, content: bytes) -> int:
        """Lines; blank ones hold no message."""
        return sum(not line.isspace() for line in content.splitlines() if line)

    def read_stream(
        self, spark: SparkSession, landing: Landing, first_day: date, without: Collection[str] = ()
    ) -> DataFrame:
        """The archive as a stream: all files of landing days from `first_day` on, then each that lands.

        A file is read once, by its name; one that changes later is not read again. One that is not read, as those that
        it is to be `without`, is not opened: Spark applies the condition to the names of files.
        """
        folder = landing.root / self.name
        folder.mkdir(parents=True, exist_ok=True)
        # Spark would pass over files that are a week older than the newest: an archive is.
        reader = spark.readStream.schema(_ARCHIVED).options(**_ARCHIVE_OPTIONS, **_AS_NAMED)
        files = reader.option("maxFileAge", "36500d").json(str(folder))
        is_read = F.col("_metadata.file_path").rlike(path_pattern(folder))
        name = F.url_decode(F.replace(F.col(_FILE_NAME), F.lit("+"), F.lit("%2B")))  # Spark gives it as in a URI
        for path in map(Path, without):
            is_read &= (_landed_on() != F.lit(landing_day(path.parent.name))) | (name != F.lit(path.name))
        return _as_topic_frame(files.where(is_read & (_landed_on() >= F.lit(first_day))))


def _as_topic_frame(archived: DataFrame) -> DataFrame:
    raw = F.make_valid_utf8("_raw").alias("_raw")
    names = (raw if name == "_raw" else F.col(name) for name in _ARCHIVED.names)
    return archived.select(*names, _landed_on().alias("_landed_on"))


def _landed_on() -> Column:
    """The landing day of a row, by the folder of its file; null where that names none."""
    folder = F.substring_index(F.substring_index("_metadata.file_path", "/", -2), "/", 1)
    return F.substring_index(folder, "=", -1).try_cast("date")


@dataclass(frozen=True)
class FileFeed(Feed):
    """A file drop, kept line by line."""

    @property
    def schema(self) -> T.StructType:
        return FILE_FRAME

    def read(self, spark: SparkSession, paths: list[str]) -> DataFrame:
        files = spark.read.options(**_AS_NAMED).text(paths, wholetext=True)
        text_of = F.make_valid_utf8("value")
        lines = files.select(
            _landed_on().alias("landed_on"),
            F.col(_FILE_NAME).alias("file"),
            F.posexplode(F.split(F.regexp_replace(text_of, r"[\r\n]+$", ""), r"\r?\n")).alias("position", "line"),
        )
        return lines.where(F.col("line") != "").select(
            "line", "file", (F.col("position") + 1).alias("line_number"), "landed_on"
        )

    def count_rows(self, content: bytes) -> int:
        """Lines that are not empty."""
        return sum(line not in (b"", b"\r") for line in content.rstrip(b"\r\n").split(b"\n"))


@dataclass(frozen=True)
class Unread:
    """A message as a client other than Spark reads it.

    Attributes:
        timestamp: as its producer gave it, in Kafka's milliseconds.
        key: as text; U+FFFD for bytes that are none.
        value: as text, likewise.
    """

    timestamp: int
    key: str | None
    value: str | None


@dataclass(frozen=True)
class Received:
    """A message that a topic holds.

    Attributes:
        offset: in its partition.
        timestamp: as its producer gave it, in Kafka's milliseconds.
        value: as text that can be compared.
    """

    offset: int
    timestamp: int
    value: str | None


class TopicSource(Protocol):
    """Where streams read topics from: the landing folder, or a broker. Rows are the same either way."""

    @property
    def redelivers(self) -> bool:
        """Whether it may give one offset twice to one checkpoint (a file delivered twice); a broker does not."""

    def read_topic(
        self, spark: SparkSession, feed: TopicFeed, first_day: date, without: Collection[str] = ()
    ) -> DataFrame:
        """Read messages that landed on `first_day` or later as an unbounded frame.

        Its columns are `TOPIC_FRAME`; at first all come at once. Those of the files named stay out.
        """

    def unreadable(self, feed: TopicFeed, first_day: date) -> Mapping[str, str]:
        """Say why files of `first_day` or later cannot be read.

        A broker has none.
        """

    def delivered(self, feed: TopicFeed) -> Mapping[str, str]:
        """A mark for every delivery that a stream reads only once but which can change later; a broker has none."""

    def topic(self, feed: TopicFeed) -> str:
        """The name of a feed's topic."""

    def identity(self, feed: TopicFeed) -> str | None:
        """What tells the topic from one that replaces it under the same name; None where nothing does."""

    def bounds(self, feed: TopicFeed) -> Mapping[int, tuple[int, int]]:
        """Tell the first offset and the one behind the last, by partition.

        Empty where nothing is ever removed.
        """

    def first_from(self, feed: TopicFeed, offsets: Mapping[int, int]) -> Mapping[int, Received]:
        """Find the first message at an offset or behind it, by partition.

        A partition is left out where there is none, or where nobody can say.
        """

    def first_day(self, feed: TopicFeed) -> date | None:
        """Tell the landing day of the first message, if it holds one."""

    def count_before(self, feed: TopicFeed, day: date) -> int:
        """Count the messages, at most, in front of the first of a landing day.

        0 where batch loads those.
        """

    def message(self, feed: TopicFeed, partition: int, offset: int) -> Unread | None:
        """Fetch the message at one place, without Spark; None where there is none, or no such place."""

    def passing(self, passed: Sequence[PassedMessage]) -> TopicSource:
        """Give the same source, whose streams begin behind these messages."""

    def read_passed(self, spark: SparkSession, feed: TopicFeed, first_day: date) -> DataFrame | None:
        """Read what lies in front of the messages that are passed over, and these, as a frame of `TOPIC_FRAME`.

        These without their time, which Spark cannot hold. None where none is passed over.
        """

    def lag(self, feed: TopicFeed, progress: Mapping[str, Any]) -> int | None:
        """Messages not read yet, given the source's part of Spark's progress report; None where it cannot say."""


@dataclass(frozen=True)
class Landing:
    """The landing folder: what arrived, by feed and landing day. Needs no JVM except to read rows.

    It is also a `TopicSource`: the topics' archives.
    """

    root: Path

    @property
    def redelivers(self) -> bool:
        """A file may be delivered twice under two names."""
        return True

    def read_topic(
        self, spark: SparkSession, feed: TopicFeed, first_day: date, without: Collection[str] = ()
    ) -> DataFrame:
        """The archive of a topic as a stream."""
        return feed.read_stream(spark, self, first_day, without)

    def unreadable(self, feed: TopicFeed, first_day: date) -> dict[str, str]:
        """Say why files of `first_day` or later cannot be read.

        Reads each to its end.
        """
        found = self.find_damaged(feed, (day for day in self.days(feed) if day >= first_day))
        return {path: problem for files in found.values() for path, problem in files.items()}

    def delivered(self, feed: TopicFeed) -> Mapping[str, str]:
        """Size, time and a hash of the content of each file of the topic, by its path under the feed's folder.

        Raises:
            LandingDamaged: one is a link that leads out of the landing folder.
            FolderNotReadable: one lies in a folder that nobody but its owner may read.
        """
        if out := self.find_leading_out(feed, self.days(feed)):
            refused = {path: why for files in out.values() for path, why in files.items()}
            raise LandingDamaged(feed.name, sorted(out), refused)
        files = [file for day in self.landed(feed, is_whole=True).values() for file in day.values()]
        if closed := [file.path for file in files if file.path.parent == self.root / feed.name]:
            raise FolderNotReadable(str(closed[0]), os.strerror(errno.EACCES))
        return {f"{file.path.parent.name}/{file.path.name}": " ".join(map(str, file.mark())) for file in files}

    def topic(self, feed: TopicFeed) -> str:
        return feed.name

    def identity(self, feed: TopicFeed) -> str | None:
        """None: an archive is a folder."""
        del feed
        return None

    def bounds(self, feed: TopicFeed) -> Mapping[int, tuple[int, int]]:
        """Tell nothing: what bronze holds may be removed from the archive."""
        del feed
        return {}

    def message(self, feed: TopicFeed, partition: int, offset: int) -> Unread | None:
        """None: an archive is not looked into by offset."""
        del feed, partition, offset
        return None

    def passing(self, passed: Sequence[PassedMessage]) -> TopicSource:
        """The same: files have no message that Spark refuses."""
        del passed
        return self

    def read_passed(self, spark: SparkSession, feed: TopicFeed, first_day: date) -> DataFrame | None:
        """None: a stream of files begins with the first."""
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
        """Unknown: files do not say how many lines they hold."""
        del feed, progress
        return None

    def waiting_since(self, feed: Feed, first_day: date, after: datetime | None) -> datetime | None:
        """When the first file that holds anything landed after a moment (None: ever); None where none did.

        None too where nobody may look.

        Args:
            feed: whose files.
            first_day: only landing days from here on.
            after: aware.
        """
        with suppress(FolderNotReadable):
            return min((at for at, _ in self._landed_after(feed, first_day, after)), default=None)
        return None

    def count_waiting(self, feed: Feed, first_day: date, after: datetime | None) -> int | None:
        """How many rows the files hold that `waiting_since` speaks of; None where they are many or cannot be read."""
        try:
            files = [file for _, file in self._landed_after(feed, first_day, after)]
            if sum(file.size for file in files) > _MOST_COUNTED_BYTES:
                return None
            return sum(feed.count_rows(_content(file.path)) for file in files)
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
        """The folder of one landing day."""
        return self.root / feed.name / folder_name(day)

    def days(self, feed: Feed) -> list[date]:
        """The landing days that hold at least one file, in order; folders that are no day are passed over."""
        return sorted(self.landed(feed, is_whole=True))

    def files(self, feed: Feed, day: date) -> Mapping[str, LandedFile]:
        """The files that landed on a day, by name, in order."""
        return read_day(self.folder(feed, day)).files

    def landed(self, feed: Feed, *, is_whole: bool = False) -> Mapping[date, Mapping[str, LandedFile]]:
        """The files of each landing day that holds at least one.

        A process that has looked before looks at the newest days and some of the others: see `lake.landing_days`.

        Args:
            feed: whose files.
            is_whole: look at all.
        """
        return feed_folder(self.root / feed.name).look(is_whole=is_whole).landed

    def glance(self, feed: Feed) -> tuple[object, ...]:
        """Something that is equal as long as no folder or file that `landed` looks at came, went or changed."""
        try:
            return feed_folder(self.root / feed.name).look().glance()
        except FolderNotReadable as error:
            return (str(error),)

    def fingerprint(self, feed: Feed, day: date) -> str | None:
        """A hash of the names, sizes and times of the day's files; None where nothing has landed."""
        return hash_of(self.files(feed, day))

    def count_rows(self, feed: Feed, day: date) -> int:
        """The rows that landed on a day, counted without Spark."""
        return sum(feed.count_rows(_content(path)) for path in self._files(feed, day))

    def read(self, spark: SparkSession, feed: Feed, days: Iterable[date]) -> DataFrame:
        """The rows that landed on these days; an empty frame of the same columns where nothing did."""
        paths = [str(path) for day in days for path in self._files(feed, day)]
        return feed.read(spark, paths) if paths else spark.createDataFrame([], feed.schema)

    def find_damaged(self, feed: Feed, days: Iterable[date]) -> dict[date, dict[str, str]]:
        """Why files of these days cannot be read, by day and path; reads each to its end."""
        return self._problems(feed, days, lambda path: LEADS_OUT if leads_out(self.root, path) else _damage(path))

    def find_leading_out(self, feed: Feed, days: Iterable[date]) -> dict[date, dict[str, str]]:
        """The files of these days that are refused because they lie elsewhere, by day and path; opens none."""
        return self._problems(feed, days, lambda path: LEADS_OUT if leads_out(self.root, path) else None)

    def _problems(
        self, feed: Feed, days: Iterable[date], problem_of: Callable[[Path], str | None]
    ) -> dict[date, dict[str, str]]:
        found = {
            day: {str(path): problem for path in self._files(feed, day) if (problem := problem_of(path))}
            for day in days
        }
        return {day: files for day, files in found.items() if files}

    def _files(self, feed: Feed, day: date) -> list[Path]:
        return [file.path for file in self.files(feed, day).values()]


def still_unreadable(files: Iterable[str]) -> dict[str, str]:
    """Keep those files that are there and cannot be read, with the reason."""
    found = {path: _damage(Path(path)) for path in files if os.path.lexists(path)}
    return {path: problem for path, problem in found.items() if problem}


def _content(path: Path) -> bytes:
    """What a file holds; unpacked where its name says that it is compressed, as Spark does."""
    with pa.input_stream(path, compression="detect") as file:
        return bytes(file.read())


def _damage(path: Path) -> str | None:
    """Why a file cannot be read; None where it can."""
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
