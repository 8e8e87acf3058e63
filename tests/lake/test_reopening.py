"""Days that were sealed too far are opened again. Needs no JVM."""

from __future__ import annotations

import threading
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from lake.errors import AlreadyFollowed, DayAhead
from lake.ownership.frontier import Frontier, FrontierTable
from lake.ownership.reopening import is_ahead, reopen
from lake.storage.landing import Landing
from lake.storage.lease import lease
from lake.stream.generation import Checkpoints, StreamPlan, begin_generations
from lake.write.store import DeltaStore
from tests.tiny_topics import FOLLOWED

NOW = datetime(2013, 1, 7, 12, tzinfo=UTC)
JAN_5, JAN_6, JAN_7, JAN_8 = (date(2013, 1, day) for day in (5, 6, 7, 8))
TEN_YEARS_ON = date(2023, 1, 7)
CLAIMED = frozenset(table.full_name for table in FOLLOWED)
BRONZE = frozenset(name for name in CLAIMED if name.startswith("bronze."))
ONCE = dict.fromkeys(CLAIMED, 1)


@pytest.fixture
def frontier(tmp_path: Path) -> FrontierTable:
    def no_session() -> object:
        raise AssertionError("this needs no Spark session")

    store = DeltaStore(str(tmp_path / "tables"), Landing(tmp_path / "landing"), tmp_path / "locks", no_session)  # type: ignore[arg-type]
    return FrontierTable(store)


def set_to(frontier: FrontierTable, state: Frontier) -> None:
    frontier.change(lambda _: state, "test")


def follow_again(frontier: FrontierTable, tmp_path: Path) -> Frontier:
    """What the next `follow` claims."""
    plans = [StreamPlan(table, False, "append", "plan") for table in FOLLOWED]
    return begin_generations(frontier, plans, Checkpoints(tmp_path / "checkpoints"), now=NOW)


@pytest.mark.parametrize(
    "state",
    [
        Frontier(JAN_5, TEN_YEARS_ON, claimed=CLAIMED, generations=ONCE),
        Frontier(JAN_5, JAN_5, closing=TEN_YEARS_ON, claimed=CLAIMED, generations=ONCE),
        Frontier(JAN_5, JAN_8, claimed=CLAIMED, generations=ONCE),
        Frontier(JAN_5, JAN_7, claimed=CLAIMED, generations=ONCE),  # sealed too far, though not into the future
    ],
)
def test_a_lake_that_was_sealed_too_far_is_open_again_and_replaces_those_days_from_bronze(
    frontier: FrontierTable, state: Frontier, tmp_path: Path
) -> None:
    set_to(frontier, Frontier(JAN_5, JAN_5, claimed=CLAIMED))
    for plan in (StreamPlan(table, False, "append", "plan") for table in FOLLOWED):
        Checkpoints(tmp_path / "checkpoints").create(plan, 1)
    set_to(frontier, state)

    opened = reopen(frontier, FOLLOWED, JAN_6, NOW)

    assert opened is not None
    assert (opened.stream_from, opened.first_open, opened.closing) == (JAN_5, min(state.first_open, JAN_6), None)
    assert opened.claimed == CLAIMED
    followed = follow_again(frontier, tmp_path)
    assert followed.first_open == opened.first_open
    begun = {name for name in CLAIMED if followed.generations[name] > 1}
    assert begun == CLAIMED - BRONZE  # what bronze holds, it has


def test_where_bronze_was_left_to_an_archive_of_the_future_it_is_read_again_too(
    frontier: FrontierTable, tmp_path: Path
) -> None:
    set_to(frontier, Frontier(TEN_YEARS_ON, TEN_YEARS_ON, claimed=CLAIMED, generations=ONCE))
    opened = reopen(frontier, FOLLOWED, JAN_6, NOW)
    assert opened is not None
    assert (opened.stream_from, opened.first_open) == (JAN_6, JAN_6)
    assert all(number > 1 for number in follow_again(frontier, tmp_path).generations.values())


def test_days_that_are_open_stay_as_they_are(frontier: FrontierTable) -> None:
    state = Frontier(JAN_5, JAN_6, claimed=CLAIMED, generations=ONCE)
    set_to(frontier, state)
    version = frontier.store.log(f"{frontier.store.tables}/lake/frontier").version()
    assert reopen(frontier, FOLLOWED, JAN_6, NOW) == state
    assert reopen(frontier, FOLLOWED, JAN_7, NOW) == state
    assert frontier.store.log(f"{frontier.store.tables}/lake/frontier").version() == version


def test_a_released_lake_is_claimed_no_later_than_it_was_opened_again(frontier: FrontierTable, tmp_path: Path) -> None:
    set_to(frontier, Frontier(JAN_5, TEN_YEARS_ON, generations=ONCE))
    reopen(frontier, FOLLOWED, JAN_6, NOW)
    assert follow_again(frontier, tmp_path).first_open == JAN_7  # nothing has landed, so from the clock's day on


def test_a_day_that_has_not_come_is_refused(frontier: FrontierTable) -> None:
    set_to(frontier, Frontier(JAN_5, TEN_YEARS_ON, claimed=CLAIMED))
    with pytest.raises(DayAhead):
        reopen(frontier, FOLLOWED, JAN_8, NOW)
    assert frontier.state() == Frontier(JAN_5, TEN_YEARS_ON, claimed=CLAIMED)


def test_while_streams_run_nothing_is_opened(frontier: FrontierTable) -> None:
    set_to(frontier, Frontier(JAN_5, TEN_YEARS_ON, claimed=CLAIMED))
    holding, may_end = threading.Event(), threading.Event()

    def run() -> None:
        with lease(frontier.store.locks):
            holding.set()
            may_end.wait(20)

    streams = threading.Thread(target=run)
    streams.start()
    assert holding.wait(20)
    with pytest.raises(AlreadyFollowed):
        reopen(frontier, FOLLOWED, JAN_6, NOW)
    may_end.set()
    streams.join(20)
    assert frontier.state() == Frontier(JAN_5, TEN_YEARS_ON, claimed=CLAIMED)


def test_without_a_frontier_there_is_nothing_to_open(frontier: FrontierTable) -> None:
    assert reopen(frontier, FOLLOWED, JAN_6, NOW) is None


@pytest.mark.parametrize(
    ("state", "ahead"),
    [
        (Frontier(JAN_5, JAN_7), False),
        (Frontier(JAN_5, JAN_8), True),
        (Frontier(JAN_8, JAN_7), True),
        (Frontier(JAN_5, JAN_5, closing=JAN_8), True),
        (Frontier(JAN_5, JAN_5, closing=JAN_6), False),
    ],
)
def test_a_frontier_is_ahead_where_it_names_a_day_that_has_not_come(state: Frontier, ahead: bool) -> None:
    assert is_ahead(state, NOW) == ahead
