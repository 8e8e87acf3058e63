"""Where a process is killed on request: at the pass that was named, and nowhere else."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from lake.engine import failpoints
from lake.engine.failpoints import failpoint, killed_after_files


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


def test_files_that_were_committed_before_they_were_seen_leave_it_to_the_next_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed: threading.Event
) -> None:
    monkeypatch.setattr(failpoints, "_armed", failpoints._arm("after_files@silver.flights"))
    with killed_after_files(str(tmp_path), "silver.flights"):
        pass
    assert not killed.is_set()

    with killed_after_files(str(tmp_path), "silver.flights"):
        (tmp_path / "1.parquet").touch()
        assert killed.wait(30)


def test_a_name_that_is_no_failpoint_is_refused() -> None:
    with pytest.raises(ValueError, match="after_lunch"):
        failpoints._arm("after_lunch")
