"""The batched event log answers every question as Dagster's own does.

The same runs are recorded in both: a range run that succeeds, with checks, and one of which a day fails. What the UI
asks about them has to be the same, apart from the times at which things happened.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationPlanned
from dagster._core.events import DagsterEvent, DagsterEventType, StepMaterializationData
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import InProcessWorkspaceLoadTarget
from dagster_graphql.test.utils import execute_dagster_graphql

from lake.orchestration.event_log import MOST_OPEN_DATABASES, BatchedSqliteEventLogStorage
from tests.resources.recorded_assets import DAYS, defs

pytestmark = pytest.mark.slow

RANGE = {"dagster/asset_partition_range_start": "2020-01-01", "dagster/asset_partition_range_end": "2020-01-15"}
GOOD, BAD = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"

QUESTION = """
query Everything {
  runsOrError { ... on Runs { results {
    runId status tags { key value } assets { key { path } } assetSelection { path }
    stats { ... on RunStatsSnapshot { stepsSucceeded stepsFailed materializations } }
    stepStats { stepKey status materializations { assetKey { path } } attempts { startTime } }
    eventConnection(limit: 1000) { events {
      __typename
      ... on MessageEvent { message stepKey eventType level }
      ... on MaterializationEvent {
        partition tags { key value } metadataEntries { label ... on IntMetadataEntry { intValue } }
      }
    } }
    assetMaterializations { partition assetKey { path } }
    assetChecks { name assetKey { path } }
  } } }
  assetNodes {
    assetKey { path }
    partitionStats { numPartitions numMaterialized numFailed numMaterializing }
    assetPartitionStatuses { ... on TimePartitionStatuses { ranges { startKey endKey status } } }
    assetMaterializations(limit: 1000) {
      partition runId tags { key value } metadataEntries { label ... on IntMetadataEntry { intValue } }
    }
    latestMaterializationByPartition { partition runId }
    latestRunForPartition(partition: "2020-01-03") { runId }
    staleStatus
    assetChecksOrError { ... on AssetChecks { checks {
      name executionForLatestMaterialization { runId status }
    } } }
  }
  assetsOrError { ... on AssetConnection {
    nodes { key { path } assetMaterializations(limit: 3) { partition } }
  } }
  assetsLatestInfo(assetKeys: [{path: ["readings"]}, {path: ["totals"]}, {path: ["names"]}]) {
    assetKey { path } unstartedRunIds inProgressRunIds
    latestRun { runId status } latestMaterialization { partition runId }
  }
}
"""

CHECKS = """
query Checks {
  assetCheckExecutions(assetKey: {path: ["readings"]}, checkName: "few", limit: 1000) {
    runId status evaluation { success description }
  }
}
"""

TIMES = {"startTime", "endTime", "timestamp"}


@contextmanager
def recorded_in(folder: Path, *, batched: bool = True) -> Iterator[dg.DagsterInstance]:
    """An instance with Dagster's own storage or ours, and nothing else set."""
    folder.mkdir()
    custom = {
        "module": "lake.orchestration.event_log",
        "class": "BatchedSqliteStorage",
        "config": {"base_dir": str(folder)},
    }
    storage = {"custom": custom} if batched else {"sqlite": {"base_dir": str(folder)}}
    (folder / "dagster.yaml").write_text(json.dumps({"storage": storage, "telemetry": {"enabled": False}}))
    with dg.DagsterInstance.from_config(str(folder)) as instance:
        yield instance


def record_runs(instance: dg.DagsterInstance) -> None:
    job = defs.resolve_implicit_global_asset_job_def()
    assert job.execute_in_process(instance=instance, run_id=GOOD, tags=RANGE, raise_on_error=False).success
    failed = job.execute_in_process(instance=instance, run_id=BAD, tags={**RANGE, "fail": "1"}, raise_on_error=False)
    assert not failed.success


def answer(instance: dg.DagsterInstance, question: str = QUESTION) -> Any:
    target = LoadableTargetOrigin(
        executable_path=None, python_file=str(Path(__file__).with_name("recorded_assets.py")), attribute="defs"
    )
    with WorkspaceProcessContext(
        instance, InProcessWorkspaceLoadTarget(InProcessCodeLocationOrigin(target))
    ) as process:
        result = execute_dagster_graphql(process.create_request_context(), question)
    assert not result.errors
    return without_times(result.data)


def without_times(value: Any) -> Any:
    """The answer without when things happened, how long they took, and in which process."""
    if isinstance(value, dict):
        return {name: without_times(part) for name, part in value.items() if name not in TIMES}
    if isinstance(value, list):
        return [without_times(part) for part in value]
    return re.sub(r"in \d+(\.\d+)?m?s|pid: \d+", "", value) if isinstance(value, str) else value


@pytest.mark.slow
def test_the_ui_gets_the_same_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DAGSTER_EVENT_BATCH_SIZE")
    with recorded_in(tmp_path / "stock", batched=False) as instance:
        record_runs(instance)
        expected = answer(instance)
    monkeypatch.setenv("DAGSTER_EVENT_BATCH_SIZE", "1000")
    with recorded_in(tmp_path / "batched") as instance:
        record_runs(instance)
        found = answer(instance)
        checks = answer(instance, CHECKS)

    assert found == expected
    # Not the same, on purpose: Dagster plans a check once for each day of a run, and all but one stay planned for ever.
    assert [(check["runId"], check["status"]) for check in checks["assetCheckExecutions"]] == [
        (BAD, "EXECUTION_FAILED"),
        (GOOD, "FAILED"),
    ]
    (readings,) = [node for node in found["assetNodes"] if node["assetKey"]["path"] == ["readings"]]
    assert readings["partitionStats"] == {
        "numPartitions": 60,
        "numMaterialized": 14,
        "numFailed": 1,
        "numMaterializing": 0,
    }


