"""The plan: what is missing or stale, from the evidence, and in which steps to mend it."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyspark.sql.functions as F
import pytest
from deltalake import DeltaTable, write_deltalake
from pyspark.sql import SparkSession

from lake.batch.accepted_losses import accept_loss
from lake.batch.plan import Step, needed_whole, steps_to_date
from lake.batch.refresh import refresh
from lake.batch.survey import Survey
from lake.declare.days import Days
from lake.declare.table import Read, Table
from lake.errors import InputLost, LandingGone
from lake.ownership.frontier import Frontier, FrontierTable
from lake.ownership.ledger import Ledger
from lake.storage.landing import Landing
from lake.testing.lakes import interpreted, open_lake, stored_rows
from lake.write.store import DeltaStore, Txn
from tests.lakes import steps_for
from tests.tiny import FEED, day_of, land, mark_files, marks, strict, totals

pytestmark = pytest.mark.spark

D1, D2, D3, D4, D5 = (day_of(number) for number in range(1, 6))
TABLES = [mark_files, marks, totals]
CALENDAR = Days.between(D1, day_of(20))


def survey(store: DeltaStore, tables: list[Table] = TABLES) -> Survey:
    return Survey(tables, store, CALENDAR)


def due(store: DeltaStore, tables: list[Table] = TABLES) -> dict[str, tuple[list[Any], list[Any]]]:
    """The missing and the stale days of each table that has any."""
    states = survey(store, tables).states
    return {name: (list(s.missing), list(s.stale)) for name, s in states.items() if s.missing or s.stale}


def run(store: DeltaStore, steps: list[Step]) -> None:
    for step in steps:
        for one in step.tables:
            refresh(one, store, step.days, unless_equal=step.unless_equal)


def bring_up_to_date(store: DeltaStore, tables: list[Table] = TABLES) -> list[list[tuple[list[str], str]]]:
    """Ask for steps and run them until there are none; returns them, each as table names and days."""
    rounds = []
    while steps := steps_to_date(survey(store, tables), tables):
        rounds.append([([one.name for one in step.tables], str(step.days)) for step in steps])
        assert len(rounds) < 5, f"it never ends: {rounds}"
        run(store, steps)
    return rounds


@pytest.fixture(scope="module")
def computed_lakes(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Lakes with a mark on each of so many days, in every table; made once, and copied."""
    roots = {number: tmp_path_factory.mktemp("computed") for number in (1, 2)}
    for number, root in roots.items():
        lake = open_lake(root, spark)
        for day in (D1, D2)[:number]:
            land(lake, day, "a", [("a", day, 1)])
        with interpreted(spark):
            bring_up_to_date(lake)
    return roots


@pytest.fixture
def one_day(store: DeltaStore, computed_lakes: dict[int, Path], tmp_path: Path) -> DeltaStore:
    shutil.copytree(computed_lakes[1], tmp_path, dirs_exist_ok=True)
    return store


@pytest.fixture
def two_days(store: DeltaStore, computed_lakes: dict[int, Path], tmp_path: Path) -> DeltaStore:
    shutil.copytree(computed_lakes[2], tmp_path, dirs_exist_ok=True)
    return store


def test_an_empty_lake_has_nothing_to_do(store: DeltaStore) -> None:
    assert due(store) == {}
    assert steps_to_date(survey(store), TABLES) == []


def test_what_landed_is_missing_until_it_is_computed_and_a_second_call_finds_nothing(store: DeltaStore) -> None:
    land(store, D1, "a", [("a", D1, 1)])
    land(store, D2, "a", [("a", D2, 2)])
    assert due(store) == {"bronze.mark_files": ([D1, D2], [])}

    rounds = bring_up_to_date(store)

    assert rounds == [
        [(["mark_files"], "2013-01-01..2013-01-02")],
        [(["marks"], "2013-01-01..2013-01-02"), (["totals"], "2013-01-01..2013-01-03")],
    ]
    assert due(store) == {}
    assert [row["points"] for row in stored_rows(store, totals)] == [1, 3]


