"""What Dagster loads, and the graph as it was last agreed on."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.assets.graph.asset_graph import AssetGraph, AssetNode
from dagster_shared.yaml_utils import load_yaml_from_path

import lakehouse_assets
from airline.delay_model.assets import BETTER, MODEL
from lake.declare.table import discover, is_followable
from lake.orchestration.keys import asset_key
from lake.project.settings import Settings
from lakehouse_assets.definitions import defs
from tests.definitions import definitions_of
from tests.quiet_dagster import QUIET_DAGSTER

pytestmark = QUIET_DAGSTER

PROJECT = Path(__file__).parents[2]
GRAPH = Path(__file__).with_name("graph.json")


@pytest.fixture(scope="module")
def graph() -> AssetGraph:
    settings = Settings.from_env({"LAKEHOUSE_HOME": "/nowhere"})
    return definitions_of(settings, discover(lakehouse_assets).values()).resolve_asset_graph()


def described(graph: AssetGraph) -> dict[str, Any]:
    return {
        node.key.to_user_string(): dict(facts(graph, node)) for node in sorted(graph.asset_nodes, key=lambda n: n.key)
    }


def facts(graph: AssetGraph, node: AssetNode) -> Iterator[tuple[str, Any]]:
    yield "group", node.group_name
    if not node.is_materializable:
        return
    yield "owners", sorted(node.owners)
    yield "kinds", sorted(node.kinds)
    yield "days", node.partitions_def is not None
    yield "reads", {parent.to_user_string(): mapping(node, parent) for parent in sorted(node.parent_keys)}
    yield "checks", sorted(check.name for check in graph.get_check_keys_for_assets({node.key}))
    yield "days in one run", node.backfill_policy == dg.BackfillPolicy.single_run()
    yield "tags", {name: value for name, value in node.tags.items() if not name.startswith("dagster/kind/")}
    yield "pool", next(iter(node.pools or []), None)


def mapping(node: AssetNode, parent: dg.AssetKey) -> str:
    found = node.partition_mappings.get(parent)
    if found is None:
        return "whole"
    assert isinstance(found, dg.TimeWindowPartitionMapping)
    return f"{found.start_offset:+d}..{found.end_offset:+d}"


def test_the_graph_is_the_one_that_was_agreed_on(graph: AssetGraph) -> None:
    found = described(graph)
    if os.environ.get("REWRITE_GRAPH"):
        GRAPH.write_text(json.dumps(found, indent=2) + "\n")

    assert found == json.loads(GRAPH.read_text()), "if this is meant: REWRITE_GRAPH=1 and run the test again"


def test_every_table_is_an_asset_with_checks(graph: AssetGraph) -> None:
    tables = discover(lakehouse_assets)

    assert {asset_key(table) for table in tables.values()} == graph.materializable_asset_keys - {MODEL}
    streamed = [table for table in tables.values() if is_followable(table)]
    assert len(streamed) == 8
    early = [table for table in tables.values() if table.early_every]
    assert len(early) == 2
    computed_from_days = [table for table in tables.values() if table.day and table.layer != "bronze"]
    assert len(computed_from_days) == 11
    streaming = len(streamed) + len(early)
    assert len(graph.asset_check_keys) == 4 * len(tables) + streaming + len(computed_from_days) + len({BETTER})


def test_all_bronze_tables_can_be_backfilled_together(graph: AssetGraph) -> None:
    """The UI gives the chosen days to tables without upstream, and asks about inputs that could be computed."""
    chosen = dg.AssetSelection.groups("bronze")
    bronze = chosen.resolve(graph)
    feeds = {parent for key in bronze for parent in graph.get(key).parent_keys}

    assert chosen.roots().resolve(graph) == bronze
    assert len(feeds) == len(bronze) == 8
    assert not feeds & graph.materializable_asset_keys


def test_nothing_has_a_second_idea_of_freshness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dagster's policy looks at the last materialization of the whole asset: a backfill of old days turns it green."""
    monkeypatch.setenv("LAKEHOUSE_HOME", str(tmp_path))
    nodes = list(defs().resolve_asset_graph().asset_nodes)

    assert {"serving/carrier_days", "gold/daily_carrier_performance"} <= {node.key.to_user_string() for node in nodes}
    assert [node.key for node in nodes if node.freshness_policy is not None] == []


def test_all_tables_share_one_calendar_so_that_they_can_run_together(graph: AssetGraph) -> None:
    assert len(graph.all_partitions_defs) == 1


def test_an_open_calendar_holds_the_open_day(tmp_path: Path) -> None:
    env = {"LAKEHOUSE_HOME": str(tmp_path), "LAKEHOUSE_LAST_DAY": "open"}
    settings = Settings.from_env(env)
    found = definitions_of(settings, discover(lakehouse_assets).values()).resolve_asset_graph()
    partitions = found.get(dg.AssetKey(["silver", "flights"])).partitions_def

    assert partitions is not None
    assert partitions.get_last_partition_key() == str(settings.calendar().last)


def test_the_edges_of_the_calendar_need_no_days_beyond_it(graph: AssetGraph) -> None:
    flights, arrivals = (graph.get(dg.AssetKey(["silver", name])) for name in ("flights", "arrivals"))
    found = flights.partition_mappings[arrivals.key]
    assert isinstance(found, dg.TimeWindowPartitionMapping)
    assert flights.partitions_def is not None
    assert arrivals.partitions_def is not None
    last = flights.partitions_def.get_last_partition_key()
    subset = flights.partitions_def.subset_with_partition_keys([last or ""])

    needed = found.get_upstream_mapped_partitions_result_for_partitions(
        subset, flights.partitions_def, arrivals.partitions_def
    )

    assert needed.partitions_subset.get_partition_keys() == [last]
    assert not needed.required_but_nonexistent_partition_keys


def test_what_the_workspace_loads_is_valid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAKEHOUSE_HOME", str(tmp_path))
    workspace = load_yaml_from_path(str(PROJECT / "workspace.yaml"))
    loaded = defs()

    module = {"module_name": "lakehouse_assets.definitions", "location_name": "lakehouse"}
    assert workspace == {"load_from": [{"python_module": module}]}
    dg.Definitions.validate_loadable(loaded)
    repository = loaded.get_repository_def()
    assert [schedule.name for schedule in repository.schedule_defs] == ["daily", "maintain", "retrain", "score_today"]
    assert {sensor.name for sensor in repository.sensor_defs} == {
        "failing_checks",
        "failure_alerts",
        "freshness_alerts",
        "publish",
        "reconcile",
        "stalled_streams",
        "stream_commits",
    }
    assert not list(tmp_path.iterdir()), "loading writes nothing"
