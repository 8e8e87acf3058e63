"""Say why one day of a table is due.

Its own rows or its inputs have changed since it was computed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from lake.batch.expected import Expected
from lake.batch.lake_view import LakeView
from lake.declare.days import Day
from lake.declare.feed import Feed
from lake.declare.table import Read, Table, stream_reads
from lake.ownership.ledger import Entry

__all__ = ["Reasons"]


@dataclass(frozen=True)
class Reasons:
    """The reasons for which days are due, in one look at the lake.

    Attributes:
        view: the lake.
        expected: the days that tables have to hold.
    """

    view: LakeView
    expected: Expected

    def missing(self, table: Table, day: Day) -> str | None:
        """Say why a day that some input holds rows for is not there.

        None where it is, or has nothing to be computed from. Whether batch owns it, `Survey.is_early` says.
        """
        entry = self.view.ledger.get(table.full_name, {}).get(day)
        if entry is None:
            return "never computed" if self.expected.has(table, day) else None
        return "broke the contract" if entry.outcome == "failed" else None

    def own(self, table: Table, day: Day, entry: Entry) -> str | None:
        """Return how the table itself lost or changed a day since it was computed."""
        own = self.view.newest_touch(table, day, table.day)
        is_other = not entry.is_about(table.full_name, self.view.table_id(table))
        if is_other or (self.view.version(table) or 0) < entry.version or (own is None and entry.rows_out):
            return "the table was made anew and does not hold it"
        if own is not None and own > entry.version and self.streamed_from(table) is None:
            return f"version {own} was written without a receipt"
        return None

    def streamed_from(self, table: Table, read: Read | None = None) -> date | None:
        """Return from which day on a stream keeps a table current.

        It is about a table without days: None for any other, and where no stream keeps it so. With `read`: by the rows
        of that input.
        """
        if table.day is not None or self.view.frontier is None or (read and read not in stream_reads(table)):
            return None
        return self.view.frontier.first_open_day(table)

    def _newest_input(self, table: Table, source: Table, read: Read, day: Day) -> int:
        return self.view.newest_input(source, read, day, self.streamed_from(table, read))

    def changed(self, table: Table, day: Day, entry: Entry) -> str | None:
        """Return how the table or an input has changed since."""
        return self.own(table, day, entry) or self.inputs(table, day, entry)

    def inputs(self, table: Table, day: Day, entry: Entry) -> str | None:
        """Return how the first input that changed has changed since a day was computed."""
        for read in table.reads:
            if change := self._input_changed(table, read, day, entry):
                return change
        return None

    def _input_changed(self, table: Table, read: Read, day: Day, entry: Entry) -> str | None:
        if isinstance(read.source, Feed):
            is_other = self.view.file_changes(read.source, day, entry).other
            return f"other files landed in {read.source.name}" if is_other else None
        name = read.source.full_name
        seen = entry.version_read(name)
        if not entry.is_about(name, self.view.table_id(read.source)) or (self.view.version(read.source) or 0) < seen:
            return f"{name} was made anew"
        newest = self._newest_input(table, read.source, read, day)
        return f"{name} changed in version {newest}" if newest > seen else None

    def inputs_of(self, table: Table, day: Day) -> list[object]:
        """Return what a day is computed from, as it is now.

        Of each table its id and the version that changed it last; of each feed the hashes of its files.
        """
        return [
            (self.view.table_id(read.source), self._newest_input(table, read.source, read, day))
            if isinstance(read.source, Table)
            else self.view.files_now(read.source, day)
            for read in table.reads
        ]
