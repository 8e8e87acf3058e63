"""Feeds: where bronze reads from.

A feed lands as files under `landing/<feed>/landed_on=YYYY-MM-DD/`; `lake.declare.landed` says which of them are read. A
topic's archive holds JSON lines with the columns of Spark's Kafka source; a file feed holds files that bronze keeps
record by record (`lake.declare.formats`). Bytes of a message that are not UTF-8 are read as U+FFFD: a table that held
them could be written, and then read by Spark alone.
"""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cached_property

import pyspark.sql.functions as F
import pyspark.sql.types as T
from pyspark.sql import Column, DataFrame, SparkSession

from lake.declare.drop_pattern import DropPattern
from lake.declare.formats import (
    AS_NAMED,
    FILE_FRAME,
    FILE_NAME,
    DayFolder,
    Format,
    Lines,
    content_of,
    decoded,
    landed_on,
)
from lake.declare.landed import any_but, landing_day, path_pattern
from lake.declare.source_file import SourceFile
from lake.errors import DeclarationError

__all__ = ["EVERY_DAY", "FILE_FRAME", "SOME_DAYS", "TOPIC_FRAME", "Delivery", "Feed", "FileFeed", "TopicFeed"]

TOPIC_FRAME = T.StructType(
    [
        T.StructField("key", T.StringType()),
        T.StructField("value", T.StringType()),
        T.StructField("topic", T.StringType()),
        T.StructField("partition", T.IntegerType()),
        T.StructField("offset", T.LongType()),
        T.StructField("timestamp", T.TimestampType()),
        T.StructField("headers", T.StringType()),
        T.StructField("_raw", T.StringType()),
        T.StructField("_landed_on", T.DateType()),
    ]
)
"""Columns of a topic's frame. `headers` is a JSON list of objects, each with `key` and, if not null, `value` (text) or
`base64` (other bytes); null without headers. `_raw` is the archived line where its envelope could not be read.
"""

_ARCHIVED = T.StructType(TOPIC_FRAME.fields[:-1])
_ARCHIVE_OPTIONS = {"mode": "PERMISSIVE", "columnNameOfCorruptRecord": "_raw"}


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
    def full_name(self) -> str:
        """`feeds.name`, as a table's is `layer.name`."""
        return f"feeds.{self.name}"

    @property
    def schema(self) -> T.StructType:
        """The columns that bronze receives."""
        raise NotImplementedError

    @property
    def pattern(self) -> DropPattern | None:
        """Tell where files lie that are not in folders of days."""
        return None

    def read(self, spark: SparkSession, files: Sequence[SourceFile]) -> DataFrame:
        """Read files of this feed's landing days, lazily."""
        raise NotImplementedError

    def count_rows(self, file: SourceFile) -> int:
        """Count the rows that `read` gives for one file, without Spark."""
        raise NotImplementedError

    def problem(self, file: SourceFile) -> str | None:
        """Say why a file is not written as this feed's are."""
        raise NotImplementedError


@dataclass(frozen=True)
class TopicFeed(Feed):
    """A message topic, archived as JSON lines with all that Kafka says.

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

    def read(self, spark: SparkSession, files: Sequence[SourceFile]) -> DataFrame:
        reader = spark.read.schema(_ARCHIVED).options(**_ARCHIVE_OPTIONS, **AS_NAMED)
        return _as_topic_frame(reader.json([str(file) for file in files]))

    def count_rows(self, file: SourceFile) -> int:
        """Count lines that are not blank."""
        return sum(not line.isspace() for line in content_of(file).splitlines() if line)

    def problem(self, file: SourceFile) -> str | None:
        return Lines().problem(file)

    def read_stream(
        self, spark: SparkSession, folder: str, first_day: date, without: Collection[str] = ()
    ) -> DataFrame:
        """Read the archive as a stream.

        It gives all files of landing days from `first_day` on, then each that lands. A file is read once, by its name;
        one that changes later is not read again. One that is not read, as those that it is to be `without`, is not
        opened: Spark applies the condition to the names of files. A folder that it is to be `without` is not listed.

        Args:
            spark: reads it.
            folder: of the archive, which is there; a path, or a URL.
            first_day: the first landing day.
            without: paths of files and folders.
        """
        # Spark would pass over files that are a week older than the newest: an archive is.
        closed = [path for path in without if posixpath.dirname(path) == folder]
        reader = spark.readStream.schema(_ARCHIVED).options(**_ARCHIVE_OPTIONS, **AS_NAMED)
        reader = reader.option("maxFileAge", "36500d")
        if closed:
            listed = f"{folder}/{any_but(map(posixpath.basename, closed))}"
            files = reader.option("__globPaths__", "true").json(listed)
        else:
            files = reader.json(folder)
        is_read = F.col("_metadata.file_path").rlike(path_pattern(folder))
        name = decoded(F.col(FILE_NAME))
        for day, _, left_out in (path.rpartition("/") for path in without if path not in closed):
            is_read &= (landed_on() != F.lit(landing_day(posixpath.basename(day)))) | (name != F.lit(left_out))
        return _as_topic_frame(files.where(is_read & (landed_on() >= F.lit(first_day))))


def _as_topic_frame(archived: DataFrame) -> DataFrame:
    said = {"_raw": F.make_valid_utf8("_raw"), "headers": _compact("headers")}
    names = (said.get(name, F.col(name)).alias(name) for name in _ARCHIVED.names)
    return archived.select(*names, landed_on().alias("_landed_on"))


def _compact(headers: str) -> Column:
    """Write headers as a stream from Kafka does.

    What is no list of headers stays as it is.
    """
    said = F.from_json(headers, "array<struct<key: string, value: string, base64: string>>")
    return F.when(F.col(headers).isNotNull(), F.coalesce(F.to_json(said), headers))


@dataclass(frozen=True)
class FileFeed(Feed):
    """A file drop, kept record by record.

    Attributes:
        format: how its files are written.
        lies_at: where they lie under the landing folder, as `events/{day:%Y/%m/%d}/{hour}/*.json.gz`
            (`lake.declare.drop_pattern`); None: in `<feed>/landed_on=YYYY-MM-DD/`.
    """

    format: Format = field(default_factory=Lines)
    lies_at: str | None = None

    def __post_init__(self) -> None:
        _ = self.pattern  # a malformed one is refused here

    @cached_property
    def pattern(self) -> DropPattern | None:
        return None if self.lies_at is None else DropPattern(self.lies_at)

    @property
    def schema(self) -> T.StructType:
        return FILE_FRAME

    def read(self, spark: SparkSession, files: Sequence[SourceFile]) -> DataFrame:
        """Read the records of files, and one row of each that is written otherwise."""
        problems = [(file, self.problem(file)) for file in files]
        place = self.pattern or DayFolder()
        rows = self.format.read(spark, [file for file, why in problems if not why], place)
        refused = [self._as_row(file, why) for file, why in problems if why]
        return rows.unionAll(spark.createDataFrame(refused, FILE_FRAME)) if refused else rows

    def count_rows(self, file: SourceFile) -> int:
        return self.format.count_rows(file) if self.problem(file) is None else 1

    def problem(self, file: SourceFile) -> str | None:
        return self.format.problem(file)

    def _as_row(self, file: SourceFile, problem: str) -> tuple[None, str, int, date | None, None, str, None]:
        """Give the row of a file of which no record is read."""
        if self.pattern is None:
            return (None, file.name, 0, landing_day(file.parent.name), None, problem, None)
        name = self.pattern.within(file)
        return (None, name, 0, self.pattern.day_of(name), None, problem, None)
