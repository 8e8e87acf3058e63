"""Rows that another program wrote into a day that nobody computed are a finding. Needs no JVM."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import CommitProperties, DeltaTable, write_deltalake

from lake.batch.maintain import Maintenance
from lake.batch.plan import steps_to_date
from lake.batch.survey import Survey, TableState, ways_to_mend
from lake.declare.days import Days
from lake.declare.table import Table
from lake.ownership.frontier import Frontier, FrontierTable
from lake.ownership.ledger import Entry, Ledger
from lake.storage.commits import WRITE_MARK
from lake.write.store import DeltaStore, Txn
from tests.lakes import without_spark
from tests.tiny import FEED, day_of, land, mark_files, marks

D1, D2, D3 = (day_of(number) for number in (1, 2, 3))
LINE = {"line": "x", "file": "a", "line_number": 1, "landed_on": D1, "event_date": D1}
FOREIGN = "{} that nobody computed: another program wrote version {}"


def mark(day: date, name: str = "a") -> dict[str, object]:
    return {"name": name, "day": day, "points": 1}


def rows_of(table: Table, *rows: dict[str, object]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=table.contract.arrow_schema)


@pytest.fixture
def store(tmp_path: Path) -> DeltaStore:
    """A lake whose marks of the first day were computed."""
    store = without_spark(tmp_path)
    for table, row in ((mark_files, LINE), (marks, mark(D1))):
        store.append(table, rows_of(table, row), Txn("test", 0), {})
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
    assert found.foreign == {D3: FOREIGN.format("2 rows", 2)}
    assert found.stale == found.foreign
    steps = steps_to_date(Survey([mark_files, marks], store, Days.between(D1, D3)), [marks])
    assert [(step.tables, step.days) for step in steps if marks in step.tables] == [((marks,), Days.of(D3))]


def test_what_this_project_wrote_and_has_not_booked_is_no_row_of_another_program(store: DeltaStore) -> None:
    store.append(marks, rows_of(marks, mark(D3)), Txn("test", 1), {})
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


def test_they_stay_a_finding_whatever_this_project_adds_to_their_day(store: DeltaStore) -> None:
    for table, row in ((marks, mark(D3)), (mark_files, {**LINE, "landed_on": D2})):
        write_by_hand(store, table, row)
        store.append(table, rows_of(table, {**row, table.key[0]: "b"}), Txn("test", 1), {})
    store.upsert(marks, rows_of(marks, mark(D3, "b")), Txn("test", 2), {})

    found = states(store)
    one = "1 row that nobody computed: another program wrote version 2"
    assert (found[marks.full_name].foreign, found[mark_files.full_name].foreign) == ({D3: one}, {D2: one})
    assert found[marks.full_name].stale[D3] == one


def test_a_day_that_this_project_replaced_holds_none(store: DeltaStore) -> None:
    write_by_hand(store, marks, mark(D3))
    own = CommitProperties({"userMetadata": json.dumps({WRITE_MARK: "x"})})
    write_deltalake(
        store.path(marks), rows_of(marks, mark(D3)), mode="overwrite", predicate=f"day = '{D3}'", commit_properties=own
    )
    assert states(store)[marks.full_name].foreign == {}


def test_what_a_deletion_by_hand_leaves_of_this_project_is_no_finding(store: DeltaStore) -> None:
    store.append(marks, rows_of(marks, mark(D3, "a"), mark(D3, "b")), Txn("test", 1), {})
    store.log(store.path(marks)).require().delete("name = 'a'")
    assert states(store)[marks.full_name].foreign == {}

    write_by_hand(store, marks, mark(D3, "c"), mark(D3, "d"), mark(D3, "e"))
    store.log(store.path(marks)).require().delete("name = 'c'")
    assert states(store)[marks.full_name].foreign == {D3: FOREIGN.format("2 rows", 4)}


def test_joining_files_neither_hides_them_nor_keeps_them_once_they_are_deleted(store: DeltaStore) -> None:
    store.append(marks, rows_of(marks, mark(D3, "a"), mark(D3, "b")), Txn("test", 1), {})
    write_by_hand(store, marks, mark(D3, "c"))
    store.log(store.path(marks)).require().optimize.compact()
    assert len(store.table_log(marks).files_by_day("day", [Days.of(D3)])[D3]) == 1
    assert states(store)[marks.full_name].foreign == {D3: FOREIGN.format("1 row", 3)}

    store.log(store.path(marks)).require().delete("name = 'c'")
    assert states(store)[marks.full_name].foreign == {}


def test_a_restored_version_has_those_that_it_had(store: DeltaStore) -> None:
    store.append(marks, rows_of(marks, mark(D3, "a")), Txn("test", 1), {})
    write_by_hand(store, marks, mark(D3, "b"))
    DeltaTable(store.path(marks)).restore(2)
    assert states(store)[marks.full_name].foreign == {}
    DeltaTable(store.path(marks)).restore(3)
    assert states(store)[marks.full_name].foreign == {D3: FOREIGN.format("1 row", 3)}


def test_they_are_known_after_the_commits_that_wrote_them_were_removed(store: DeltaStore) -> None:
    write_by_hand(store, marks, mark(D3))
    work = Maintenance(store, Path("none"), datetime.now(UTC))
    work.shorten_log(next(place for place in work.places([marks]) if place.name == marks.full_name))
    store.append(marks, rows_of(marks, mark(D3, "b")), Txn("test", 1), {})
    DeltaTable(store.path(marks)).create_checkpoint()
    for version in range(3):
        Path(store.path(marks), "_delta_log", f"{version:020d}.json").unlink()

    elsewhere = replace(store, tables=f"{store.tables}/.")  # another process has read nothing of it yet
    assert states(elsewhere)[marks.full_name].foreign == {D3: FOREIGN.format("1 row", 2)}


def test_they_are_known_again_when_they_were_restored_after_they_had_been_written_down(store: DeltaStore) -> None:
    write_by_hand(store, marks, mark(D3))
    work = Maintenance(store, Path("none"), datetime.now(UTC))
    work.shorten_log(next(place for place in work.places([marks]) if place.name == marks.full_name))
    store.log(store.path(marks)).require().delete(f"day = '{D3}'")
    DeltaTable(store.path(marks)).restore(2)

    elsewhere = replace(store, tables=f"{store.tables}/.")  # another process has read nothing of it yet
    assert states(elsewhere)[marks.full_name].foreign == {D3: FOREIGN.format("1 row", 2)}


def test_all_that_other_programs_wrote_to_a_day_is_counted(store: DeltaStore) -> None:
    write_by_hand(store, marks, mark(D3, "a"), mark(D3, "b"))
    write_by_hand(store, marks, mark(D3, "c"))
    assert states(store)[marks.full_name].foreign == {D3: FOREIGN.format("3 rows", 3)}


def test_a_commit_that_says_nothing_of_itself_changed_rows_and_one_that_moved_files_did_not(store: DeltaStore) -> None:
    facts = {"partitionValues": {"day": str(D3)}, "size": 9, "modificationTime": 0, "stats": '{"numRecords": 2}'}
    commits: list[list[dict[str, object]]] = [
        [{"add": {**facts, "path": "x", "dataChange": True}}],
        [
            {"commitInfo": {"operation": "REORG"}},
            {"remove": {"path": "x", "dataChange": False}},
            {"add": {**facts, "path": "y", "dataChange": False}},
        ],
    ]
    for version, actions in enumerate(commits, start=2):
        log = Path(store.path(marks), "_delta_log", f"{version:020d}.json")
        log.write_text("\n".join(map(json.dumps, actions)))
        assert states(store)[marks.full_name].foreign == {D3: FOREIGN.format("2 rows", 2)}


def commit(store: DeltaStore, version: int, about: Mapping[str, object], *changes: tuple[str, date, int]) -> None:
    """Commit files of marks by hand: path, day, and rows (0: it is removed, -1: it does not say how many)."""
    actions: list[dict[str, object]] = [{"commitInfo": about}]
    for path, day, rows in changes:
        about_file = {"path": path, "partitionValues": {"day": str(day)}, "dataChange": True}
        stats = {} if rows < 0 else {"stats": json.dumps({"numRecords": rows})}
        added = {**about_file, "size": 9, "modificationTime": 0, **stats}
        actions.append({"add": added} if rows else {"remove": about_file})
    log = Path(store.path(marks), "_delta_log", f"{version:020d}.json")
    log.write_text("\n".join(map(json.dumps, actions)))


def told(store: DeltaStore) -> dict[date | None, str]:
    return dict(states(store)[marks.full_name].foreign)


def test_a_commit_that_writes_files_of_several_days_anew_keeps_the_rows_of_each(store: DeltaStore) -> None:
    commit(store, 2, {"operation": "WRITE"}, ("a", D2, 2), ("b", D3, 3))
    commit(store, 3, {"operation": "WRITE"}, ("c", D3, 1))
    own = {"operation": "WRITE", "userMetadata": json.dumps({WRITE_MARK: "x"})}
    commit(store, 4, own, ("e", D3, 3), ("f", D2, 3))
    wrong = {D2: FOREIGN.format("2 rows", 2), D3: FOREIGN.format("4 rows", 3)}
    assert told(store) == wrong

    gone = [(path, day, 0) for path, day in (("a", D2), ("b", D3), ("c", D3), ("e", D3), ("f", D2))]
    commit(store, 5, {"operation": "OPTIMIZE"}, *gone, ("g", D3, 2), ("h", D3, 2), ("i", D3, 3), ("j", D2, 5))
    assert told(store) == wrong

    deleted = {"operation": "DELETE", "operationMetrics": {"numDeletedRows": "1"}}
    commit(store, 6, deleted, ("g", D3, 0), ("k", D3, 1))
    assert told(store)[D3] == FOREIGN.format("3 rows", 3), "people are told to delete those of others"
    commit(store, 7, deleted, ("h", D3, 0), ("k", D3, 0), ("i", D3, 0))
    assert told(store) == {D2: wrong[D2]}
    commit(store, 8, deleted, ("j", D2, 0), ("l", D2, 4))
    assert told(store) == {D2: FOREIGN.format("1 row", 2)}


def test_of_files_that_do_not_say_how_many_rows_they_hold_all_may_be_of_others(store: DeltaStore) -> None:
    commit(store, 2, {"operation": "WRITE"}, ("a", D2, -1), ("b", D3, 2))
    commit(store, 3, {"operation": "OPTIMIZE"}, ("a", D2, 0), ("b", D3, 0), ("c", D2, 1), ("d", D3, -1))
    assert told(store) == {D2: FOREIGN.format("rows", 2), D3: FOREIGN.format("2 rows", 2)}


def test_an_upsert_of_this_project_keeps_those_that_it_writes_anew(store: DeltaStore) -> None:
    write_by_hand(store, marks, mark(D3, "a"), mark(D3, "b"))
    store.upsert(marks, rows_of(marks, mark(D3, "b") | {"points": 2}), Txn("test", 1), {})
    assert len(store.table_log(marks).files_by_day("day", [Days.of(D3)])[D3]) == 2
    assert set(told(store)) == {D3}


def test_those_of_two_days_before_one_that_is_to_be_computed_are_told(store: DeltaStore) -> None:
    ahead, day = replace(marks, name="ahead", reads=(marks.days(after=1),)), day_of(9)
    store.append(marks, rows_of(marks, mark(day)), Txn("test", 1), {})
    store.create(ahead)
    write_by_hand(store, ahead, mark(day_of(7)), mark(day_of(8)))
    found = Survey([ahead], store, Days.between(D1, day)).states[ahead.full_name]
    assert set(found.missing) == {D1, day_of(8), day}
    assert found.foreign == {day_of(7): FOREIGN.format("1 row", 1)}


def test_files_without_statistics_and_a_day_that_no_calendar_has_are_told_too(store: DeltaStore) -> None:
    write_by_hand(store, marks, mark(D3))
    log = Path(store.path(marks), "_delta_log")
    for version, day in enumerate([D3, "1800-01-01"], start=3):
        action = {"path": f"day={day}/{version}.parquet", "partitionValues": {"day": str(day)}, "size": 9}
        lines = [{"commitInfo": {"operation": "WRITE"}}, {"add": action | {"modificationTime": 0, "dataChange": True}}]
        (log / f"{version:020d}.json").write_text("\n".join(map(json.dumps, lines)))

    found = states(store)[marks.full_name]
    assert found.foreign == {None: FOREIGN.format("rows", 4), D3: FOREIGN.format("rows", 3)}
    assert set(found.stale) == {D3}
    assert list(found.foreign) == [None, D3], "in the order of days"


def test_a_table_without_days_is_not_asked_for_them(store: DeltaStore) -> None:
    whole = replace(marks, name="whole", day=None, read_by=None)
    store.create(whole)
    write_by_hand(store, whole, mark(D1))
    assert Survey([mark_files, whole], store, Days.between(D1, D3)).states[whole.full_name].foreign == {}


def test_those_of_a_day_that_is_to_be_computed_anyway_are_told_of_bronze_only(store: DeltaStore) -> None:
    store.append(mark_files, rows_of(mark_files, {**LINE, "event_date": D2}), Txn("test", 1), {})
    land(store, D3, "a", [("a", D3, 1)])
    write_by_hand(store, marks, mark(D2))
    write_by_hand(store, mark_files, {**LINE, "landed_on": D3, "event_date": D1})

    found = states(store)
    assert (found[marks.full_name].missing, found[marks.full_name].foreign) == ({D2: "never computed"}, {})
    assert found[mark_files.full_name].missing[D3] == "never computed"
    assert set(found[mark_files.full_name].foreign) == {D3}


def test_those_of_the_day_before_one_that_is_to_be_computed_are_told(store: DeltaStore) -> None:
    store.append(mark_files, rows_of(mark_files, {**LINE, "event_date": D3}), Txn("test", 1), {})
    write_by_hand(store, marks, mark(D2))
    found = states(store)[marks.full_name]
    assert (found.missing, found.foreign) == ({D3: "never computed"}, {D2: FOREIGN.format("1 row", 2)})


def test_those_that_were_there_when_a_day_was_computed_are_told_of_bronze_only(store: DeltaStore) -> None:
    write_by_hand(store, marks, mark(D3))
    write_by_hand(store, mark_files, {**LINE, "landed_on": D2})
    store.append(
        mark_files, rows_of(mark_files, *({**LINE, "landed_on": D2, "file": name} for name in "bc")), Txn("test", 1), {}
    )
    unchanged = Entry(marks.full_name, D3, "unchanged", 1, 1, 0, 0, {}, 2, "x", 0.1)
    Ledger(store).record([unchanged, replace(unchanged, table=mark_files.full_name, day=D2, rows_out=0, version=3)])
    own = Frontier(D1, D1, claimed=frozenset({marks.full_name}))
    FrontierTable(store).change(lambda _: own, "test")

    found = states(store)
    assert found[marks.full_name].foreign == {}, "batch found them right"
    assert found[mark_files.full_name].foreign == {D2: FOREIGN.format("1 row", 2)}, "the others are our own"


def test_of_bronze_files_without_statistics_may_hold_all_that_no_refresh_booked(store: DeltaStore) -> None:
    add = {"path": "landed_on=2013-01-02/x.parquet", "size": 9, "modificationTime": 0, "dataChange": True}
    action = {"add": {**add, "partitionValues": {"landed_on": str(D2), "event_date": str(D2)}}}
    lines = [{"commitInfo": {"operation": "WRITE"}}, action]
    Path(store.path(mark_files), "_delta_log", f"{2:020d}.json").write_text("\n".join(map(json.dumps, lines)))
    own = [{**LINE, "landed_on": D2, "file": name} for name in "bc"]
    store.append(mark_files, rows_of(mark_files, *own), Txn("test", 1), {})
    booked = Entry(mark_files.full_name, D2, "written", 1, 1, 0, 0, {}, 3, "x", 0.1)

    Ledger(store).record([booked])
    assert states(store)[mark_files.full_name].foreign == {D2: FOREIGN.format("1 row", 2)}
    Ledger(store).record([replace(booked, rows_out=2)])
    assert states(store)[mark_files.full_name].foreign == {}


def test_a_day_outside_of_the_calendar_is_told_and_not_to_be_computed(store: DeltaStore) -> None:
    outside = date(2014, 1, 1)
    write_by_hand(store, marks, mark(outside))
    found = states(store)[marks.full_name]
    assert (found.foreign, found.stale) == ({outside: FOREIGN.format("1 row", 2)}, {})


@pytest.mark.parametrize("day", [D1, D3])
def test_those_of_a_day_that_streams_own_are_told_and_not_to_be_computed(store: DeltaStore, day: date) -> None:
    frontier = Frontier(D1, D1, claimed=frozenset({marks.full_name}))
    FrontierTable(store).change(lambda _: frontier, "test")
    write_by_hand(store, marks, mark(day, "x"))
    store.append(marks, rows_of(marks, mark(day, "y")), Txn("test", 1), {})
    found = states(store)[marks.full_name]
    assert (found.foreign, found.stale) == ({day: FOREIGN.format("1 row", 2)}, {})


def test_of_bronze_they_stay_a_finding_when_files_of_their_day_were_added(store: DeltaStore) -> None:
    """A refresh of such a day takes nothing away; what it books is what landed."""
    write_by_hand(store, mark_files, {**LINE, "landed_on": D2, "file": "x"})
    store.append(mark_files, rows_of(mark_files, {**LINE, "landed_on": D2}), Txn("test", 1), {})
    booked = Entry(mark_files.full_name, D2, "written", 1, 1, 0, 0, {f"feed:{FEED.name}": {}}, 3, "x", 0.1)
    Ledger(store).record([booked])
    assert states(store)[mark_files.full_name].foreign == {D2: FOREIGN.format("1 row", 2)}

    Ledger(store).record([replace(booked, rows_in=2, rows_out=2)])
    assert states(store)[mark_files.full_name].foreign == {}, "their file has landed"


def test_what_to_do_about_them_is_said_with_the_days_that_it_is_about(store: DeltaStore) -> None:
    outside = date(2014, 1, 1)
    days = [D1, D2, outside, None]
    survey = Survey([mark_files, marks], store, Days.between(D1, D3))
    assert ways_to_mend(survey, marks, days) == [
        (
            "lakehouse refresh silver.marks --days 2013-01-01..2013-01-02 replaces them by what its inputs hold",
            [D1, D2],
        ),
        (
            "delete the rows, or let LAKEHOUSE_FIRST_DAY and LAKEHOUSE_LAST_DAY name a calendar that has 2014-01-01",
            [outside],
        ),
        ("delete the rows", [None]),
    ]
    bronze = "put the files that they came from into landing/, or delete the rows"
    assert ways_to_mend(survey, mark_files, days) == [(bronze, days)]

    own = Frontier(D2, D2, claimed=frozenset({marks.full_name}))
    FrontierTable(store).change(lambda _: own, "test")
    streamed = Survey([mark_files, marks], store, Days.between(D1, D3))
    assert ways_to_mend(streamed, marks, [D1, D2]) == [
        ("lakehouse refresh silver.marks --days 2013-01-01 replaces them by what its inputs hold", [D1]),
        ("delete the rows, or wait: streams own 2013-01-02, and batch replaces it once it is sealed", [D2]),
    ]
