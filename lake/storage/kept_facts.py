"""Keep between processes what a look has read of logs.

To open a log takes milliseconds, and a command that looks at a lake would open all of them. A fact holds as long as
every file in the folder of the log has the name, size and times that it had, so that what is kept is never wrong. It is
a memory: where it is lost or torn, a look opens the logs again. Logs in an object store are not remembered.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lake.storage.durable import write_whole
from lake.storage.held_rows import Held
from lake.storage.location import is_local

__all__ = ["Facts", "LogFile", "Place", "facts_of", "files_to_keep", "keep", "keep_facts_in", "kept"]

LogFile = tuple[str, int, int, int, int]
"""Name, size, times and inode of a file."""
Place = tuple[int, str]
"""A version and the hash of its commit file: another one where the table was made anew."""


@dataclass
class Facts:
    """The newest version of a table, as an earlier process has read it.

    Attributes:
        signature: of the files of its log.
        place: the version, and the hash of its commit's file; None where nobody has looked yet.
        table_id: the id that the table got when it was made.
        held: by the column of a day, "" for none: as of which place, what the table held of each day.
        until: of the files of its log up to the place.
    """

    signature: str
    place: Place | None = None
    table_id: str | None = None
    held: dict[str, tuple[Place, Any]] = field(default_factory=dict)
    until: str = ""

    def held_by_day(self, column: str | None) -> tuple[Place, Held] | None:
        """Return what was counted by day, and as of which place.

        None where nobody has counted.
        """
        if (column or "") not in self.held:
            return None
        place, counted = self.held[column or ""]
        try:
            return place, Held.from_json(counted)
        except (TypeError, ValueError, IndexError):
            return None

    def note(self, place: Place, table_id: str | None = None) -> None:
        """Remember where a log is, and the id of its table."""
        if place != self.place:
            self.place, self.table_id = place, None
        self.table_id = table_id or self.table_id

    def note_held(self, place: Place, column: str | None, held: Held) -> None:
        """Remember what was counted at a place by day."""
        counted = self.held.get(column or "")
        if counted is None or counted[0] != place:
            self.note(place)
            self.held[column or ""] = place, held.to_json()


_KEPT: dict[str, Facts] | None = None
"""By location: as the file has them; None where nobody keeps any."""
_FILE: Path | None = None
"""The file of facts of the look under way."""
_TRUE: dict[str, Facts] = {}
"""By location: those of logs that are as they were, have only grown, or were read since."""
_LISTED: dict[str, list[LogFile]] = {}
"""By location: the files of logs that are not as they were."""


def facts_of(location: str) -> Facts | None:
    """Return what is remembered of a log, perhaps nothing yet.

    None where nobody remembers.
    """
    if _KEPT is None or not is_local(location):
        return None
    if location not in _TRUE:
        files = _files(location)
        if files is None:
            return None
        _TRUE[location] = _believed(_KEPT.get(location), location, files)
    return _TRUE[location]


def _believed(kept: Facts | None, location: str, files: list[LogFile]) -> Facts:
    """Return what still holds of what was kept.

    Of a log that has only grown that is what was counted, as of where it was.
    """
    signature = _signature(files)
    if kept is not None and kept.signature == signature:
        return kept
    _LISTED[location] = files
    if kept is None or kept.place is None or kept.until != _until(files, kept.place):
        return Facts(signature)
    return replace(kept, signature=signature, table_id=None)


@contextmanager
def keep_facts_in(file: Path) -> Iterator[None]:
    """Use a file of facts for one look.

    What the look has read is added to it.
    """
    global _KEPT, _FILE  # noqa: PLW0603  # one look at a time
    kept = _KEPT = _read(file)
    _FILE = file
    before = _outline(kept)
    try:
        yield
    finally:
        for location, files in _LISTED.items():
            facts = _TRUE[location]
            facts.until = "" if facts.place is None else _until(files, facts.place)
        now = kept | _TRUE
        _KEPT = _FILE = None
        _TRUE.clear()
        _LISTED.clear()
        if _outline(now) != before:
            _write(file, {name: vars(facts) for name, facts in now.items()})


def kept(name: str) -> Any:
    """Return what an earlier look has kept under a name.

    None where it kept nothing, the file is torn, or nobody keeps facts now.
    """
    try:
        return None if _FILE is None else json.loads(_beside(_FILE, name).read_bytes())
    except (OSError, ValueError):
        return None


def keep(name: str, value: object) -> None:
    """Keep what JSON can say under a name, in a file beside the facts.

    Only within `keep_facts_in`. What is kept must say itself by what a later look knows that it still holds.
    """
    if _FILE is not None:
        _write(_beside(_FILE, name), value)


def _beside(file: Path, name: str) -> Path:
    return file.with_stem(f"{file.stem}-{name}")


def _write(file: Path, value: object) -> None:
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, json.dumps(value, separators=(",", ":")).encode(), flush=False)


def _read(file: Path) -> dict[str, Facts]:
    try:
        return {name: _facts(said) for name, said in json.loads(file.read_bytes()).items()}
    except (OSError, ValueError, TypeError, AttributeError, LookupError):
        return {}


def _facts(said: Mapping[str, Any]) -> Facts:
    held = {column: (_place(place), counted) for column, (place, counted) in said["held"].items()}
    return Facts(**{**said, "place": said["place"] and _place(said["place"]), "held": held})


def _place(said: Sequence[Any]) -> Place:
    return int(said[0]), str(said[1])


def _outline(kept: Mapping[str, Facts]) -> dict[str, object]:
    """Return what differs wherever facts do.

    What was counted is left out, because a place never has others.
    """
    return {
        name: (one.signature, one.place, one.table_id, {column: said[0] for column, said in one.held.items()})
        for name, one in kept.items()
    }


def _signature(files: Sequence[LogFile]) -> str:
    return hashlib.sha256(repr(files).encode()).hexdigest()[:16]


def _until(files: Iterable[LogFile], place: Place) -> str:
    """Return the signature of the files of a log up to a place."""
    newest = f"{place[0]:020d}"
    return _signature([file for file in files if file[0][:20].isdigit() and file[0][:20] <= newest])


def files_to_keep(location: str) -> list[LogFile] | None:
    """List the files of a log of which something may be kept.

    None where nobody keeps facts, and where nobody can look.
    """
    return None if _KEPT is None or not is_local(location) else _files(location)


def _files(location: str) -> list[LogFile] | None:
    """List the files in the folder of a local log, in order.

    None where nobody can look.
    """
    try:
        with os.scandir(f"{location}/_delta_log") as found:
            stats = sorted((one.name, one.stat()) for one in found)
    except OSError:
        return None
    return [(name, one.st_size, one.st_mtime_ns, one.st_ctime_ns, one.st_ino) for name, one in stats]
