"""What Dagster loads: every table that `discover` finds, in the environment of the process."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import dagster as dg

from lake.broken_files import BrokenFile
from lake.opening import open_tables
from lake.settings import Settings
from lake.table import Table
from lakehouse_assets.factory import build_asset, build_checks, build_feeds
from lakehouse_assets.partitions import build_partitions
from resources.lakehouse import LakehouseResource
from sensors.alerts import build_failure_alerts
from sensors.daily import build_daily_schedule
from sensors.failing_checks import build_failing_checks
from sensors.freshness import build_freshness_alerts
from sensors.maintain import build_maintenance
from sensors.reconcile import build_reconcile
from sensors.stalled_streams import build_stalled_streams
from sensors.stream_commits import build_stream_commits

__all__ = ["build_definitions", "defs"]


def build_definitions(settings: Settings, tables: Iterable[Table], broken: Sequence[BrokenFile] = ()) -> dg.Definitions:
    """Assets, checks, resources, schedule and alerts of some tables (upstream first) in one environment.

    A table that is left out because its file is broken is shown in the group `broken`, with the reason.
    """
    chosen = list(tables)
    partitions = build_partitions(settings)
    return dg.Definitions(
        assets=[
            *build_feeds(chosen),
            *(build_asset(table, settings, partitions) for table in chosen),
            *map(_broken_asset, broken),
        ],
        asset_checks=[build_checks(table, settings) for table in chosen],
        schedules=[build_daily_schedule(settings, chosen), build_maintenance(settings, chosen)],
        sensors=[
            build_failure_alerts(settings),
            build_failing_checks(settings, chosen),
            build_freshness_alerts(settings, chosen, broken),
            build_reconcile(settings, chosen),
            build_stalled_streams(settings, chosen),
            build_stream_commits(settings, chosen),
        ],
        resources={"lakehouse": LakehouseResource.from_settings(settings).definition()},
        # One process, so one JVM for all tables of a run; Spark itself uses all cores.
        executor=dg.in_process_executor,
    )


@dg.definitions
def defs() -> dg.Definitions:
    """Load everything, as the environment says; name the tables that are left out."""
    settings = Settings.from_env()
    tables, broken = open_tables(settings)
    for one in broken:
        dg.get_dagster_logger().error(str(one))
    return build_definitions(settings, tables.values(), broken)


def _broken_asset(broken: BrokenFile) -> dg.AssetSpec:
    key = [part.replace("*", "all_tables") for part in broken.table.split(".")]
    return dg.AssetSpec(key, group_name="broken", description=f"**{broken}**", metadata={"file": broken.file})
