"""Read the files of a feed, however they are written, by Spark's own readers.

Every format gives the same columns, `FILE_FRAME`: a record is a text in `line`, whether it was a line, a row of CSV (a
JSON object by the names of the header) or a row of Parquet (a JSON object by the names of its columns). So silver reads
them all by `lake.declare.json_lines`. A file whose bytes are of another format gives one row that says so, without
`line`, because its lines would be nonsense that looks like data.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa
import pyarrow.parquet as pq
import pyspark.sql.functions as F
import pyspark.sql.types as T
from pyspark.sql import Column, DataFrame, SparkSession, Window

from lake.declare.avro_blocks import NoAvroError, read_blocks
from lake.declare.source_file import SourceFile, unpacked
from lake.errors import DeclarationError

__all__ = [
    "AS_NAMED",
    "EXACT_JSON",
    "FILE_FRAME",
    "FILE_NAME",
    "Avro",
    "Csv",
    "DayFolder",
    "Format",
    "Lines",
    "Parquet",
    "Place",
    "content_of",
    "decoded",
    "landed_at",
    "landed_on",
]

FILE_FRAME = T.StructType(
    [
        T.StructField("line", T.StringType()),
        T.StructField("file", T.StringType()),
        T.StructField("line_number", T.IntegerType()),
        T.StructField("landed_on", T.DateType()),
        T.StructField("_raw", T.StringType()),
        T.StructField("_problem", T.StringType()),
        T.StructField("_landed_at", T.TimestampType()),
    ]
)
"""Columns of a file feed's frame.

