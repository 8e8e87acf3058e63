"""The lake's own tables say which format they have; a release refuses one that is newer than it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from deltalake import DeltaTable

from lake.errors import LakeTooNew
from lake.ownership.frontier import Frontier, FrontierTable
from lake.ownership.ledger import Entry, Ledger
from lake.ownership.passed_over import PassedOver
from lake.ownership.shared_lease import SharedLease
from lake.write.store import DeltaStore
from tests.lakes import without_spark

ENTRY = Entry("silver.marks", date(2024, 3, 1), "written", 1, 1, 0, 0, {}, 1, "code", 0.1)
OPEN = Frontier(stream_from=date(2024, 3, 1), first_open=date(2024, 3, 1))


@pytest.fixture
def lake(tmp_path: Path) -> DeltaStore:
    """A lake with a ledger and a frontier."""
    store = without_spark(tmp_path)
    Ledger(store).record([ENTRY])
    FrontierTable(store).change(lambda _: OPEN, "test")
    SharedLease(store).take()
    return store


def upgrade(store: DeltaStore, name: str, said: str) -> None:
    """What a release of another format does before it writes."""
    DeltaTable(f"{store.tables}/lake/{name}").alter.set_table_description(said)


def test_a_new_table_says_its_format(lake: DeltaStore) -> None:
    for name in ("ledger", "frontier", "lease"):
        assert DeltaTable(f"{lake.tables}/lake/{name}").metadata().description == "format 1"


@pytest.mark.parametrize(
    ("name", "use"),
    [
        ("ledger", lambda store: Ledger(store).latest_by_table()),
        ("ledger", lambda store: Ledger(store).rows()),
        ("ledger", lambda store: Ledger(store).record([ENTRY])),
        ("frontier", lambda store: FrontierTable(store).state()),
        ("frontier", lambda store: FrontierTable(store).change(lambda _: OPEN, "again")),
        ("lease", lambda store: SharedLease(store).take()),
    ],
)
def test_a_newer_format_is_refused_with_the_next_step_also_by_who_has_read_before_and_nothing_is_written(
    lake: DeltaStore, name: str, use: Callable[[DeltaStore], object]
) -> None:
    assert Ledger(lake).latest_by_table()
    assert FrontierTable(lake).state() == OPEN
    upgrade(lake, name, "format 2")
    before = DeltaTable(f"{lake.tables}/lake/{name}").version()

    with pytest.raises(LakeTooNew, match=f"lake/{name}: a newer lakehouse wrote it, in format 2.*up to 1") as refused:
        use(lake)

    assert "make setup" in str(refused.value)
    assert DeltaTable(f"{lake.tables}/lake/{name}").version() == before


@pytest.mark.parametrize("said", ["", "what somebody wrote", "format 1", "format 0"])
def test_a_table_without_a_format_or_of_an_older_one_is_read_and_written(lake: DeltaStore, said: str) -> None:
    upgrade(lake, "ledger", said)

    Ledger(lake).record([ENTRY])

    assert Ledger(lake).rows().num_rows == 2
    assert PassedOver(lake).all() == []
