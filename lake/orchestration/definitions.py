"""Build what Dagster loads of a project.

That is its tables as assets with checks, and the sensors and schedules that it chose.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import dagster as dg

from lake.declare.broken_files import BrokenFile
from lake.declare.sink import Sink
from lake.declare.table import Table
from lake.orchestration.assets import build_asset, build_checks, build_feeds
from lake.orchestration.partitions import build_partitions
from lake.orchestration.resource import LakehouseResource
from lake.orchestration.sinks import build_publisher, build_sink_asset, build_sink_checks
from lake.orchestration.work_of_run import work_of_run
from lake.project.opening import open_sinks, open_tables
from lake.project.settings import Settings

__all__ = ["build_definitions", "load_definitions"]


Sensors = Callable[[Settings, Sequence[Table], Sequence[BrokenFile]], Iterable[dg.SensorDefinition]]
Schedules = Callable[[Settings, Sequence[Table]], Iterable[dg.ScheduleDefinition]]
Own = Callable[[Settings, Sequence[Table]], dg.Definitions]
"""Builds what a project has beside its tables: assets, with their checks, schedules and jobs."""


def load_definitions(sensors: Sensors, schedules: Schedules, own: Own = lambda *_: dg.Definitions()) -> dg.Definitions:
    """Build the definitions of the project that this process belongs to.

    Tables that are left out are named in the log.

    Args:
        sensors: builds the sensors that the project runs, from its settings, its tables and its broken files.
        schedules: likewise the schedules.
        own: likewise assets that are no tables.
    """
    settings = Settings.from_env()
    tables, broken = open_tables(settings)
    sinks, _ = open_sinks(settings)
    for one in broken:
        dg.get_dagster_logger().error(str(one))
    return build_definitions(
        settings, tables.values(), broken, sensors=sensors, schedules=schedules, sinks=list(sinks.values()), own=own
    )


def build_definitions(
    settings: Settings,
    tables: Iterable[Table],
    broken: Sequence[BrokenFile] = (),
    *,
    sensors: Sensors = lambda *_: (),
    schedules: Schedules = lambda *_: (),
    sinks: Sequence[Sink] = (),
    own: Own = lambda *_: dg.Definitions(),
) -> dg.Definitions:
    """Assets, checks and resources of some tables (upstream first) in one environment.

    A table that is left out because its file is broken is shown in the group `broken`, with the reason.
    """
    chosen = list(tables)
    partitions, lakehouse = build_partitions(settings), LakehouseResource.from_settings(settings)
    built = dg.Definitions(
        assets=[
            *build_feeds(chosen),
            *(build_asset(table, settings, partitions) for table in chosen),
            *(build_sink_asset(sink, settings, partitions) for sink in sinks),
            *map(_broken_asset, broken),
        ],
        asset_checks=[
            *(build_checks(table, settings) for table in chosen),
            *(build_sink_checks(sink, settings) for sink in sinks),
        ],
        schedules=list(schedules(settings, chosen)),
        sensors=[*sensors(settings, chosen, broken), *([build_publisher(settings, sinks)] if sinks else [])],
        resources={"lakehouse": lakehouse.definition(lambda run: work_of_run(run, chosen, lakehouse.store()))},
        # One process and so one JVM for all tables of a run, because Spark itself uses all cores.
        executor=dg.in_process_executor,
    )
    return dg.Definitions.merge(built, own(settings, chosen))


def _broken_asset(broken: BrokenFile) -> dg.AssetSpec:
    key = [part.replace("*", "all_tables") for part in broken.table.split(".")]
    return dg.AssetSpec(key, group_name="broken", description=f"**{broken}**", metadata={"file": broken.file})
