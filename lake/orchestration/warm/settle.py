"""Find what is due while the warm process is idle, and go on from it down to gold.

The sensor looks every five seconds, and what it asks for is launched a second later. This process has the lake before
it anyway. A look at which nothing has changed takes milliseconds and starts nothing, so it is taken twice a second. A
run of bronze tells which days of other tables a late message touches, so the same question is asked as soon as a run
has succeeded, until nothing is due. Each answer is a recorded run like those that the sensor asks for, and what has to
wait there waits here.
"""

from __future__ import annotations

import time
import traceback
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import dagster as dg
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.scheduler.instigation import InstigatorState, InstigatorStatus
from dagster._core.storage.tags import RUN_KEY_TAG, SENSOR_NAME_TAG

from lake.declare.table import Table
from lake.errors import LakeError
from lake.orchestration.assets import TAKEN_RUN, WORKER, this_process
from lake.orchestration.sensors.reconcile import JOB, Due, due_requests, is_under_way, looked_at
from lake.orchestration.warm.execute import CodeLocation
from lake.project.automation import runs_by_itself
from lake.project.settings import Settings
from lake.write.store import DeltaStore

__all__ = ["Settling"]

_PART_OF_THE_TIME = 20
"""A look at a large lake, or at an object store, takes longer, and is taken less often."""
_WAITS_SECONDS = 2.0
"""Before it looks again where something is due and has to wait."""


@dataclass
class Settling:
    """Finds the runs that are due, as the sensor `reconcile` does, and records them.

    It finds none while the sensor is switched off.

    Attributes:
        instance: where runs are recorded.
        location: has the job, and the sensor.
        settings: of the environment.
        tables: of the project.
        store: of the environment.
    """

    instance: dg.DagsterInstance
    location: CodeLocation
    settings: Settings
    tables: Sequence[Table]
    store: DeltaStore
    _seen: str | None = field(default=None, init=False)
    _next: float = field(default=0.0, init=False)
    _said: str = field(default="", init=False)

    def due(self) -> Sequence[dg.RunRequest]:
        """Return the runs to start now.

        It looks only so often that looking takes a small part of the time.
        """
        began = time.monotonic()
        if began < self._next:
            return ()
        found = self._look()
        ended, waits = time.monotonic(), found.steps > len(found.requests)
        self._next = ended + max((ended - began) * _PART_OF_THE_TIME, _WAITS_SECONDS if waits else 0.0)
        return found.requests

    def all_of(self, requests: Sequence[dg.RunRequest]) -> Iterator[Callable[[], dg.DagsterRun]]:
        """Give for each of these runs a function that records it.

        Then for those that follow them. Ask for each once the one before it has succeeded.
        """
        while requests:
            yield from (partial(self._record, request) for request in requests)
            requests = self._look().requests

    def _look(self) -> Due:
        """Find what is due where anything has changed since nothing was.

        What goes wrong is printed once, and must not end the process: the sensor meets the same and shows it.
        """
        try:
            return self._found()
        except Exception as error:
            said = f"ERROR: what is due cannot be told: {error}"
            if said != self._said:
                print(said, flush=True)
                if not isinstance(error, LakeError):
                    traceback.print_exc()
            self._said = said
            return Due((), 1)

    def _found(self) -> Due:
        seen = looked_at(self.tables, self.store, self._seen)
        if seen == self._seen:
            return Due((), 0)
        if not self._is_switched_on() or is_under_way(self.instance):
            return Due((), 1)
        found = due_requests(self.instance, self.store, self.tables, self.settings)
        # What waits must be found again.
        self._seen = None if found.steps else seen
        return Due([request for request in found.requests if not self._was_recorded(request)], found.steps)

    def _is_switched_on(self) -> bool:
        """Tell whether the sensor is on: by hand in the UI, or else by `lakehouse up --auto`."""
        states = self.instance.all_instigator_state(instigator_type=InstigatorType.SENSOR)
        own = (one for one in states if one.name == JOB and _location_of(one) == self.location.name)
        by_hand = [one.status for one in own if one.status is not InstigatorStatus.DECLARED_IN_CODE]
        return InstigatorStatus.RUNNING in by_hand if by_hand else runs_by_itself(self.settings)

    def _was_recorded(self, request: dg.RunRequest) -> bool:
        """Tell whether a run was asked for by the same cause before, as Dagster does for a sensor.

        It has changed nothing then, and would change nothing for ever.
        """
        return self.instance.get_runs_count(dg.RunsFilter(tags={RUN_KEY_TAG: request.run_key or ""})) > 0

    def _record(self, request: dg.RunRequest) -> dg.DagsterRun:
        run_id = str(uuid.uuid4())
        own = {SENSOR_NAME_TAG: JOB, RUN_KEY_TAG: request.run_key or "", WORKER: this_process(), TAKEN_RUN: run_id}
        return self.instance.create_run_for_job(
            self.location.repository.get_job(JOB),
            run_id=run_id,
            tags={**request.tags, **own},
            asset_selection=set(request.asset_selection or ()),
        )


def _location_of(state: InstigatorState) -> str:
    return state.origin.repository_origin.code_location_origin.location_name
