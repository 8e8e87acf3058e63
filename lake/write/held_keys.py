"""Keep the keys of a table's open days in this process.

What a small micro-batch adds is looked up here. They are read from the table's files, each once: what is here is what
the newest version of the table holds, whoever wrote it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import date

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import compute as pc

from lake.declare.days import Days
from lake.declare.table import Table
from lake.storage.log import Log

__all__ = ["HeldKeys"]

_MOST_HELD = 2_000_000
"""About 300 MB. A day of a table with more keys is better looked up by Spark."""


@dataclass
class _Day:
    """The keys of a day, by file and together."""

    files: dict[str, frozenset[str]] = field(default_factory=dict)
    keys: set[str] = field(default_factory=set)


@dataclass
class HeldKeys:
    """The keys of one table, whose key lies in one day.

    Attributes:
        table: whose.
    """

    table: Table
    _days: dict[date, _Day] = field(default_factory=dict)

    def new_among(self, rows: pa.Table, log: Log, days: Sequence[Days]) -> pa.Table | None:
        """Return the rows whose key the table does not hold yet.

        None where it holds too many keys to keep them here.

        Args:
            rows: in the contract's stored columns, all of these days.
            log: of the table, whose lock the caller holds.
            days: the days that are open now; others are forgotten.
        """
        assert self.table.day is not None
        files = log.files_by_day(self.table.day, days, log.opened())
        if sum(count for held in files.values() for count in held.values()) > _MOST_HELD:
            self._days.clear()
            return None
        for day in self._days.keys() - files.keys():
            del self._days[day]
        for day, held in files.items():
            self._read(log, day, held.keys())
        return rows.filter(pa.array(self._is_new(rows), pa.bool_()))

    def _read(self, log: Log, day: date, files: Collection[str]) -> None:
        """Read added files of a day, and forget removed ones.

        Joining the small files of a day must not have all of the day read anew.
        """
        known = self._days.setdefault(day, _Day())
        added = {path: self._keys_in(log, path) for path in files if path not in known.files}
        if known.files.keys() - set(files):
            kept = {path: keys for path, keys in known.files.items() if path in files}
            known.files, known.keys = kept, set().union(*kept.values())
        known.files |= added
        known.keys.update(*added.values())

    def _keys_in(self, log: Log, path: str) -> frozenset[str]:
        with log.open_file(path) as source:
            return frozenset(self._keys(pq.ParquetFile(source).read(columns=self._names)))

    def _is_new(self, rows: pa.Table) -> list[bool]:
        days = rows.column(str(self.table.day)).to_pylist()
        found = zip(days, self._keys(rows), strict=True)
        return [day not in self._days or key not in self._days[day].keys for day, key in found]

    @property
    def _names(self) -> list[str]:
        """The key without the day, which the files of a partition do not repeat."""
        return [name for name in self.table.key if name != self.table.day]

    def _keys(self, rows: pa.Table) -> list[str]:
        """Return the key of each row as one text.

        Each part has its length before it, so that no two keys give the same.
        """
        schema = self.table.contract.arrow_schema
        parts = [rows.column(name).cast(schema.field(name).type).cast(pa.string()) for name in self._names]
        lengths = [pc.binary_length(part).cast(pa.string()) for part in parts]
        pairs = [column for both in zip(lengths, parts, strict=True) for column in both]
        return list(pc.binary_join_element_wise(*pairs, ":").to_pylist()) if parts else [""] * rows.num_rows
