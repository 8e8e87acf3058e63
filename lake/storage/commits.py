"""The table log, read without a JVM: which days did versions a..b of a table touch?

Delta writes one JSON file a commit. Its `add` and `remove` actions carry the partition values (the days) and, in their
statistics, the number of rows; OPTIMIZE marks its actions `dataChange: false`, VACUUM adds none.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Generic, TypeVar
from urllib.parse import unquote

import pyarrow as pa
from deltalake import DeltaTable, QueryBuilder
from deltalake.exceptions import DeltaError, TableNotFoundError
from deltalake.fs import DeltaStorageHandler
from pyarrow.fs import FileSystem, LocalFileSystem, PyFileSystem, SubTreeFileSystem

from lake.declare.days import Days, parse_day, parse_moment
from lake.errors import BadDay, LogDamaged
from lake.storage.durable import write_whole
from lake.storage.location import is_local
from lake.storage.log_damage import find_damage, read_actions
from lake.storage.touches import FILE as TOUCHES_FILE
from lake.storage.touches import ForeignFile, Touches

__all__ = ["MERGE_MARK", "WRITE_MARK", "Commit", "Log", "Place", "Remembered"]

T = TypeVar("T")
Partition = tuple[tuple[str, str | None], ...]
Place = tuple[int, str]
"""A version and the hash of its commit file: another one where the table was made anew."""


_Mark = tuple[int, int, int, int]
_FEW = 200
"""Reading so many commits costs less than opening the table."""
_RESTORE = b"RESTORE"
WRITE_MARK = "write"
"""Under this name the metadata of every commit of this project hold what tells one write from another."""
MERGE_MARK = "merged_by_key"
"""The same of a commit that writes rows anew which its files held beside those that it replaces."""


@dataclass(frozen=True)
class Commit:
    """One version of a table.

    Attributes:
        version: its number.
        timestamp_ms: when it was committed, milliseconds since 1970 UTC.
        operation: Delta's name for it: WRITE, OPTIMIZE, RESTORE, ...
        metadata: what the writer left in it; empty where it left nothing or something else than a JSON object.
        added: rows added, by partition. Rows of files without statistics count as 0.
        touched: every partition whose rows it changed.
        maxima: the greatest value that its files say they hold, by column; text columns and timestamps only.
    """

    version: int
    timestamp_ms: int
    operation: str
    metadata: Mapping[str, Any]
    added: Mapping[Partition, int] = field(repr=False)
    touched: frozenset[Partition] = field(repr=False)
    maxima: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def committed_at(self) -> datetime:
        """When it was committed, UTC."""
        return datetime.fromtimestamp(self.timestamp_ms / 1000, UTC)

    def newest(self, column: str) -> datetime | None:
        """The newest value of a TIMESTAMP column that it added, to the millisecond; None where statistics lack it."""
        return parse_moment(self.maxima.get(column))

    def moment(self, name: str) -> datetime | None:
        """A point in time that the writer left in the metadata, UTC; None where it left none."""
        return parse_moment(self.metadata.get(name))

    def days(self, column: str) -> set[date]:
        """The values of a DATE partition column whose rows this commit changed."""
        return _days(dict(partition).get(column) for partition in self.touched)

    def rows_by_day(self, column: str) -> dict[date, int]:
        """Rows added, by the values of a DATE partition column."""
        rows: Counter[date] = Counter()
        for partition, count in self.added.items():
            for day in _days([dict(partition).get(column)]):
                rows[day] += count
        return dict(rows)

    @property
    def rows(self) -> int:
        """Rows added in all."""
        return sum(self.added.values())

    def joined(self, earlier: Commit) -> Commit:
        """Return two commits of one micro-batch as one."""
        return replace(self, added={**earlier.added, **self.added}, touched=self.touched | earlier.touched)

    @property
    def is_own(self) -> bool:
        """Tell whether this project made it, because each of its writes leaves a mark."""
        return WRITE_MARK in self.metadata

    @property
    def is_foreign(self) -> bool:
        """Tell whether another program changed rows by it."""
        return bool(self.touched) and not self.is_own


def _days(texts: Iterable[str | None]) -> set[date]:
    found: set[date] = set()
    for text in filter(None, texts):
        try:
            found.add(parse_day(text))
        except BadDay:
            continue  # the partition of rows without a day
    return found


@dataclass(frozen=True)
class _Touches:
    """Which version changed each day, by the commits that this process has read.

    Attributes:
        version: the newest.
        hash: of its commit file.
        touched: by day, the newest version that changed it.
        foreign: the oldest version by which another program changed rows.
        written: what was written down of the versions before those that were read.
    """

    version: int
    hash: str
    touched: Mapping[date, int]
    foreign: int | None
    written: Touches | None


_TOUCHES: dict[tuple[str, str], _Touches] = {}
"""By location and day column."""
_PLACES: dict[str, Place] = {}
_OPENED: dict[str, tuple[Place, DeltaTable]] = {}
"""By location; for who writes."""
_NEWEST: dict[str, tuple[Place, DeltaTable]] = {}
"""By location; for who only reads, because several threads may."""
_ROWS: dict[tuple[str, str], tuple[Place, Mapping[date, int]]] = {}
"""By location and day column."""
_TXNS: dict[tuple[str, str], tuple[Place, int | None]] = {}
"""By location and identity."""


class Remembered(Generic[T]):
    """What this process has read of some logs, each as of a place; read again where the log has moved on."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Place, T]] = {}

    def get(
        self,
        log: Log,
        read: Callable[[Place], T],
        advance: Callable[[T, int, int], T | None] = lambda *_: None,
        start: tuple[Place, T] | None = None,
    ) -> T | None:
        """Give what `read` gives for the newest place of a log.

        None where there is no table.

        Args:
            log: which.
            read: reads it all.
            advance: adds to what is known as of a version what commits up to another say; None where that needs `read`.
            start: what somebody has written down as of a place, for a process that knows nothing.
        """
        known = self._known.get(log.location, start)
        place = log.place(known[0] if known else _PLACES.get(log.location))
        if place is None:
            return None
        if known is None or place != known[0]:
            value = None
            if known is not None and place[0] > known[0][0] and log.fingerprint(known[0][0]) == known[0][1]:
                value = advance(known[1], known[0][0], place[0])
            known = (place, read(place) if value is None else value)
        self._known[log.location] = known
        return known[1]


