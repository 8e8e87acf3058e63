"""Take no more rows into this process than it can hold."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import reduce

import pyarrow as pa
import pyspark.sql.functions as F
from pyarrow import compute as pc
from pyspark.sql import Column, DataFrame

__all__ = ["Bounded"]

_IS_LARGE = "_is_large"
_NESTED = ("array", "map", "struct")
_OF_ANY_SIZE = ("string", "binary", *_NESTED)


@dataclass
class Bounded:
    """Takes frames, one after the other, as long as they are small.

    They have the same columns, because what is asked of a row is built once. How large rows are is not known before the
    job runs. So each row leaves its texts behind where its size times its place is above the limit: of equal rows no
    more than the limit gets here, of others no more than eleven times that.

    Attributes:
        at_most: rows.
        most_bytes: how large the texts of all of them may be.
    """

    at_most: int
    most_bytes: int
    _columns: tuple[Column, Sequence[Column]] | None = field(default=None, init=False, repr=False)

    def take(self, rows: DataFrame) -> pa.Table | None:
        """Take the rows of a frame that is on one partition.

        In one Spark job; None where they are too many or too large.
        """
        if self._columns is None:
            self._columns = self._build(rows)
        is_large, kept = self._columns
        found = rows.select("*", is_large).select(*kept).limit(self.at_most + 1).toArrow()
        if found.num_rows > self.at_most or pc.any(found.column(_IS_LARGE)).as_py():
            return None
        return found.drop_columns([_IS_LARGE])

    def _build(self, rows: DataFrame) -> tuple[Column, Sequence[Column]]:
        kinds = {name: kind for name, kind in rows.dtypes if kind.startswith(_OF_ANY_SIZE)}
        texts = list(kinds)
        sizes = (F.coalesce(F.octet_length(_as_text(name, kind)), F.lit(0)) for name, kind in kinds.items())
        size = reduce(operator.add, sizes, F.lit(0)).cast("double")
        # On one partition the number says how many rows are before this one.
        is_large = size * (F.monotonically_increasing_id() + 1) > F.lit(self.most_bytes)
        small = ~F.col(_IS_LARGE)
        kept = [F.when(small, F.col(name)).alias(name) if name in texts else F.col(name) for name in rows.columns]
        return is_large.alias(_IS_LARGE), [*kept, F.col(_IS_LARGE)]


def _as_text(name: str, kind: str) -> Column:
    return F.to_json(name) if kind.startswith(_NESTED) else F.col(name)
