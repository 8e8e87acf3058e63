"""Find the rows of a table that were not handed on.

They are those that it did not have when rows were last handed on. Two versions are compared by their files, and rows
only where files differ: rows that were joined into other files, or computed again with the same result, are not new.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from lake.declare.days import Day
from lake.serve.plain import as_json, plain
from lake.serve.source import Source
from lake.storage.stored_files import StoredFile, stored_files
from lake.write.data_files import read_file

__all__ = ["HandedOn", "NewRow", "NewRows"]


@dataclass(frozen=True)
class HandedOn:
    """Up to where rows were handed on.

    Attributes:
        table_id: of the table.
        version: whose rows were.
        commit: hash of that version's commit file.
        committed_at: when that version was committed.
        left_out: days of that version whose rows were not, because they were early.
        rows: how many were sent so far.
        dead_letters: how many were too large.
    """

    table_id: str
    version: int
    commit: str
    committed_at: str
    left_out: tuple[str, ...] = ()
    rows: int = 0
    dead_letters: int = 0

    @classmethod
    def from_json(cls, text: str) -> HandedOn:
        """Read what `asdict` gives."""
        said = json.loads(text)
        return cls(**{**said, "left_out": tuple(said["left_out"])})


@dataclass(frozen=True)
class NewRow:
    """A row as a message.

    Attributes:
        id: the values of the table's key, as a JSON array.
        value: all columns of the contract, as a JSON object.
    """

    id: str
    value: str


@dataclass(frozen=True)
class NewRows:
    """The rows of a source that were not handed on.

    Attributes:
        source: the table at a version.
        before: up to where rows were handed on; None where that is not known.
        allowed: the days whose rows may be; None for all.
    """

    source: Source
    before: HandedOn | None
    allowed: Collection[Day] | None
    _known: dict[str, dict[str, StoredFile]] = field(default_factory=dict, repr=False)

    @property
    def handed_on(self) -> HandedOn:
        """Up to where rows are handed on once these are.

        Days that wait are left out. One that was handed on before does not wait, though it may be open again.
        """
        source = self.source
        commit = source.log.commit(source.version)
        left_out = {str(one.day) for one in self._now.values()} - {str(one.day) for one in self._shown.values()}
        at = str(commit.committed_at) if commit else ""
        return HandedOn(source.table_id, source.version, source.commit, at, tuple(sorted(left_out)))

    def files_by_day(self) -> dict[Day, tuple[list[StoredFile], list[StoredFile]]]:
        """Find the added and the removed files of each day.

        Added ones were not there before, removed ones are no longer there. Only days with added ones are in it.
        """
        found: dict[Day, tuple[list[StoredFile], list[StoredFile]]] = {}
        for path, file in sorted(self._shown.items(), key=lambda item: (str(item[1].day), item[1].modified, item[0])):
            if path not in self._sent:
                found.setdefault(file.day, ([], []))[0].append(file)
        for path, file in self._sent.items():
            if path not in self._shown and file.day in found:
                found[file.day][1].append(file)
        return found

    def rows(self, added: Collection[StoredFile], removed: Collection[StoredFile]) -> Iterator[NewRow]:
        """Give the rows of some files that other files do not hold.

        They come in the order in which they were written.
        """
        sent = {(row.id, row.value) for file in removed for row in self._read(file, may_be_gone=True)}
        for file in added:
            for row in self._read(file):
                if (row.id, row.value) not in sent:
                    yield row

    @property
    def _now(self) -> dict[str, StoredFile]:
        return self._files("now", self.source.stored)

    @property
    def _shown(self) -> dict[str, StoredFile]:
        known = {file.day for file in self._sent.values()}
        allowed = self.allowed
        return {
            path: one for path, one in self._now.items() if allowed is None or one.day in allowed or one.day in known
        }

    @property
    def _sent(self) -> dict[str, StoredFile]:
        """Return the files whose rows were handed on.

        None of them where nobody knows any longer what they were.
        """
        if "sent" not in self._known:
            found = self._files("before", self._opened()) if self._opened() is not None else {}
            left_out = self.before.left_out if self.before else ()
            self._known["sent"] = {path: one for path, one in found.items() if str(one.day) not in left_out}
        return self._known["sent"]

    def _opened(self) -> DeltaTable | None:
        before, log = self.before, self.source.log
        if before is None or before.table_id != self.source.table_id or before.version > self.source.version:
            return None
        if log.fingerprint(before.version) != before.commit:
            return None
        try:
            return log.at(before.version)
        except DeltaError:
            return None

    def _files(self, name: str, stored: DeltaTable | None) -> dict[str, StoredFile]:
        if name not in self._known:
            found = stored_files(stored, self.source.table.day) if stored is not None else []
            self._known[name] = {one.path: one for one in found}
        return self._known[name]

    def _read(self, file: StoredFile, *, may_be_gone: bool = False) -> Iterator[NewRow]:
        try:
            rows = read_file(file.path, file.partition, self.source.stored_schema, self.source.log.files)
        except FileNotFoundError:
            if not may_be_gone:
                raise
            return  # maintenance has removed it: its rows are handed on once more
        key = self.source.table.key
        for row in self.source.shown(rows).to_pylist():
            said = {name: plain(value) for name, value in row.items()}
            yield NewRow(as_json([said[name] for name in key]), as_json(said))
