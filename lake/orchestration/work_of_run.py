"""Tell how much the process that executes a run computes."""

from __future__ import annotations

from collections.abc import Iterable

import dagster as dg

from lake.batch.amount import work_of
from lake.batch.lake_view import LakeView
from lake.declare.table import Table
from lake.engine.compiling import Work
from lake.orchestration.assets import PID, TAKEN_RUN
from lake.orchestration.keys import asset_key
from lake.orchestration.partitions import days_of_run
from lake.write.store import DeltaStore

__all__ = ["work_of_run"]


def work_of_run(run: dg.DagsterRun, tables: Iterable[Table], store: DeltaStore) -> Work:
    """Tell how much this process computes, where it is there for one run alone.

    The warm process, and a command that starts Spark itself, go on after a run.

    Args:
        run: that this process executes.
        tables: of which the run computes those that it selects.
        store: the lake.
    """
    if PID in run.tags or run.tags.get(TAKEN_RUN) == run.run_id:
        return Work.MUCH
    days, selected = days_of_run(run.tags) or [None], run.asset_selection
    return work_of(LakeView(store), {one: days for one in tables if selected is None or asset_key(one) in selected})
