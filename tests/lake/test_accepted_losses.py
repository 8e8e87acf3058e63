"""Rows of bronze that are gone for good with their files: who may go on without them, and what is kept of that."""

from __future__ import annotations

import getpass
import shutil
from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from lake.batch.accepted_losses import AcceptedLoss, AcceptedLosses, accept_loss
from lake.batch.inputs import Loss, pin_inputs
from lake.batch.survey import Survey, TableState
from lake.declare.days import Days
from lake.errors import CannotAcceptLoss, DayIsOpen, InputLost, LandingGone
from lake.ownership.frontier import Frontier, FrontierTable
from lake.ownership.ledger import Entry, Ledger
from lake.write.store import DeltaStore
from tests.lakes import steps_for, without_spark
from tests.tiny import FEED, day_of, land, mark_files, marks

D1, D2, D3 = (day_of(number) for number in range(1, 4))
NAME = mark_files.full_name
CALENDAR = Days.between(D1, day_of(20))
WHY = "the disk burnt"


@pytest.fixture
def lake(tmp_path: Path) -> DeltaStore:
    """Bronze holds two rows of D1 and one of D2, as the ledger says; the files of both days are there."""
    lake = without_spark(tmp_path)
    land(lake, D1, "a", [("a", D1, 1), ("b", D1, 2)])
    land(lake, D2, "a", [("a", D2, 1)])
    hold(lake, {D1: 2, D2: 1})
    table_ids = {NAME: str(lake.table_log(mark_files).table_id())}
    for day, rows in {D1: 2, D2: 1}.items():
        read = {name: list(file.mark()) for name, file in lake.landing.files(FEED, day).items()}
        facts: dict[str, Any] = {"code_version": mark_files.code_version, "seconds": 1.0, "table_ids": table_ids}
        counts: dict[str, Any] = {"rows_in": rows, "rows_out": rows, "rejected": 0, "duplicates": 0}
        entry = Entry(NAME, day, "written", inputs={"feed:marks_feed": read}, version=0, **facts, **counts)
        Ledger(lake).record([entry])
    return lake


def hold(store: DeltaStore, rows: Mapping[date, int]) -> None:
    """Give bronze so many rows of each day, by an engine that is not the one under test."""
    days = [day for day, count in rows.items() for _ in range(count)]
    lines = {
        "line": ["{}"] * len(days), "file": ["a"] * len(days),
        "line_number": pa.array(range(len(days)), pa.int32()), "landed_on": days, "event_date": days,
    }  # fmt: skip
    write_deltalake(store.path(mark_files), pa.table(lines), partition_by=["landed_on", "event_date"])


def lose_files(store: DeltaStore, day: date) -> None:
    shutil.rmtree(store.landing.folder(FEED, day))


def lose_rows(store: DeltaStore, condition: str) -> None:
    DeltaTable(store.path(mark_files)).delete(condition)


def state(store: DeltaStore) -> TableState:
    return Survey([mark_files], store, CALENDAR).states[NAME]


def test_a_loss_is_written_down_with_who_when_why_and_how_many_rows(lake: DeltaStore) -> None:
    lose_files(lake, D1)
    lose_rows(lake, f"landed_on = '{D1}'")
    assert state(lake).lost == {D1: Loss(2, 0)}
    before = datetime.now(UTC)

    (accepted,) = accept_loss(mark_files, lake, Days.between(D1, D2), f" {WHY} ")

    assert accepted == AcceptedLoss(NAME, D1, 2, 0, WHY, accepted.accepted_at, accepted.accepted_by)
    assert before <= accepted.accepted_at <= datetime.now(UTC)
    assert accepted.accepted_by.startswith(f"{getpass.getuser()}@")
    assert AcceptedLosses(lake).all() == [accepted]
    after = state(lake)
    assert (after.missing, after.stale, after.lost, after.archived) == ({}, {}, {}, {})


