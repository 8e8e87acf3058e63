"""Write Dagster's own folder, where DAGSTER_HOME points: its settings for one machine."""

from __future__ import annotations

import json
import os
from pathlib import Path

import dagster as dg

from lake.orchestration.origin import name_origin
from lake.project.settings import Settings
from lake.storage.durable import write_whole

__all__ = ["open_instance", "prepare_dagster_home"]

_TEMPLATE = """\
# Written by lakehouse at every start; change lake/orchestration/dagster_home.py instead.

storage:
  custom:
    module: lake.orchestration.event_log
    class: BatchedSqliteStorage
    config:
      base_dir: {storage}

# Runs go to the warm process of `lakehouse up`, or get a process of their own where there is none.
run_launcher:
  module: lake.orchestration.warm.launcher
  class: WarmLauncher

# The lock of a table is what keeps two writers apart. Pools only keep queued runs from waiting for it, and hold by run:
# a run that waited inside for a slot would spin and could not be stopped.
concurrency:
  pools:
    default_limit: 1
    granularity: run
  runs:
    max_concurrent_runs: 2
run_queue:
  dequeue_interval_seconds: 1

# Runs whose process died are found, their slots freed, and they are started again. Tables that failed are not: their
# message says what to do.
run_monitoring:
  enabled: true
  poll_interval_seconds: 20
  start_timeout_seconds: 300
  cancel_timeout_seconds: 120
  free_slots_after_run_end_seconds: 60
run_retries:
  enabled: true
  max_retries: 2
  retry_on_asset_or_op_failure: false

retention:
  schedule:
    purge_after_days: 90
  sensor:
    purge_after_days:
      skipped: 2
      started: 30
      failure: 30
      success: 30

freshness:
  enabled: true
telemetry:
  enabled: false
nux:
  enabled: false
"""


def prepare_dagster_home(settings: Settings) -> Path:
    """Write `dagster.yaml`, point DAGSTER_HOME to it and return the folder.

    The variable is set for this process and its children.

    Raises:
        FolderNotWritable: the home folder of the environment cannot be written.
    """
    settings.make_folders()
    home = settings.dagster_home.absolute()
    text = _TEMPLATE.format(storage=json.dumps(str(home / "storage")))
    file = home / "dagster.yaml"
    if not file.exists() or file.read_text() != text:
        write_whole(file, text)  # another process may be reading it
    os.environ["DAGSTER_HOME"] = str(home)
    os.environ["LAKEHOUSE_HOME"] = str(settings.home)
    return home


def open_instance(settings: Settings) -> dg.DagsterInstance:
    """Open Dagster's record of runs in this environment, as a context."""
    instance = dg.DagsterInstance.from_config(str(prepare_dagster_home(settings)))
    name_origin(instance, settings.root / "workspace.yaml")
    return instance