def test_a_late_message_makes_exactly_its_event_day_stale_and_what_is_computed_from_it(store: DeltaStore) -> None:
    for day in (D1, D2, D3, D4):
        land(store, day, "a", [("a", day, 1)])
    bring_up_to_date(store)
    land(store, D5, "late", [("b", D2, 10)])
    assert due(store) == {"bronze.mark_files": ([D5], [])}
    refresh(mark_files, store, Days.of(D5))
    assert due(store) == {"silver.marks": ([], [D2])}

    rounds = bring_up_to_date(store)

    assert rounds == [[(["marks", "totals"], "2013-01-02..2013-01-03")]]
    assert {row["day"]: row["points"] for row in stored_rows(store, totals)} == {D1: 1, D2: 12, D3: 12, D4: 2}
    assert due(store) == {}


def test_a_repair_that_changes_nothing_does_not_go_on_downstream(two_days: DeltaStore) -> None:
    """The late line repeats a mark that is known, so the marks stay as they are, and so do the totals' versions."""
    store = two_days
    versions = store.version(marks), store.version(totals)
    land(store, D3, "late", [("a", D1, 1)])

    bring_up_to_date(store)

    assert (store.version(marks), store.version(totals)) == versions
    assert due(store) == {}


def test_a_file_that_changes_after_it_was_read_makes_its_landing_day_stale(two_days: DeltaStore) -> None:
    store = two_days

    land(store, D2, "a", [("a", D2, 100)])

    state = survey(store).states["bronze.mark_files"]
    assert state.stale == {D2: "other files landed in marks_feed"}
    bring_up_to_date(store)
    assert [row["points"] for row in stored_rows(store, totals)] == [1, 101]


def test_files_that_disappear_make_nothing_stale_and_take_nothing_with_them(store: DeltaStore) -> None:
    for day in (D1, D2):
        land(store, day, "a", [("a", day, 1)])
    land(store, D2, "b", [("b", D2, 5)])
    bring_up_to_date(store)

    shutil.rmtree(store.landing.folder(FEED, D1))
    (store.landing.folder(FEED, D2) / "b").unlink()

    state = survey(store).states["bronze.mark_files"]
    assert (state.missing, state.stale) == ({}, {})
    assert state.archived == {D1: "files gone", D2: "some files gone"}
    assert bring_up_to_date(store) == []
    with pytest.raises(LandingGone, match="1 rows came from files that are no longer in landing/marks_feed"):
        refresh(mark_files, store, Days.between(D1, D2))
    land(store, D2, "c", [("c", D2, 10)])
    bring_up_to_date(store)
    assert sorted((row["name"], row["day"]) for row in stored_rows(store, marks)) == [
        ("a", D1), ("a", D2), ("b", D2), ("c", D2),
    ]  # fmt: skip
    assert [row["points"] for row in stored_rows(store, totals)] == [1, 17]
    assert survey(store).states["bronze.mark_files"].archived == {D1: "files gone", D2: "some files gone"}
    steps = steps_for(survey(store), [totals], Days.between(D1, D2))
    assert next((one.name, str(step.days)) for step in steps for one in step.tables) == ("mark_files", "2013-01-03")
    run(store, steps)
    assert [row["points"] for row in stored_rows(store, totals)] == [1, 17]


def test_a_landing_folder_that_is_not_mounted_or_of_a_new_home_takes_no_row_away(
    two_days: DeltaStore, tmp_path: Path
) -> None:
    store = two_days
    days = Days.between(D1, D2)
    rows = [stored_rows(store, one) for one in TABLES]
    store.landing.root.rename(tmp_path / "unmounted")
    (tmp_path / "empty").mkdir()
    new_home = tmp_path / "new home"

    for landing in (store.landing.root, tmp_path / "empty", new_home / "landing"):
        found = replace(store, landing=Landing(landing), locks=new_home / "locks")
        state = survey(found).states["bronze.mark_files"]
        assert state.archived == dict.fromkeys(days, "files gone"), landing
        assert (due(found), bring_up_to_date(found)) == ({}, []), landing
        with pytest.raises(LandingGone, match="2 rows came from files that are no longer in landing/marks_feed"):
            refresh(mark_files, found, days)
    run(found, steps_for(survey(found), [marks], days))
    assert [stored_rows(store, one) for one in TABLES] == rows