def test_who_accepts_twice_is_answered_the_same_and_nothing_is_written(lake: DeltaStore) -> None:
    lose_files(lake, D1)
    lose_rows(lake, f"landed_on = '{D1}'")
    first = accept_loss(mark_files, lake, Days.of(D1), WHY)
    entries = Ledger(lake).rows().num_rows

    assert accept_loss(mark_files, lake, Days.of(D1), "another reason") == first
    assert AcceptedLosses(lake).all() == first
    assert Ledger(lake).rows().num_rows == entries


def test_what_is_left_of_a_day_stays_and_bronze_remains_its_archive(lake: DeltaStore) -> None:
    lose_files(lake, D1)
    lose_rows(lake, "line_number = 1")
    assert state(lake).lost == {D1: Loss(2, 1)}

    accept_loss(mark_files, lake, Days.of(D1), WHY)

    assert state(lake).lost == {}
    assert state(lake).archived == {D1: "files gone"}
    steps = steps_for(Survey([mark_files, marks], lake, CALENDAR), [marks], Days.of(D1))
    assert [(one.name, str(step.days)) for step in steps for one in step.tables] == [("marks", "2013-01-01")]
    with pytest.raises(LandingGone, match="1 rows came from files"):
        pin_inputs(mark_files, lake, Days.of(D1), None)


def test_files_that_come_back_are_read_after_all(lake: DeltaStore) -> None:
    lose_files(lake, D1)
    lose_rows(lake, f"landed_on = '{D1}'")
    accept_loss(mark_files, lake, Days.of(D1), WHY)

    land(lake, D1, "a", [("a", D1, 1), ("b", D1, 2)])

    assert state(lake).stale == {D1: "other files landed in marks_feed"}


def test_a_day_that_lost_some_files_and_its_rows_is_lost_not_computed_from_the_other_files(lake: DeltaStore) -> None:
    land(lake, D2, "b", [("b", D2, 5)])
    (lake.landing.folder(FEED, D2) / "a").unlink()
    lose_rows(lake, f"landed_on = '{D2}'")

    assert (state(lake).stale, state(lake).lost) == ({}, {D2: Loss(1, 0)})
    with pytest.raises(LandingGone, match="of 1 rows 1 are lost"):
        pin_inputs(mark_files, lake, Days.of(D2), None)

    accept_loss(mark_files, lake, Days.of(D2), WHY)
    assert state(lake).stale == {D2: "other files landed in marks_feed"}
    assert list(pin_inputs(mark_files, lake, Days.of(D2), None).read["feed:marks_feed"][str(D2)]) == ["b"]


@pytest.mark.parametrize(
    ("days", "why", "problem"),
    [(Days.of(D2), WHY, "none is"), (None, WHY, "no days were named"), (Days.of(D1), " ", "the reason is empty")],
)
def test_nothing_else_is_accepted(lake: DeltaStore, days: Days | None, why: str, problem: str) -> None:
    lose_files(lake, D1)
    lose_rows(lake, f"landed_on = '{D1}'")
    lose_rows(lake, f"landed_on = '{D2}'")  # its file is there: a refresh makes it again
    entries = Ledger(lake).rows()

    with pytest.raises(CannotAcceptLoss, match=problem):
        accept_loss(mark_files, lake, days, why)
    assert AcceptedLosses(lake).all() == []
    assert Ledger(lake).rows() == entries


def test_days_that_streams_own_are_not_accepted(lake: DeltaStore) -> None:
    owned = Frontier(D1, D1, claimed=frozenset({NAME}), generations={NAME: 1})
    FrontierTable(lake).change(lambda _: owned, "streams own every day")
    lose_files(lake, D1)
    lose_rows(lake, f"landed_on = '{D1}'")
    with pytest.raises(DayIsOpen):
        accept_loss(mark_files, lake, Days.of(D1), WHY)


def test_each_refusal_names_the_command_that_accepts(lake: DeltaStore) -> None:
    lose_files(lake, D1)
    lose_rows(lake, f"landed_on = '{D1}'")
    command = f'lakehouse refresh {NAME} --days {D1}..{D1} --accept-loss "REASON"'
    with pytest.raises(LandingGone, match=command):
        pin_inputs(mark_files, lake, Days.of(D1), None)
    with pytest.raises(InputLost, match=command):
        pin_inputs(marks, lake, Days.of(D1), None)
