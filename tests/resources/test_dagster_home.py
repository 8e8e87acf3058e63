"""Dagster's settings on a laptop."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.instance.config import PoolGranularity
from dagster._core.run_coordinator import QueuedRunCoordinator

from lake.errors import FolderNotWritable
from lake.orchestration.dagster_home import open_instance, prepare_dagster_home
from lake.orchestration.event_log import BatchedSqliteEventLogStorage
from lake.project.settings import Settings

pytestmark = pytest.mark.slow


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("DAGSTER_HOME", "")
    monkeypatch.setenv("LAKEHOUSE_HOME", "")
    return Settings.from_env({"LAKEHOUSE_HOME": str(tmp_path / "a folder: 'quoted'")})


@pytest.fixture
def instance(settings: Settings) -> Iterator[dg.DagsterInstance]:
    with open_instance(settings) as opened:
        yield opened


def test_events_are_stored_in_batches(instance: dg.DagsterInstance) -> None:
    assert type(instance.event_log_storage) is BatchedSqliteEventLogStorage
    assert os.environ["DAGSTER_EVENT_BATCH_SIZE"] == "1000"


def test_everything_lies_in_the_home_folder(settings: Settings, instance: dg.DagsterInstance) -> None:
    assert (settings.dagster_home / "storage" / "history" / "runs" / "index.db").exists()
    assert os.environ["DAGSTER_HOME"] == str(settings.dagster_home)
    assert Path(os.environ["DAGSTER_HOME"]).is_absolute()


def test_runs_are_queued_watched_and_retried_only_after_a_crash(instance: dg.DagsterInstance) -> None:
    concurrency = instance.get_concurrency_config()

    assert isinstance(instance.run_coordinator, QueuedRunCoordinator)
    assert instance.run_coordinator.dequeue_interval_seconds == 1
    assert concurrency.run_queue_config is not None
    assert concurrency.run_queue_config.max_concurrent_runs == 2
    assert concurrency.pool_config.pool_granularity == PoolGranularity.RUN
    assert concurrency.pool_config.default_pool_limit == 1
    assert instance.run_monitoring_enabled
    assert instance.run_retries_enabled
    assert not instance.run_retries_retry_on_asset_or_op_failure
    assert not instance.telemetry_enabled


def test_writing_it_again_changes_nothing(settings: Settings) -> None:
    file = prepare_dagster_home(settings) / "dagster.yaml"
    before = file.stat().st_mtime_ns

    assert prepare_dagster_home(settings) == settings.dagster_home
    assert file.stat().st_mtime_ns == before
    assert [path.name for path in settings.dagster_home.iterdir()] == ["dagster.yaml"]


def test_a_home_that_cannot_be_written_is_said_plainly(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    settings = replace(Settings.from_env({"LAKEHOUSE_HOME": str(tmp_path)}), home=tmp_path / "file" / "home")

    with pytest.raises(FolderNotWritable, match="export LAKEHOUSE_HOME="):
        prepare_dagster_home(settings)


def test_a_run_of_this_process_belongs_to_the_code_location_of_the_workspace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The timeline of the UI shows no other."""
    monkeypatch.setenv("DAGSTER_HOME", "")
    settings = Settings.from_env({"LAKEHOUSE_HOME": str(tmp_path)})

    @dg.asset
    def one() -> None:
        """Nothing."""

    job = dg.Definitions(assets=[one]).resolve_implicit_global_asset_job_def()
    with open_instance(settings) as instance:
        run = instance.get_run_by_id(job.execute_in_process(instance=instance).run_id)

    assert run is not None
    assert run.remote_job_origin is not None
    assert run.remote_job_origin.location_name == "lakehouse"
    assert run.remote_job_origin.job_name == run.job_name