def test_a_copy_whose_files_have_other_times_is_up_to_date(one_day: DeltaStore) -> None:
    store = one_day

    os.utime(store.landing.folder(FEED, D1) / "a", (1, 1))
    assert due(store) == {}

    land(store, D1, "a", [("a", D1, 2)])
    assert due(store) == {"bronze.mark_files": ([], [D1])}


def test_an_input_that_is_gone_is_refused_and_a_table_made_anew_makes_its_readers_stale(one_day: DeltaStore) -> None:
    store = one_day
    version, before = store.version(marks), Path(store.path(marks))
    shutil.move(before, before.with_name("aside"))
    with pytest.raises(InputLost, match=r"gold.totals, input silver.marks.* 1 rows, the table holds 0"):
        refresh(totals, store, Days.of(D1))
    assert [row["points"] for row in stored_rows(store, totals)] == [1]

    other = replace(marks, transform=lambda lines: marks(lines).withColumn("points", F.lit(7)))
    refresh(other, store, Days.of(D1))

    assert store.version(marks) == version
    assert survey(store).states["gold.totals"].stale == dict.fromkeys([D1, D2], "silver.marks was made anew")
    refresh(totals, store, Days.between(D1, D2))
    assert [row["points"] for row in stored_rows(store, totals)] == [7]
    assert due(store) == {}


def test_bronze_that_is_lost_is_not_computed_to_empty_until_the_loss_is_accepted(
    two_days: DeltaStore,
) -> None:
    store = two_days
    shutil.rmtree(store.landing.folder(FEED, D1))
    shutil.rmtree(store.path(mark_files))

    state = survey(store).states["bronze.mark_files"]

    assert (list(state.stale), list(state.lost)) == ([D2], [D1])
    refresh(mark_files, store, Days.of(D2))
    with pytest.raises(InputLost):
        refresh(marks, store, Days.of(D1))
    refresh(marks, store, Days.of(D2))
    assert [row["day"] for row in stored_rows(store, marks)] == [D1, D2]

    accept_loss(mark_files, store, Days.of(D1), "the disk burnt")
    bring_up_to_date(store)

    assert [(row["name"], row["day"]) for row in stored_rows(store, marks)] == [("a", D2)]
    assert [(row["day"], row["points"]) for row in stored_rows(store, totals)] == [(D2, 1)]
    assert not any(one.missing or one.stale or one.lost for one in survey(store).states.values())


def test_a_clock_that_was_ahead_keeps_nothing_from_being_up_to_date(one_day: DeltaStore) -> None:
    store = one_day
    entries = Ledger(store).latest("silver.marks").values()
    Ledger(store).record([replace(one, recorded_at=one.recorded_at + timedelta(days=3650)) for one in entries])

    land(store, D1, "a", [("a", D1, 2)])

    bring_up_to_date(store)
    assert due(store) == {}


def test_a_day_that_broke_its_contract_is_missing_until_it_is_mended(store: DeltaStore) -> None:
    tables = [mark_files, strict]
    land(store, D1, "a", [("a", D1, -1)])
    run(store, [Step((mark_files, strict), Days.of(D1))])

    state = survey(store, tables).states["silver.marks"]

    assert state.missing == {D1: "broke the contract"}
    assert state.newest_day is None


def test_a_write_without_a_receipt_is_seen(one_day: DeltaStore) -> None:
    """As after a kill between the commit and the ledger, or a hand that wrote past the product."""
    store = one_day
    with store.lock(marks.full_name):
        rows = store.spark.createDataFrame([("x", D1, 7)], "name STRING, day DATE, points INT")
        store.replace(marks, rows, [Days.of(D1)], {})

    reasons = survey(store).states["silver.marks"].stale

    assert reasons == {D1: "version 2 was written without a receipt"}
    by_hand = pa.Table.from_pylist(
        [{"name": "y", "day": D2, "points": 9}, {"name": "z", "day": D1, "points": 9}],
        schema=marks.contract.arrow_schema,
    )
    write_deltalake(store.path(marks), by_hand, mode="append")
    assert survey(store).states["silver.marks"].stale == {
        D1: "version 3 was written without a receipt",
        D2: "1 row that nobody computed: another program wrote version 3",
    }
    bring_up_to_date(store)
    assert [(row["name"], row["points"]) for row in stored_rows(store, marks)] == [("a", 1)]