@dataclass
class _Description:
    """What a table is, until a commit writes its metadata.

    Attributes:
        table_id: what it was named when it was made.
        columns: None where nobody has asked for them yet.
    """

    table_id: str
    columns: pa.Schema | None = None


_DESCRIBED = Remembered[_Description]()


@dataclass(frozen=True)
class Log:
    """The log of one table.

    Attributes:
        location: folder or URL of the table.
        options: storage options, as delta-rs takes them.
    """

    location: str
    options: tuple[tuple[str, str], ...] = ()

    def version(self) -> int | None:
        """The newest version; None where there is no table.

        From where this process has seen the log last, it looks at two files instead of opening it all.
        """
        place = self.place(_PLACES.get(self.location) or self._written_place())
        if place is not None:
            _PLACES[self.location] = place
        return None if place is None else place[0]

    def _written_place(self) -> Place | None:
        """Return the place at which touches were written down; it may be one of a table that was there before."""
        written = self._written()
        return None if written is None else (written.version, written.commit)

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

    def _has(self, version: int) -> bool:
        name = _file_of(version)
        if self.is_local:
            return self._mark(name) is not None
        try:
            self._storage.open_input_file(f"_delta_log/{name}")  # asks how long it is, and reads nothing
        except (FileNotFoundError, TableNotFoundError):
            return False
        return True

    def _load(self) -> DeltaTable | None:
        try:
            return DeltaTable(self.location, storage_options=dict(self.options))
        except TableNotFoundError:
            return None
        except DeltaError as error:
            raise find_damage(self.location, dict(self.options)) or error from error

    def require(self) -> DeltaTable:
        """The newest version of a table that must exist."""
        table = self.open()
        if table is None:
            raise TableNotFoundError(self.location)
        return table

    def _opened_version(self) -> int | None:
        table = self.open()
        return None if table is None else table.version()

    def table_id(self) -> str | None:
        """What the table was named when it was made, as its readers note it; None where there is no table.

        Where touches were written down lately, a new process need not open the table to know.
        """
        described = self._described()
        return None if described is None else described.table_id

    def schema(self) -> pa.Schema:
        """The columns of the newest version; the table must exist."""
        described = self._described()
        if described is None:
            raise TableNotFoundError(self.location)
        if described.columns is None:
            described.columns = pa.schema(self.require().schema())
        return described.columns

    def _described(self) -> _Description | None:
        """The table's id and columns. A process reads them again where a commit wrote them, or it was made anew."""

        def read(_: Place) -> _Description:
            table = self.require()
            return _Description(str(table.metadata().id), pa.schema(table.schema()))

        written = self._written()
        start = ((written.version, written.commit), _Description(written.table_id)) if written else None
        return _DESCRIBED.get(self, read, self._if_described, start)

    def _if_described(self, known: _Description, before: int, newest: int) -> _Description | None:
        """Keep what is known of the table, unless a later commit wrote its metadata, or there are many."""
        contents = (self._content(version) for version in range(before + 1, newest + 1))
        is_same = newest - before <= _FEW and all(content and b'"metaData"' not in content for content in contents)
        return known if is_same else None

    def commit(self, version: int) -> Commit | None:
        """One commit; None where its file does not exist (not yet, or cleaned up)."""
        actions = self.actions(version)
        return None if actions is None else _parse(version, actions)

    def actions(self, version: int) -> list[dict[str, Any]] | None:
        """Read what one commit's file says.

        None where it does not exist (not yet, or cleaned up).
        """
        content = self._content(version)
        return None if content is None else read_actions(self.location, _file_of(version), content)

    def restored(self, after: int, up_to: int) -> int | None:
        """Find the newest commit of a range that restored an earlier version.

        None where none did, or where it was removed.

        Args:
            after: the version before the first that is looked at.
            up_to: the last.
        """
        for version in range(up_to, after, -1):
            content = self._content(version)
            if content and _RESTORE in content and (commit := self.commit(version)) and commit.operation == "RESTORE":
                return version
        return None

    def fingerprint(self, version: int) -> str | None:
        """A hash of one commit's file: another one where the table was made anew; None where there is no file.

        In a local folder a process reads the file again only where it is another one.
        """
        if not self.is_local:
            return self._hash(version)
        mark = self._mark(_file_of(version))
        return None if mark is None else _hash_once(self, version, mark)

    def _hash(self, version: int) -> str | None:
        content = self._content(version)
        return None if content is None else hashlib.sha256(content).hexdigest()[:16]

    def _content(self, version: int) -> bytes | None:
        content = self.read_file(_file_of(version))
        if content is not None and not content.strip():
            raise LogDamaged(self.location, _file_of(version), "it holds no commit")  # delta-rs passes over it
        return content

    def read_file(self, name: str) -> bytes | None:
        """A file of the log; None where there is none.

        A sensor reads a few of each table every few seconds: in a local folder, without a storage layer between.
        """
        try:
            if self.is_local:
                return Path(self.location, "_delta_log", name).read_bytes()
            return bytes(self._storage.open_input_file(f"_delta_log/{name}").read())
        except (FileNotFoundError, TableNotFoundError):
            return None

    def write_file(self, name: str, content: bytes) -> None:
        """Write a file beside the commits; in a local folder it survives a power cut."""
        if self.is_local:
            write_whole(Path(self.location, "_delta_log", name), content)
            return
        with PyFileSystem(self._storage).open_output_stream(f"_delta_log/{name}", buffer_size=65536) as file:
            file.write(content)

    def open_file(self, path: str) -> pa.NativeFile:
        """Open a file of the table, relative to it."""
        return self.files.open_input_file(path)

    @property
    def is_local(self) -> bool:
        """Whether the table lies in a folder of this machine."""
        return is_local(self.location)

    @property
    def files(self) -> FileSystem:
        """The folder of the table, to read and to write its files."""
        if self.is_local:
            return SubTreeFileSystem(self.location, LocalFileSystem())
        return PyFileSystem(self._storage)

    @property
    def _storage(self) -> DeltaStorageHandler:
        return DeltaStorageHandler(self.location, dict(self.options) or None)

    def since(self, version: int, newest: int | None = None) -> list[Commit] | None:
        """The commits after `version` up to the newest, oldest first; None where the log no longer reaches back."""
        last = self.version() if newest is None else newest
        commits = [self.commit(number) for number in range(version + 1, (-1 if last is None else last) + 1)]
        return None if any(commit is None for commit in commits) else [c for c in commits if c is not None]

    def added_since(self, version: int, newest: int) -> list[str] | None:
        """Return the files that later commits added, relative to the table.

        None where a commit is gone, removed rows or changed what is said of the table. Commits that only join files say
        nothing new.
        """
        found: list[str] = []
        for number in range(version + 1, newest + 1):
            content = self._content(number)
            actions = [] if content is None else read_actions(self.location, _file_of(number), content)
            removed = [action["remove"] for action in actions if "remove" in action]
            is_other = any("metaData" in action for action in actions)
            if content is None or is_other or any(one.get("dataChange", True) for one in removed):
                return None
            added = [action["add"] for action in actions if "add" in action]
            found += [unquote(add["path"]) for add in added if add.get("dataChange", True)]
        return found

    def newest_txn(self, app_id: str) -> int | None:
        """The newest step that was committed under this identity; None where none was, as far back as the log reaches.

        It reaches back further than the longest outage, or else its readers are lost anyway.
        """
        known = _TXNS.get((self.location, app_id))
        place = self.place(known[0] if known else _PLACES.get(self.location))
        if place is None:
            return None
        if known is not None and self.fingerprint(known[0][0]) == known[0][1]:
            found = self._find_txn(app_id, place[0], known[0][0])
            found = known[1] if found is None else found
        else:
            found = self._find_txn(app_id, place[0], -1)
        _TXNS[self.location, app_id] = (place, found)
        return found

    def _find_txn(self, app_id: str, newest: int, before: int) -> int | None:
        """The newest step under this identity among the commits after `before`, newest first."""
        for number in range(newest, before, -1):
            commit = self.commit(number)
            if commit is None:
                return None
            found = commit.metadata.get("txn")
            if isinstance(found, list) and found[:1] == [app_id]:
                return int(found[1])
        return None

    def newest_touch(self, column: str) -> Mapping[date, int]:
        """For each day, the newest version that changed its rows, as far back as the log reaches.

        The same object as long as that is the same.

        `lake.storage.touches` tells of commits that were removed. Without it each day that holds rows gets the newest
        version that was removed, because it cannot have changed later. A process reads each commit once: it remembers
        what it has read, and the hash of the newest commit's file, by which it notices a table that was made anew.
        """
        return self._touches(column).touched

    def first_foreign(self, column: str) -> tuple[int, Mapping[str, ForeignFile]] | None:
        """Find from which version on to look for foreign rows.

        It comes with the files that hold any as of it, by path. None where the log, as far back as it reaches, has
        none.
        """
        known = self._touches(column)
        if known.written is not None and (known.foreign is not None or known.written.foreign):
            return known.written.version, known.written.foreign
        return None if known.foreign is None else (known.foreign - 1, {})

    def _touches(self, column: str) -> _Touches:
        known = _TOUCHES.get((self.location, column))
        if known is None or self.fingerprint(known.version) != known.hash:
            known = self._read_touches(column)
        version, touched, foreign = known.version, known.touched, known.foreign
        while (commit := self.commit(version + 1)) is not None:
            version += 1
            if days := commit.days(column):
                touched = {**touched, **dict.fromkeys(days, version)}
            if foreign is None and commit.is_foreign:
                foreign = version
        found = self.fingerprint(version)
        known = _Touches(version, found or "", touched, foreign, known.written)
        if found is not None:
            _TOUCHES[self.location, column] = known
        return known

    def _read_touches(self, column: str) -> _Touches:
        """Read a log from its newest version back."""
        newest, written = self.version(), self.written_touches()
        first = -1 if newest is None else newest
        touched: dict[date, int] = {}
        foreign: int | None = None
        for number in range(first, -1, -1):
            if written is not None and number == written.version and column in written.days:
                return _Touches(first, "", {**written.days[column], **touched}, foreign, written)
            commit = self.commit(number)
            if commit is None:
                touched = dict.fromkeys(self.days(column), number) | touched
                break
            for day in commit.days(column):
                touched.setdefault(day, number)
            if commit.is_foreign:
                foreign = number
        return _Touches(first, "", touched, foreign, None)

    def written_touches(self) -> Touches | None:
        """What was written down before commits were removed; None where that is of another table, or torn."""
        found = self._written()
        newest = self.version() if found else None
        if found is None or newest is None or found.version > newest or found.table_id != self.table_id():
            return None
        return found if self.fingerprint(found.version) in (None, found.commit) else None

    def _written(self) -> Touches | None:
        if not self.is_local:
            return Touches.from_json(self.read_file(TOUCHES_FILE))
        mark = self._mark(TOUCHES_FILE)
        return None if mark is None else _read_written(self, mark)

    def _mark(self, name: str) -> _Mark | None:
        """Return what is another one where a file of a local log is; None where there is none."""
        try:
            stat = Path(self.location, "_delta_log", name).stat()
        except FileNotFoundError:
            return None
        return stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns

    def write_touches(self, columns: Iterable[str], foreign: Mapping[str, ForeignFile] | None = None) -> None:
        """Write down what the commits say, because they may be removed then.

        Nobody else may commit meanwhile.

        Args:
            columns: the day columns.
            foreign: files with rows of another program, by path.
        """
        version, table_id = self.version(), self.table_id()
        if version is None or table_id is None:
            return
        days = {column: self.newest_touch(column) for column in columns}
        commit = self.fingerprint(version) or ""
        written = Touches(table_id, version, commit, self.newest_change(), days, foreign or {})
        self.write_file(TOUCHES_FILE, written.to_json())

    def place(self, before: Place | None) -> Place | None:
        """The newest version and the hash of its commit file; None where there is no table.

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

    def newest_change(self) -> int | None:
        """The newest version that changed any row; None where there is none, or no table."""
        last, written = self.version(), self.written_touches()
        for number in range(-1 if last is None else last, -1, -1):
            if written is not None and number == written.version:
                return written.changed
            commit = self.commit(number)
            if commit is None or commit.touched:
                return number
        return None

    def rows_by_day(self, column: str) -> dict[date, int]:
        """Count the rows of the newest version by day, from file statistics.

        A process counts each version once.
        """
        if (place := self.place(_PLACES.get(self.location))) is None:
            return {}
        known = _ROWS.get((self.location, column))
        if known is None or known[0] != place:
            rows: Counter[date] = Counter()
            for _, day, count in self._files(column):
                rows[day] += count
            known = _ROWS[self.location, column] = (place, rows)
        return dict(known[1])

    def days(self, column: str) -> set[date]:
        """The days that the newest version holds files for."""
        return {day for _, day, _ in self._files(column)}

    def opened(self) -> DeltaTable | None:
        """The table's newest version, for who holds its lock; None where there is no table.

        A process opens it once and then reads what is new.
        """
        known = _OPENED.get(self.location)
        table: DeltaTable | None
        if known is not None and self.fingerprint(known[0][0]) == known[0][1]:
            table = self._updated(known[1])
        else:
            table = self._load()
        if table is None:
            return None
        _OPENED[self.location] = ((table.version(), self.fingerprint(table.version()) or ""), table)
        return table

    def _updated(self, table: DeltaTable) -> DeltaTable:
        try:
            table.update_incremental()
        except DeltaError as error:
            raise find_damage(self.location, dict(self.options)) or error from error
        return table

    def files_by_day(
        self, column: str, days: Iterable[Days], opened: DeltaTable | None = None
    ) -> dict[date, dict[str, int]]:
        """The files of these days that the newest version holds, relative to the table, and their rows.

        Args:
            column: the day.
            days: which.
            opened: look them up there instead of opening the table.
        """
        within, found = list(days), dict[date, dict[str, int]]()
        for path, day, count in self._files(column, opened):
            if any(day in part for part in within):
                found.setdefault(day, {})[path] = count
        return found

    def rows(self) -> int:
        """Rows that the newest version holds, from file statistics."""
        table = self.open()
        return 0 if table is None else int(table.count())

    def has_rows(self) -> bool:
        """Whether the newest version holds any file."""
        table = self.open()
        return table is not None and bool(table.file_uris())

    def partitions(self, column: str) -> list[tuple[date | None, ...]]:
        """List the partition of each file that the newest version holds, its value of `column` first."""
        table = self.open()
        actions = None if table is None else pa.table(table.get_add_actions(flatten=True))
        first = f"partition.{column}"
        if actions is None or first not in actions.column_names:
            return []
        others = [name for name in actions.column_names if name.startswith("partition.") and name != first]
        return [tuple(row.values()) for row in actions.select([first, *others]).to_pylist()]

    def gone_files(self, column: str | None) -> dict[date | None, list[str]]:
        """The files that the newest version names and nobody finds, by day; None where they have none."""
        table, found = self.open(), dict[date | None, list[str]]()
        days = {path: day for path, day, _ in self._files(column, table)} if column else {}
        for path in table.repair(dry_run=True)["files_removed"] if table is not None else []:
            found.setdefault(days.get(path), []).append(path)
        return found

    def forget_gone_files(self) -> bool:
        """Commit that files which are gone are no longer part of the table; returns whether any were."""
        table = self.open()
        return table is not None and bool(table.repair()["files_removed"])

    def query(self, sql: str) -> list[dict[str, Any]]:
        """Ask SQL of the rows that the newest version holds, there called `stored`; none where there is no table."""
        table = self.open()
        if table is None:
            return []
        found = QueryBuilder().register("stored", table).execute(sql).read_all()
        return list(pa.table(found).to_pylist())

    def _files(self, column: str, opened: DeltaTable | None = None) -> list[tuple[str, date, int]]:
        """Path, day and number of rows of each file."""
        table = opened or self.open()
        if table is None:
            return []
        actions = table.get_add_actions(flatten=True)
        if f"partition.{column}" not in actions.schema.names:
            return []
        columns = (actions.column(name).to_pylist() for name in ("path", f"partition.{column}", "num_records"))
        found = zip(*columns, strict=True)
        return [(path, day, count or 0) for path, day, count in found if day is not None]


@lru_cache(maxsize=4096)
def _hash_once(log: Log, version: int, _mark: _Mark) -> str | None:
    """Hash a commit's file; its mark is another one where the file is."""
    return log._hash(version)


