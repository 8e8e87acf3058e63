"""Compare what a destination holds with its table.

It compares the counts and checksums of both ends.
"""

from __future__ import annotations

from dataclasses import dataclass

from lake.batch.survey import Survey
from lake.declare.days import Day, Days, in_order
from lake.declare.destinations import EachNewRow
from lake.declare.sink import Sink
from lake.serve.plan import Due, find_due
from lake.serve.publish import is_due
from lake.serve.target import Load, Place, describe_differences, open_follower, open_target

__all__ = ["Standing", "find_differing", "stand"]


@dataclass(frozen=True)
class Standing:
    """The days that a destination holds and lacks.

    Attributes:
        loads: what it says that it holds of each day; none where it follows the log.
        due: what is to be loaded.
    """

    loads: dict[Day, Load]
    due: Due

    @property
    def newest_day(self) -> Day:
        """The newest day that it holds rows of."""
        return max((day for day, load in self.loads.items() if day and load.rows), default=None)


def stand(sink: Sink, survey: Survey, place: Place) -> Standing:
    """Look what a destination holds and lacks, without reading rows."""
    if sink.to.follows_log:
        return Standing({}, is_due(sink, survey, place))
    loads = dict(open_target(sink, place).loads())
    return Standing(loads, find_due(sink, survey, place, loads))


def find_differing(sink: Sink, survey: Survey, place: Place, days: Days | None = None) -> tuple[int, dict[Day, str]]:
    """Read both ends and compare them by day.

    Days that are to be loaded anyway are left out.

    Args:
        sink: which.
        survey: of the lake.
        place: of the destination.
        days: compare these; None for all.

    Returns:
        How many days were compared, and what differs, by day.
    """
    if isinstance(sink.how, EachNewRow):
        left_out = open_follower(sink, place).left_out()
        return 0, {None: left_out} if left_out else {}
    standing = stand(sink, survey, place)
    source, target = standing.due.source, open_target(sink, place)
    loads = target.loads() if sink.to.follows_log else standing.loads
    chosen = [day for day in loads if day not in standing.due.days and (not days or not day or day in days)]
    if source is None or not chosen:
        return 0, {}
    from lake.serve.sums import json_text, sums_of, without_nulls  # DuckDB, which a look at the lake does not need

    found: dict[Day, str] = {}
    for batch in source.in_batches(in_order(chosen)):
        rows, held, table = source.rows(batch), target.rows(batch), source.table
        if rows.schema.types != held.schema.types:  # nested values are JSON there, perhaps of before a new field
            rows, held = without_nulls(json_text(rows, table), table), without_nulls(held, table)
        found |= describe_differences(sums_of(rows, table), sums_of(held, table))
    return len(chosen), found
