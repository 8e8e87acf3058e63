"""Give Dagster the airline's tables, sensors and schedules."""

import dagster as dg

from lake.orchestration.definitions import load_definitions
from sensors.chosen import schedules, sensors


@dg.definitions
def defs() -> dg.Definitions:
    """Load everything, as the environment says."""
    return load_definitions(sensors, schedules)
