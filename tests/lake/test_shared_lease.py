"""The lease of a lake that several machines reach: here two stores with locks of their own. Needs no JVM."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from deltalake import DeltaTable

from lake.errors import AlreadyFollowed, LeaseLost
from lake.ownership.frontier import FrontierTable
from lake.ownership.shared_lease import SharedLease, shared_lease
from lake.storage.landing import Landing
from lake.stream.follow import follow, release
from lake.write.store import DeltaStore
from tests.tiny_topics import call_events

NOON = datetime(2013, 1, 1, 12, tzinfo=UTC)
LIMIT = timedelta(seconds=90)


def no_session() -> object:
    raise AssertionError("this needs no Spark session")


def store_on(machine: str, tmp_path: Path, *, scheme: str = "file://") -> DeltaStore:
    """The lake as a machine reaches it: the tables are shared, locks are its own."""
    home = tmp_path / machine
    return DeltaStore(f"{scheme}{tmp_path}/tables", Landing(tmp_path / "landing"), home / "locks", no_session)  # type: ignore[arg-type]


@pytest.fixture
def driver(tmp_path: Path) -> Callable[..., SharedLease]:
    def driver(machine: str, now: datetime = NOON) -> SharedLease:
        return SharedLease(store_on(machine, tmp_path), LIMIT, lambda: now, machine)

    return driver


def test_a_second_driver_is_refused_until_the_first_lets_go(driver: Callable[..., SharedLease]) -> None:
    first, second = driver("a"), driver("b", NOON + timedelta(seconds=30))
    first.take()
    with pytest.raises(AlreadyFollowed, match="a, renewed 2013-01-01 12:00:00 UTC"):
        second.take()
    first.release()

    second.take()

    assert (first.epoch, second.epoch) == (1, 2)
    second.check()


def test_a_holder_that_renews_keeps_it_and_one_that_sleeps_loses_it(driver: Callable[..., SharedLease]) -> None:
    first = driver("a")
    first.take()
    first.now = lambda: NOON + timedelta(seconds=80)
    first.renew()
    first.check()
    with pytest.raises(AlreadyFollowed):
        driver("b", NOON + timedelta(seconds=169)).take()

    successor = driver("b", NOON + timedelta(seconds=171))
    successor.take()

    first.renew()
    with pytest.raises(LeaseLost):
        first.check()
    first.release()
    successor.renew()
    successor.check()
    assert successor.epoch == 2
    with pytest.raises(AlreadyFollowed):
        driver("c", NOON + timedelta(seconds=200)).take()


def test_of_two_that_take_over_at_once_one_is_refused(driver: Callable[..., SharedLease]) -> None:
    driver("gone").take()
    late = NOON + timedelta(hours=1)
    one, other = driver("a", late), driver("b", late)
    opened = other._open()
    other._open = lambda: opened  # type: ignore[method-assign]
    one.take()

    with pytest.raises(AlreadyFollowed, match="at the same moment"):
        other.take()

    one.renew()
    one.check()


def test_of_two_that_are_the_first_one_is_refused(driver: Callable[..., SharedLease]) -> None:
    one, other = driver("a"), driver("b")
    other._open = lambda: None  # type: ignore[method-assign]
    one.take()
    with pytest.raises(AlreadyFollowed, match="at the same moment"):
        other.take()


def test_a_holder_that_could_not_renew_stops_by_itself_before_another_may_begin(
    driver: Callable[..., SharedLease], monkeypatch: pytest.MonkeyPatch
) -> None:
    held = driver("a")
    held.take()
    held.check()
    held._renewed -= 46  # more than half of the limit ago
    with pytest.raises(LeaseLost):
        held.check()
    held.renew()
    held.check()


def test_many_renewals_leave_few_files(driver: Callable[..., SharedLease], tmp_path: Path) -> None:
    held = driver("a")
    held.clean_every = 10
    held.take()
    for _ in range(25):
        held.renew()
    held.check()
    assert len(list((tmp_path / "tables/lake/lease").glob("*.parquet"))) < 12
    assert DeltaTable(str(tmp_path / "tables/lake/lease")).to_pyarrow_table().num_rows == 1


def test_streams_of_another_machine_are_refused_and_nothing_is_started_or_released(tmp_path: Path) -> None:
    here, there = store_on("here", tmp_path), store_on("there", tmp_path)
    with shared_lease(there) as held:
        assert held is not None
        with pytest.raises(AlreadyFollowed):
            follow([call_events], here, FrontierTable(here), home=tmp_path / "here", until_idle=True)
        with pytest.raises(AlreadyFollowed):
            release(FrontierTable(here))
    assert release(FrontierTable(here)) is None, "nobody has it any more, and nothing was ever claimed"


def test_a_lake_of_this_machine_needs_no_more_than_its_file_lock(tmp_path: Path) -> None:
    with shared_lease(store_on("here", tmp_path, scheme="")) as held:
        assert held is None
    assert not (tmp_path / "tables").exists()
