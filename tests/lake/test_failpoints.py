"""Where a process is killed on request: at the pass that was named, and nowhere else."""

from __future__ import annotations

import threading

import pytest

from lake.engine import failpoints
from lake.engine.failpoints import failpoint


@pytest.fixture
def killed(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Set in place of the end of this process."""
    found = threading.Event()
    monkeypatch.setattr(failpoints, "_kill", found.set)
    return found


def test_the_pass_that_was_named_kills_and_no_other(monkeypatch: pytest.MonkeyPatch, killed: threading.Event) -> None:
    monkeypatch.setattr(failpoints, "_armed", failpoints._arm("after_commit@silver.flights:2"))
    for name, table in [("after_commit", "silver.flights"), ("before_write", "silver.flights"), ("after_commit", "")]:
        failpoint(name, table)
    assert not killed.is_set()

    failpoint("after_commit", "silver.flights")
    assert killed.is_set()


def test_a_name_that_is_no_failpoint_is_refused() -> None:
    with pytest.raises(ValueError, match="after_lunch"):
        failpoints._arm("after_lunch")
