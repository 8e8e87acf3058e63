"""Choose the schedules and sensors that the airline runs.

Their builders are the framework's.
"""

from __future__ import annotations

from collections.abc import Sequence

import dagster as dg

from lake.declare.broken_files import BrokenFile
from lake.declare.table import Table
from lake.orchestration.sensors.alerts import build_failure_alerts
from lake.orchestration.sensors.daily import build_daily_schedule
from lake.orchestration.sensors.failing_checks import build_failing_checks
from lake.orchestration.sensors.freshness import build_freshness_alerts
from lake.orchestration.sensors.maintain import build_maintenance
from lake.orchestration.sensors.reconcile import build_reconcile
from lake.orchestration.sensors.stalled_streams import build_stalled_streams
from lake.orchestration.sensors.stream_commits import build_stream_commits
from lake.project.settings import Settings

__all__ = ["schedules", "sensors"]


def schedules(settings: Settings, tables: Sequence[Table]) -> list[dg.ScheduleDefinition]:
    """Build what runs at a time of day."""
    return [build_daily_schedule(settings, tables), build_maintenance(settings, tables)]


def sensors(settings: Settings, tables: Sequence[Table], broken: Sequence[BrokenFile]) -> list[dg.SensorDefinition]:
    """Build what watches tables, streams and runs."""
    return [
        build_failure_alerts(settings, tables),
        build_failing_checks(settings, tables),
        build_freshness_alerts(settings, tables, broken),
        build_reconcile(settings, tables),
        build_stalled_streams(settings, tables),
        build_stream_commits(settings, tables),
    ]
