"""Keep which version changed each day of a table last.

It is written down beside the log before commits are removed from it. The file is a copy of what the commits say up to a
version. Without it a removed commit would leave each of its days stale, because nobody could say when that changed. It
also spares a new process to read the commits before it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, NamedTuple

__all__ = ["FILE", "ForeignFile", "Touches"]

FILE = "_touches.json"
"""Its name in the folder of the log; engines pass over names that are no version."""


class ForeignFile(NamedTuple):
    """A file with rows that another program wrote.

    Attributes:
        partition: value by partition column, as text.
        rows: how many of its rows; None where its statistics do not say.
        version: that wrote them.
    """

    partition: Mapping[str, str | None]
    rows: int | None
    version: int


@dataclass(frozen=True)
class Touches:
    """The facts from a table's commits up to a version.

    Attributes:
        table_id: the table's id: a table made anew has another.
        version: the newest commit that was read.
        commit: hash of that commit's file.
        changed: the newest version that changed any row; None where none did.
        days: by day column, the newest version that changed each day.
        foreign: files of another program that the version holds, by path.
    """

    table_id: str
    version: int
    commit: str
    changed: int | None
    days: Mapping[str, Mapping[date, int]] = field(default_factory=dict)
    foreign: Mapping[str, ForeignFile] = field(default_factory=dict)

    def to_json(self) -> bytes:
        """Write it as a file's content."""
        days = {column: {str(day): number for day, number in found.items()} for column, found in self.days.items()}
        return json.dumps({**self.__dict__, "days": days}).encode()

    @classmethod
    def from_json(cls, content: bytes | None) -> Touches | None:
        """Read a file's content.

        None where there is none, or it is torn: it only repeats what the log says.
        """
        try:
            said: dict[str, Any] = json.loads(content or b"")
            days = {
                column: {date.fromisoformat(day): int(number) for day, number in versions.items()}
                for column, versions in said.pop("days").items()
            }
            foreign = {path: ForeignFile(*file) for path, file in said.pop("foreign", {}).items()}
            return cls(**said, days=days, foreign=foreign)
        except (ValueError, TypeError, KeyError, AttributeError):
            return None
