"""Write Parquet files in folders by day, for readers that know nothing else.

A day is one file. Its successor is written beside and takes its place in one step, so a reader that lists the folder
sees each day once. What it was loaded from stands in the file's own footer. A day that has become empty keeps a file
without rows, because a reader may have listed it.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import compute as pc

from lake.declare.days import Day, parse_day
from lake.declare.destinations import ParquetFolders
from lake.declare.sink import Sink
from lake.engine.failpoints import failpoint
from lake.errors import BadDay, DestinationDiffers, DestinationDrift
from lake.serve.arrow_schema import grown_columns, names_and_types
from lake.serve.columns import lacking_columns
from lake.serve.local_files import hold
from lake.serve.source import Source
from lake.serve.sums import Sum, sums_of
from lake.serve.target import Load, Place, describe_differences, load_of
from lake.storage.durable import flush_files, flush_folders

__all__ = ["ParquetTarget"]

_NOTE = b"lakehouse.load"
_FILE = "data.parquet"


@dataclass(frozen=True)
class ParquetTarget:
    """The folder of one sink.

    See `lake.serve.target.Target`.
    """

    sink: Sink
    place: Place
    anew: bool = False

    @property
    def folder(self) -> Path:
        """The path of the folder."""
        assert isinstance(self.sink.to, ParquetFolders)
        return self.place.home / self.sink.to.folder / self.sink.name

    def _file(self, day: Day) -> Path:
        return self.folder / _FILE if day is None else self.folder / f"{self.sink.reads.day}={day}" / _FILE

    def loads(self) -> Mapping[Day, Load]:
        """Read from the files what they hold.

        One whose columns are not those of now is no load.
        """
        if self.anew:
            return {}
        found: dict[Day, Load] = {}
        for day, file in self._files().items():
            schema = pq.read_schema(file)
            note = json.loads((schema.metadata or {}).get(_NOTE, b"{}"))
            if note and schema.remove_metadata().equals(self._schema(day)):
                found |= {_day(text): Load(**load) for text, load in note.items()}
        return found

    def rows(self, days: Collection[Day] | None = None) -> pa.Table:
        schema = names_and_types(self.sink.shown.contract.arrow_schema)
        files = {day: file for day, file in self._files().items() if days is None or day is None or day in days}
        return pa.concat_tables([schema.empty_table(), *(self._read(file, day, schema) for day, file in files.items())])

    def replace(self, source: Source, days: Sequence[Day], *, whole: bool) -> Mapping[Day, Load]:
        with hold(self.folder, self.place):
            if self.anew and self.folder.exists():
                shutil.rmtree(self.folder)
            self._refuse_other_columns(whole=whole)
            if whole:
                return self._write({None: days}, source, source.rows(days))
            loaded: dict[Day, Load] = {}
            for batch, rows in source.batches(days):
                loaded |= self._write({day: [day] for day in batch}, source, rows)
                self.place.tell(f"{self.sink.full_name}: {len(loaded)} of {len(days)} days")
            return loaded

    def _write(self, files: Mapping[Day, Sequence[Day]], source: Source, rows: pa.Table) -> dict[Day, Load]:
        """Write files aside, read them back, and let each take its place.

        Readers see those that were there before until then.

        Args:
            files: the days of each file, which is of one of them, or of none in particular.
            source: where the rows are from.
            rows: of all these days.
        """
        sums = sums_of(rows, source.table)
        days = [day for within in files.values() for day in within]
        loaded = {day: load_of(source, *sums.get(day, Sum(0, 0))) for day in days}
        aside = self.folder / ".new"
        shutil.rmtree(aside, ignore_errors=True)  # of a process that was killed
        aside.mkdir(parents=True)
        written = {day: aside / f"{day}.tmp" for day in files}
        for day, file in written.items():
            own = rows if day is None else rows.filter(_is_of(rows, source, day))
            self._write_file(file, day, own, {one: loaded[one] for one in files[day]})
        failpoint("after_load", self.sink.full_name)
        self._refuse_other(written, source, sums)
        flush_files(written.values())
        failpoint("before_swap", self.sink.full_name)
        for day, file in written.items():
            self._file(day).parent.mkdir(parents=True, exist_ok=True)
            file.replace(self._file(day))
            failpoint("after_swap", self.sink.full_name)
        flush_folders([self.folder, *(self._file(day).parent for day in written)])
        return loaded

    def _write_file(self, file: Path, day: Day, rows: pa.Table, loaded: Mapping[Day, Load]) -> None:
        note = json.dumps({str(one or ""): load.as_dict() for one, load in loaded.items()})
        schema = self._schema(day)
        content = rows.select(schema.names).cast(schema).replace_schema_metadata({_NOTE: note})
        pq.write_table(content, file, compression="zstd")

    def _refuse_other(self, written: Mapping[Day, Path], source: Source, sums: Mapping[Day, Sum]) -> None:
        schema = names_and_types(source.schema)
        held = pa.concat_tables(self._read(file, day, schema) for day, file in written.items())
        if differing := describe_differences(sums, sums_of(held, source.table)):
            raise DestinationDiffers(self.sink.full_name, differing)

    def _schema(self, day: Day) -> pa.Schema:
        """Return the columns of a file.

        The column of the day is not among them, because its folder says it.
        """
        stored = self.sink.shown.contract.stored
        schema = self.sink.shown.contract.arrow_schema
        fields = [pa.field(c.name, schema.field(c.name).type, c.nullable) for c in stored]
        return pa.schema([one for one in fields if day is None or one.name != self.sink.reads.day])

    def _files(self) -> dict[Day, Path]:
        """Return the file of each day, under None one that holds all."""
        found: dict[Day, Path] = {None: self._file(None)} if self._file(None).exists() else {}
        for file in sorted(self.folder.glob(f"{self.sink.reads.day}=*/{_FILE}")):
            try:
                found[parse_day(file.parent.name.partition("=")[2])] = file
            except BadDay:
                continue  # not ours
        return found

    def _read(self, file: Path, day: Day, schema: pa.Schema) -> pa.Table:
        rows = pq.ParquetFile(file).read()
        if day is not None:
            rows = rows.append_column(str(self.sink.reads.day), pa.array([day] * rows.num_rows, pa.date32()))
        columns = [
            rows[one.name] if one.name in rows.column_names else pa.nulls(rows.num_rows, one.type) for one in schema
        ]
        return pa.table(columns, schema=schema)

    def _refuse_other_columns(self, *, whole: bool) -> None:
        """Refuse files that no reader could read together with those that are written now.

        Raises:
            DestinationDrift: columns, or the layout of the folder, are others.
        """
        for day, file in self._files().items():
            if (day is None) != whole:
                layout = "one file" if day is None else "a folder for each day"
                raise DestinationDrift(self.sink.full_name, [f"{self.folder} holds {layout}"])
            schemas = pq.read_schema(file), self._schema(day)
            stored, wanted = ({f.name: str(f.type) for f in s} for s in schemas)
            lacking_columns(self.sink, stored, wanted, f"{file}: ", grown_columns(*schemas))


def _is_of(rows: pa.Table, source: Source, day: Day) -> pa.ChunkedArray:
    return pc.equal(rows[source.table.day], pa.scalar(day, pa.date32()))


def _day(text: str) -> Day:
    return parse_day(text) if text else None
