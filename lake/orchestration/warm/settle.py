"""Go on from a run of `reconcile` down to gold, in the same process.

A run of bronze tells which days of other tables a late message touches. The sensor would find that out seconds later,
and ask again after each further step. Here the same question is asked as soon as a run has succeeded, until nothing is
due. Each answer is a recorded run like those that the sensor asks for. What has to wait there waits here too, and is
left to the sensor.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import dagster as dg

from lake.declare.table import Table
from lake.errors import LakeError
from lake.orchestration.assets import CAUSE, TAKEN_RUN, WORKER, this_process
from lake.orchestration.sensors.reconcile import JOB, due_requests
from lake.orchestration.warm.execute import CodeLocation
from lake.project.settings import Settings
from lake.write.store import DeltaStore

__all__ = ["Settling"]


@dataclass(frozen=True)
class Settling:
    """Gives the runs that follow a run.

    Attributes:
        instance: where they are recorded.
        location: has the job.
        settings: of the environment.
        tables: of the project.
        store: of the environment.
    """

    instance: dg.DagsterInstance
    location: CodeLocation
    settings: Settings
    tables: Sequence[Table]
    store: DeltaStore

    def follow_up(self, run: dg.DagsterRun) -> Iterator[dg.DagsterRun]:
        """Give the runs that are due after this one.

        Ask for each once the one before it has succeeded.

        None after a run that somebody else than `reconcile` asked for.
        """
        if run.tags.get(CAUSE) != JOB:
            return
        asked: set[str | None] = set()
        while requests := [one for one in self._due() if one.run_key not in asked]:
            asked.update(request.run_key for request in requests)
            yield from map(self._record, requests)

    def _due(self) -> Sequence[dg.RunRequest]:
        try:
            return due_requests(self.instance, self.store, self.tables, self.settings).requests
        except LakeError as error:
            print(f"ERROR: what is due cannot be told, and the sensor asks again: {error}", flush=True)
            return ()

    def _record(self, request: dg.RunRequest) -> dg.DagsterRun:
        run_id = str(uuid.uuid4())
        return self.instance.create_run_for_job(
            self.location.repository.get_job(JOB),
            run_id=run_id,
            tags={**request.tags, WORKER: this_process(), TAKEN_RUN: run_id},
            asset_selection=set(request.asset_selection or ()),
        )
