"""Read which days the versions of a table touched, without a JVM.

Delta writes one JSON file a commit. Its `add` and `remove` actions carry the partition values (the days) and, in their
statistics, the number of rows; OPTIMIZE marks its actions `dataChange: false`, VACUUM adds none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date

from lake.storage.log_contents import LogContents
from lake.storage.log_versions import PLACES, Place, Remembered
from lake.storage.touches import FILE as TOUCHES_FILE
from lake.storage.touches import ForeignFile, Touches

__all__ = ["Log", "Place", "Remembered"]


@dataclass(frozen=True)
class _Touches:
    """The version that changed each day, by the commits read so far.

    This process has read them.

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
_TXNS: dict[tuple[str, str], tuple[Place, int | None]] = {}
"""By location and identity."""


@dataclass(frozen=True)
class Log(LogContents):
    """The log of one table.

    It says which versions touched which days, and which steps of streams it holds.
    """

    def newest_txn(self, app_id: str) -> int | None:
        """Return the newest step that was committed under an identity.

        None where none was, as far back as the log reaches. It reaches back further than the longest outage, or else
        its readers are lost anyway.
        """
        known = _TXNS.get((self.location, app_id))
        place = self.place(known[0] if known else PLACES.get(self.location))
        if place is None:
            return None
        if known is not None and self.fingerprint(known[0][0]) == known[0][1]:
            step = self._find_txn(app_id, place[0], known[0][0])
            step = known[1] if step is None else step
        else:
            step = self._find_txn(app_id, place[0], -1)
        _TXNS[self.location, app_id] = (place, step)
        return step

    def _find_txn(self, app_id: str, newest: int, before: int) -> int | None:
        """Return the newest step under this identity after a version.

        It is looked for among the commits after `before`, newest first.
        """
        for number in range(newest, before, -1):
            commit = self.commit(number)
            if commit is None:
                return None
            found = commit.metadata.get("txn")
            if isinstance(found, list) and found[:1] == [app_id]:
                return int(found[1])
        return None

    def newest_touch(self, column: str) -> Mapping[date, int]:
        """Return the newest version that changed each day's rows.

        As far back as the log reaches. The same object as long as that is the same.

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
        """Return what was written down before commits were removed.

        None where that is of another table, or torn.
        """
        found = self._written()
        newest = self.version() if found else None
        if found is None or newest is None or found.version > newest or found.table_id != self.table_id():
            return None
        return found if self.fingerprint(found.version) in (None, found.commit) else None

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

    def newest_change(self) -> int | None:
        """Return the newest version that changed any row.

        None where there is none, or no table.
        """
        last, written = self.version(), self.written_touches()
        for number in range(-1 if last is None else last, -1, -1):
            if written is not None and number == written.version:
                return written.changed
            commit = self.commit(number)
            if commit is None or commit.touched:
                return number
        return None