def test_where_the_log_was_cleaned_the_plan_stays_quiet_about_what_it_knows(store: DeltaStore) -> None:
    """A cleaned log says less, but the ledger says of which version each day was computed: that still holds."""
    for day in (D1, D2, D3):
        land(store, day, "a", [("a", day, 1)])
        bring_up_to_date(store)
    for one in TABLES:
        DeltaTable(store.path(one)).create_checkpoint()
        newest = store.version(one)
        assert newest is not None
        for file in (Path(store.path(one)) / "_delta_log").glob("*.json"):
            if int(file.stem) < newest:
                file.unlink()

    stale = due(store)
    rounds = bring_up_to_date(store)

    assert all(missing == [] for missing, _ in stale.values())
    assert due(store) == {}, (stale, rounds)
    assert [row["points"] for row in stored_rows(store, totals)] == [1, 2, 2]


def test_a_table_without_days_is_due_whenever_its_input_changed(store: DeltaStore) -> None:
    whole = replace(totals, name="all_totals", day=None, read_by=None)
    tables = [mark_files, marks, whole]
    land(store, D1, "a", [("a", D1, 1)])
    bring_up_to_date(store, tables)
    assert [row["points"] for row in stored_rows(store, whole)] == [1]
    assert due(store, tables) == {}

    land(store, D2, "a", [("a", D2, 5)])
    bring_up_to_date(store, tables)

    assert [row["points"] for row in stored_rows(store, whole)] == [1, 6]
    assert due(store, tables) == {}


def test_days_asked_for_bring_the_upstream_days_that_they_need(store: DeltaStore) -> None:
    steps = steps_for(survey(store), [totals], Days.of(D3))

    assert [([one.name for one in step.tables], str(step.days)) for step in steps] == [
        (["mark_files"], "2013-01-02..2013-01-04"),
        (["marks"], "2013-01-02..2013-01-03"),
        (["totals"], "2013-01-03"),
    ]
    assert [step.unless_equal for step in steps] == [False, False, False]


def test_what_a_table_without_days_reads_has_to_be_up_to_date_and_is_not_planned_by_days(store: DeltaStore) -> None:
    whole = replace(totals, name="all_totals", day=None, read_by=None, reads=(Read(marks),))
    reader = replace(totals, name="reader", reads=(*totals.reads, Read(whole)))
    land(store, D2, "a", [("a", D2, 1)])

    steps = steps_for(survey(store, [mark_files, marks, whole, reader]), [reader], Days.of(D3))

    assert needed_whole([reader]) == {whole, marks}
    assert needed_whole([whole]) == {marks}
    assert needed_whole([totals]) == set()
    assert [one.name for step in steps for one in step.tables] == ["mark_files", "marks", "reader"]


def test_a_day_of_streams_is_due_once_it_is_sealed_and_again_when_a_stream_has_touched_it_since(
    store: DeltaStore,
) -> None:
    frontier = FrontierTable(store)

    def open_from(day: date) -> None:
        frontier.change(lambda _: Frontier(D1, day, claimed=frozenset([marks.full_name])), "test")

    def due_marks() -> tuple[list[Any], list[Any]]:
        return due(store, [mark_files, marks]).get(marks.full_name, ([], []))

    for day in (D1, D2, D3):
        land(store, day, "a", [("a", day, 1)])
    refresh(mark_files, store, Days.between(D1, D3))
    open_from(D3)
    assert due_marks() == ([D1, D2], [])
    refresh(marks, store, Days.between(D1, D2))
    assert due_marks() == ([], [])

    open_from(D4)
    assert due_marks() == ([D3], [])
    refresh(marks, store, Days.of(D3))
    assert due_marks() == ([], [])

    row = store.read(marks, Days.of(D1)).replace("a", "by a stream that was slow to die")
    with store.lock(marks.full_name):
        store.append(marks, row, Txn("follow/silver.marks/write/1", 7), {})
    assert due_marks() == ([], [D1])


