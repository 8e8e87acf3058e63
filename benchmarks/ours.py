"""Run side `ours`: `lakehouse refresh`, as a user does.

It has contracts, checks, ledger, and Dagster's record of every day.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from benchmarks.side import Stopwatch, run_side
from benchmarks.tables import TABLES
from lake.orchestration.refresher import Refresher
from lake.orchestration.results import TableResult
from lake.project.environment import open_environment

AROUND = "around the tables, less what overlaps"


def compute(home: Path, watch: Stopwatch) -> None:
    del home  # the environment knows it
    environment = open_environment()
    environment.settings.make_folders()
    previous = time.monotonic()

    def note(result: TableResult) -> None:
        """Note a table's own seconds and what passed around it.

        That is checks, events and planning, less the seconds in which another table was computed too.
        """
        nonlocal previous
        now = time.monotonic()
        watch.add(AROUND, now - previous - result.seconds)
        watch.add(result.table, result.seconds)
        previous = now
        print(f"    {result.table:<34} {result.seconds:7.2f} s  {result.message}", flush=True)

    with Refresher(environment, note) as refresher:
        results = refresher.to_date(environment.choose(TABLES))
    watch.add(AROUND, time.monotonic() - previous)
    if not all(result.ok for result in results):
        sys.exit("a table was not written")


if __name__ == "__main__":
    run_side(compute)
