"""Say what one refresh left behind of one day: a row of the ledger."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, date, datetime
from typing import Any, Literal

from lake.write.enforce import Counts

__all__ = ["FIELDS", "Entry", "Outcome", "made"]

Outcome = Literal["written", "unchanged", "failed"]


@dataclass(frozen=True)
class Entry:
    """One ledger row.

    Attributes:
        table: `layer.name`.
        day: the day; None for a table without days.
        outcome: written; unchanged (computed, equal to what was stored); failed (broke a `fail` contract, not written).
        rows_in: candidate rows = rows_out + rejected + duplicates.
        disagreeing: how many of the duplicates differ from the row of their key that was kept.
        inputs: what was read: `layer.table` -> version, `feed:name` -> marks of the day's landing files by name; see
            `lake.storage.landed_files`.
        version: version of the table that holds the day as computed.
        code_version: hash of the declaring file.
        seconds: how long the whole refresh took, of which this day was a part.
        run_id: who asked.
        recorded_at: when, UTC, by the clock of that moment.
        table_ids: the id of each table that was read, and of the table itself: a version says little without it.
    """

    table: str
    day: date | None
    outcome: Outcome
    rows_in: int
    rows_out: int
    rejected: int
    duplicates: int
    inputs: Mapping[str, Any]
    version: int
    code_version: str
    seconds: float
    disagreeing: int = 0
    run_id: str = ""
    recorded_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    table_ids: Mapping[str, str] = field(default_factory=dict)

    def is_about(self, table: str, table_id: str | None) -> bool:
        """Tell whether the entry read or wrote a table of this id.

        The table is `layer.name`. An entry that names no id for it is about any.
        """
        return self.table_ids.get(table, table_id) == table_id

    @property
    def counts(self) -> Counts:
        """Its rows by their fate."""
        return Counts(self.rows_in, self.rows_out, self.rejected, self.duplicates, self.disagreeing)

    def version_read(self, table: str) -> int:
        """Return the version of a table that the day was computed from.

        The table is `layer.name`; -1 where it did not exist yet.
        """
        version = self.inputs.get(table)
        return -1 if version is None else int(version)


FIELDS = tuple(one.name for one in fields(Entry))


def made(values: Iterable[Any]) -> Entry:
    """Make an entry of the values of all its fields.

    The constructor of a frozen class sets them one by one, which takes four times as long.
    """
    entry = object.__new__(Entry)
    entry.__dict__.update(zip(FIELDS, values, strict=True))
    return entry
