"""Find landing days that only new files have joined since bronze read them.

Of an hourly drop each day would else be read whole every hour. Bronze holds what a whole read would give of the files
that it has read, so only the new ones are read, and their rows are added. Wherever anything speaks against that, the
day is read whole. The key of a message does not name its file, so who adds messages looks whether bronze holds one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cached_property

from lake.declare.across_days import reads_files_apart, reads_rows_apart
from lake.declare.feed import FileFeed, TopicFeed
from lake.declare.table import Table
from lake.ownership.ledger import Entry
from lake.storage.landed_files import Changes
from lake.write.horizon import Horizon
from lake.write.store import DeltaStore

__all__ = ["CALENDAR", "GrownDays"]

CALENDAR = "calendar"
"""Names in a commit's metadata the calendar by which its rows were filed."""


@dataclass(frozen=True)
class GrownDays:
    """The landing days of one bronze table that can be added to.

    Attributes:
        table: which.
        store: where it is.
        horizon: by which the new rows will be judged.
    """

    table: Table
    store: DeltaStore
    horizon: Horizon

    def has(self, day: date, entry: Entry, recorded: object, changes: Changes) -> bool:
        """Tell whether only the new files of a day have to be read.

        Args:
            day: the landing day.
            entry: what the ledger says of it.
            recorded: what it says of the files.
            changes: of these since then.
        """
        if not isinstance(recorded, Mapping) or not recorded or changes.gone or not changes.other:
            return False
        is_known = all(mark[2] for mark in recorded.values()) and not any(name in recorded for name in changes.other)
        # The clock may believe by now what it has rejected of a topic.
        is_settled = not entry.rejected or not self.table.topics
        return is_known and is_settled and self._is_apart and self._is_as_computed(day, entry)

    @cached_property
    def _is_apart(self) -> bool:
        """Tell whether each file can be read by itself.

        No row may depend on the rows of another file, and of files no verdict on the clock.
        """
        table, source = self.table, self.table.reads[0].source
        is_plain = table.write.keeps_everything and table.policy == "quarantine" and table.event_time is None
        if not is_plain or len(table.reads) > 1:
            return False
        if isinstance(source, TopicFeed):
            return reads_rows_apart(table, self.store.spark)
        return isinstance(source, FileFeed) and reads_files_apart(table, self.store.spark)

    def _is_as_computed(self, day: date, entry: Entry) -> bool:
        """Tell whether bronze holds the day as it was computed.

        It would also have to compute it so again.
        """
        log = self.store.table_log(self.table)
        commit = log.commit(entry.version) if entry.version >= 0 else None
        return (
            entry.outcome != "failed"
            and self.table.is_computed_by(entry.code_version)
            and entry.is_about(self.table.full_name, log.table_id())
            and commit is not None
            and commit.metadata.get(CALENDAR) == str(self.horizon.calendar)
            and log.newest_touch(str(self.table.day)).get(day, -1) <= entry.version
            and self._held.get(day, 0) == entry.rows_out
            and self._quarantined.get(day, 0) == entry.rejected
        )

    @cached_property
    def _held(self) -> Mapping[date, int]:
        return self.store.table_log(self.table).rows_by_day(str(self.table.day))

    @cached_property
    def _quarantined(self) -> Mapping[date, int]:
        return self.store.log(self.store.quarantine_path(self.table)).rows_by_day("day")