def test_a_batch_is_one_transaction_in_each_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    connect = BatchedSqliteEventLogStorage._connect

    def counting(self: BatchedSqliteEventLogStorage, shard: str) -> Any:
        opened.append(shard)
        return connect(self, shard)

    with recorded_in(tmp_path / "batched") as instance:
        monkeypatch.setattr(BatchedSqliteEventLogStorage, "_connect", counting)
        events = [materialization(str(day)) for day in DAYS.get_partition_keys()]
        instance.event_log_storage.store_event_batch(events)

        assert opened == ["index", GOOD]
        stored = instance.fetch_materializations(dg.AssetKey("readings"), limit=1000).records
        assert len(stored) == len(events)


def test_a_check_is_planned_once_a_run_and_not_once_a_day(tmp_path: Path) -> None:
    days = DAYS.subset_with_partition_keys(["2020-01-01", "2020-01-02"]).to_serializable_subset()
    planned = AssetCheckEvaluationPlanned(asset_key=dg.AssetKey("readings"), check_name="many", partitions_subset=days)
    event = DagsterEvent(
        event_type_value=DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED.value,
        job_name="j",
        event_specific_data=planned,
    )
    with recorded_in(tmp_path / "batched") as instance:
        for store in (
            instance.event_log_storage.store_event,
            lambda entry: instance.event_log_storage.store_event_batch([entry]),
        ):
            store(entry_of(event))
        history = instance.event_log_storage.get_asset_check_execution_history(
            dg.AssetCheckKey(dg.AssetKey("readings"), "many"), limit=1000
        )

    assert [record.partition for record in history] == [None, None]


def test_where_the_index_cannot_be_written_nothing_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise OSError("disk full")

    with recorded_in(tmp_path / "batched") as instance:
        monkeypatch.setattr(BatchedSqliteEventLogStorage, "_store_asset_event", broken)
        with pytest.raises(OSError, match="disk full"):
            instance.event_log_storage.store_event_batch([materialization("2020-01-01"), materialization("2020-01-02")])
        monkeypatch.undo()

        assert instance.event_log_storage.get_logs_for_run(GOOD) == []
        assert instance.fetch_materializations(dg.AssetKey("readings"), limit=10).records == []


def test_two_processes_may_write_at_once(tmp_path: Path) -> None:
    def write(instance: dg.DagsterInstance, run: str) -> None:
        for _ in range(20):
            batch = [materialization(day, run) for day in DAYS.get_partition_keys()]
            instance.event_log_storage.store_event_batch(batch)

    with recorded_in(tmp_path / "batched") as one, dg.DagsterInstance.from_config(str(tmp_path / "batched")) as other:
        writers = [Thread(target=write, args=pair) for pair in ((one, GOOD), (other, BAD))]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()

        for run in (GOOD, BAD):
            assert len(other.event_log_storage.get_logs_for_run(run)) == 20 * 60
        summary = one.get_asset_event_summary_records(DagsterEventType.ASSET_MATERIALIZATION, dg.AssetKey("readings"))
        assert len(summary) == 2 * 20 * 60


def test_the_ui_sees_events_of_a_run_as_they_are_stored(tmp_path: Path) -> None:
    seen = Event()
    with recorded_in(tmp_path / "batched") as ui, dg.DagsterInstance.from_config(str(tmp_path / "batched")) as worker:
        worker.event_log_storage.store_event(materialization("2020-01-01"))
        ui.watch_event_logs(GOOD, None, lambda entry, _: seen.set() if "2020-01-03" in str(entry) else None)
        worker.event_log_storage.store_event(materialization("2020-01-02"))
        worker.event_log_storage.store_event_batch([materialization("2020-01-03"), materialization("2020-01-04")])

        assert seen.wait(timeout=20)


def test_more_runs_than_open_databases_can_be_read(tmp_path: Path) -> None:
    runs = [f"run-{number}" for number in range(MOST_OPEN_DATABASES + 3)]
    with recorded_in(tmp_path / "batched") as instance:
        for run in runs:
            instance.event_log_storage.store_event_batch(
                [materialization(day, run) for day in ("2020-01-01", "2020-01-02")]
            )

        assert [len(instance.event_log_storage.get_logs_for_run(run)) for run in runs] == [2] * len(runs)


def test_a_wiped_log_is_empty_and_can_be_written_again(tmp_path: Path) -> None:
    batch = [materialization("2020-01-01"), materialization("2020-01-02")]
    with recorded_in(tmp_path / "batched") as instance:
        instance.event_log_storage.store_event_batch(batch)
        instance.event_log_storage.wipe()
        assert instance.event_log_storage.get_logs_for_run(GOOD) == []

        instance.event_log_storage.store_event_batch(batch)
        assert len(instance.event_log_storage.get_logs_for_run(GOOD)) == 2


def materialization(day: str, run_id: str = GOOD) -> dg.EventLogEntry:
    return entry_of(
        DagsterEvent(
            event_type_value=DagsterEventType.ASSET_MATERIALIZATION.value,
            job_name="j",
            event_specific_data=StepMaterializationData(dg.AssetMaterialization("readings", partition=day)),
        ),
        run_id,
    )


def entry_of(event: DagsterEvent, run_id: str = GOOD) -> dg.EventLogEntry:
    return dg.EventLogEntry(  # type: ignore[no-untyped-call]
        error_info=None,
        level=logging.DEBUG,
        user_message="",
        run_id=run_id,
        timestamp=1.0,
        job_name="j",
        dagster_event=event,
    )
