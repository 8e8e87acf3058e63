"""Read the newest version, the name and the columns of a table.

A process remembers what it has read as of a place in the log, and looks at a few files to see whether that still holds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Generic, TypeVar

import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError

from lake.storage.kept_facts import Place, facts_of
from lake.storage.log_damage import find_damage
from lake.storage.log_files import LogFiles, Mark
from lake.storage.touches import FILE as TOUCHES_FILE
from lake.storage.touches import Touches

__all__ = ["FEW", "PLACES", "LogVersions", "Place", "Remembered"]

T = TypeVar("T")
FEW = 200
"""Reading so many commits costs less than opening the table."""
PLACES: dict[str, Place] = {}
"""By location: where this process has seen the log last."""
_OPENED: dict[str, tuple[Place, DeltaTable]] = {}
"""By location; for who writes."""
_NEWEST: dict[str, tuple[Place, DeltaTable]] = {}
"""By location; for who only reads, because several threads may."""


class Remembered(Generic[T]):
    """The values that this process has read of logs, each as of a place.

    A value is read again where the log has moved on.
    """

    def __init__(self) -> None:
        self._known: dict[str, tuple[Place, T]] = {}

    def get(
        self,
        log: LogVersions,
        read: Callable[[Place], T],
        advance: Callable[[T, int, int], T | None] = lambda *_: None,
        start: tuple[Place, T] | None = None,
    ) -> T | None:
        """Give the value of a log's newest place.

        Arguments as for `placed`. None where there is no table.
        """
        found = self.placed(log, read, advance, start)
        return None if found is None else found[1]

    def placed(
        self,
        log: LogVersions,
        read: Callable[[Place], T],
        advance: Callable[[T, int, int], T | None] = lambda *_: None,
        start: tuple[Place, T] | None = None,
    ) -> tuple[Place, T] | None:
        """Give a log's newest place, and the value of it.

        None where there is no table.

        Args:
            log: which.
            read: reads it all.
            advance: adds to what is known as of a version what commits up to another say; None where that needs `read`.
            start: what somebody has written down as of a place, for a process that knows nothing.
        """
        known = self._known.get(log.location, start)
        place = log.place(known[0] if known else PLACES.get(log.location))
        if place is None:
            return None
        if known is None or place != known[0]:
            value = None
            if known is not None and place[0] > known[0][0] and log.fingerprint(known[0][0]) == known[0][1]:
                value = advance(known[1], known[0][0], place[0])
            try:
                known = (place, read(place) if value is None else value)
            except DeltaError:
                if log.fingerprint(place[0]) == place[1]:
                    raise
                return self.placed(log, read, advance)  # maintenance has removed that place meanwhile
        self._known[log.location] = known
        return known

    def __contains__(self, log: LogVersions) -> bool:
        """Tell whether the process knows anything of a log."""
        return log.location in self._known


@dataclass
class _Description:
    """The id and columns of a table, until a commit writes its metadata.

    Attributes:
        table_id: what it was named when it was made.
        columns: None where nobody has asked for them yet.
    """

    table_id: str
    columns: pa.Schema | None = None


_DESCRIBED = Remembered[_Description]()


@dataclass(frozen=True)
class LogVersions(LogFiles):
    """The log of one table, and its newest version."""

    def version(self) -> int | None:
        """Return the newest version, None where there is no table.

        From where this process has seen the log last, it looks at two files instead of opening it all.
        """
        facts = facts_of(self.location)
        place = self.place(PLACES.get(self.location) or (facts and facts.place) or self._written_place())
        if place is not None:
            PLACES[self.location] = place
            if facts is not None:
                facts.note(place)
        return None if place is None else place[0]

    def _written_place(self) -> Place | None:
        """Return the place at which touches were written down.

        It may be one of a table that was there before.
        """
        written = self._written()
        return None if written is None else (written.version, written.commit)

    def _written(self) -> Touches | None:
        if not self.is_local:
            return Touches.from_json(self.read_file(TOUCHES_FILE))
        mark = self._mark(TOUCHES_FILE)
        return None if mark is None else _read_written(self, mark)

    def place(self, before: Place | None) -> Place | None:
        """Return the newest version and the hash of its commit file.

        None where there is no table.

        Args:
            before: what this returned before, if known: from there it takes a look at a few files, and otherwise the
                whole log has to be opened.
        """
        if before is None or self.fingerprint(before[0]) != before[1]:
            version = self._opened_version()
        else:
            version = before[0]
            while self.fingerprint(version + 1) is not None:
                version += 1
        found = None if version is None else self.fingerprint(version)
        return None if version is None or found is None else (version, found)

    def open(self) -> DeltaTable | None:
        """Open the newest version to read from it.

        None where there is no table. A process opens each version once.

        Raises:
            LogDamaged: a file of the log cannot be read; it names the file.
        """
        known = _NEWEST.get(self.location)
        if known is not None and self.fingerprint(known[0][0]) == known[0][1] and not self._has(known[0][0] + 1):
            return known[1]
        table = self._load()
        if table is not None and (content := self.fingerprint(table.version())) is not None:
            _NEWEST[self.location] = ((table.version(), content), table)
        return table

    def _load(self) -> DeltaTable | None:
        try:
            return self._read_log(self._of_version)
        except TableNotFoundError:
            return None
        except DeltaError as error:
            raise find_damage(self.location, dict(self.options)) or error from error

    def _of_version(self, version: int | None = None) -> DeltaTable:
        return DeltaTable(self.location, version=version, storage_options=dict(self.options))

    def at(self, version: int) -> DeltaTable:
        """Open a version, which must exist.

        Only the newest is kept, and is not opened again.
        """
        newest = None if self._has(version + 1) else self.open()
        if newest is not None and newest.version() == version:
            return newest
        return self._read_log(lambda: self._of_version(version))

    def at_version(self, version: int) -> DeltaTable | None:
        """Open a version to read from it.

        None where it cannot be opened, as where its commits were removed.
        """
        newest = self.open()
        if newest is None or newest.version() == version:
            return newest
        try:
            return self.at(version)
        except DeltaError:
            return None

    def require(self) -> DeltaTable:
        """Return the newest version of a table that must exist."""
        table = self.open()
        if table is None:
            raise TableNotFoundError(self.location)
        return table

    def _opened_version(self) -> int | None:
        table = self.open()
        return None if table is None else table.version()

    def opened(self) -> DeltaTable | None:
        """Return the table's newest version to the holder of its lock.

        None where there is no table. A process opens it once and then reads what is new.
        """
        known = _OPENED.get(self.location)
        table: DeltaTable | None
        if known is not None and self.fingerprint(known[0][0]) == known[0][1]:
            if not self._has(known[0][0] + 1) and known[1].version() == known[0][0]:
                return known[1]
            table = self._updated(known[1])
        else:
            table = self._load()
        if table is None:
            return None
        _OPENED[self.location] = ((table.version(), self.fingerprint(table.version()) or ""), table)
        return table

    def _updated(self, table: DeltaTable) -> DeltaTable:
        try:
            self._read_log(table.update_incremental)
        except DeltaError as error:
            raise find_damage(self.location, dict(self.options)) or error from error
        return table

    def table_id(self) -> str | None:
        """Return the id that the table got when it was made.

        Its readers note it. None where there is no table. Where touches were written down lately, a new process need
        not open the table to know.
        """
        described = self._described()
        return None if described is None else described.table_id

    def schema(self) -> pa.Schema:
        """Return the columns of the newest version of a table that exists."""
        described = self._described()
        if described is None:
            raise TableNotFoundError(self.location)
        if described.columns is None:
            described.columns = pa.schema(self.require().schema())
        return described.columns

    def _described(self) -> _Description | None:
        """Return the table's id and columns.

        A process reads them again where a commit wrote them, or the table was made anew.
        """
        facts, written = facts_of(self.location), self._written()

        def read(place: Place) -> _Description:
            table = self.require()
            found = _Description(str(table.metadata().id), pa.schema(table.schema()))
            if facts is not None:
                facts.note(place, found.table_id)
            return found

        start = ((written.version, written.commit), _Description(written.table_id)) if written else None
        if facts is not None and facts.place is not None and facts.table_id is not None:
            start = facts.place, _Description(facts.table_id)
        return _DESCRIBED.get(self, read, self._if_described, start)

    def _if_described(self, known: _Description, before: int, newest: int) -> _Description | None:
        """Return what is known of the table while it still holds.

        It does not where a later commit wrote the metadata, or there are many.
        """
        contents = (self._content(version) for version in range(before + 1, newest + 1))
        is_same = newest - before <= FEW and all(content and b'"metaData"' not in content for content in contents)
        return known if is_same else None


@lru_cache(maxsize=256)
def _read_written(log: LogFiles, _mark: Mark) -> Touches | None:
    return Touches.from_json(log.read_file(TOUCHES_FILE))
