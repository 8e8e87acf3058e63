"""Count rows and files by day, and count on by what commits say.

To open a log of years for one new day takes longer than all else that a look does.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, Self

import pyarrow as pa
from deltalake import DeltaTable

from lake.declare.days import Day

__all__ = ["Held"]

_EPOCH = date(1970, 1, 1)
_Partitions = Mapping[str, str | None]


@dataclass(frozen=True)
class Held:
    """The rows and files of one version of a table, by day.

    None stands for rows without a day, and for all rows of a table without days.

    Attributes:
        rows: by day. Rows of files without statistics count as 0.
        files: by day.
    """

    rows: Mapping[Day, int] = field(default_factory=dict)
    files: Mapping[Day, int] = field(default_factory=dict)

    @classmethod
    def of(cls, opened: DeltaTable, column: str | None) -> Self:
        """Count what the log of an opened table says.

        Nothing where the column does not partition the table.

        Args:
            opened: the table at a version.
            column: of its days; None where it has none.
        """
        said, partition = pa.table(opened.get_add_actions(flatten=True)), f"partition.{column}"
        if column is not None and partition not in said.column_names:
            return cls()
        counts = said["num_records"].to_pylist()
        if column is None:
            return cls._by_number([None] * len(counts), counts)
        # Numbers of days: to make years of dates takes ten times as long, and to group in pyarrow imports half of it.
        numbers = (number for chunk in said[partition].chunks for number in chunk.view(pa.int32()).to_pylist())
        return cls._by_number(numbers, counts)

    @classmethod
    def _by_number(cls, numbers: Iterable[int | None], counts: Iterable[int | None]) -> Self:
        rows, files = dict[int | None, int](), dict[int | None, int]()
        for number, count in zip(numbers, counts, strict=True):
            rows[number] = rows.get(number, 0) + (count or 0)
            files[number] = files.get(number, 0) + 1
        days = _dates(rows)
        return cls(dict(zip(days, rows.values(), strict=True)), dict(zip(days, files.values(), strict=True)))

    @classmethod
    def from_json(cls, said: Any) -> Self:
        """Read what `to_json` has written."""
        days = _dates(said[0])
        rows, files = (map(int, counts) for counts in said[1:])
        return cls(dict(zip(days, rows, strict=True)), dict(zip(days, files, strict=True)))

    def to_json(self) -> list[list[Any]]:
        """Return the days as numbers, the rows and the files."""
        days = [None if day is None else (day - _EPOCH).days for day in self.rows]
        return [days, list(self.rows.values()), [self.files[day] for day in self.rows]]

    def after(self, actions: Iterable[Mapping[str, Any]], column: str | None) -> Self | None:
        """Count one more commit.

        None where its actions do not say it: where they remove some files of a day and leave others, say no
        statistics, or describe a file that was there.
        """
        try:
            added = [action["add"] for action in actions if "add" in action]
            gone = Counter(_day(action["remove"], column) for action in actions if "remove" in action)
            if any(count != self.files.get(day, 0) for day, count in gone.items()):
                return None
            rows = {day: count for day, count in self.rows.items() if day not in gone}
            files = {day: count for day, count in self.files.items() if day not in gone}
            for file in added:
                day = _day(file, column)
                if file.get("deletionVector") or not (file["dataChange"] or day in gone):
                    return None
                rows[day] = rows.get(day, 0) + int(json.loads(file["stats"])["numRecords"])
                files[day] = files.get(day, 0) + 1
        except (KeyError, TypeError, ValueError):
            return None
        return type(self)(rows, files)


def _dates(numbers: Iterable[int | None]) -> list[Day]:
    return [None if number is None else _EPOCH + timedelta(number) for number in numbers]


def _day(file: Mapping[str, Any], column: str | None) -> Day:
    if column is None:
        return None
    text = file["partitionValues"][column]
    return None if text is None else date.fromisoformat(text)
