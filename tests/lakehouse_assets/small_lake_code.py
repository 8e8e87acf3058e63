"""The small lake as a code location, for processes that load one by name; its settings are those of the environment."""

import dagster as dg

from lake.project.settings import Settings
from tests.definitions import definitions_of
from tests.lakehouse_assets.small_lake import TABLES


@dg.definitions
def defs() -> dg.Definitions:
    """Everything of the small lake."""
    return definitions_of(Settings.from_env(), TABLES)
