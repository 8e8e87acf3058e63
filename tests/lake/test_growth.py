"""Looking at a lake costs no more after years than after some months, where it is maintained."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import lake.batch.survey
import lake.ownership.ledger
import lake.storage.landing_days
import lake.storage.log
import lake.storage.log_contents
import lake.storage.log_files
import lake.storage.log_versions
from benchmarks.growth.commits import SimulatedTable
from benchmarks.growth.lake import SimulatedLake
from lake.batch.survey import Survey, TableState
from lake.declare.days import Days
from lake.ownership.frontier import Frontier, FrontierTable
from lake.ownership.ledger import Ledger
from lake.testing.lakes import open_lake
from tests.tiny import FEED, mark_files, marks, totals

pytestmark = pytest.mark.slow

TABLES = [mark_files, marks, totals]
LAST = datetime.now(UTC).date() - timedelta(days=1)
_OPENED: list[list[str]] = []
"""Where to note what is opened; no audit hook can be taken away."""


def _note(event: str, arguments: tuple[object, ...]) -> None:
    if event == "open" and _OPENED:
        _OPENED[-1].append(str(arguments[0]))


sys.addaudithook(_note)


@contextmanager
def opened() -> Iterator[list[str]]:
    """The files that this process opens meanwhile."""
    _OPENED.append([])
    yield _OPENED[-1]
    _OPENED.clear()


@pytest.fixture(scope="module")
def lake_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int, bool], SimulatedLake]:
    """A lake of so many days that ended yesterday, made once."""
    made: dict[tuple[int, bool], SimulatedLake] = {}

    def make(length: int, is_maintained: bool) -> SimulatedLake:
        if (length, is_maintained) not in made:
            home = tmp_path_factory.mktemp("home")
            store = open_lake(home, None)  # type: ignore[arg-type]  # nothing here needs a session
            days = Days.between(LAST - timedelta(days=length - 1), LAST)
            one = SimulatedLake(TABLES, store, home, days, streamed=0, is_maintained=is_maintained, detailed=1)
            one.build()
            made[length, is_maintained] = one
        return made[length, is_maintained]

    return make


def forget() -> None:
    """Forget what this process knows, as a new one would."""
    for known in (
        *(
            lake.storage.log._TOUCHES,
            lake.storage.log_versions.PLACES,
            lake.storage.log_versions._OPENED,
            lake.storage.log_versions._DESCRIBED._known,
        ),
        *(lake.storage.log_contents._HELD, lake.batch.survey._SETTLED, lake.storage.landing_days._FEEDS),
    ):
        known.clear()
    lake.ownership.ledger._READ._known.clear()
    lake.storage.log_files._hash_once.cache_clear()
    lake.storage.log_versions._read_written.cache_clear()


def states(one: SimulatedLake) -> dict[str, TableState]:
    return Survey(TABLES, one.store, one.days).states


def due(one: SimulatedLake) -> list[object]:
    return [day for state in states(one).values() for day in (*state.missing, *state.stale)]


@pytest.mark.slow
def test_a_new_process_opens_as_many_files_after_eight_months_as_after_two(
    lake_of: Callable[[int, bool], SimulatedLake],
) -> None:
    short, long, neglected = (files_opened(lake_of(*which)) for which in ((60, True), (240, True), (240, False)))

    assert len(long) == len(short)
    assert len(neglected) > 2 * len(short), "without maintenance it is not so"


def files_opened(one: SimulatedLake) -> list[str]:
    """The files of a lake that a new process opens to find nothing missing and nothing stale."""
    forget()
    with opened() as files:
        assert due(one) == []
    return [file for file in files if file.startswith(one.store.tables)]


def test_a_change_is_judged_alone_however_many_days_there_are(
    lake_of: Callable[[int, bool], SimulatedLake], monkeypatch: pytest.MonkeyPatch
) -> None:
    judged: list[tuple[str, object]] = []
    judge = Survey._judge

    def counted(survey: Survey, table: object, day: object, *more: object) -> None:
        judged.append((table.full_name, day))  # type: ignore[attr-defined]
        judge(survey, table, day, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(Survey, "_judge", counted)
    for length in (60, 240):
        one = lake_of(length, True)
        assert due(one) == []
        judged.clear()
        before = states(one)
        assert judged == [], "nothing has changed"
        assert all(state is before[name] for name, state in states(one).items())

        one.rewrite("bronze.mark_files", LAST)

        assert due(one) == [LAST]
        assert {name for name, _ in judged} == {"bronze.mark_files", "silver.marks"}
        assert {day for _, day in judged} == {LAST}
        one.catch_up(datetime.now(UTC))


def test_what_a_process_remembers_never_says_other_than_a_new_one_finds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lake.storage.landing_days, "TICKS_NS", 0)
    monkeypatch.setattr(lake.storage.landing_days, "TURNS", 1)
    store = open_lake(tmp_path, None)  # type: ignore[arg-type]  # nothing here needs a session
    days = Days.between(LAST - timedelta(days=9), LAST)
    one = SimulatedLake(TABLES, store, tmp_path, days, streamed=0, is_maintained=False, detailed=0)
    one.build()
    ledger, written, streamed = Ledger(store), one.written["silver.marks"], frozenset({"silver.marks"})

    def file_of(number: int) -> Path:
        return next(store.landing.folder(FEED, list(days)[number]).iterdir())

    def record(number: int, **changes: Any) -> None:
        ledger.record([replace(ledger.latest("silver.marks")[list(days)[number]], **changes)])

    def follow(first_open: date) -> None:
        FrontierTable(store).change(lambda _: Frontier(LAST, first_open, None, streamed), "a step")

    changes: dict[str, Callable[[], object]] = {
        "a file is written in place": lambda: file_of(0).write_text("other content"),
        "a file comes": lambda: file_of(1).with_name("more.jsonl").write_text("more"),
        "a file goes": lambda: file_of(2).unlink(),
        "a day fails": lambda: record(3, outcome="failed"),
        "a day is computed again": lambda: record(3, outcome="written"),
        "a day was of another table": lambda: record(4, table_ids={"silver.marks": "another"}),
        "an input changes": lambda: one.rewrite("bronze.mark_files", list(days)[5]),
        "somebody writes": lambda: written.replace([list(days)[6]], datetime.now(UTC), {}),
        "the newest day of an input changes": lambda: one.rewrite("bronze.mark_files", LAST),
        "streams own the newest day": lambda: follow(LAST),
        "streams own it no more": lambda: follow(LAST + timedelta(days=1)),
        "the ledger is shortened": lambda: ledger.forget(datetime.now(UTC)),
        "a table is made anew": lambda: make_anew(one),
    }
    for what, change in changes.items():
        before = states(one)
        change()
        remembered = states(one)
        assert (remembered != before) is (what != "the ledger is shortened"), what
        forget()
        assert remembered == states(one), what


def make_anew(one: SimulatedLake) -> None:
    folder = Path(one.store.path(marks))
    folder.rename(folder.with_name("old"))
    one.written["silver.marks"] = SimulatedTable(marks, one.store)
