"""Map days to Dagster: one daily calendar for all tables.

It says too which days of an input a day needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

import dagster as dg
from dagster._core.execution.context.metadata_logging import (
    AssetMetadataHandle,
    OutputMetadataAccumulator,
    OutputMetadataHandle,
)

from lake.declare.days import Days, utc_day
from lake.declare.table import Read, Table
from lake.project.settings import Settings

__all__ = ["DAYS", "build_partition_mapping", "build_partitions", "days_of_run", "range_tags", "tell_of_days"]

DAYS = "lakehouse/days"
"""Run tag: the days of a run, for people."""


def build_partitions(settings: Settings) -> dg.DailyPartitionsDefinition:
    """Build the calendar of the environment, which ends on the lake's open day.

    It is one object, shared by all tables, so that they can run together. By the wall clock it grows with every day,
    because Dagster looks at that clock. Where the lake's clock is its own, as in a replay, it ends for good, and
    `CalendarWatch` loads the definitions anew on the next day.
    """
    reached = settings.calendar().last
    end = settings.last_day if settings.own_clock() is None else reached
    ahead = (reached - utc_day(datetime.now(UTC))).days
    return dg.DailyPartitionsDefinition(
        start_date=_key(settings.first_day),
        end_date=None if end is None else _key(end + timedelta(days=1)),
        end_offset=max(1, 1 + ahead),
    )


def build_partition_mapping(table: Table, read: Read) -> dg.PartitionMapping | None:
    """Map a day of the table to the input's days that it needs.

    None where either has no days.
    """
    if table.day is None or not isinstance(read.source, Table) or read.source.day is None:
        return None
    # The calendar's first and last day need days beyond it, which no feed has.
    return dg.TimeWindowPartitionMapping(
        start_offset=-read.before, end_offset=read.after, allow_nonexistent_upstream_partitions=True
    )


def days_of_run(tags: Mapping[str, str]) -> Days | None:
    """Return the days that the tags of a run name.

    None for a run without days.
    """
    one = tags.get("dagster/partition")
    first = tags.get("dagster/asset_partition_range_start", one)
    last = tags.get("dagster/asset_partition_range_end", one)
    return Days.parse(f"{first}..{last}") if first and last else None


def range_tags(days: Days) -> dict[str, str]:
    """Return the tags that make one run compute all these days."""
    return {
        "dagster/asset_partition_range_start": _key(days.start),
        "dagster/asset_partition_range_end": _key(days.last),
        DAYS: str(days),
    }


def tell_of_days(context: dg.AssetExecutionContext, metadata: Mapping[date, Mapping[str, Any]]) -> None:
    """Give each day of the asset that runs its metadata.

    As `context.add_asset_metadata` does for one partition, which copies what it was given of all others each time:
    seconds for a year, minutes for ten.
    """
    told: dict[OutputMetadataHandle | AssetMetadataHandle, Mapping[str, Any]] = {
        AssetMetadataHandle(asset_key=context.asset_key, partition_key=_key(day)): facts
        for day, facts in metadata.items()
    }
    context.get_step_execution_context()._metadata_accumulator = OutputMetadataAccumulator(per_output_metadata=told)


def _key(day: date) -> str:
    return day.isoformat()
