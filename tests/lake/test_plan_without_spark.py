"""What is missing or stale and in which steps it is mended, in lakes whose logs are made by hand. Needs no JVM."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from lake.batch.inputs import Loss
from lake.batch.plan import needed_whole, steps_of, steps_to_date
from lake.batch.survey import Survey
from lake.declare.days import Days
from lake.declare.graph import readers_of, with_upstream
from lake.declare.table import Read, Table
from lake.errors import LogDamaged
from lake.ownership.frontier import Frontier, FrontierTable
from lake.write.store import DeltaStore
from tests.lakes import steps_for, without_spark
from tests.recorded import hold, record
from tests.tiny import FEED, day_of, land, mark_files, marks, totals

D1, D2, D3, D4, D5 = (day_of(number) for number in range(1, 6))
CALENDAR = Days.between(D1, day_of(31))
TABLES = [mark_files, marks, totals]
FILES, MARKS, TOTALS = (table.full_name for table in TABLES)
whole = replace(marks, name="whole", reads=(Read(mark_files),), day=None, read_by=None)
below_whole = replace(totals, name="below_whole", reads=(Read(whole), Read(marks)))
wide = replace(totals, name="wide", reads=(marks.days(before=9),))
ahead = replace(totals, name="ahead", reads=(marks.days(after=1),))


@pytest.fixture
def store(tmp_path: Path) -> DeltaStore:
    return without_spark(tmp_path)


def survey(store: DeltaStore, *tables: Table, calendar: Days = CALENDAR) -> Survey:
    return Survey(tables or TABLES, store, calendar)


def compute(store: DeltaStore, table: Table, days: list[date], rows: int = 1, **facts: Any) -> None:
    """Let a table hold rows of days and say in the ledger that they were computed from what its inputs are now."""
    hold(store, table, days, rows)
    log, inputs = (
        store.table_log,
        {s.full_name: store.version(s) for r in table.reads if isinstance(s := r.source, Table)},
    )
    ids = {
        one.full_name: log(one).table_id()
        for one in (table, *(r.source for r in table.reads if isinstance(r.source, Table)))
    }
    landed = store.landing.landed(FEED)
    for day in days:
        files = (
            {f"feed:{FEED.name}": {n: f.mark() for n, f in landed.get(day, {}).items()}} if table is mark_files else {}
        )
        known = {"inputs": inputs | files, "table_ids": ids, "version": store.version(table), **facts}
        record(store, table, [day if table.day else None], rows, **known)


def due(found: Survey) -> dict[str, tuple[dict[Any, str], dict[Any, str]]]:
    states = found.states.items()
    return {name: (dict(s.missing), dict(s.stale)) for name, s in states if s.missing or s.stale}


def told(steps: Any) -> list[tuple[list[str], str, bool]]:
    return [([table.name for table in s.tables], str(s.days or "whole"), s.unless_equal) for s in steps]


# What is missing or stale, and why


def test_what_landed_is_missing_and_what_is_computed_is_not(store: DeltaStore) -> None:
    assert due(survey(store)) == {}
    land(store, D1, "a", [("a", D1, 1)])
    land(store, D2, "a", [("a", D2, 1)])
    assert due(survey(store)) == {FILES: ({D1: "never computed", D2: "never computed"}, {})}

    compute(store, mark_files, [D1, D2])
    assert due(survey(store)) == {MARKS: ({D1: "never computed", D2: "never computed"}, {})}

    compute(store, marks, [D1, D2])
    compute(store, totals, [D1, D2])
    assert due(survey(store)) == {}


@pytest.mark.parametrize("held", [[D1], [day_of(number) for number in range(1, 16)]], ids=["few days", "many days"])
def test_a_day_that_looks_far_back_is_stale_where_a_day_within_reach_changed(
    store: DeltaStore, held: list[date]
) -> None:
    read_all = [day_of(number) for number in range(1, 16)]
    compute(store, marks, held)
    compute(store, wide, read_all)
    assert wide.full_name not in due(survey(store, wide))

    hold(store, marks, [D1])
    stale = due(survey(store, wide))[wide.full_name][1]
    assert list(stale) == [day_of(number) for number in range(1, 11)]


def test_a_day_that_broke_its_contract_is_missing(store: DeltaStore) -> None:
    compute(store, mark_files, [D1])
    compute(store, marks, [D1], outcome="failed")
    assert due(survey(store, marks)) == {MARKS: ({D1: "broke the contract"}, {})}


def test_days_outside_the_calendar_are_no_matter_of_the_plan(store: DeltaStore) -> None:
    for day in (D1, D2, D3):
        land(store, day, "a", [("a", day, 1)])
    assert due(survey(store, calendar=Days.of(D2))) == {FILES: ({D2: "never computed"}, {})}
    reasons = [survey(store, calendar=Days.of(D2)).reasons.missing(mark_files, day) for day in (D1, D2)]
    assert reasons == [None, "never computed"]
    compute(store, mark_files, [D1, D3], version=0)
    assert due(survey(store, calendar=Days.of(D2))) == {FILES: ({D2: "never computed"}, {})}


def test_a_later_version_of_an_input_makes_just_the_days_stale_that_read_what_it_changed(store: DeltaStore) -> None:
    compute(store, marks, [D1, D2, D3])
    compute(store, totals, [D1, D2, D3])
    hold(store, marks, [D2])
    reason = f"{MARKS} changed in version 2"
    assert due(survey(store, totals)) == {TOTALS: ({}, {D2: reason, D3: reason})}


def test_a_version_without_a_receipt_makes_its_day_stale(store: DeltaStore) -> None:
    compute(store, totals, [D1, D2])
    hold(store, totals, [D2])
    assert due(survey(store, totals)) == {TOTALS: ({}, {D2: "version 2 was written without a receipt"})}


@pytest.mark.parametrize(
    ("rows", "facts"),
    [(1, {"table_ids": {TOTALS: "another"}}), (1, {"version": 2}), (0, {"version": 2})],
    ids=["another id", "a later version", "a later version, no row"],
)
def test_a_table_that_is_not_the_one_that_was_written_is_made_anew(store: DeltaStore, rows: int, facts: Any) -> None:
    compute(store, totals, [D1], rows, **facts)
    assert due(survey(store, totals)) == {TOTALS: ({}, {D1: "the table was made anew and does not hold it"})}


def test_a_day_with_rows_that_its_table_never_held_was_made_anew_and_one_without_is_fine(store: DeltaStore) -> None:
    store.create(totals)
    record(store, totals, [D1], rows=2, version=0)
    record(store, totals, [D2], rows=0, version=0)
    assert due(survey(store, totals)) == {TOTALS: ({}, {D1: "the table was made anew and does not hold it"})}


def test_a_table_that_is_gone_was_made_anew(store: DeltaStore) -> None:
    record(store, totals, [D1], rows=0, version=0)
    assert due(survey(store, totals)) == {}
    record(store, totals, [D1], rows=0, version=1)
    assert due(survey(store, totals)) == {TOTALS: ({}, {D1: "the table was made anew and does not hold it"})}


@pytest.mark.parametrize(
    "facts", [{"table_ids": {MARKS: "another"}}, {"inputs": {MARKS: 2}}], ids=["another id", "a later version"]
)
def test_an_input_made_anew_makes_what_was_computed_from_the_old_one_stale(store: DeltaStore, facts: Any) -> None:
    compute(store, marks, [D1])
    compute(store, totals, [D1], **facts)
    assert due(survey(store, totals)) == {TOTALS: ({}, {D1: f"{MARKS} was made anew"})}


def test_an_input_that_is_gone_and_of_which_nothing_was_read_is_not_made_anew(store: DeltaStore) -> None:
    compute(store, totals, [D1], inputs={MARKS: None}, table_ids={})
    assert due(survey(store, totals)) == {}
    compute(store, totals, [D1], inputs={MARKS: 1}, table_ids={})
    assert due(survey(store, totals)) == {TOTALS: ({}, {D1: f"{MARKS} was made anew"})}


def test_other_files_make_their_landing_day_stale(store: DeltaStore) -> None:
    for day in (D1, D2):
        land(store, day, "a", [("a", day, 1)])
    compute(store, mark_files, [D1, D2])
    land(store, D2, "late", [("b", D2, 1)])
    assert due(survey(store, mark_files)) == {FILES: ({}, {D2: "other files landed in marks_feed"})}


def test_the_days_before_are_expected_where_rows_of_a_later_day_of_the_first_input_reach_them(
    store: DeltaStore,
) -> None:
    compute(store, marks, [D2, D5])
    missing = dict.fromkeys((D1, D2, D4, D5), "never computed")
    assert due(survey(store, ahead)) == {"gold.ahead": (missing, {})}
    compute(store, totals, [day_of(9)])
    beside = replace(ahead, name="beside", reads=(marks.days(after=1), Read(totals)))
    assert due(survey(store, beside)) == {"gold.beside": (missing | {day_of(9): "never computed"}, {})}
    second = replace(ahead, name="second", reads=(Read(totals), marks.days(after=1)))
    assert due(survey(store, second)) == {"gold.second": (dict.fromkeys((D2, D5, day_of(9)), "never computed"), {})}


def test_a_table_without_days_is_missing_once_an_input_holds_rows_and_stale_when_one_changes(store: DeltaStore) -> None:
    assert due(survey(store, whole)) == {}
    compute(store, mark_files, [D1])
    assert due(survey(store, whole)) == {"silver.whole": ({None: "never computed"}, {})}

    store.create(whole)
    record(store, whole, [None], rows=0, version=0, inputs={FILES: 1})
    assert due(survey(store, whole)) == {}
    hold(store, mark_files, [D4])
    assert due(survey(store, whole)) == {"silver.whole": ({}, {None: f"{FILES} changed in version 2"})}


def test_a_table_with_days_that_reads_one_without_is_stale_on_all_of_them_when_that_changes(store: DeltaStore) -> None:
    store.create(whole)
    compute(store, marks, [D1, D2])
    record(store, below_whole, [D1, D2], rows=0, version=0, inputs={MARKS: 1, "silver.whole": 0})
    assert due(survey(store, below_whole)) == {}
    log = Path(store.path(whole)) / "_delta_log" / f"{1:020d}.json"
    log.write_text(
        '{"commitInfo": {}}\n{"add": {"path": "x", "size": 1, "modificationTime": 1, "partitionValues": {}}}\n'
    )
    reason = "silver.whole changed in version 1"
    assert due(survey(store, below_whole)) == {"gold.below_whole": ({}, {D1: reason, D2: reason})}


# What a process finds that has looked before


def test_a_second_look_finds_what_has_changed_since_and_all_days_that_depend_on_it(store: DeltaStore) -> None:
    tables = [marks, totals, ahead]
    compute(store, marks, [D1, D2, D3, D4])
    compute(store, totals, [D1, D2, D3, D4])
    compute(store, ahead, [D1, D2, D3, D4])
    assert due(Survey(tables[1:], store, Days.between(D1, D4))) == {}

    hold(store, marks, [D2])
    reason = f"{MARKS} changed in version 2"
    assert due(Survey(tables[1:], store, Days.between(D1, D4))) == {
        TOTALS: ({}, {D2: reason, D3: reason}),
        "gold.ahead": ({}, {D1: reason, D2: reason}),
    }
    hold(store, totals, [D4])
    assert due(Survey([totals], store, Days.between(D1, D4)))[TOTALS][1] == {
        D2: reason,
        D3: reason,
        D4: "version 2 was written without a receipt",
    }


def test_a_second_look_judges_the_days_that_streams_have_sealed_since(store: DeltaStore) -> None:
    compute(store, mark_files, [D1, D2, D3])
    for first_open, missing in ((D1, []), (D3, [D1, D2])):
        own = Frontier(D1, first_open, claimed=frozenset({MARKS}), generations={MARKS: 1})
        FrontierTable(store).change(lambda _, own=own: own, "test")  # type: ignore[misc]
        assert survey(store, mark_files, marks).states[MARKS].missing == dict.fromkeys(missing, "never computed")


def test_days_are_told_in_their_order(store: DeltaStore) -> None:
    days = [day_of(number) for number in (9, 2, 7, 1, 8, 3, 6, 4, 5, 12, 11, 10)]
    for day in days:
        land(store, day, "a", [("a", day, 1)])
    assert list(survey(store).states[FILES].missing) == sorted(days)


def test_a_second_look_with_another_calendar_judges_all_its_days(store: DeltaStore) -> None:
    compute(store, marks, [D1, D2])
    cases: list[tuple[Days, list[date]]] = [(Days.of(D2), [D2]), (Days.between(D1, D2), [D1, D2]), (Days.of(D3), [])]
    for calendar, missing in cases:
        assert survey(store, totals, calendar=calendar).states[TOTALS].missing == dict.fromkeys(
            missing, "never computed"
        )


# What has no source any more


def test_days_whose_files_are_gone_are_archived_and_not_stale(store: DeltaStore) -> None:
    for day in (D1, D2, D3, D4, D5):
        for name in ("a", "b"):
            land(store, day, name, [(name, day, 1)])
    compute(store, mark_files, [D1, D2, D3, D4, D5])
    for day, names in {D1: ["a"], D2: ["a", "b"], D3: ["a", "b"], D5: ["a"]}.items():
        for name in names:
            (store.landing.folder(FEED, day) / name).unlink()
    hold(store, mark_files, [D3])
    land(store, D5, "c", [("c", D5, 1)])

    state = survey(store).states[FILES]

    assert state.archived == {
        D1: "some files gone",
        D2: "files gone",
        D3: "files gone; version 2 was written without a receipt",
    }
    assert (state.missing, state.lost) == ({}, {})
    assert state.stale == {D5: "other files landed in marks_feed"}
    assert state.without_source == {D1, D2, D3}


def test_a_day_whose_rows_are_gone_with_its_files_is_lost(store: DeltaStore) -> None:
    for day in (D1, D2):
        land(store, day, "a", [("a", day, 1)])
    compute(store, mark_files, [D1, D2], rows=1200)
    record(store, mark_files, [D1], rows=2400, inputs={f"feed:{FEED.name}": {"a": [1, 1, "x"]}}, version=1)
    for day in (D1, D2):
        (store.landing.folder(FEED, day) / "a").unlink()

    state = survey(store).states[FILES]

    assert state.lost == {D1: Loss(2400, 1200)}
    assert str(state.lost[D1]) == "it holds 1,200 of 2,400 rows, and their files are gone"
    assert state.archived == {D2: "files gone"}
    assert state.without_source == {D1, D2}


def test_a_day_that_held_nothing_and_whose_files_are_gone_is_no_loss(store: DeltaStore) -> None:
    land(store, D1, "a", [])
    compute(store, mark_files, [D1], rows=0)
    (store.landing.folder(FEED, D1) / "a").unlink()
    state = survey(store).states[FILES]
    assert (state.lost, state.stale, state.archived) == ({}, {}, {D1: "some files gone"})


def test_a_table_without_days_is_archived_only_when_no_file_of_any_day_is_left(store: DeltaStore) -> None:
    register = replace(mark_files, name="register", day=None, read_by=None)
    for day in (D1, D2):
        land(store, day, "a", [("a", day, 1)])
    store.create(register)
    marks_of = {str(day): {n: f.mark() for n, f in files.items()} for day, files in store.landing.landed(FEED).items()}
    record(store, register, [None], rows=0, version=0, inputs={f"feed:{FEED.name}": marks_of})
    name = register.full_name
    assert due(survey(store, register)) == {}

    land(store, D2, "b", [("b", D2, 1)])
    assert due(survey(store, register)) == {name: ({}, {None: "other files landed in marks_feed"})}
    (store.landing.folder(FEED, D2) / "b").unlink()
    (store.landing.folder(FEED, D1) / "a").unlink()
    assert survey(store, register).states[name].archived == {None: "some files gone"}

    record(store, register, [None], rows=3, version=0, inputs={f"feed:{FEED.name}": marks_of})
    for file in ("a", "nothing more"):  # what is left of the files cannot bring all of it back
        assert survey(store, register).states[name].lost == {None: Loss(3, 0)}
        (store.landing.folder(FEED, D2) / file).unlink(missing_ok=True)


# What a state tells


def test_the_newest_day_of_a_table_is_the_newest_that_holds_rows(store: DeltaStore) -> None:
    compute(store, totals, [D1, D3])
    record(store, totals, [D4], rows=0)
    states = survey(store).states
    assert [state.table for state in states.values()] == TABLES
    assert [states[name].newest_day for name in (FILES, TOTALS)] == [None, D3]


def test_days_of_an_older_declaration_are_named(store: DeltaStore) -> None:
    record(store, totals, [D1, D3], code_version="before")
    record(store, totals, [D2], code_version=totals.code_version)
    assert survey(store).states[TOTALS].older_code == [D1, D3]


def test_a_damaged_log_is_told_once_and_the_other_tables_are_judged(store: DeltaStore) -> None:
    land(store, D1, "a", [("a", D1, 1)])
    compute(store, marks, [D1])
    compute(store, totals, [D1])
    (Path(store.path(marks)) / "_delta_log" / f"{1:020d}.json").write_text("{")

    found = survey(store)

    assert [type(found.states[name].unreadable) for name in (FILES, MARKS, TOTALS)] == [
        type(None),
        LogDamaged,
        LogDamaged,
    ]
    assert set(found.states[TOTALS].entries) == {D1}
    assert found.states[FILES].missing == {D1: "never computed"}
    assert [damage.file for damage in found.unreadable if isinstance(damage, LogDamaged)] == [f"{1:020d}.json"]
    assert told(steps_to_date(found, TABLES)) == [(["mark_files"], "2013-01-01", False)]


def test_a_table_that_was_never_computed_and_whose_log_is_damaged_is_told(store: DeltaStore) -> None:
    store.create(whole)
    (Path(store.path(whole)) / "_delta_log" / f"{0:020d}.json").write_text("{")

    state = survey(store, mark_files, whole).states["silver.whole"]

    assert (state.table, state.entries, type(state.unreadable)) == (whole, {}, LogDamaged)


def test_what_a_day_is_computed_from_changes_with_an_input(store: DeltaStore) -> None:
    compute(store, marks, [D1])
    before = [survey(store).reasons.inputs_of(totals, day) for day in (D1, D2, D3)]
    hold(store, marks, [D1])
    after = [survey(store).reasons.inputs_of(totals, day) for day in (D1, D2, D3)]
    table_id = store.table_log(marks).table_id()
    assert before == [[(table_id, 1)], [(table_id, 1)], [(table_id, -1)]]
    assert after == [[(table_id, 2)], [(table_id, 2)], [(table_id, -1)]]


def test_what_a_landing_day_is_computed_from_changes_with_its_files(store: DeltaStore) -> None:
    register = replace(mark_files, name="register", day=None, read_by=None)
    land(store, D1, "a", [("a", D1, 1)])
    before, all_before = (survey(store).reasons.inputs_of(*of) for of in ((mark_files, D1), (register, None)))
    land(store, D2, "a", [("a", D2, 1)])
    after, all_after = (survey(store).reasons.inputs_of(*of) for of in ((mark_files, D1), (register, None)))
    assert before == after
    assert all_before == [{"2013-01-01": before[0]}]
    assert sorted(all_after[0]) == ["2013-01-01", "2013-01-02"]  # type: ignore[call-overload]
    assert survey(store).reasons.inputs_of(mark_files, D3) == [None]


# In which steps


def test_only_what_landed_is_computed_first_because_only_bronze_knows_the_days(store: DeltaStore) -> None:
    compute(store, marks, [D1])
    land(store, D2, "a", [("a", D1, 1)])
    found = survey(store)
    assert told(steps_to_date(found, [totals])) == [(["mark_files"], "2013-01-02", False)]
    assert told(steps_to_date(found, [mark_files])) == [(["mark_files"], "2013-01-02", False)]


def test_nobody_waits_for_days_that_were_given_up(store: DeltaStore) -> None:
    compute(store, marks, [D1])
    land(store, D2, "a", [("a", D1, 1)])
    assert told(steps_to_date(survey(store), [totals], {FILES: [D2]})) == [(["totals"], "2013-01-01", False)]


def test_what_an_input_will_change_is_computed_after_it(store: DeltaStore) -> None:
    compute(store, mark_files, [D1, D2])
    compute(store, marks, [D1])
    compute(store, totals, [D1])
    assert told(steps_to_date(survey(store), TABLES)) == [
        (["marks"], "2013-01-02", False),
        (["totals"], "2013-01-02..2013-01-03", False),
    ]
    assert told(steps_to_date(survey(store), [marks])) == [(["marks"], "2013-01-02", False)]
    assert told(steps_to_date(survey(store, calendar=Days.between(D1, D2)), TABLES)) == [
        (["marks", "totals"], "2013-01-02", False)
    ]


def test_days_computed_before_are_committed_only_where_they_differ(store: DeltaStore) -> None:
    compute(store, mark_files, [D1, D2])
    compute(store, marks, [D1, D2])
    compute(store, mark_files, [D2])
    compute(store, totals, [D1])
    assert told(steps_to_date(survey(store), TABLES)) == [
        (["marks"], "2013-01-02", True),
        (["totals"], "2013-01-02..2013-01-03", False),
    ]


def test_tables_of_other_days_share_a_run_where_the_days_that_they_lack_never_had_rows(store: DeltaStore) -> None:
    other = replace(marks, name="other", reads=(Read(mark_files),))
    again = replace(marks, name="again", reads=(Read(mark_files),))
    compute(store, mark_files, [D1, D2, D3])
    compute(store, again, [D3])
    record(store, other, [D1], rows=0, version=0, inputs={FILES: 1})
    store.create(other)
    found = survey(store, mark_files, marks, other, again)
    assert told(steps_to_date(found, [marks, other, again])) == [
        (["marks"], "2013-01-01..2013-01-03", False),
        (["other"], "2013-01-02..2013-01-03", False),
        (["again"], "2013-01-01..2013-01-02", False),
    ]
    few = replace(mark_files, name="few")
    sparse = replace(marks, name="sparse", reads=(Read(few),))
    hold(store, few, [D2])
    found = survey(store, mark_files, few, marks, sparse)
    assert told(steps_to_date(found, [marks, sparse])) == [(["marks", "sparse"], "2013-01-01..2013-01-03", False)]
    assert told(steps_for(found, [marks, sparse], Days.of(D2)))[-1] == (["few", "marks", "sparse"], "2013-01-02", False)


def test_a_table_without_days_is_computed_with_its_inputs(store: DeltaStore) -> None:
    compute(store, mark_files, [D1])
    found = survey(store, mark_files, whole, marks)
    assert told(steps_to_date(found, [whole])) == [(["whole"], "whole", False)]
    assert told(steps_to_date(found, [marks, whole])) == [(["whole"], "whole", False), (["marks"], "2013-01-01", False)]
    found = survey(store, mark_files, marks, whole)
    assert told(steps_to_date(found, [marks, whole])) == [(["marks", "whole"], "2013-01-01", False)]


def test_a_table_without_days_is_recomputed_with_the_days_of_its_input(store: DeltaStore) -> None:
    register = replace(whole, name="register", reads=(Read(marks),))
    tables = [mark_files, marks, register]
    compute(store, mark_files, [D1])
    compute(store, marks, [D1])
    store.create(register)
    record(store, register, [None], rows=0, version=0, inputs={MARKS: 1})
    assert steps_to_date(survey(store, *tables), tables) == []

    hold(store, mark_files, [D2])
    assert told(steps_to_date(survey(store, *tables), tables)) == [(["marks", "register"], "2013-01-02", True)]
    (Path(store.path(register)) / "_delta_log" / f"{1:020d}.json").write_text("{")
    assert told(steps_to_date(survey(store, *tables), tables)) == [(["marks"], "2013-01-02", False)], "nobody can say"


def test_what_reads_a_table_without_days_is_recomputed_whole(store: DeltaStore) -> None:
    compute(store, mark_files, [D1])
    compute(store, marks, [D1, D2])
    record(store, below_whole, [D1, D2, day_of(9)], rows=0, version=0, inputs={MARKS: 1, "silver.whole": 0})
    found = survey(store, mark_files, marks, whole, below_whole)
    assert told(steps_to_date(found, [below_whole])) == [
        (["whole"], "whole", False),
        (["below_whole"], "2013-01-01..2013-01-02", True),
        (["below_whole"], "2013-01-09", True),
    ]


def test_more_than_six_ranges_are_joined_over_the_smallest_gaps(store: DeltaStore) -> None:
    days = [day_of(number) for number in (1, 2, 6, 10, 14, 18, 22, 24)]
    for day in days:
        land(store, day, "a", [("a", day, 1)])

    def planned() -> list[str]:
        return [days for _, days, _ in told(steps_to_date(survey(store), [mark_files]))]

    apart = ["2013-01-06", "2013-01-10", "2013-01-14", "2013-01-18"]
    assert planned() == ["2013-01-01..2013-01-02", *apart, "2013-01-22..2013-01-24"]
    land(store, day_of(31), "a", [])
    assert planned() == ["2013-01-01..2013-01-06", *apart[1:], "2013-01-22..2013-01-24", "2013-01-31"]


@pytest.mark.parametrize(
    ("computed", "code", "days"),
    [
        ([D1, D2, D3, D4, D5], marks.code_version, ["2013-01-01..2013-01-05"]),
        ([D1, D5], marks.code_version, ["2013-01-01", "2013-01-05"]),
        ([D1, D2, D3, D4, D5], "before", ["2013-01-01", "2013-01-05"]),
    ],
    ids=["computed before", "never computed", "computed by an older code"],
)
def test_a_few_computed_days_between_two_ranges_are_bridged(
    store: DeltaStore, computed: list[date], code: str, days: list[str]
) -> None:
    compute(store, mark_files, computed)
    compute(store, marks, computed, code_version=code)
    compute(store, mark_files, [D1, D5])

    asked = [days for tables, days, _ in told(steps_to_date(survey(store), [marks])) if tables == ["marks"]]

    assert asked == days


@pytest.mark.parametrize(
    ("third", "first_open", "steps"),
    [
        ({}, day_of(30), [(["marks", "totals"], "2013-01-02..2013-01-03", True)]),
        ({"rows": 60_000}, day_of(30), [(["marks"], D2, True), (["totals"], "2013-01-02..2013-01-03", True)]),
        ({"code_version": "before"}, day_of(30), [(["marks"], D2, True), (["totals"], "2013-01-02..2013-01-03", True)]),
        ({}, D3, [(["marks", "totals"], D2, True)]),
    ],
    ids=["few rows", "many rows", "an older code", "streams own it"],
)
def test_tables_share_a_run_where_that_computes_few_rows_again(
    store: DeltaStore, third: dict[str, Any], first_open: date, steps: list[Any]
) -> None:
    own = Frontier(D1, first_open, claimed=frozenset({MARKS}), generations={MARKS: 1})
    FrontierTable(store).change(lambda _: own, "test")
    compute(store, mark_files, [D1, D2, D3])
    compute(store, marks, [D1, D2], code_version=marks.code_version)
    compute(store, marks, [D3], **{"code_version": marks.code_version, **third})
    compute(store, totals, [D1, D2, D3])
    compute(store, mark_files, [D2])

    assert told(steps_to_date(survey(store), [totals])) == [(tables, str(days), again) for tables, days, again in steps]


def test_a_day_that_is_early_for_one_of_two_tables_lets_them_share_no_run(store: DeltaStore) -> None:
    own = Frontier(D1, D3, claimed=frozenset({MARKS}), generations={MARKS: 1})
    FrontierTable(store).change(lambda _: own, "test")
    compute(store, mark_files, [D1, D2])
    for table in (marks, ahead):
        compute(store, table, [D1, D2], code_version=table.code_version)
    compute(store, mark_files, [D2])

    assert told(steps_to_date(survey(store, mark_files, marks, ahead), [ahead])) == [
        (["marks"], str(D2), True),
        (["ahead"], str(D1), True),
    ]


def test_ranges_are_not_joined_over_a_day_that_cannot_be_computed_again(store: DeltaStore) -> None:
    for number in range(1, 16, 2):
        land(store, day_of(number), "a", [("a", day_of(number), 1)])
    compute(store, mark_files, [D1, D3])
    for day in (D1, D3):
        (store.landing.folder(FEED, day) / "a").unlink()
    land(store, D2, "a", [("a", D2, 1)])
    land(store, D4, "a", [("a", D4, 1)])
    land(store, day_of(17), "a", [])
    land(store, day_of(19), "a", [])
    assert [days for _, days, _ in told(steps_to_date(survey(store), [mark_files]))] == [
        "2013-01-02",
        "2013-01-04..2013-01-11",
        "2013-01-13",
        "2013-01-15",
        "2013-01-17",
        "2013-01-19",
    ]


def test_a_table_that_reads_around_its_day_waits_for_all_ranges_of_its_input(store: DeltaStore) -> None:
    compute(store, mark_files, [D1, D5])
    assert told(steps_to_date(survey(store), TABLES)) == [
        (["marks"], "2013-01-01", False),
        (["marks"], "2013-01-05", False),
        (["totals"], "2013-01-01..2013-01-02", False),
        (["totals"], "2013-01-05..2013-01-06", False),
    ]


def test_days_that_streams_own_are_not_planned(store: DeltaStore) -> None:
    own = Frontier(D1, D3, claimed=frozenset({MARKS}), generations={MARKS: 1})
    FrontierTable(store).change(lambda _: own, "test")
    compute(store, mark_files, [D1, D2, D3, D4])
    found = survey(store)
    assert due(found) == {MARKS: ({D1: "never computed", D2: "never computed"}, {})}
    assert [found.is_early(marks, day) for day in (D2, D3, None)] == [False, True, False]
    assert told(steps_to_date(found, TABLES)) == [(["marks", "totals"], "2013-01-01..2013-01-02", False)]
    behind = replace(marks, name="behind", reads=(Read(mark_files),))
    wanted = told(steps_to_date(survey(store, mark_files, behind, marks), [marks, behind]))
    assert wanted == [(["behind"], "2013-01-01..2013-01-04", False), (["marks"], "2013-01-01..2013-01-02", False)]


# The steps for days that somebody names


def test_days_that_are_asked_for_are_computed_with_the_days_of_their_inputs(store: DeltaStore) -> None:
    found = survey(store)
    assert told(steps_for(found, [totals], Days.between(D2, D3))) == [
        (["mark_files"], "2013-01-01..2013-01-04", False),
        (["marks"], "2013-01-01..2013-01-03", False),
        (["totals"], "2013-01-02..2013-01-03", False),
    ]
    assert told(steps_for(found, [marks], Days.between(D2, D3))) == [
        (["mark_files"], "2013-01-02..2013-01-04", False),
        (["marks"], "2013-01-02..2013-01-03", False),
    ]
    assert told(steps_for(survey(store, calendar=Days.of(D2)), TABLES, Days.between(D1, D5))) == [
        (["mark_files", "marks", "totals"], "2013-01-02", False)
    ]


def test_a_table_is_computed_after_its_inputs_although_an_earlier_run_has_its_days(store: DeltaStore) -> None:
    other = replace(marks, name="other", reads=(Read(mark_files),))
    found = survey(store, mark_files, other, marks, ahead)
    assert told(steps_of(found, {other: {D1}, marks: {D2}, ahead: {D1}})) == [
        (["other"], "2013-01-01", False),
        (["marks"], "2013-01-02", False),
        (["ahead"], "2013-01-01", False),
    ]


def test_a_table_without_days_joins_a_run_of_one_range_and_is_computed_once(store: DeltaStore) -> None:
    found = survey(store, mark_files, marks, whole)
    assert told(steps_of(found, {marks: {D1, D5}, whole: {None}})) == [
        (["marks"], "2013-01-01", False),
        (["marks"], "2013-01-05", False),
        (["whole"], "whole", False),
    ]
    record(store, whole, [None])
    again = survey(store, mark_files, marks, whole)
    assert told(steps_of(again, {marks: {D1}, whole: {None}})) == [(["marks", "whole"], "2013-01-01", True)]


def test_days_without_files_are_left_as_they_are_except_for_who_names_bronze(store: DeltaStore) -> None:
    for day in (D1, D2):
        land(store, day, "a", [("a", day, 1)])
    compute(store, mark_files, [D1, D2])
    (store.landing.folder(FEED, D1) / "a").unlink()
    found = survey(store)
    assert told(steps_for(found, [marks], Days.of(D1))) == [
        (["mark_files"], "2013-01-02", True),
        (["marks"], "2013-01-01", False),
    ]
    assert told(steps_for(found, [mark_files, marks], Days.of(D1))) == [
        (["mark_files"], "2013-01-01..2013-01-02", True),
        (["marks"], "2013-01-01", False),
    ]


def test_who_names_bronze_names_the_days_too_that_its_readers_need_of_it(store: DeltaStore) -> None:
    for day in (D1, D2):
        land(store, day, "a", [("a", day, 1)])
    compute(store, mark_files, [D1, D2])
    (store.landing.folder(FEED, D2) / "a").unlink()
    found = survey(store)
    assert told(steps_for(found, [marks], Days.of(D1))) == [(["mark_files", "marks"], "2013-01-01", True)]
    assert told(steps_for(found, [mark_files, marks], Days.of(D1))) == [
        (["mark_files"], "2013-01-01..2013-01-02", True),
        (["marks"], "2013-01-01", False),
    ]


def test_tables_without_days_are_computed_whole_whatever_days_are_named(store: DeltaStore) -> None:
    found = survey(store, mark_files, marks, whole, below_whole)
    assert told(steps_for(found, [whole], Days.of(D1))) == [(["whole"], "whole", False)]
    assert told(steps_for(found, [below_whole], Days.of(D1))) == [
        (["mark_files"], "2013-01-01..2013-01-02", False),
        (["marks", "below_whole"], "2013-01-01", False),
    ]
    assert needed_whole([below_whole]) == {whole, mark_files}
    assert needed_whole([totals]) == set()


def test_readers_and_inputs_are_found_through_other_tables() -> None:
    assert readers_of([mark_files], TABLES) == {marks, totals}
    assert readers_of([totals], TABLES) == set()
    assert with_upstream([totals]) == {mark_files, marks, totals}
    assert with_upstream([mark_files, below_whole]) == {mark_files, marks, whole, below_whole}


# Days that an older code computed


def up_to_date(store: DeltaStore, code: dict[str, str]) -> None:
    for day in (D1, D2):
        land(store, day, "a", [("a", day, 1)])
    for table in TABLES:
        compute(store, table, [D1, D2], code_version=code.get(table.full_name, table.code_version))


def test_days_of_an_older_code_are_named_and_computed_upstream_first_on_request_only(store: DeltaStore) -> None:
    up_to_date(store, {MARKS: "older", TOTALS: "older"})
    record(store, totals, [D2], inputs={MARKS: 1}, version=1, code_version=totals.code_version)
    looked = survey(store)

    assert {table.name: looked.older_code(table) for table in TABLES} == {
        "mark_files": [],
        "marks": [D1, D2],
        "totals": [D1],
    }
    assert steps_to_date(looked, TABLES) == []
    # The totals of the second day follow the marks of both days, and of the third there were never any.
    assert told(steps_to_date(looked, TABLES, changed_code=True)) == [
        (["marks"], "2013-01-01..2013-01-02", True),
        (["totals"], "2013-01-01..2013-01-03", True),
    ]
    assert told(steps_to_date(looked, [mark_files], changed_code=True)) == []


def test_nothing_is_computed_again_that_batch_does_not_own_or_has_nothing_left_for(store: DeltaStore) -> None:
    up_to_date(store, {FILES: "older", MARKS: "older"})
    (store.landing.folder(FEED, D1) / "a").unlink()

    assert survey(store).older_code(mark_files) == [D2], "the files of the first day are gone"
    assert survey(store, calendar=Days.of(D1)).older_code(marks) == [D1]
    claimed = frozenset({MARKS})
    FrontierTable(store).change(lambda _: Frontier(D1, D2, claimed=claimed, generations={MARKS: 1}), "test")
    assert survey(store).older_code(marks) == [D1], "a stream owns the second day"


def test_a_table_without_days_is_of_an_older_code_as_a_whole(store: DeltaStore) -> None:
    compute(store, mark_files, [D1], code_version=mark_files.code_version)
    compute(store, whole, [D1], code_version="older")

    assert survey(store, mark_files, whole).older_code(whole) == [None]


# Weeks and months

JAN, FEB, MAR = (date(2013, month, 1) for month in (1, 2, 3))
YEAR = Days.between(JAN, date(2013, 12, 31))
monthly = replace(totals, name="monthly", reads=(marks.month(),))


def test_a_month_is_due_by_its_first_day_whatever_days_of_it_have_come_or_changed(store: DeltaStore) -> None:
    compute(store, marks, [date(2013, 1, 3), date(2013, 1, 31), date(2013, 3, 31)])
    assert due(survey(store, monthly, calendar=YEAR)) == {
        monthly.full_name: ({JAN: "never computed", MAR: "never computed"}, {})
    }

    compute(store, monthly, [JAN, MAR])
    assert due(survey(store, monthly, calendar=YEAR)) == {}

    hold(store, marks, [date(2013, 1, 31)])
    reason = f"{MARKS} changed in version 2"
    assert due(survey(store, monthly, calendar=YEAR)) == {monthly.full_name: ({}, {JAN: reason})}
    compute(store, monthly, [JAN])
    hold(store, marks, [date(2013, 2, 28)])
    assert due(survey(store, monthly, calendar=YEAR)) == {monthly.full_name: ({FEB: "never computed"}, {})}


def test_a_day_of_a_month_that_was_asked_for_is_the_whole_month_with_all_days_that_it_reads(store: DeltaStore) -> None:
    found = survey(store, *TABLES, monthly, calendar=YEAR)

    assert told(steps_for(found, [monthly], Days.of(date(2013, 2, 14)))) == [
        (["mark_files"], "2013-02-01..2013-03-01", False),
        (["marks"], "2013-02-01..2013-02-28", False),
        (["monthly"], "2013-02-01", False),
    ]


def test_a_month_is_early_while_a_stream_owns_one_of_its_days(store: DeltaStore) -> None:
    compute(store, marks, [date(2013, 1, 31), date(2013, 2, 1)])
    claimed = Frontier(JAN, date(2013, 2, 14), claimed=frozenset({MARKS}), generations={MARKS: 1})
    FrontierTable(store).change(lambda _: claimed, "test")

    assert due(survey(store, monthly, calendar=YEAR)) == {monthly.full_name: ({JAN: "never computed"}, {})}


def test_a_day_that_is_computed_makes_its_month_stale(store: DeltaStore) -> None:
    compute(store, mark_files, [date(2013, 1, 30)])
    found = survey(store, *TABLES, monthly, calendar=YEAR)

    assert told(steps_to_date(found, [monthly])) == [
        (["marks"], "2013-01-30", False),
        (["monthly"], "2013-01-01", False),
    ]
