"""Bring the small lake up to date in a process of its own, by a refresh or as the warm process does it.

python -m tests.sensors.small_lake_process refresh|warm HOME
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import dagster as dg

from lake.orchestration.dagster_home import open_instance
from lake.orchestration.refresher import Refresher
from lake.orchestration.warm.execute import CodeLocation, execute
from lake.orchestration.warm.settle import Settling
from lake.project.automation import switch_automation
from lake.project.environment import Environment
from lake.project.opening import open_store
from lake.project.settings import Settings
from tests.definitions import definitions_of
from tests.lakehouse_assets.small_lake import TABLES, settings_for

__all__ = ["settle", "settling"]


def settling(instance: dg.DagsterInstance, settings: Settings) -> Settling:
    """What a warm process has of a lake that was switched to run by itself."""
    switch_automation(settings, on=True)
    location = CodeLocation("here", definitions_of(settings, TABLES).get_repository_def())
    return Settling(instance, location, settings, TABLES, open_store(settings))


def settle(instance: dg.DagsterInstance, settings: Settings) -> list[dg.DagsterRun]:
    """Execute what is due and what follows it, as the warm process does, and give the runs."""
    warm, runs = settling(instance, settings), []
    for record in warm.all_of(warm.due()):
        run = record()
        assert execute(instance, warm.location, run, TABLES)
        runs.append(run)
    return runs


def main(way: str, home: Path) -> None:
    """Do it, and end."""
    settings = settings_for(home)
    if way == "warm":
        with open_instance(settings) as instance:
            settle(instance, settings)
        return
    environment = Environment(settings, {table.full_name: table for table in TABLES}, open_store(settings))
    with Refresher(environment, lambda _: None) as refresher:
        assert all(result.ok for result in refresher.to_date(TABLES))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
    sys.stdout.flush()
    os._exit(0)
