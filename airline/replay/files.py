"""Scan the file formats of a source by one SQL expression each.

Nothing is read whole into memory.
"""

from __future__ import annotations

import csv
import gzip
import shutil
import zlib
from collections.abc import Sequence
from glob import escape
from pathlib import Path
from zipfile import BadZipFile, ZipFile

import duckdb

from airline.replay.errors import SourceColumnsMissing
from lake.declare.sql_text import literal

__all__ = ["UNREADABLE", "scan"]

UNREADABLE = (duckdb.Error, OSError, EOFError, UnicodeError, csv.Error, zlib.error, BadZipFile)
"""What the readers raise when a file is damaged or not what its name says."""


def scan(database: duckdb.DuckDBPyConnection, file: Path, columns: Sequence[str], scratch: Path) -> str:
    """Return SQL that scans a .csv, .csv.gz, .csv.zip or .parquet file.

    CSV values are text, Parquet values have their types.

    Args:
        database: looks at Parquet files.
        file: the file.
        columns: which columns it must have.
        scratch: a folder for the content of a .zip, which DuckDB cannot read in place.

    Raises:
        SourceColumnsMissing: before any row is read.
    """
    if file.suffix == ".parquet":
        query = f"read_parquet({literal(escape(str(file)))})"
        _check_columns(file, columns, database.sql(f"FROM {query}").columns)
        return query
    content = _unzip(file, scratch) if file.suffix == ".zip" else file
    header = _header(content)
    _check_columns(file, columns, header)
    # DuckDB must not guess, because a guess would depend on the rows that it happens to look at.
    types = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in header)
    options = "auto_detect = false, header = true, delim = ',', quote = '\"', escape = '\"'"
    return f"read_csv({literal(escape(str(content)))}, columns = {{{types}}}, {options})"


def _check_columns(file: Path, needed: Sequence[str], found: Sequence[str]) -> None:
    missing = [column for column in needed if column not in found]
    if missing:
        raise SourceColumnsMissing(str(file), missing, list(found))


def _header(file: Path) -> list[str]:
    unpack = gzip.open if file.suffix == ".gz" else open
    with unpack(file, "rt", encoding="utf-8-sig", newline="") as text:
        return next(csv.reader(text), [])


def _unzip(file: Path, scratch: Path) -> Path:
    with ZipFile(file) as archive:
        members = [name for name in archive.namelist() if name.endswith(".csv") and not name.startswith("__MACOSX/")]
        if len(members) != 1:
            raise BadZipFile(f"expected one .csv file in it, found {', '.join(archive.namelist()) or 'nothing'}")
        content = scratch / file.stem
        with archive.open(members[0]) as packed, content.open("wb") as unpacked:
            shutil.copyfileobj(packed, unpacked, 1 << 20)
    return content
