"""Execute runs of the project in this process.

It is done as Dagster's own process of a run does it, with definitions that are loaded once.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.errors import DagsterExecutionInterruptedError
from dagster._core.execution.api import execute_run_iterator
from dagster._core.remote_origin import ManagedGrpcPythonEnvCodeLocationOrigin
from dagster._core.workspace.load_target import WorkspaceFileTarget
from dagster._grpc.server import LoadedRepositories
from dagster._utils.interrupts import capture_interrupts

from lake.batch.ahead import computing_ahead
from lake.declare.table import Table
from lake.orchestration.keys import asset_key
from lake.orchestration.runs import as_dagster_asks

__all__ = ["CodeLocation", "execute"]


@dataclass(frozen=True)
class CodeLocation:
    """Hold what a process has loaded of a project.

    It is the first code location of the workspace.

    Attributes:
        name: of the location.
        repository: its assets, jobs and resources.
    """

    name: str
    repository: dg.RepositoryDefinition

    @classmethod
    def load(cls, workspace: Path) -> CodeLocation:
        """Load it, as Dagster's code server does.

        Raises:
            DagsterUserCodeLoadError: its definitions cannot be loaded.
        """
        origin = next(iter(WorkspaceFileTarget([str(workspace)]).create_origins()))
        assert isinstance(origin, ManagedGrpcPythonEnvCodeLocationOrigin), "a workspace names a module or a file"
        loaded = LoadedRepositories(origin.loadable_target_origin, None, [], None)
        (repository,) = loaded.definitions_by_name.values()
        return cls(origin.location_name, repository)

    def has(self, run: dg.DagsterRun) -> bool:
        """Tell whether a run is one of its jobs."""
        origin = run.remote_job_origin
        return origin is not None and origin.location_name == self.name and self.repository.has_job(run.job_name)


class _LoadedJob(InMemoryJob):
    """A job whose repository this process has loaded before."""

    def __init__(self, job: dg.JobDefinition, repository: dg.RepositoryDefinition) -> None:
        super().__init__(job)
        self._repository = repository

    def get_repository_definition(self) -> dg.RepositoryDefinition:
        return self._repository

    def get_subset(
        self,
        *,
        op_selection: Iterable[str] | None = None,
        asset_selection: AbstractSet[dg.AssetKey] | None = None,
        asset_check_selection: AbstractSet[dg.AssetCheckKey] | None = None,
    ) -> _LoadedJob:
        ops, job = set(op_selection) if op_selection else None, self.get_definition()
        chosen = job.get_subset(
            op_selection=ops, asset_selection=asset_selection, asset_check_selection=asset_check_selection
        )
        return _LoadedJob(chosen, self._repository)


def execute(
    instance: dg.DagsterInstance, location: CodeLocation, run: dg.DagsterRun, tables: Sequence[Table] = ()
) -> bool:
    """Execute a run that is recorded already, two tables at a time.

    Args:
        instance: where it is recorded.
        location: has its job.
        run: the run.
        tables: those of the project; the others of the run are computed one by one.

    Returns:
        Whether it has succeeded. Where it has not, the record says why.
    """
    instance.report_engine_event(f"The warm process {os.getpid()} executes the run.", run)
    job = _LoadedJob(location.repository.get_job(run.job_name), location.repository)
    chosen = [table for table in tables if asset_key(table) in (run.asset_selection or ())]
    try:
        with capture_interrupts(), computing_ahead(run.run_id, as_dagster_asks(chosen)):
            for _ in execute_run_iterator(job, run, instance):
                pass
    except DagsterExecutionInterruptedError:
        instance.report_engine_event("The run was interrupted.", run)
    except Exception as error:
        instance.report_engine_event(f"The run broke off: {type(error).__name__}: {error}", run)
    found = instance.get_run_by_id(run.run_id)
    if found is not None and not found.is_finished:
        instance.report_run_failed(found)
    return found is not None and found.status == dg.DagsterRunStatus.SUCCESS
