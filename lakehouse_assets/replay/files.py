"""The file formats of a source, as one stream of Arrow batches; nothing is read whole into memory."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast
from zipfile import BadZipFile, ZipFile

import duckdb
import pyarrow as pa
from pyarrow import csv as arrow_csv
from pyarrow import parquet

from lakehouse_assets.replay.errors import SourceColumnsMissing

__all__ = ["UNREADABLE", "read_batches"]

UNREADABLE = (duckdb.Error, pa.ArrowException, OSError, EOFError, UnicodeError, csv.Error, zlib.error, BadZipFile)
"""What the readers raise when a file is damaged or not what its name says."""

BLOCK_BYTES = 8 << 20


@contextmanager
def read_batches(file: Path, columns: Sequence[str]) -> Iterator[pa.RecordBatchReader]:
    """Open a .csv, .csv.gz, .csv.zip or .parquet file; CSV columns come as text, Parquet columns in their own type.

    Raises:
        SourceColumnsMissing: before any row is read.
    """
    if file.suffix == ".parquet":
        with parquet.ParquetFile(file) as opened:
            _check_columns(file, columns, opened.schema_arrow.names)
            schema = pa.schema([opened.schema_arrow.field(column) for column in columns])
            batches = (batch.select(columns) for batch in opened.iter_batches(columns=list(columns)))
            yield pa.RecordBatchReader.from_batches(schema, batches)
    else:
        with _open_csv(file) as stream:
            _check_columns(file, columns, _header(stream))
        with _open_csv(file) as stream:
            yield arrow_csv.open_csv(
                stream,
                read_options=arrow_csv.ReadOptions(block_size=BLOCK_BYTES),
                convert_options=arrow_csv.ConvertOptions(
                    include_columns=list(columns), column_types=dict.fromkeys(columns, pa.string())
                ),
            )


def _check_columns(file: Path, needed: Sequence[str], found: Sequence[str]) -> None:
    missing = [column for column in needed if column not in found]
    if missing:
        raise SourceColumnsMissing(str(file), missing, list(found))


def _header(stream: IO[bytes]) -> list[str]:
    with io.TextIOWrapper(stream, encoding="utf-8-sig", newline="") as text:
        return next(csv.reader(text), [])


@contextmanager
def _open_csv(file: Path) -> Iterator[IO[bytes]]:
    if file.suffix == ".gz":
        with gzip.open(file) as unpacked:
            yield cast("IO[bytes]", unpacked)
    elif file.suffix == ".zip":
        with ZipFile(file) as archive, archive.open(_only_member(archive)) as stream:
            yield stream
    else:
        with file.open("rb") as stream:
            yield stream


def _only_member(archive: ZipFile) -> str:
    members = [name for name in archive.namelist() if name.endswith(".csv") and not name.startswith("__MACOSX/")]
    if len(members) != 1:
        raise BadZipFile(f"expected one .csv file in it, found {', '.join(archive.namelist()) or 'nothing'}")
    return members[0]
