"""Say which code location a run of this process belongs to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.definitions.repository_definition.valid_definitions import SINGLETON_REPOSITORY_NAME
from dagster._core.remote_origin import RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._core.workspace.load_target import WorkspaceFileTarget

__all__ = ["name_origin"]


def name_origin(instance: dg.DagsterInstance, workspace: Path) -> None:
    """Give runs of this instance the origin that Dagster's daemon gives.

    The timeline on the UI's first page shows no run without one. Where there is no workspace, there is no UI either.
    """
    location = next(iter(WorkspaceFileTarget([str(workspace)]).create_origins()), None) if workspace.is_file() else None
    if location is None:
        return
    repository, create = RemoteRepositoryOrigin(location, SINGLETON_REPOSITORY_NAME), instance.create_run_for_job

    def create_with_origin(job_def: dg.JobDefinition, **facts: Any) -> dg.DagsterRun:
        return create(job_def, remote_job_origin=RemoteJobOrigin(repository, job_def.name), **facts)

    vars(instance)["create_run_for_job"] = create_with_origin