The record as received, the file's base name, the 1-based place of the record in it (0: the file itself), its landing
day. Where a record or a file cannot be read, `line` is null, `_problem` says why and `_raw` holds the text of a record.
`_landed_at` is when the file was written, as its storage says; null where nothing says it.
"""
FILE_NAME = "_metadata.file_name"
# Without them Spark makes columns of the folders' names, and a pattern of a file's name.
AS_NAMED = {"recursiveFileLookup": "true", "__globPaths__": "false"}

csv.field_size_limit(2**31 - 1)
_CHUNK = 2**20
_MAGIC = {
    b"PK\x03\x04": "a ZIP archive",
    b"PAR1": "Parquet",
    b"\x1f\x8b": "gzip, of which the name does not end in .gz",
    b"BZh": "bzip2, of which the name does not end in .bz2",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"Obj\x01": "Avro",
    b"ORC": "ORC",
    b"\xd0\xcf\x11\xe0": "a document of an office program",
}
_WIDE = ("utf-16", "utf-32")
"""Encodings whose text holds zero bytes."""
_ENCODINGS = ("utf-8", "us-ascii", "iso-8859-1", "windows-1252", "utf-16", "utf-16le", "utf-16be", "utf-32")
EXACT_JSON = {
    "ignoreNullFields": "false",
    "timestampFormat": "yyyy-MM-dd'T'HH:mm:ss.SSSSSSX",
    "timestampNTZFormat": "yyyy-MM-dd'T'HH:mm:ss.SSSSSS",
}


class Place(Protocol):
    """Tell what the path of a file says of its rows."""

    def landed_on(self) -> Column:
        """Give the landing day of a row."""

    def file(self) -> Column:
        """Give a name of the file that no other of its landing day has."""


class DayFolder:
    """Files that lie in `landed_on=YYYY-MM-DD/`."""

    def landed_on(self) -> Column:
        return landed_on()

    def file(self) -> Column:
        return F.col(FILE_NAME)


class Format(Protocol):
    """Say how the files of a feed are written."""

    def problem(self, file: SourceFile) -> str | None:
        """Say why a file is not written so, None where it is.

        Of a damaged file its reader tells.
        """

    def read(self, spark: SparkSession, files: Sequence[SourceFile], place: Place) -> DataFrame:
        """Read files as a lazy frame of `FILE_FRAME`."""

    def count_rows(self, file: SourceFile) -> int:
        """Count the records of a file without Spark."""


@dataclass(frozen=True)
class Lines:
    """Lines of UTF-8, each a record: JSON, nested or not, or any text."""

    def problem(self, file: SourceFile) -> str | None:
        return _not_text(file, "utf-8")

    def read(self, spark: SparkSession, files: Sequence[SourceFile], place: Place) -> DataFrame:
        texts = spark.read.options(**AS_NAMED).text([str(file) for file in files], wholetext=True)
        lines = texts.select(
            place.landed_on().alias("landed_on"),
            place.file().alias("file"),
            landed_at(),
            F.posexplode(F.split(F.regexp_replace("value", r"[\r\n]+$", ""), r"\r?\n")).alias("position", "line"),
        )
        return lines.where(F.col("line") != "").select(
            "line", "file", (F.col("position") + 1).alias("line_number"), "landed_on", *_no_problem(), "_landed_at"
        )

    def count_rows(self, file: SourceFile) -> int:
        """Count lines that are not empty."""
        return sum(line not in (b"", b"\r") for line in content_of(file).rstrip(b"\r\n").split(b"\n"))


@dataclass(frozen=True)
class Csv:
    r"""Records of columns, which the header names.

    A field may hold line breaks where it is quoted. A column is read by its name, never by its place, so that one which
    is inserted moves no value. A file whose header lacks one of `columns`, or names one twice, is not read at all. A
    record with another number of fields than the header is not believed. An empty field is null, and one that is quoted
    is empty text.

    Attributes:
        columns: names that every header has to have; more may come.
        has_header: whether the first record names the columns. Else `columns` are all there are, in their order.
        delimiter: one character between fields.
        quote: one character around fields.
        escape: one character before a quote within a quoted field; the quote itself where it is doubled.
        encoding: of the text.
    """

    columns: Sequence[str] = ()
    has_header: bool = True
    delimiter: str = ","
    quote: str = '"'
    escape: str = '"'
    encoding: str = "utf-8"

    def __post_init__(self) -> None:
        for name in ("delimiter", "quote", "escape"):
            if len(value := getattr(self, name)) != 1 or value in "\r\n\0":
                raise DeclarationError("Csv", f"{name}={value!r} is not one character", 'write "," or ";" or "\\t"')
        if self.encoding not in _ENCODINGS:
            raise DeclarationError(
                "Csv", f"encoding={self.encoding!r} cannot be read", f"one of {', '.join(_ENCODINGS)}"
            )
        if not self.has_header and not self.columns:
            raise DeclarationError("Csv", "has neither a header nor columns", "name the columns in their order")
        if isinstance(self.columns, str) or (twice := _twice(self.columns)):
            named = self.columns if isinstance(self.columns, str) else ", ".join(twice)
            raise DeclarationError("Csv", f"columns={named!r} are no list of different names", 'write ("id", "name")')

    def problem(self, file: SourceFile) -> str | None:
        if wrong := _not_text(file, self.encoding):
            return wrong
        names, _ = self._head(file)
        if names is None:
            return None
        if twice := _twice(names):
            return f"its header names {_quoted(twice)} twice"
        if missing := [name for name in self.columns if name not in names]:
            return f"its header lacks {_quoted(missing)}; it has {_quoted(names)}"
        return "its header has a column without a name" if "" in names else None

    def read(self, spark: SparkSession, files: Sequence[SourceFile], place: Place) -> DataFrame:
        alike = defaultdict(list)
        for file in files:
            alike[self._head(file)].append(str(file))
        return _union(
            spark,
            [
                self._read(spark, names, ends, paths, place)
                for (names, ends), paths in alike.items()
                if names is not None
            ],
        )

    def count_rows(self, file: SourceFile) -> int:
        """Count records that are not empty, without the header."""
        with unpacked(file) as packed:
            text = io.TextIOWrapper(packed, self.encoding, newline="")
            found = sum(bool(record) for record in self._records(text))
        return max(found - self.has_header, 0)

    def _head(self, file: SourceFile) -> tuple[tuple[str, ...] | None, str]:
        """Give the names of the columns, and how records end.

        The names are None where there is no record.
        """
        try:
            with unpacked(file) as packed:
                lines = _Lines(io.TextIOWrapper(packed, self.encoding, newline=""))
                header = next((record for record in self._records(lines) if record), None)
        except (OSError, ValueError):  # damaged: Spark tells
            return ("damaged",), "\n"
        ends = next((end for end in ("\r\n", "\r") if lines.last.endswith(end)), "\n")
        return None if header is None else tuple(header if self.has_header else self.columns), ends

    def _records(self, text: Iterable[str]) -> Iterable[list[str]]:
        doubles = self.escape == self.quote
        return csv.reader(
            text,
            delimiter=self.delimiter,
            quotechar=self.quote,
            doublequote=doubles,
            escapechar=None if doubles else self.escape,
        )

    def _read(self, spark: SparkSession, names: Sequence[str], ends: str, paths: list[str], place: Place) -> DataFrame:
        """Read files whose columns are the same, in the same order."""
        places = [f"c{place}" for place in range(len(names))]
        schema = T.StructType([T.StructField(name, T.StringType()) for name in (*places, "broken")])
        records = spark.read.schema(schema).options(**AS_NAMED, **self._options(ends)).csv(paths)
        fields = F.struct(*(F.col(place).alias(name) for place, name in zip(places, names, strict=True)))
        is_whole = F.col("broken").isNull()
        placed = records.select(
            F.when(is_whole, F.to_json(fields, {"ignoreNullFields": "false"})).alias("line"),
            place.file().alias("file"),
            place.landed_on().alias("landed_on"),
            F.col("_metadata.file_path").alias("path"),
            F.monotonically_increasing_id().alias("place"),  # a file is read by one task, from its first record on
            F.col("broken").alias("_raw"),
            F.when(~is_whole, f"it has not the {len(names)} fields of the header").alias("_problem"),
            landed_at(),
        )
        number = F.col("place") - F.min("place").over(Window.partitionBy("path")) + 1
        return placed.withColumn("line_number", number.cast("int")).select(*FILE_FRAME.names)

    def _options(self, ends: str) -> dict[str, str]:
        return {
            "header": str(self.has_header).lower(),
            "sep": self.delimiter,
            "quote": self.quote,
            "escape": self.escape,
            "encoding": self.encoding,
            "lineSep": ends,
            "multiLine": "true",
            "mode": "PERMISSIVE",
            "columnNameOfCorruptRecord": "broken",
            "columnPruning": "false",
            "enforceSchema": "true",
            "nullValue": "\0",  # else quoted empty text would be null too
        }


@dataclass(frozen=True)
class Parquet:
    """Rows of Parquet, each kept as a JSON object.

    Times have microseconds, decimals are exact, binary is base64.
    """

    def problem(self, file: SourceFile) -> str | None:
        try:
            names = _columns(file).names
        except (OSError, ValueError) as error:
            return f"it is no whole Parquet file: {str(error).splitlines()[0]}"
        return _doubled(names)

    def read(self, spark: SparkSession, files: Sequence[SourceFile], place: Place) -> DataFrame:
        alike = _by_schema(files, lambda file: str(_columns(file).remove_metadata()))
        return _union(spark, [self._read(spark, paths, place) for paths in alike.values()])

    def count_rows(self, file: SourceFile) -> int:
        """Count rows, as the file's footer says."""
        with file.open("rb") as opened:
            return int(pq.read_metadata(opened).num_rows)

    def _read(self, spark: SparkSession, paths: list[str], place: Place) -> DataFrame:
        """Read files of the same schema."""
        rows = spark.read.options(**AS_NAMED).parquet(*paths)
        return rows.select(
            F.to_json(F.struct("*"), EXACT_JSON).alias("line"),
            place.file().alias("file"),
            (F.col("_metadata.row_index") + 1).cast("int").alias("line_number"),
            place.landed_on().alias("landed_on"),
            *_no_problem(),
            landed_at(),
        )


