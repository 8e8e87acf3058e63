"""Maintenance removes no file that an Iceberg table shows."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

import lake.storage.retention
from lake.batch.maintain import maintain
from lake.serve.publish import find_promises
from lake.serve.target import Place
from lake.write.store import DeltaStore
from tests.lake.serve.test_iceberg import BOARD, by_pyiceberg, load
from tests.served import D1, facts, refill, row

pytestmark = pytest.mark.spark


@pytest.fixture(autouse=True)
def nothing_is_promised_by_the_lake(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not needed may go at once, so that a test need not wait for thirty days."""
    monkeypatch.setattr(lake.storage.retention, "HISTORY", timedelta(0))


def test_files_are_kept_until_no_reader_of_the_mirror_is_promised_them(store: DeltaStore, tmp_path: Path) -> None:
    place = Place(tmp_path / "home", {})
    refill(store, facts, [D1], [row("a", D1)])
    load(store, place)
    refill(store, facts, [D1], [row("b", D1)])  # and the mirror is behind

    assert _maintained(store, place) == 2
    assert [one["name"] for one in by_pyiceberg(place, ["name"])] == ["a"]

    load(store, place)
    refill(store, facts, [D1], [row("c", D1)])
    load(store, place)
    assert _maintained(store, place) == 1
    assert [one["name"] for one in by_pyiceberg(place, ["name"])] == ["c"]


def _maintained(store: DeltaStore, place: Place) -> int:
    """Maintain the table, and count the data files that are left."""
    promises = find_promises([BOARD], store, place)
    maintain([facts], store, checkpoints=place.home / "checkpoints", promises=promises)
    return len(list(Path(store.path(facts)).rglob("*.parquet"))) - len(
        list(Path(store.path(facts), "_delta_log").rglob("*.parquet"))
    )
