"""Rows that another program wrote into a day that nobody computed are a finding. Needs no JVM."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from lake.days import Days
from lake.ledger import Entry, Ledger
from lake.plan import Survey, TableState, steps_to_date
from lake.store import DeltaStore, Txn
from lake.table import Table
from tests.lakes import without_spark
from tests.tiny import day_of, mark_files, marks

D1, D2, D3 = (day_of(number) for number in (1, 2, 3))
LINE = {"line": "x", "file": "a", "line_number": 1, "landed_on": D1, "event_date": D1}


def mark(day: date, name: str = "a") -> dict[str, object]:
    return {"name": name, "day": day, "points": 1}


def rows_of(table: Table, *rows: dict[str, object]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=table.contract.arrow_schema)


@pytest.fixture
def store(tmp_path: Path) -> DeltaStore:
    """A lake whose marks of the first day were computed."""
    store = without_spark(tmp_path)
    for table, row in ((mark_files, LINE), (marks, mark(D1))):
        store.append_arrow(table, rows_of(table, row), Txn("test", 0), {})
    read = {mark_files.full_name: 1}
    Ledger(store).record([Entry(marks.full_name, D1, "written", 1, 1, 0, 0, read, 1, marks.code_version, 0.1)])
    return store


def write_by_hand(store: DeltaStore, table: Table, *rows: dict[str, object]) -> None:
    write_deltalake(store.path(table), rows_of(table, *rows), mode="append")


def states(store: DeltaStore) -> dict[str, TableState]:
    return Survey([mark_files, marks], store, Days.between(D1, D3)).states


def test_rows_of_another_program_make_a_day_stale_that_nobody_computed(store: DeltaStore) -> None:
    write_by_hand(store, marks, mark(D3, "a"), mark(D3, "b"))

    found = states(store)[marks.full_name]
    assert found.foreign == {D3: "2 rows that nobody computed: another program wrote version 2"}
    assert found.stale == found.foreign
    steps = steps_to_date(Survey([mark_files, marks], store, Days.between(D1, D3)), [marks])
    assert [(step.tables, step.days) for step in steps if marks in step.tables] == [((marks,), Days.of(D3))]


def test_what_this_project_wrote_and_has_not_booked_is_no_row_of_another_program(store: DeltaStore) -> None:
    store.append_arrow(marks, rows_of(marks, mark(D3)), Txn("test", 1), {})
    assert states(store)[marks.full_name].foreign == {}


def test_a_day_that_was_computed_and_written_to_since_is_stale_by_its_version(store: DeltaStore) -> None:
    write_by_hand(store, marks, mark(D1, "b"))
    found = states(store)[marks.full_name]
    assert (found.foreign, found.stale) == ({}, {D1: "version 2 was written without a receipt"})


def test_rows_that_were_deleted_again_are_no_finding(store: DeltaStore) -> None:
    write_by_hand(store, marks, mark(D3))
    opened = store.log(store.path(marks)).require()
    opened.delete(f"day = '{D3}'")
    assert states(store)[marks.full_name].foreign == {}


def test_of_bronze_they_are_told_and_no_refresh_is_asked_for(store: DeltaStore) -> None:
    write_by_hand(store, mark_files, {**LINE, "landed_on": D2})
    found = states(store)[mark_files.full_name]
    assert set(found.foreign) == {D2}
    assert found.stale == {}
