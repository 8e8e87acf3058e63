"""List a table at one version: its days and their files.

The files hold the rows of the days. A process lists each version once.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from lake.declare.days import Day, in_order
from lake.declare.table import Table
from lake.serve.api.problems import ProblemError
from lake.storage.log import Log
from lake.storage.stored_files import StoredFile, features_beyond_files, stored_files
from lake.write.store import DeltaStore

__all__ = ["Snapshot", "Snapshots"]

_KEPT = 64


@dataclass(frozen=True)
class Snapshot:
    """Hold what the log says of one version.

    Attributes:
        table: which.
        log: of it.
        version: which rows.
        table_id: another one where the table was made anew.
        files: by day, in order; under None for a table without days.
    """

    table: Table
    log: Log
    version: int
    table_id: str
    files: Mapping[Day, Sequence[StoredFile]]


class Snapshots:
    """The versions that this process has listed."""

    def __init__(self, store: DeltaStore) -> None:
        self.store = store
        self._newest: dict[str, tuple[DeltaTable, Snapshot]] = {}
        self._earlier: OrderedDict[tuple[str, str, int], Snapshot] = OrderedDict()

    def at(self, table: Table, version: int | None = None) -> Snapshot:
        """Return a table at a version, None for the newest.

        Raises:
            ProblemError: there is no such table, or no such version any more.
            LogDamaged: nobody can read it.
        """
        log = self.store.table_log(table)
        opened = log.open()
        if opened is None:
            raise ProblemError(404, f"{table.full_name} was never written; next: lakehouse refresh {table.full_name}")
        known = self._newest.get(table.full_name)
        if known is None or known[0] is not opened:
            known = self._newest[table.full_name] = (opened, _list(table, log, opened))
        newest = known[1]
        if version is None or version == newest.version:
            return newest
        if version > newest.version:
            raise ProblemError(404, f"{table.full_name} has no version {version}; the newest is {newest.version}")
        return self._at(newest, version)

    def _at(self, newest: Snapshot, version: int) -> Snapshot:
        place = (newest.table.full_name, newest.table_id, version)
        found = self._earlier.get(place)
        if found is None:
            log = newest.log
            try:
                opened = log.at(version)
            except DeltaError as error:
                raise gone(newest.table, version) from error
            found = self._earlier[place] = _list(newest.table, log, opened)
            while len(self._earlier) > _KEPT:
                self._earlier.popitem(last=False)
        return found


def gone(table: Table, version: int) -> ProblemError:
    """Make the problem of a version whose files, or whose log, were cleaned up."""
    return ProblemError(410, f"version {version} of {table.full_name} can be read no more; ask for a newer one")


def _list(table: Table, log: Log, opened: DeltaTable) -> Snapshot:
    if beyond := features_beyond_files(opened):
        raise ProblemError(501, f"{table.full_name} uses {', '.join(beyond)}, which this API does not read")
    files: dict[Day, list[StoredFile]] = {}
    for file in stored_files(opened, table.day):
        files.setdefault(file.day, []).append(file)
    ordered = {day: files[day] for day in in_order(files)}
    return Snapshot(table, log, opened.version(), str(opened.metadata().id), ordered)
