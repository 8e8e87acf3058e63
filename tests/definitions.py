"""Definitions of some tables with the sensors, schedules and model that the airline runs."""

from __future__ import annotations

from collections.abc import Iterable

import dagster as dg

from airline.delay_model.assets import build_delay_model
from lake.declare.table import Table
from lake.orchestration.definitions import build_definitions
from lake.project.settings import Settings
from sensors.chosen import schedules, sensors

__all__ = ["definitions_of"]


def definitions_of(settings: Settings, tables: Iterable[Table]) -> dg.Definitions:
    """Everything that Dagster loads where a project has these tables."""
    return build_definitions(settings, tables, sensors=sensors, schedules=schedules, own=build_delay_model)