def test_no_day_of_streams_is_planned_because_its_input_or_another_table_of_the_run_has_it(store: DeltaStore) -> None:
    """A run that meets an open day is refused as a whole, and so would be the sealed days in it."""
    free = replace(marks, name="free")
    tables = [mark_files, free, marks, totals]
    for day in (D1, D2, D3, D4):
        land(store, day, "a", [("a", day, 1)])
    refresh(mark_files, store, Days.between(D1, D4))
    claimed = frozenset([marks.full_name])
    FrontierTable(store).change(lambda _: Frontier(D1, D3, claimed=claimed), "test")

    steps = steps_to_date(survey(store, tables), tables)

    planned = {one.name: set[date]() for one in tables}
    for step in steps:
        for one in step.tables:
            planned[one.name] |= set(step.days or ())
    assert planned == {"mark_files": set(), "free": {D1, D2, D3, D4}, "marks": {D1, D2}, "totals": {D1, D2}}
    run(store, steps)


def test_days_outside_of_the_calendar_are_not_planned(store: DeltaStore) -> None:
    assert steps_for(survey(store), [mark_files], Days.parse("2014-01-01..2014-01-05")) == []
    (step,) = steps_for(survey(store), [mark_files], Days.parse("2012-12-25..2013-01-01"))
    assert step.days == Days.of(D1)


def planned(store: DeltaStore, wanted: Table, days: Days) -> list[tuple[str, str, bool]]:
    steps = steps_for(survey(store), [wanted], days)
    return [(one.name, str(step.days), step.unless_equal) for step in steps for one in step.tables]


def test_of_days_asked_for_bronze_is_computed_where_it_lacks_something(two_days: DeltaStore) -> None:
    store = two_days
    refresh(mark_files, store, Days.of(D3))  # nothing landed on it
    between = [("marks", "2013-01-01..2013-01-02", True), ("totals", "2013-01-02", True)]

    assert planned(store, totals, Days.of(D2)) == between

    land(store, D3, "late", [("b", D2, 2)])
    assert planned(store, totals, Days.of(D2)) == [("mark_files", "2013-01-03", True), *between]
    run(store, steps_for(survey(store), [totals], Days.of(D2)))
    assert [row["points"] for row in stored_rows(store, totals)] == [1, 4]


def test_days_of_bronze_that_an_older_code_computed_are_computed_again(
    two_days: DeltaStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    refresh(mark_files, two_days, Days.of(D3))
    monkeypatch.setattr(Table, "is_computed_by", lambda table, _: table is not mark_files)

    assert planned(two_days, totals, Days.of(D2))[0] == ("mark_files", "2013-01-01..2013-01-03", True)


def test_many_separate_days_are_bridged_into_few_runs(store: DeltaStore) -> None:
    odd = [day_of(number) for number in range(1, 20, 2)]
    for day in odd:
        land(store, day, "a", [("a", day, 1)])

    steps = steps_to_date(survey(store), TABLES)

    assert len(steps) <= 6
    assert {day for step in steps for day in step.days or ()} >= set(odd)


def test_upstream_tables_are_brought_up_to_date_too(store: DeltaStore) -> None:
    land(store, D1, "a", [("a", D1, 1)])

    steps = steps_to_date(survey(store), [totals])

    assert [step.tables for step in steps] == [(mark_files,)]


def test_a_table_nobody_asked_for_is_left_alone(store: DeltaStore) -> None:
    land(store, D1, "a", [("a", D1, 1)])
    run(store, steps_to_date(survey(store), [mark_files]))

    assert steps_to_date(survey(store), [mark_files]) == []


def test_newest_day_is_the_newest_with_rows(store: DeltaStore) -> None:
    land(store, D1, "a", [("a", D1, 1)])
    refresh(mark_files, store, Days.between(D1, D3))
    refresh(marks, store, Days.between(D1, D3))

    assert survey(store).states["silver.marks"].newest_day == D1
    assert date(2013, 1, 3) in survey(store).states["silver.marks"].entries
