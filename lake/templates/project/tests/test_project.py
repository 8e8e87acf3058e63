"""The project as a whole."""

import dagster as dg

import lakehouse_assets
from lake.declare.table import discover
from lakehouse_assets.definitions import defs


def test_every_table_file_is_well_formed_and_dagster_has_all_tables() -> None:
    tables = discover(lakehouse_assets)

    graph = defs().resolve_asset_graph()

    assert {dg.AssetKey([table.layer, table.name]) for table in tables.values()} <= set(graph.get_all_asset_keys())
