"""Name tables, feeds and checks as Dagster does."""

from __future__ import annotations

import dagster as dg

from lake.declare.feed import Feed
from lake.declare.table import Table

__all__ = ["asset_key", "check_key", "name_of"]


def asset_key(source: Table | Feed) -> dg.AssetKey:
    """Return the key `layer/name`, where a feed lies in the layer `feeds`."""
    return dg.AssetKey([source.layer if isinstance(source, Table) else "feeds", source.name])


def name_of(asset: dg.AssetKey, check: str) -> str:
    """Name a check, as `layer.table check`."""
    return f"{'.'.join(asset.path)} {check}"


def check_key(name: str) -> dg.AssetCheckKey:
    """Return the key of a check that `name_of` has named."""
    asset, _, check = name.partition(" ")
    return dg.AssetCheckKey(dg.AssetKey(asset.split(".")), check)
