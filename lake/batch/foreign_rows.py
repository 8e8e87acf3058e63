"""Rows that nobody computed: another program wrote them. Needs no JVM.

Each commit of this project carries the mark of its write, so the files that others added are known, and so is where
their rows went: whoever joins small files, or deletes some rows, writes the rest of them anew. They stay a finding
until they are gone, whoever writes to their day afterwards, unless batch has computed the day since.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from lake.declare.days import Day, parse_day
from lake.declare.table import Table
from lake.declare.words import counted
from lake.errors import BadDay
from lake.ownership.ledger import Entry
from lake.storage.commits import MERGE_MARK, WRITE_MARK
from lake.storage.log import Log, Place, Remembered
from lake.storage.touches import ForeignFile

__all__ = ["foreign_days", "foreign_files", "how_to_mend"]


_REWRITES = {"DELETE", "OPTIMIZE"}
"""Operations that write rows anew and make none, by whomever. A merge of this project adds none but its own."""


def foreign_days(
    table: Table,
    log: Log,
    entries: Mapping[Day, Entry],
    is_early: Callable[[date], bool],
    is_due: Callable[[date], bool] = lambda _: False,
) -> dict[Day, str]:
    """Find the days that hold rows of another program.

    Each comes with what is wrong; None stands for rows whose day no calendar has. A computed day that was written to
    later is stale, by its version, and not told here unless streams own it.

    Args:
        table: which.
        log: of it.
        entries: the newest ledger entry of each day.
        is_early: whether streams own a day.
        is_due: whether a day is to be computed anyway, which replaces its rows, unless it is of bronze.
    """
    by_day = _by_day(log, table.day) if table.day else {}
    found: dict[Day, str] = {}
    for day, files in sorted(by_day.items(), key=lambda item: str(item[0] or "")):
        version, entry, rows = max(file.version for file in files), entries.get(day), _sum(files)
        if entry is None:
            is_known = not table.write.keeps_everything and day is not None and is_due(day)
        elif entry.version >= version:
            rows = _beyond(table, log, day, entry, rows)
            is_known = not rows
        else:
            is_known = day is None or not is_early(day)
        if not is_known and rows != 0:
            found[day] = f"{_count(rows)} that nobody computed: another program wrote version {version}"
    return found


def how_to_mend(table: Table, day: Day, *, is_in_calendar: bool, is_early: bool) -> str:
    """Say what to do about rows of another program.

    `{days}` in it stands for the days.
    """
    if table.write.keeps_everything:
        return "put the files that they came from into landing/, or delete the rows"
    if day is None:
        return "delete the rows"
    if not is_in_calendar:
        return "delete the rows, or let LAKEHOUSE_FIRST_DAY and LAKEHOUSE_LAST_DAY name a calendar that has {days}"
    if is_early:
        return "delete the rows, or wait: streams own {days}, and batch replaces it once it is sealed"
    return f"lakehouse refresh {table.full_name} --days {{days}} replaces them by what its inputs hold"


def _beyond(table: Table, log: Log, day: Day, entry: Entry, rows: int | None) -> int:
    """Count the rows of a day of bronze that no refresh booked."""
    if not table.write.keeps_everything or table.day is None or day is None:
        return 0
    more = max(log.rows_by_day(table.day).get(day, 0) - entry.rows_out, 0)
    return more if rows is None else min(rows, more)


def _by_day(log: Log, column: str) -> dict[Day, list[ForeignFile]]:
    found: dict[Day, list[ForeignFile]] = {}
    for file in foreign_files(log, column).values():
        found.setdefault(_day_of(file, column), []).append(file)
    return found


def _day_of(file: ForeignFile, column: str) -> Day:
    try:
        return parse_day(file.partition.get(column) or "")
    except BadDay:
        return None


def _count(rows: int | None) -> str:
    return "rows" if rows is None else counted(rows, "row")


def _sum(files: Iterable[ForeignFile]) -> int | None:
    """Add up the rows of some files, unless one does not say how many."""
    total = 0
    for file in files:
        if file.rows is None:
            return None
        total += file.rows
    return total


@dataclass(frozen=True)
class _Files:
    """The files with rows of other programs, by path.

    Attributes:
        held: those of a version.
        ever: all that there were up to it, because RESTORE takes them back.
    """

    held: Mapping[str, ForeignFile] = field(default_factory=dict)
    ever: Mapping[str, ForeignFile] = field(default_factory=dict)


_READ = Remembered[_Files]()


def foreign_files(log: Log, column: str) -> Mapping[str, ForeignFile]:
    """Find the files with rows that other programs wrote.

    They come by path, as the log names it. Of commits that maintenance has removed, it knows what was written down
    before.
    """
    first = log.first_foreign(column)
    if first is None:
        return {}
    after, known = first

    def read(place: Place) -> _Files:
        return _follow(log, _Files(known, known), after, place[0])

    found = _READ.get(log, read, lambda files, before, newest: _follow(log, files, before, newest))
    return {} if found is None else found.held


def _follow(log: Log, files: _Files, after: int, newest: int) -> _Files:
    for version in range(after + 1, newest + 1):
        files = _after(files, version, log.actions(version) or [])
    return files


def _after(files: _Files, version: int, actions: Sequence[Mapping[str, Any]]) -> _Files:
    """Find the files with rows of others after one more commit."""
    info: Mapping[str, Any] = next((one["commitInfo"] for one in actions if "commitInfo" in one), {})
    operation, said = str(info.get("operation", "")), str(info.get("userMetadata") or "")
    is_own = WRITE_MARK in said
    is_merge = is_own and (MERGE_MARK in said or operation == "MERGE")  # as older releases merged
    gone = {one["remove"]["path"] for one in actions if "remove" in one}
    moved = _Moved([files.held[path] for path in gone if path in files.held], _deleted(info))
    added: dict[str, ForeignFile] = {}
    for add in (one["add"] for one in actions if "add" in one):
        path, partition, rows = add["path"], add.get("partitionValues") or {}, _rows_of(add)
        if operation == "RESTORE":
            foreign = files.ever.get(path)
        elif not add.get("dataChange", True) or operation in _REWRITES or is_merge:
            foreign = moved.take(partition, rows)
        else:
            foreign = None if is_own else ForeignFile(partition, rows, version)
        if foreign is not None:
            added[path] = foreign
    if not gone and not added:
        return files
    held = {path: file for path, file in files.held.items() if path not in gone} | added
    return _Files(held, {**files.ever, **added})


class _Moved:
    """Rows of other programs in files that a commit removes.

    It may write them anew, beside rows of this project.
    """

    def __init__(self, files: Iterable[ForeignFile], deleted: int) -> None:
        """Say what it removes.

        Args:
            files: that it removes.
            deleted: how many rows it deletes; taken to be those of others, because people are told to delete these.
        """
        self._left: list[ForeignFile] = []
        for file in files:
            same = [one for one in self._left if one.partition == file.partition]
            self._left = [one for one in self._left if one.partition != file.partition]
            both = [*same, file]
            self._left.append(ForeignFile(file.partition, _sum(both), max(one.version for one in both)))
        self._left = [f._replace(rows=f.rows and max(f.rows - deleted, 0)) for f in self._left]

    def take(self, partition: Mapping[str, str | None], rows: int | None) -> ForeignFile | None:
        """Take as many of them as a new file of their partition can hold."""
        for place, file in enumerate(self._left):
            if file.partition != partition or file.rows == 0:
                continue
            if file.rows is None or rows is None:
                return file
            taken = min(rows, file.rows)
            self._left[place] = file._replace(rows=file.rows - taken)
            return file._replace(rows=taken)
        return None


def _deleted(info: Mapping[str, Any]) -> int:
    """Read from the metrics of a commit how many rows it deletes."""
    said = info.get("operationMetrics") or {}
    return int(said.get("numDeletedRows") or said.get("num_deleted_rows") or 0)


def _rows_of(add: Mapping[str, Any]) -> int | None:
    rows = json.loads(add.get("stats") or "{}").get("numRecords")
    return None if rows is None else int(rows)
