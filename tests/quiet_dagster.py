"""Keep a warning of Dagster about itself from failing tests."""

from __future__ import annotations

import pytest

__all__ = ["QUIET_DAGSTER"]

QUIET_DAGSTER = pytest.mark.filterwarnings(
    # Dagster warns of its own use of its own deprecated property wherever a resource holds another.
    "ignore:InitResourceContext.dagster_run is deprecated:DeprecationWarning"
)
