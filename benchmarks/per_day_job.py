"""Define the Dagster job of side `per_day`.

The process of every step imports it.
"""

from __future__ import annotations

import dagster as dg

from benchmarks.tables import TABLES
from lake.declare.table import Table
from lake.orchestration.definitions import build_definitions
from lake.orchestration.keys import asset_key
from lake.project.environment import Environment, open_environment

__all__ = ["build_job", "daily_tables"]


def daily_tables(environment: Environment) -> list[Table]:
    """Return the tables that have days."""
    return [table for table in environment.choose(TABLES) if table.day is not None]


def build_job() -> dg.JobDefinition:
    """Build a job of the project's assets that have days.

    It runs on the executor that Dagster takes where none is named.
    """
    environment = open_environment()
    ours = build_definitions(environment.settings, environment.choose(TABLES))
    daily = dg.AssetSelection.assets(*(asset_key(table) for table in daily_tables(environment)))
    job = dg.define_asset_job("one_day", selection=daily.without_checks())
    definitions = dg.Definitions(assets=ours.assets, resources=ours.resources, jobs=[job])
    return definitions.resolve_job_def("one_day")