@lru_cache(maxsize=256)
def _read_written(log: Log, _mark: _Mark) -> Touches | None:
    return Touches.from_json(log.read_file(TOUCHES_FILE))


def _file_of(version: int) -> str:
    return f"{version:020d}.json"


def _parse(version: int, actions: Sequence[Mapping[str, Any]]) -> Commit:
    info: dict[str, Any] = next((action["commitInfo"] for action in actions if "commitInfo" in action), {})
    added: Counter[Partition] = Counter()
    touched: set[Partition] = set()
    maxima: dict[str, str] = {}
    for action in actions:
        change = action.get("add") or action.get("remove")
        if not change or not change.get("dataChange", True):
            continue
        partition = tuple(sorted((change.get("partitionValues") or {}).items()))
        touched.add(partition)
        if "add" in action:
            stats = json.loads(change.get("stats") or "{}")
            added[partition] += stats.get("numRecords", 0)
            texts = {name: text for name, text in (stats.get("maxValues") or {}).items() if isinstance(text, str)}
            maxima |= {name: max(text, maxima.get(name, "")) for name, text in texts.items()}
    return Commit(
        version=version,
        timestamp_ms=int(info.get("timestamp", 0)),
        operation=str(info.get("operation", "")),
        metadata=_json_object(info.get("userMetadata")),
        added=dict(added),
        touched=frozenset(touched),
        maxima=maxima,
    )


def _json_object(text: Any) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (TypeError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
