"""Give Dagster the airline's tables, model, sensors and schedules."""

import dagster as dg

from airline.delay_model.assets import build_delay_model
from lake.orchestration.definitions import load_definitions
from sensors.chosen import schedules, sensors


@dg.definitions
def defs() -> dg.Definitions:
    """Load everything, as the environment says."""
    return load_definitions(sensors, schedules, build_delay_model)
