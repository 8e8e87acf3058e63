"""Declare how rows reach a table: the write modes and their facts.

Which module writes for a mode as a stream: `lake.stream.mode_writers`. Batch replaces days, whatever the mode is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import pyspark.sql.types as T

from lake.declare.contract import CompiledContract
from lake.declare.nested import is_nested

__all__ = ["Append", "InsertNew", "Latest", "Replace", "Upsert", "Write"]


@dataclass(frozen=True)
class Write:
    """Name a way in which rows reach a table.

    Attributes:
        keeps_everything: whether every row is kept as it came: the table is the archive of what its source delivered,
            and its days are those of landing.
        streamable: whether a stream may write it.
        only_adds: whether a stream that writes it leaves the rows alone that are there, so that others can follow it.
        has_days: whether a table that a stream writes has days, of which the stream owns those that are open.
    """

    keeps_everything: ClassVar[bool] = False
    streamable: ClassVar[bool] = True
    only_adds: ClassVar[bool] = False
    has_days: ClassVar[bool] = True

    @property
    def order(self) -> Sequence[str]:
        """Name the columns whose order chooses the kept row of a key.

        A `-` before a name means descending. Empty where the mode does not choose.
        """
        return ()

    def problems(self, contract: CompiledContract, layer: str, day: str | None) -> Iterator[tuple[str, str]]:  # noqa: ARG002
        """Find what contradicts the mode in a declaration, each with its remedy."""
        yield from ()


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
            for descending: `["-_landed_on", "-_landed_at", "-_file", "-_line_number"]` keeps the line that landed last.
    """

    only_adds: ClassVar[bool] = True
    first_by: Sequence[str]

    @property
    def order(self) -> Sequence[str]:
        """As stated."""
        return self.first_by

    def problems(self, contract: CompiledContract, layer: str, day: str | None) -> Iterator[tuple[str, str]]:  # noqa: ARG002
        if not self.first_by:
            yield "does not say which row of a key came first", "give InsertNew(first_by=[...]) a total order"


@dataclass(frozen=True)
class Upsert(Write):
    """Replace the row of a key by a newer one.

    Batch replaces the days. A stream replaces rows by their keys.
    """


@dataclass(frozen=True)
class Latest(Write):
    """Keep the newest row of each key, in a table without days.

    Batch computes it whole. A stream replaces the row of a key by a newer one, so that the order in which rows come,
    and how often, changes nothing. A key never goes: say in a column that it was deleted, because without that row a
    late older one would bring it back.

    Attributes:
        by: stored columns whose greatest values make a row the newest of its key, the first before the second. Where
            they are equal, the other stored columns decide.
    """

    has_days: ClassVar[bool] = False
    by: Sequence[str]

    @property
    def order(self) -> Sequence[str]:
        """The greatest first."""
        return [f"-{name}" for name in self.by]

    def problems(self, contract: CompiledContract, layer: str, day: str | None) -> Iterator[tuple[str, str]]:
        if layer == "bronze":
            yield "keeps only the newest row of what a feed sends", "let a bronze table Append it, and read that one"
        if day is not None:
            yield "keeps one row of each key whatever its day, and has days", "write day=None, or InsertNew or Upsert"
        if not self.by:
            yield "does not say which row of a key is the newest", "give Latest(by=[...]) columns that grow"
        for name in self.by:
            found = contract.column(name)
            if found is None or name not in contract.stored_names:
                # A stream compares with what is stored, and no lineage is.
                yield f"orders by {name!r}, which the contract does not store", "add it to the contract"
            elif found.nullable or is_nested(found.dtype) or isinstance(found.dtype, T.FloatType | T.DoubleType):
                remedy = "order by a time, a date, a whole number, a decimal or a text that is never null"
                yield f"orders by {name}, which can be null or has no sure order", remedy


@dataclass(frozen=True)
class Replace(Write):
    """Let only batch write the table.

    It replaces the days, or the whole table where there is no day.
    """

    streamable: ClassVar[bool] = False
