"""Once a day: whatever the newest closed landing day brought, through all tables.

A landing day L is not one day of every table. Messages about L - 1 land on L, a row may need rows of two days
later: so a table's newest day is early until some days after it. The window L - k .. L, with k from the declared reads,
holds every day of every table that rows which landed on time on L can change; one run over it brings all of them up to
date, in order, and commits only the days that differ. Rows that are later than that are found by `lakehouse refresh`,
which asks the table logs what is stale.

A feed that was to deliver something for that day and has not keeps back what reads it, directly or through others: the
run is for the other tables, and its tag `lakehouse/waits_for` names the feed. The next runs look back to the day.
`lakehouse refresh` does not wait: it computes days from what there is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress

import dagster as dg

from lake.batch.freshness import Deliveries
from lake.declare.days import Days
from lake.declare.graph import feeds_of
from lake.declare.table import Table
from lake.errors import FolderNotReadable
from lake.orchestration.assets import CAUSE, UNLESS_EQUAL
from lake.orchestration.keys import asset_key
from lake.orchestration.partitions import range_tags
from lake.orchestration.resource import Lakehouse
from lake.orchestration.sensors.automatic import default_schedule_status
from lake.project.settings import Settings

__all__ = ["WAITS_FOR", "build_daily_schedule", "days_to_look_back"]

CRON = "30 0 * * *"
WAITS_FOR = "lakehouse/waits_for"
"""Run tag: the feeds that have not delivered, so that what reads them is not in the run."""


def build_daily_schedule(settings: Settings, tables: Sequence[Table], cron: str = CRON) -> dg.ScheduleDefinition:
    """Build the schedule `daily`: half an hour after midnight UTC, or as `cron` says.

    It is off until somebody switches it on, here or by `lakehouse up --auto`.
    """
    job = dg.define_asset_job("daily", selection=dg.AssetSelection.all(), description=__doc__)

    @dg.schedule(
        name="daily",
        job=job,
        cron_schedule=cron,
        execution_timezone="UTC",
        default_status=default_schedule_status(settings),
        description="All tables, for the days that the newest closed landing day can change.",
    )
    def daily(lakehouse: Lakehouse) -> dg.RunRequest | dg.SkipReason:
        newest = settings.newest_closed_day()
        awaited = Deliveries(lakehouse.store()).awaited(tables, newest)
        waiting = set[Table]().union(*awaited.values())
        ready = [asset_key(table) for table in tables if table not in waiting]
        if not ready or not _anything_landed(settings, tables, newest):
            return dg.SkipReason(f"nothing has landed for {newest}; the next run looks back to it")
        window = Days.of(newest).widen(before=days_to_look_back(tables)).intersect(settings.calendar())
        tags = {**range_tags(window), UNLESS_EQUAL: "true", CAUSE: "schedule"}
        if awaited:
            tags[WAITS_FOR] = ", ".join(sorted(feed.name for feed in awaited))
        return dg.RunRequest(run_key=newest.isoformat(), tags=tags, asset_selection=ready)

    return daily


def days_to_look_back(tables: Iterable[Table]) -> int:
    """Count the days back to the oldest that a landing day can change.

    Only rows that landed on time count.
    """
    behind: dict[Table, int] = {}
    for table in tables:  # upstream first
        sources = [(read.source, read.after) for read in table.reads if isinstance(read.source, Table)]
        behind[table] = max((behind.get(source, 0) + after for source, after in sources), default=0)
    return max(behind.values(), default=0)


def _anything_landed(settings: Settings, tables: Iterable[Table], day: object) -> bool:
    feeds = feeds_of(tables)
    for feed in feeds:
        with suppress(FolderNotReadable):
            if day in settings.landing.days(feed):
                return True
    return False
