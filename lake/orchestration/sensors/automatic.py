"""Say which schedules and sensors are on where nobody switched them by hand."""

from __future__ import annotations

import dagster as dg

from lake.project.automation import runs_by_itself
from lake.project.settings import Settings

__all__ = ["default_schedule_status", "default_sensor_status"]


def default_schedule_status(settings: Settings) -> dg.DefaultScheduleStatus:
    """Return the status of a schedule that changes the lake."""
    return dg.DefaultScheduleStatus.RUNNING if runs_by_itself(settings) else dg.DefaultScheduleStatus.STOPPED


def default_sensor_status(settings: Settings) -> dg.DefaultSensorStatus:
    """Return the status of a sensor that changes the lake."""
    return dg.DefaultSensorStatus.RUNNING if runs_by_itself(settings) else dg.DefaultSensorStatus.STOPPED
