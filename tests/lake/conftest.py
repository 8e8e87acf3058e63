"""Which tests of the core are not in `make test` yet."""

from __future__ import annotations

import pytest

NOT_SEEN_WHOLE = {"test_contract.py", "test_feed.py", "test_plan.py", "test_store.py", "test_stream.py"}
"""Their tests on Spark have not passed in one run yet (some failed); they run in `make test-soak` until they have."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.name in NOT_SEEN_WHOLE and item.path.parent.name == "lake" and item.get_closest_marker("spark"):
            item.add_marker(pytest.mark.soak)
