"""Let Spark interpret the expressions of small micro-batches.

Spark writes code for every micro-batch anew, before it finds out that it has compiled the same code already. For few
rows that alone takes longer than to interpret the expressions for all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pyspark.sql import SparkSession

from lake.engine.compiling import INTERPRETED
from lake.engine.settings_meanwhile import set_all

__all__ = ["FEW_ROWS", "Interpreting"]

FEW_ROWS = 2_000
"""From about 2,500 rows on, compiled expressions are quicker."""


@dataclass
class Interpreting:
    """Chooses how Spark runs the next micro-batch of a query.

    The rows of the last decide.
    """

    _compiled: Mapping[str, str | None] | None = field(default=None, init=False, repr=False)

    def note(self, query: SparkSession, rows: int) -> None:
        """Note how many rows a micro-batch had.

        Args:
            query: the query's own session, which lasts until it ends.
            rows: of the micro-batch.
        """
        if rows <= FEW_ROWS and self._compiled is None:
            self._compiled = {name: query.conf.get(name, None) for name in INTERPRETED}
            set_all(query, INTERPRETED)
        elif rows > FEW_ROWS and self._compiled is not None:
            set_all(query, self._compiled)
            self._compiled = None
