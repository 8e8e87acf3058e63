"""Side `per_day`: the usual way: one Dagster run per day, on Dagster's default executor and its default storage.

The home already holds the whole range, copied from another side, so that a day finds the days around it; some days are
computed again. The assets are the project's own. Left out, in favour of this side: its checks (a process each), and
the tables without days, which are small.
"""

from __future__ import annotations

import os
from datetime import date
from pathlib import Path

import dagster as dg

from benchmarks.side import Stopwatch, run_side
from benchmarks.tables import TABLES
from lake.table import Table
from lakehouse_assets.definitions import build_definitions
from lakehouse_assets.environment import Environment, open_environment
from lakehouse_assets.factory import asset_key

DAYS = "BENCHMARK_DAYS"
"""Variable that names the days to compute, separated by commas."""


def build_job() -> dg.JobDefinition:
    """The job that holds all assets; every step's process builds it again."""
    environment = open_environment()
    ours = build_definitions(environment.settings, environment.choose(TABLES))
    # What it leaves out is the executor that ours names.
    definitions = dg.Definitions(assets=ours.assets, resources=ours.resources)
    return definitions.resolve_implicit_global_asset_job_def()


def daily_tables(environment: Environment) -> list[Table]:
    return [table for table in environment.choose(TABLES) if table.day is not None]


def compute(home: Path, watch: Stopwatch) -> None:
    dagster_home = home / "dagster"
    dagster_home.mkdir(exist_ok=True)
    (dagster_home / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    os.environ["DAGSTER_HOME"] = str(dagster_home)
    tables = daily_tables(open_environment())
    before = {table: open_environment().store.version(table) for table in tables}
    days = [date.fromisoformat(text) for text in os.environ[DAYS].split(",")]
    with dg.DagsterInstance.from_config(str(dagster_home)) as instance:
        for day in days:
            with watch.phase(str(day)):
                _run_day(instance, tables, day)
            print(f"    {day}: one run, {len(tables)} tables {watch.phases[str(day)]:7.2f} s", flush=True)
    _check_rewritten(tables, before, len(days))


def _run_day(instance: dg.DagsterInstance, tables: list[Table], day: date) -> None:
    result = dg.execute_job(
        dg.reconstructable(build_job),
        instance=instance,
        asset_selection=[asset_key(table) for table in tables],
        tags={"dagster/partition": day.isoformat()},
        raise_on_error=False,
    )
    if not result.success:
        raise SystemExit(f"the run of {day} failed; its log is in {os.environ['DAGSTER_HOME']}")


def _check_rewritten(tables: list[Table], before: dict[Table, int | None], days: int) -> None:
    store = open_environment().store
    for table in tables:
        written = (store.version(table) or 0) - (before[table] or 0)
        if written < days:
            raise SystemExit(f"{table.full_name} was written {written} times in {days} runs; nothing was measured")


if __name__ == "__main__":
    run_side(compute)
