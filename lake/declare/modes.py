"""Declare how rows reach a table: the write modes and their facts.

Which module writes for a mode as a stream: `lake.stream.mode_writers`. Batch replaces days, whatever the mode is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

__all__ = ["Append", "InsertNew", "Replace", "Upsert", "Write"]


@dataclass(frozen=True)
class Write:
    """Name a way in which rows reach a table.

    Attributes:
        keeps_everything: whether every row is kept as it came: the table is the archive of what its source delivered,
            and its days are those of landing.
        streamable: whether a stream may write it.
        only_adds: whether a stream that writes it leaves the rows alone that are there, so that others can follow it.
    """

    keeps_everything: ClassVar[bool] = False
    streamable: ClassVar[bool] = True
    only_adds: ClassVar[bool] = False

    @property
    def order(self) -> Sequence[str]:
        """Name the columns whose order chooses the kept row of a key.

        Empty where the mode does not choose.
        """
        return ()


@dataclass(frozen=True)
class Append(Write):
    """Keep every row as it arrived.

    Batch replaces the landing day. A stream appends.
    """

    keeps_everything: ClassVar[bool] = True
    only_adds: ClassVar[bool] = True


@dataclass(frozen=True)
class InsertNew(Write):
    """Keep the first row of each key.

    Attributes:
        first_by: columns (lineage columns too) whose ascending order says which row of a key is kept, `-` before a name
            for descending: `["-_landed_on", "-_file", "-_line_number"]` keeps the line that landed last. Within one
            landing day that is the last line of the file whose name sorts last, because a copy changes the times of
            files: deliveries of a day need names that sort as they arrive.
    """

    only_adds: ClassVar[bool] = True
    first_by: Sequence[str]

    @property
    def order(self) -> Sequence[str]:
        """As stated."""
        return self.first_by


@dataclass(frozen=True)
class Upsert(Write):
    """Replace the row of a key by a newer one.

    Batch replaces the days. A stream replaces rows by their keys.
    """


@dataclass(frozen=True)
class Replace(Write):
    """Let only batch write the table.

    It replaces the days, or the whole table where there is no day.
    """

    streamable: ClassVar[bool] = False
