"""Show a table to engines that speak Iceberg.

It lies over the data files that the table has.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
from pyarrow import compute as pc

from lake.declare.days import Day, in_order
from lake.declare.destinations import Iceberg
from lake.declare.sink import Sink
from lake.serve.file_facts import FileFacts, file_facts, fingerprint, location_of, root_of
from lake.serve.iceberg_look import CATALOG, NOTHING, shown_in
from lake.serve.local_files import hold
from lake.serve.source import Source
from lake.serve.target import EPOCH, Load, Place, import_for
from lake.storage.retention import Promise, kept_for

if TYPE_CHECKING:  # PyIceberg is imported only where a mirror is opened, because that takes most of a second
    from pyiceberg.catalog import Catalog
    from pyiceberg.manifest import DataFile

    from lake.serve.iceberg_mirror import Difference, Mirror

__all__ = ["FOLDER", "IcebergTarget"]

FOLDER = "iceberg"
"""In the home of the lake: the catalog, and what it says of each table."""
_FIRST_DAY = date(1970, 1, 1)


@dataclass(frozen=True)
class IcebergTarget:
    """The Iceberg table of one sink.

    See `lake.serve.target.Follower`.
    """

    sink: Sink
    place: Place
    anew: bool = False

    @property
    def to(self) -> Iceberg:
        """The declaration."""
        assert isinstance(self.sink.to, Iceberg)
        return self.sink.to

    def due(self, source: Source, allowed: Collection[Day] | None) -> Mapping[Day, str]:
        if (days := self._due_by_look(source, allowed)) is None:
            with self._mirror() as mirror:
                days = self._days(mirror.compare(self._files(source, allowed)))
        return dict.fromkeys(days, "has other files")

    def load(self, source: Source, allowed: Collection[Day] | None) -> Mapping[Day, Load]:
        if not self.anew and self._due_by_look(source, allowed) == []:
            return {}
        with hold(self._folder / self.sink.name, self.place), self._mirror() as mirror:
            if self.anew:
                mirror.forget()
            files = self._files(source, allowed)
            found = mirror.show(source, files)
        if found:
            what = f"{len(found.new)} files added, {len(found.gone)} removed"
            self.place.tell(f"{self.sink.full_name}: {what} in one snapshot")
        rows = dict.fromkeys(self._days(found), 0)
        for file in files:
            if (day := self._day(file)) in rows:
                rows[day] += file.said["num_records"]
        return {day: Load(source.table_id, source.version, source.commit, count, "") for day, count in rows.items()}

    def left_out(self) -> str:
        return ""

    def promise(self, source: Source) -> Promise | None:
        """Keep what is shown, while that is files which the table no longer has."""
        with self._mirror() as mirror:
            shown, found = mirror.shown(), mirror.compare(file_facts(source.log, source.stored))
        if shown is None or not found.gone:
            return None
        return Promise(self.sink.full_name, shown.committed_at if shown.table_id == source.table_id else EPOCH)

    def loads(self) -> Mapping[Day, Load]:
        """Say of each day what readers see: rows of one version of the table."""
        with self._mirror() as mirror:
            shown, files = mirror.shown(), mirror.files()
        found: dict[Day, Load] = {}
        if shown is None:
            return found
        for file in files:
            day = self._day_of(file)
            before = found[day].rows if day in found else 0
            found[day] = Load(shown.table_id, shown.version, "", before + file.record_count, "")
        return found

    def rows(self, days: Collection[Day] | None = None) -> pa.Table:
        """Read what it shows, by PyIceberg, in the columns of the contract."""
        with self._mirror() as mirror:
            table = mirror.table()
            assert table is not None
            read = table.scan().to_arrow()
        schema = self.sink.shown.contract.arrow_schema
        found = pa.table([read[one.name].cast(one.type) for one in schema], names=schema.names)
        if days is None or self.sink.reads.day is None:
            return found
        return found.filter(pc.is_in(found[self.sink.reads.day], pa.array([day for day in days if day], pa.date32())))

    @property
    def _folder(self) -> Path:
        return self.place.home / FOLDER

    def _due_by_look(self, source: Source, allowed: Collection[Day] | None) -> list[Day] | None:
        """Find the days that are due without PyIceberg, None where only that can tell."""
        if self.to.catalog_from is not None:
            return None
        shown = shown_in(self._database, self.to.namespace, self.sink.name)
        if shown == NOTHING:
            return in_order(day for day in source.held if allowed is None or day in allowed)
        files = [one for one in source.files if allowed is None or one.day in allowed]
        root = root_of(source.log)
        wanted = fingerprint(source, (location_of(root, one.path) for one in files))
        return [] if shown == wanted else None

    @contextmanager
    def _mirror(self) -> Iterator[Mirror]:
        mirror: type[Mirror] = import_for(self.sink, "lake.serve.iceberg_mirror:Mirror")
        with self._catalog() as catalog:
            yield mirror(self.sink.full_name, catalog, (self.to.namespace, self.sink.name), kept_for(self.sink.reads))

    @property
    def _database(self) -> Path:
        return self._folder.resolve() / "catalog.db"

    def _catalog(self) -> Catalog:
        from pyiceberg.catalog import load_catalog

        if self.to.catalog_from is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            warehouse = f"file://{self._folder.resolve()}"
            own = {"type": "sql", "uri": f"sqlite:///{self._database}", "warehouse": warehouse}
            return load_catalog(CATALOG, **self.place.iceberg, **own)
        said = self.place.secret(self.sink, self.to.catalog_from)
        properties = json.loads(said) if said.lstrip().startswith("{") else {"type": "rest", "uri": said}
        return load_catalog(CATALOG, **properties)

    def _files(self, source: Source, allowed: Collection[Day] | None) -> list[FileFacts]:
        found = file_facts(source.log, source.stored)
        return [one for one in found if allowed is None or self._day(one) in allowed]

    def _day(self, file: FileFacts) -> Day:
        day: Day = file.partition(self.sink.reads.day) if self.sink.reads.day else None
        return day

    def _days(self, found: Difference) -> list[Day]:
        """The days of which files differ."""
        days = {self._day(one) for one in found.new} | {self._day_of(one) for one in found.gone}
        return in_order(days)

    def _day_of(self, file: DataFile) -> Day:
        if self.sink.reads.day is None:
            return None
        value = file.partition[self.sink.reads.partition_columns.index(self.sink.reads.day)]
        return _FIRST_DAY + timedelta(days=value) if isinstance(value, int) else value