@dataclass(frozen=True)
class Avro:
    """Rows of Avro, each kept as a JSON object.

    Times have microseconds, decimals are exact, binary is base64.
    """

    def problem(self, file: SourceFile) -> str | None:
        try:
            schema = read_blocks(file).schema
        except (OSError, NoAvroError) as error:
            return f"it is no whole Avro file: {str(error).splitlines()[0]}"
        if not isinstance(schema, dict) or schema.get("type") != "record":
            return "its rows are no records"
        return _doubled(str(one["name"]) for one in schema["fields"])

    def read(self, spark: SparkSession, files: Sequence[SourceFile], place: Place) -> DataFrame:
        alike = _by_schema(files, lambda file: json.dumps(read_blocks(file).schema))
        return _union(spark, [self._read(spark, schema, paths, place) for schema, paths in alike.items()])

    def count_rows(self, file: SourceFile) -> int:
        """Count rows, as the file's blocks say."""
        return read_blocks(file).rows

    def _read(self, spark: SparkSession, schema: str, paths: list[str], place: Place) -> DataFrame:
        """Read files of the same schema."""
        rows = spark.read.format("avro").options(**AS_NAMED, avroSchema=schema).load(paths)
        placed = rows.select(
            F.to_json(F.struct("*"), EXACT_JSON).alias("line"),
            place.file().alias("file"),
            place.landed_on().alias("landed_on"),
            F.col("_metadata.file_path").alias("path"),
            F.col("_metadata.file_block_start").alias("start"),
            F.monotonically_increasing_id().alias("place"),  # a part of a file is read by one task, in its order
            *_no_problem(),
            landed_at(),
        )
        number = F.row_number().over(Window.partitionBy("path").orderBy("start", "place"))
        return placed.withColumn("line_number", number).select(*FILE_FRAME.names)


