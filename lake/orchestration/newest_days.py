"""Have Dagster's web server find the newest days of a calendar that has ended.

The plots of a table ask for its newest days. Of a calendar with an end Dagster gives the days before now instead, which
no table of a replay has, so that the plots stay empty.
"""

from __future__ import annotations

from datetime import UTC, datetime

from dagster._core.definitions.partitions.context import PartitionLoadingContext
from dagster._core.definitions.partitions.definition import TimeWindowPartitionsDefinition
from dagster._core.types.pagination import PaginatedResults

__all__ = ["find_newest_days"]

_METHOD = "get_paginated_partition_keys"
_ORIGINAL = TimeWindowPartitionsDefinition.get_paginated_partition_keys


def find_newest_days() -> None:
    """Mend the method by which this process looks for days."""
    setattr(TimeWindowPartitionsDefinition, _METHOD, _within_calendar)


def _within_calendar(
    calendar: TimeWindowPartitionsDefinition,
    context: PartitionLoadingContext,
    limit: int,
    ascending: bool,
    cursor: str | None = None,
) -> PaginatedResults[str]:
    """Look back from the end of the calendar, where it lies before now."""
    if calendar.end_timestamp is not None and not ascending:
        end = datetime.fromtimestamp(calendar.end_timestamp, UTC)
        context = context.updated(min(context.effective_dt, end), context.dynamic_partitions_store)
    return _ORIGINAL(calendar, context, limit, ascending, cursor)
