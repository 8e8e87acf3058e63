"""The Dagster job of side `per_day`; the process of every step imports it."""

from __future__ import annotations

import dagster as dg

from benchmarks.tables import TABLES
from lakehouse_assets.definitions import build_definitions
from lakehouse_assets.environment import open_environment


def build_job() -> dg.JobDefinition:
    """The project's assets, on the executor that Dagster chooses where none is named."""
    environment = open_environment()
    ours = build_definitions(environment.settings, environment.choose(TABLES))
    definitions = dg.Definitions(assets=ours.assets, resources=ours.resources)
    return definitions.resolve_implicit_global_asset_job_def()
