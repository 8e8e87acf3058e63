"""Tables as Dagster assets: what a run of them leaves behind."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.partitions.context import partition_loading_context
from dagster._core.definitions.partitions.definition import PartitionsDefinition
from dagster._core.storage.partition_status_cache import get_and_update_asset_status_cache_value
from pyspark.sql import SparkSession

from lake.declare.days import Days
from lake.errors import RowsOutsideDays, TableLocked
from lake.orchestration.assets import PID, UNLESS_EQUAL, WORKER, _failure, this_process
from lake.orchestration.keys import asset_key
from lake.orchestration.partitions import range_tags
from lake.orchestration.red_checks import RedChecks
from lake.project.opening import open_store
from lake.project.settings import Settings
from tests.definitions import definitions_of
from tests.lakehouse_assets.small_lake import DAY, TABLES, by_name, land, settings_for
from tests.quiet_dagster import QUIET_DAGSTER

pytestmark = [pytest.mark.spark, QUIET_DAGSTER]

CHECK_NAMES = ("key_unique", "contract", "row_count", "fresh")
FIVE_DAYS = Days.between(DAY, date(2020, 1, 5))


def run(
    instance: dg.DagsterInstance, settings: Settings, names: list[str], tags: dict[str, str], **given: Any
) -> dg.ExecuteInProcessResult:
    job = definitions_of(settings, TABLES).resolve_implicit_global_asset_job_def()
    keys = [asset_key(by_name(name)) for name in names]
    return job.execute_in_process(instance=instance, asset_selection=keys, tags=tags, raise_on_error=False, **given)


def day_states(instance: dg.DagsterInstance, settings: Settings, name: str) -> tuple[list[str], list[str]]:
    """The days that Dagster shows as materialized and as failed."""
    graph = definitions_of(settings, TABLES).resolve_asset_graph()
    partitions: PartitionsDefinition[str] | None = graph.get(asset_key(by_name(name))).partitions_def
    assert partitions is not None
    with partition_loading_context(dynamic_partitions_store=instance):
        state = get_and_update_asset_status_cache_value(instance, asset_key(by_name(name)), partitions)
        assert state is not None
        done = state.deserialize_materialized_partition_subsets(partitions).get_partition_keys()
        failed = state.deserialize_failed_partition_subsets(partitions).get_partition_keys()
    return sorted(done), sorted(failed)


def land_five_days(settings: Settings, *, broken: date | None = None) -> None:
    land(
        settings,
        {
            day: [f"a {day} 1", f"b {day} 2", f"a {day} 3"] + ([f"c {day} -1", f"d {day} -1"] if day == broken else [])
            for day in FIVE_DAYS
        },
    )


def test_a_range_run_reports_each_day_and_is_checked(
    spark: SparkSession, instance: dg.DagsterInstance, settings: Settings
) -> None:
    land_five_days(settings, broken=date(2020, 1, 3))

    result = run(instance, settings, ["readings", "measurements", "known_sensors"], range_tags(FIVE_DAYS))

    assert result.success
    noted = RedChecks(settings.home).errors(
        ["silver.measurements contract", "silver.measurements row_count"], lambda _: {}
    )
    assert set(noted) == {"silver.measurements contract"}
    found = {
        event.partition or "": {name: value.value for name, value in event.metadata.items()}
        for event in result.asset_materializations_for_node("silver__measurements")
    }
    assert sorted(found) == [str(day) for day in FIVE_DAYS]
    expected = {"rows read": 5, "dagster/partition_row_count": 2, "rejected": 2, "duplicates": 1, "outcome": "written"}
    assert {name: found["2020-01-03"][name] for name in expected} == expected
    assert found["2020-01-04"]["rows read"] == 3
    assert found["2020-01-04"]["version"] == found["2020-01-03"]["version"]
    assert {
        (check.asset_key.path[-1], check.check_name): check.passed for check in result.get_asset_check_evaluations()
    } == {
        **{(name, check): True for name in ("readings", "known_sensors") for check in CHECK_NAMES},
        ("measurements", "key_unique"): True,
        ("measurements", "contract"): False,
        ("measurements", "row_count"): True,
        ("measurements", "fresh"): True,
        ("measurements", "range_equals_day"): True,
    }


def test_a_day_that_breaks_a_fail_contract_fails_alone_and_is_what_a_retry_takes(
    spark: SparkSession, instance: dg.DagsterInstance, settings: Settings
) -> None:
    land_five_days(settings, broken=date(2020, 1, 3))

    result = run(instance, settings, ["readings", "exact_measurements", "daily_totals"], range_tags(FIVE_DAYS))

    assert not result.success
    good = ["2020-01-01", "2020-01-02", "2020-01-04", "2020-01-05"]
    assert day_states(instance, settings, "exact_measurements") == (good, ["2020-01-03"])
    assert day_states(instance, settings, "daily_totals") == ([], [str(day) for day in FIVE_DAYS])
    failure = result.failure_data_for_node("silver__exact_measurements")
    assert failure is not None
    assert failure.user_failure_data is not None
    assert "lakehouse quarantine silver.exact_measurements" in (failure.user_failure_data.description or "")
    contract = instance.event_log_storage.get_latest_asset_check_execution_by_key(
        [dg.AssetCheckKey(asset_key(by_name("exact_measurements")), "contract")]
    )
    assert [record.status.value for record in contract.values()] == ["FAILED"]
    assert set(RedChecks(settings.home).errors(["silver.exact_measurements contract"], lambda _: {})) != set()

    land(settings, {date(2020, 1, 3): ["a 2020-01-03 1"]})
    only = range_tags(Days.of(date(2020, 1, 3)))
    assert run(instance, settings, ["readings", "exact_measurements"], only).success
    assert RedChecks(settings.home).errors(["silver.exact_measurements contract"], lambda _: {}) == {}
    assert day_states(instance, settings, "exact_measurements") == ([str(day) for day in FIVE_DAYS], [])


def test_a_run_tag_commits_only_days_that_differ(
    spark: SparkSession, instance: dg.DagsterInstance, settings: Settings
) -> None:
    land_five_days(settings)
    assert run(instance, settings, ["readings"], range_tags(FIVE_DAYS)).success
    land(settings, {date(2020, 1, 2): ["a 2020-01-02 7"]})

    result = run(instance, settings, ["readings"], {**range_tags(FIVE_DAYS), UNLESS_EQUAL: "true"})

    outcomes = {
        event.partition: event.metadata["outcome"].value
        for event in result.asset_materializations_for_node("bronze__readings")
    }
    assert outcomes == {str(day): "written" if day.day == 2 else "unchanged" for day in FIVE_DAYS}


def test_one_partition_runs_as_the_ui_starts_it(
    spark: SparkSession, instance: dg.DagsterInstance, settings: Settings
) -> None:
    land_five_days(settings)

    result = run(instance, settings, ["readings"], {}, partition_key="2020-01-02")

    assert result.success
    assert [event.partition for event in result.asset_materializations_for_node("bronze__readings")] == ["2020-01-02"]
    assert {check.check_name for check in result.get_asset_check_evaluations()} == set(CHECK_NAMES)


def test_one_check_runs_by_itself(spark: SparkSession, instance: dg.DagsterInstance, settings: Settings) -> None:
    land_five_days(settings)
    run(instance, settings, ["readings"], range_tags(FIVE_DAYS))
    definitions = definitions_of(settings, TABLES)
    key = dg.AssetCheckKey(asset_key(by_name("readings")), "key_unique")
    job = definitions.resolve_implicit_global_asset_job_def().get_subset(
        asset_selection=set(), asset_check_selection={key}
    )

    result = job.execute_in_process(instance=instance)

    assert [(check.check_name, check.passed) for check in result.get_asset_check_evaluations()] == [
        ("key_unique", True)
    ]
    (check,) = result.get_asset_check_evaluations()
    assert check.metadata["days scanned"].value == "all"


def test_an_error_says_the_next_step_and_is_not_retried() -> None:
    found = _failure(RowsOutsideDays("silver.a", "day", "2020-01-01", [date(2020, 1, 2)]), {})

    assert isinstance(found, dg.Failure)
    assert not found.allow_retries
    assert "next: correct how the transform computes day" in (found.description or "")


def test_a_locked_table_is_retried_by_queued_runs_only() -> None:
    locked = TableLocked("silver.a", 20.0)

    assert isinstance(_failure(locked, {}), dg.RetryRequested)
    from_command_line = _failure(locked, {PID: "1@1"})
    assert isinstance(from_command_line, dg.Failure)
    assert from_command_line.metadata["retryable"].value is True


def test_waiting_for_a_table_is_said_in_the_log_of_the_run(
    spark: SparkSession, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    settings = settings_for(tmp_path, LAKEHOUSE_LOCK_TIMEOUT="1.2")
    from lake.orchestration.resource import LakehouseResource

    with LakehouseResource.from_settings(settings).store().lock("bronze.readings"):
        result = run(instance, settings, ["readings"], {**range_tags(FIVE_DAYS), PID: "1@1"})

    assert not result.success
    said = [entry.user_message for entry in instance.all_logs(result.run_id)]
    assert any("bronze.readings: waiting for pid" in message for message in said)


def test_a_run_that_has_the_tags_of_an_earlier_one_names_its_own_process(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    settings = settings_for(tmp_path, LAKEHOUSE_LOCK_TIMEOUT="0.2")
    with open_store(settings).lock("bronze.readings"):
        result = run(instance, settings, ["readings"], {**range_tags(FIVE_DAYS), PID: "1@1.00"})

    again = instance.get_run_by_id(result.run_id)
    assert again is not None
    assert again.tags[PID] == this_process()
    assert WORKER not in again.tags


def test_dagster_shows_the_contract_as_columns(settings: Settings) -> None:
    graph = definitions_of(settings, TABLES).resolve_asset_graph()
    node = graph.get(asset_key(by_name("measurements")))
    schema = node.metadata["dagster/column_schema"]
    assert isinstance(schema, dg.TableSchemaMetadataValue | dg.TableSchema)
    columns = schema.value.columns if isinstance(schema, dg.TableSchemaMetadataValue) else schema.columns

    assert [(c.name, c.type, c.description, c.constraints.nullable, list(c.constraints.other)) for c in columns] == [
        ("sensor", "string", "name of the sensor", False, []),
        ("measured_on", "date", "UTC day", False, []),
        ("value", "int", "a number", False, [">= 0"]),
    ]
    assert node.description == "One row per sensor and day."
    assert list(node.owners) == ["team:tests"]
    assert node.tags["domain"] == "sensors"
    assert node.pools == {"silver.measurements"}
    assert node.code_version == by_name("measurements").code_version
    assert node.freshness_policy is None, "the check `fresh` is the one idea of it"
    assert node.metadata["fresh within"] == "50 hours after a day begins"
