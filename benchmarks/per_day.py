"""Run side `per_day`, the usual way: one Dagster run per day.

It runs on Dagster's default executor and its default storage.

The home already holds the whole range, copied from another side, so that a day finds the days around it; some days are
computed again. The assets are the project's own. Left out, in favour of this side: its checks (a process each), and the
tables without days, which are small.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path

import dagster as dg

from benchmarks.per_day_job import build_job, daily_tables
from benchmarks.side import Stopwatch, run_side
from lake.declare.table import Table
from lake.ownership.ledger import Ledger
from lake.project.environment import open_environment

__all__ = ["DAYS"]

DAYS = "BENCHMARK_DAYS"
"""Variable that names the days to compute, separated by commas."""


def compute(home: Path, watch: Stopwatch) -> None:
    dagster_home = home / "dagster"
    dagster_home.mkdir(exist_ok=True)
    (dagster_home / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    os.environ["DAGSTER_HOME"] = str(dagster_home)
    started = datetime.now(UTC)
    tables = daily_tables(open_environment())
    days = [date.fromisoformat(text) for text in os.environ[DAYS].split(",")]
    with dg.DagsterInstance.from_config(str(dagster_home)) as instance:
        for day in days:
            with watch.phase(str(day)):
                _run_day(instance, day)
            print(f"    {day}: one run, {len(tables)} tables {watch.phases[str(day)]:7.2f} s", flush=True)
    _check_computed(tables, days, started)


def _run_day(instance: dg.DagsterInstance, day: date) -> None:
    result = dg.execute_job(
        dg.reconstructable(build_job),
        instance=instance,
        tags={"dagster/partition": day.isoformat()},
        raise_on_error=False,
    )
    if not result.success:
        raise SystemExit(f"the run of {day} failed; its log is in {os.environ['DAGSTER_HOME']}")


def _check_computed(tables: Sequence[Table], days: Sequence[date], started: datetime) -> None:
    """Refuse a run after which the ledger lacks a table or a day.

    Rows alone cannot tell, for they were there before.
    """
    computed = Ledger(open_environment().store).latest_by_table()
    for table in tables:
        for day in days:
            entry = computed.get(table.full_name, {}).get(day)
            if entry is None or entry.recorded_at < started:
                raise SystemExit(f"{table.full_name} was not computed for {day}; nothing was measured")


if __name__ == "__main__":
    run_side(compute)
