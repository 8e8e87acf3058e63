"""Keep the newest ledger entries between processes that look.

To read the ledger of three years takes a fifth of a second. What an earlier look has read holds as long as every file
that the ledger's log had then is as it was. Entries of commits since are added to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Any

from lake.ownership.entry import FIELDS, Entry, made
from lake.storage.kept_facts import LogFile, Place, keep, kept

__all__ = ["Newest", "keep_entries", "kept_entries"]

Newest = Mapping[str, Mapping[date | None, Entry]]
"""The newest entry by table and day."""

_NAME = "ledger"
_READ = {"day": date.fromisoformat, "recorded_at": datetime.fromisoformat}
"""How values that JSON does not know are read; they are written as `str` has them."""


def keep_entries(location: str, files: Sequence[LogFile], place: Place, newest: Newest) -> None:
    """Keep the entries as of a place of the ledger.

    Args:
        location: of the ledger.
        files: those of its log, listed before it was read.
        place: as of which `newest` has every entry, and perhaps later ones.
        newest: the entries.
    """
    tables = {table: _written(entries.values()) for table, entries in newest.items()}
    keep(_NAME, {"location": location, "fields": FIELDS, "files": files, "place": place, "tables": tables})


def kept_entries(location: str, files: Sequence[LogFile]) -> tuple[Place, Newest] | None:
    """Return the entries that an earlier look has kept, and as of which place.

    None where there are none, or a file of the log is not there any more as it was.
    """
    said = kept(_NAME)
    try:
        if said["location"] != location or tuple(said["fields"]) != FIELDS:
            return None
        if not {tuple(file) for file in said["files"]} <= set(files):
            return None
        version, content = said["place"]
        tables = {table: {one.day: one for one in _read(columns)} for table, columns in said["tables"].items()}
    except (TypeError, KeyError, ValueError, IndexError, AttributeError):
        return None
    return (int(version), str(content)), tables


def _written(entries: Iterable[Entry]) -> list[list[Any]]:
    """Write each value of a column once.

    Each entry has the place of its value.
    """
    rows = [vars(entry) for entry in entries]
    return [_once(name, [row[name] for row in rows]) for name in FIELDS]


def _once(name: str, column: Sequence[Any]) -> list[Any]:
    values: dict[Any, tuple[int, Any]] = {}
    places = []
    for value in column:
        key = id(value) if isinstance(value, Mapping) else value  # entries that were read share equal ones
        places.append(values.setdefault(key, (len(values), value))[0])
    said = [str(one) if name in _READ and one is not None else one for _, one in values.values()]
    return [said, places if len(said) > 1 else len(places)]


def _read(columns: Sequence[Sequence[Any]]) -> Iterator[Entry]:
    return map(made, zip(*map(_column, FIELDS, columns), strict=True))


def _column(name: str, written: Sequence[Any]) -> list[Any]:
    said, places = written
    read = _READ.get(name)
    values = [one if one is None else read(one) for one in said] if read else said
    return values * places if isinstance(places, int) else [values[place] for place in places]
