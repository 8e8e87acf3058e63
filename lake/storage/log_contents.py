"""Read from the log what the newest version of a table holds.

That is its files, days and rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable, QueryBuilder

from lake.declare.days import Day, Days
from lake.storage.held_rows import Held
from lake.storage.kept_facts import facts_of
from lake.storage.log_versions import FEW, PLACES, LogVersions, Place, Remembered

__all__ = ["LogContents"]

_HELD: dict[str | None, Remembered[Held]] = {}
"""By day column."""


@dataclass(frozen=True)
class LogContents(LogVersions):
    """Say what the newest version of a table holds."""

    def rows(self) -> int:
        """Count the rows of the newest version, from file statistics."""
        table = self.open()
        return 0 if table is None else int(table.count())

    def has_rows(self) -> bool:
        """Tell whether the newest version holds any file."""
        table = self.open()
        return table is not None and bool(table.file_uris())

    def rows_by_day(self, column: str) -> dict[date, int]:
        """Count the rows of the newest version by day, from file statistics.

        A process counts each version once.
        """
        found = self._held(column)
        return {} if found is None else {day: count for day, count in found[1].rows.items() if day}

    def rows_at(self, place: Place, column: str | None) -> Mapping[Day, int]:
        """Count the rows of a version by day.

        None stands for rows without one, and for all rows where there is no column.
        """
        if place == self.place(PLACES.get(self.location)):
            found = self._held(column)
            if found is not None and found[0] == place:
                return found[1].rows
        return Held.of(self.at(place[0]), column).rows

    def _held(self, column: str | None) -> tuple[Place, Held] | None:
        """Count what the newest version holds, and say which it is.

        It begins with what this process, or an earlier one, has counted. None where there is no table.
        """
        remembered = _HELD.setdefault(column, Remembered())
        facts = facts_of(self.location)

        def advance(held: Held, before: int, newest: int) -> Held | None:
            if newest - before > FEW:
                return None
            for version in range(before + 1, newest + 1):
                actions = self.actions(version)
                after = None if actions is None else held.after(actions, column)
                if after is None:
                    return None
                held = after
            return held

        start = None if facts is None or self in remembered else facts.held_by_day(column)
        found = remembered.placed(self, lambda place: Held.of(self.at(place[0]), column), advance, start)
        if facts is not None and found is not None:
            facts.note_held(found[0], column, found[1])
        return found

    def days(self, column: str) -> set[date]:
        """Return the days that the newest version holds files for."""
        return {day for _, day, _ in self._files(column)}

    def files_by_day(
        self, column: str, days: Iterable[Days], opened: DeltaTable | None = None
    ) -> dict[date, dict[str, int]]:
        """Return the files of these days in the newest version, with their rows.

        The paths are relative to the table.

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

    def partitions(self, column: str) -> list[tuple[date | None, ...]]:
        """List the partition of each file of the newest version.

        The value of `column` comes first.
        """
        files, first = self._actions(column), f"partition.{column}"
        if files is None:
            return []
        others = [name for name in files.column_names if name.startswith("partition.") and name != first]
        return [tuple(row.values()) for row in files.select([first, *others]).to_pylist()]

    def gone_files(self, column: str | None) -> dict[date | None, list[str]]:
        """Return the files that the newest version names and nobody finds.

        By day; None where they have none.
        """
        table, gone = self.open(), dict[date | None, list[str]]()
        days = {path: day for path, day, _ in self._files(column, table)} if column else {}
        for path in table.repair(dry_run=True)["files_removed"] if table is not None else []:
            gone.setdefault(days.get(path), []).append(path)
        return gone

    def forget_gone_files(self) -> bool:
        """Remove files that are gone from the table, in a commit.

        Returns:
            Whether any were.
        """
        table = self.open()
        return table is not None and bool(table.repair()["files_removed"])

    def query(self, sql: str) -> list[dict[str, Any]]:
        """Ask SQL of the rows of the newest version, called `stored`.

        No rows where there is no table.
        """
        table = self.open()
        if table is None:
            return []
        found = QueryBuilder().register("stored", table).execute(sql).read_all()
        return list(pa.table(found).to_pylist())

    def _files(self, column: str, opened: DeltaTable | None = None) -> list[tuple[str, date, int]]:
        """Path, day and number of rows of each file."""
        files = self._actions(column, opened)
        if files is None:
            return []
        columns = (files.column(name).to_pylist() for name in ("path", f"partition.{column}", "num_records"))
        found = zip(*columns, strict=True)
        return [(path, day, count or 0) for path, day, count in found if day is not None]

    def _actions(self, column: str, opened: DeltaTable | None = None) -> pa.Table | None:
        """Read what the log says of each file.

        None where there is no table, or the column does not partition it.
        """
        table = opened or self.open()
        files = None if table is None else pa.table(table.get_add_actions(flatten=True))
        return files if files is not None and f"partition.{column}" in files.column_names else None
