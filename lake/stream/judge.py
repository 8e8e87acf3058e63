"""Judge the rows of micro-batches, by Spark or in this process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property

from pyspark.sql import DataFrame

from lake.stream.generation import StreamPlan
from lake.stream.mode_writer import Batch
from lake.write.bounded import Bounded
from lake.write.enforce import Collected, Counts, Enforced, Enforcer

__all__ = ["Judge"]

_MOST_COLLECTED = 20_000
"""Rows of a micro-batch that this process takes and commits; above it Spark does."""
_MOST_COLLECTED_BYTES = 32 * 2**20
"""And how large their texts may be."""


@dataclass
class Judge:
    """Gives the rows of one query's micro-batches their verdicts.

    Attributes:
        plan: of the table.
        previous: rows of the micro-batch before, by which the tasks of the next are chosen; None where they were too
            large for this process.
        was_large: whether the micro-batch turned out to be too large for this process, though its rows are few.
    """

    plan: StreamPlan
    previous: int | None = None
    was_large: bool = False

    def note(self, counts: Counts) -> None:
        """Note how large a micro-batch was."""
        self.previous = None if self.was_large else counts.rows_in

    def collect(self, rows: DataFrame, batch: Batch) -> Collected | None:
        """Return the rows of a small micro-batch with their verdicts.

        None where Spark shall write it.
        """
        self.was_large = False
        if not self._was_small:
            return None
        # A task for each partition of the state, and one that has all of their rows.
        together = rows.repartition(1) if self.plan.is_stateful else rows.coalesce(1)
        found = self._enforce.collect(together, self._bounded, batch.believed)
        self.was_large = found is None
        return found

    @contextmanager
    def judged(self, rows: DataFrame, batch: Batch) -> Iterator[Enforced]:
        """Hand out rows with their verdicts, in Spark.

        They are not computed twice where a query keeps state, because each computation would go through its state.
        """
        enforced = self._enforce(rows, None, partitions=self._partitions(batch.rows), horizon=batch.believed)
        if not self.plan.is_stateful:
            yield enforced
            return
        kept = replace(enforced, flagged=enforced.flagged.persist())
        try:
            yield kept
        finally:
            kept.flagged.unpersist()

    def _partitions(self, rows: DataFrame) -> int:
        """Return how many tasks write, where Spark does.

        A shuffle does not pay for the few rows of a stream that keeps up. What a query keeps in its state lies in
        partitions of its own, which a single task would have to go through.
        """
        if self._was_small and not self.plan.is_stateful:
            return 1
        return int(rows.sparkSession.conf.get("spark.sql.shuffle.partitions") or 1)

    @property
    def _was_small(self) -> bool:
        return self.previous is not None and self.previous <= _MOST_COLLECTED

    @cached_property
    def _enforce(self) -> Enforcer:
        return Enforcer(self.plan.table)

    @cached_property
    def _bounded(self) -> Bounded:
        return Bounded(_MOST_COLLECTED, _MOST_COLLECTED_BYTES)