def _by_schema(files: Iterable[SourceFile], schema_of: Callable[[SourceFile], str]) -> dict[str, list[str]]:
    """Group the paths of files that have the same schema."""
    alike = defaultdict[str, list[str]](list)
    for file in files:
        alike[schema_of(file)].append(str(file))
    return alike


def _columns(file: SourceFile) -> pa.Schema:
    """Read the columns of a Parquet file, as its footer says."""
    with file.open("rb") as opened:
        return pq.read_schema(opened)


def landed_on() -> Column:
    """Give the landing day of a row, by the folder of its file."""
    folder = F.substring_index(F.substring_index("_metadata.file_path", "/", -2), "/", 1)
    return F.substring_index(folder, "=", -1).try_cast("date")


def landed_at() -> Column:
    """Give when the file of a row was written, to the millisecond."""
    return F.col("_metadata.file_modification_time").alias("_landed_at")


def decoded(name: Column) -> Column:
    """Decode a name or path that Spark gives as in a URI."""
    return F.url_decode(F.replace(name, F.lit("+"), F.lit("%2B")))


def _not_text(file: SourceFile, encoding: str) -> str | None:
    """Say why a file is no text of an encoding."""
    read = codecs.getincrementaldecoder(encoding)()
    try:
        with unpacked(file) as packed:
            chunk = packed.read(_CHUNK)
            for magic, kind in _MAGIC.items():
                if chunk.startswith(magic):
                    return f"it is {kind}"
            while chunk:
                if b"\0" in chunk and not encoding.startswith(_WIDE):
                    return "it holds zero bytes, which no text does"
                read.decode(chunk)
                chunk = packed.read(_CHUNK)
            read.decode(b"", final=True)
    except UnicodeDecodeError as error:
        return f"it is no {encoding.upper()}: {error.reason}"
    except (OSError, ValueError):  # damaged: its reader tells
        return None
    return None


def content_of(file: SourceFile) -> bytes:
    """Read a whole file, unpacked."""
    with unpacked(file) as packed:
        return packed.read()


@dataclass
class _Lines:
    """Give the lines of a text, and remember the last."""

    text: io.TextIOWrapper
    last: str = ""

    def __iter__(self) -> Iterator[str]:
        for number, line in enumerate(self.text):
            self.last = line
            yield line if number else line.removeprefix("\ufeff")


def _union(spark: SparkSession, frames: Sequence[DataFrame]) -> DataFrame:
    found = spark.createDataFrame([], FILE_FRAME) if not frames else frames[0]
    for frame in frames[1:]:
        found = found.unionAll(frame)
    return found


def _no_problem() -> list[Column]:
    return [F.lit(None).cast("string").alias(name) for name in ("_raw", "_problem")]


def _doubled(names: Iterable[str]) -> str | None:
    """Say which columns a file has twice, because Spark takes upper case for lower."""
    twice = _twice(name.lower() for name in names)
    return f"it has the column {_quoted(twice)} twice" if twice else None


def _twice(names: Iterable[str]) -> list[str]:
    return [name for name, times in Counter(names).items() if times > 1]


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(repr(name) for name in names)
