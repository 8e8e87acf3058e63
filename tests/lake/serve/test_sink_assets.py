"""A sink is an asset with lineage, partitions, checks and a sensor. Needs no Spark."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pytest

from lake.declare.days import Days
from lake.declare.destinations import DuckDb
from lake.orchestration.dagster_home import open_instance
from lake.orchestration.definitions import build_definitions
from lake.orchestration.partitions import range_tags
from lake.orchestration.resource import LakehouseResource
from lake.orchestration.sinks import build_publisher, record_published, sink_key
from lake.project.opening import open_store
from lake.project.settings import Settings
from lake.serve.publish import publish
from lake.serve.target import Place
from lake.write.store import DeltaStore
from tests.quiet_dagster import QUIET_DAGSTER
from tests.served import CALENDAR, D1, D2, fact_files, facts, refill, row, sink_of, survey_of

pytestmark = [QUIET_DAGSTER, pytest.mark.slow]
BOARD = sink_of(facts, DuckDb())
KEY = sink_key(BOARD)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    days = {"LAKEHOUSE_FIRST_DAY": str(CALENDAR.start), "LAKEHOUSE_LAST_DAY": str(CALENDAR.last)}
    made = Settings.from_env({"LAKEHOUSE_HOME": str(tmp_path), **days})
    made.make_folders()
    return made


@pytest.fixture
def store(settings: Settings) -> DeltaStore:
    return open_store(settings)


@pytest.fixture
def definitions(settings: Settings) -> dg.Definitions:
    return build_definitions(settings, [fact_files, facts], sinks=[BOARD])


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


def run(definitions: dg.Definitions, instance: dg.DagsterInstance, tags: dict[str, str]) -> dg.ExecuteInProcessResult:
    job = definitions.resolve_implicit_global_asset_job_def()
    return job.execute_in_process(instance=instance, asset_selection=[KEY], tags=tags, raise_on_error=False)


def checks(result: dg.ExecuteInProcessResult) -> dict[str, bool]:
    return {one.check_name: one.passed for one in result.get_asset_check_evaluations()}


def test_it_reads_its_table_day_by_day(definitions: dg.Definitions) -> None:
    node = definitions.resolve_asset_graph().get(KEY)

    assert (node.group_name, sorted(key.to_user_string() for key in node.parent_keys)) == ("serving", ["gold/facts"])
    assert node.partitions_def is not None


def test_a_run_loads_its_days_and_checks_compare_both_ends(
    definitions: dg.Definitions, instance: dg.DagsterInstance, store: DeltaStore, tmp_path: Path
) -> None:
    refill(store, facts, [D1, D2], [row("a", D1, big=1), row("b", D2), row("c", D2)])

    result = run(definitions, instance, range_tags(Days.between(D1, D2)))

    assert result.success
    assert checks(result) == {"equal": True, "loaded": True}
    counts = {
        e.partition: metadata(e)["dagster/partition_row_count"] for e in result.get_asset_materialization_events()
    }
    assert counts == {str(D1): 1, str(D2): 2}

    with duckdb.connect(str(tmp_path / "warehouse.duckdb")) as by_hand:
        by_hand.execute("UPDATE board SET big = 2 WHERE name = 'a'")
    days = range_tags(Days.of(D2))
    assert checks(run(definitions, instance, days)) == {"equal": True, "loaded": True}
    job = definitions.resolve_implicit_global_asset_job_def()
    check = dg.AssetCheckKey(KEY, "equal")
    alone = job.get_subset(asset_selection=set(), asset_check_selection={check}).execute_in_process(instance=instance)
    (found,) = alone.get_asset_check_evaluations()
    assert not found.passed
    assert found.description is not None
    assert f"{D1}: 1 rows" in found.description


def metadata(event: dg.DagsterEvent) -> dict[str, Any]:
    return {name: value.value for name, value in event.materialization.metadata.items()}


def test_the_sensor_asks_for_what_is_due(
    definitions: dg.Definitions, instance: dg.DagsterInstance, store: DeltaStore, settings: Settings
) -> None:
    def tick() -> list[dg.RunRequest]:
        resources = {"lakehouse": LakehouseResource.from_settings(settings)}
        context = dg.build_sensor_context(instance=instance, resources=resources)
        return list(build_publisher(settings, [BOARD]).evaluate_tick(context).run_requests or [])

    assert tick() == []
    refill(store, facts, [D1, D2], [row("a", D1), row("b", D2)])
    (asked,) = tick()
    assert asked.asset_selection == [KEY]
    assert range_tags(Days.between(D1, D2)).items() <= asked.tags.items()

    assert run(definitions, instance, dict(asked.tags)).success

    assert tick() == []


def test_what_a_command_loads_is_recorded(settings: Settings, store: DeltaStore) -> None:
    refill(store, facts, [D1, D2], [row("a", D1), row("b", D2)])
    published = publish(BOARD, survey_of(store, facts), Place(settings.home))

    record_published(settings, store, [published])

    with open_instance(settings) as instance:
        assert instance.get_materialized_partitions(KEY) == {str(D1), str(D2)}
        assert told(instance) == {"equal": (True, "2 days compared"), "loaded": (True, "0 days to be loaded")}
        refill(store, facts, [D2], [row("c", D2)])
        record_published(settings, store, [published])
        assert told(instance)["loaded"][0] is False


def told(instance: dg.DagsterInstance) -> dict[str, tuple[bool, str]]:
    """Whether each check of the sink passed, and what it says first."""
    keys = [dg.AssetCheckKey(KEY, name) for name in ("equal", "loaded")]
    found = instance.event_log_storage.get_latest_asset_check_execution_by_key(keys)
    said = {key.name: one.evaluation for key, one in found.items()}
    return {name: (one.passed, (one.description or "").partition("\n")[0]) for name, one in said.items() if one}
