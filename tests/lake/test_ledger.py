"""The ledger: the newest entry of a table and day counts."""

from __future__ import annotations

import json
import threading
from dataclasses import asdict, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from lake.ownership.ledger import SCHEMA, Entry, Ledger
from lake.testing.lakes import open_lake

D1, D2 = date(2013, 1, 1), date(2013, 1, 2)
NOW = datetime(2013, 2, 1, tzinfo=UTC)
IDS = {"bronze.mark_files": "8d2c", "silver.marks": "51f0"}
ENTRY = Entry("silver.marks", D1, "written", 3, 1, 1, 1, {"bronze.mark_files": 4}, 7, "abc", 0.5, 1, "run-1", NOW, IDS)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(open_lake(tmp_path, None))  # type: ignore[arg-type]  # the ledger needs no session


def test_an_empty_ledger_has_no_rows(ledger: Ledger) -> None:
    assert ledger.rows().num_rows == 0
    assert ledger.rows().schema == SCHEMA
    assert ledger.latest("silver.marks") == {}
    assert ledger.latest_by_table() == {}


def test_an_entry_comes_back_as_it_was(ledger: Ledger) -> None:
    ledger.record([ENTRY])

    assert ledger.latest("silver.marks") == {D1: ENTRY}


@pytest.mark.parametrize("ahead", [timedelta(0), timedelta(days=3650)], ids=["a good clock", "a clock that was ahead"])
def test_the_entry_recorded_last_counts_whatever_the_clock_said_and_the_older_ones_are_kept(
    ledger: Ledger, ahead: timedelta
) -> None:
    newer = replace(ENTRY, outcome="failed", recorded_at=NOW + timedelta(seconds=1))
    ledger.record([replace(ENTRY, recorded_at=NOW + ahead)])
    ledger.record([newer])

    assert ledger.latest("silver.marks") == {D1: newer}
    assert ledger.latest_by_table() == {"silver.marks": {D1: newer}}
    assert ledger.rows("silver.marks").num_rows == 2


def test_a_new_entry_of_one_table_leaves_what_is_known_of_the_others(ledger: Ledger) -> None:
    other = replace(ENTRY, table="silver.pupils")
    ledger.record([ENTRY, other])
    before = ledger.latest_by_table()
    ledger.record([replace(ENTRY, day=D2)])

    after = ledger.latest_by_table()

    assert after["silver.pupils"] is before["silver.pupils"]
    assert (set(before["silver.marks"]), set(after["silver.marks"])) == ({D1}, {D1, D2})


def test_the_order_of_entries_is_the_same_after_their_files_were_joined(ledger: Ledger) -> None:
    for number in range(12):
        ledger.record([replace(ENTRY, run_id=str(number), recorded_at=NOW - timedelta(hours=number))])
    joined = DeltaTable(f"{ledger.store.tables}/lake/ledger")
    assert joined.optimize.compact()["numFilesRemoved"] == 12

    assert [row["run_id"] for row in ledger.rows().to_pylist()] == [str(number) for number in range(12)]
    ledger.record([replace(ENTRY, run_id="after", recorded_at=NOW - timedelta(days=9))])
    assert ledger.latest("silver.marks")[D1].run_id == "after"


def test_entries_of_one_commit_stay_as_they_were_written_whatever_the_clock_said(ledger: Ledger) -> None:
    ledger.record([replace(ENTRY, run_id=str(n), recorded_at=NOW - timedelta(hours=n)) for n in range(5)])

    assert [row["run_id"] for row in ledger.rows().to_pylist()] == ["0", "1", "2", "3", "4"]
    assert ledger.latest("silver.marks")[D1].run_id == "4"


def test_a_ledger_that_begins_with_a_table_without_days_has_all_its_columns(ledger: Ledger) -> None:
    whole = replace(ENTRY, day=None, inputs={}, table_ids={})
    ledger.record([whole])

    assert ledger.rows().schema == SCHEMA
    ledger.record([ENTRY])
    assert ledger.latest("silver.marks") == {None: whole, D1: ENTRY}


def test_tables_and_days_are_told_apart(ledger: Ledger) -> None:
    other_day, other_table = replace(ENTRY, day=D2), replace(ENTRY, table="gold.totals", day=None)

    ledger.record([ENTRY, other_day, other_table])

    assert ledger.latest_by_table() == {
        "silver.marks": {D1: ENTRY, D2: other_day},
        "gold.totals": {None: other_table},
    }
    assert ledger.latest("silver.marks") == {D1: ENTRY, D2: other_day}
    assert ledger.rows("gold.totals")["table"].to_pylist() == ["gold.totals"]


@pytest.mark.parametrize("is_joined", [False, True], ids=["as they came", "joined meanwhile"])
def test_a_look_finds_all_that_was_recorded_since_the_one_before(ledger: Ledger, *, is_joined: bool) -> None:
    ledger.record([ENTRY])
    assert ledger.latest_by_table() == {"silver.marks": {D1: ENTRY}}
    newer, other_day = replace(ENTRY, run_id="2"), replace(ENTRY, day=D2, run_id="3")
    ledger.record([newer])
    ledger.record([other_day])
    if is_joined:
        DeltaTable(f"{ledger.store.tables}/lake/ledger").optimize.compact()

    assert ledger.latest_by_table() == {"silver.marks": {D1: newer, D2: other_day}}


@pytest.mark.parametrize("lacks", ["no column", "a null"])
def test_what_an_older_release_records_beside_a_running_process_is_ordered_as_by_a_new_one(
    ledger: Ledger, lacks: str
) -> None:
    """Entries without a number come first, whenever they come."""
    ledger.record([ENTRY])
    assert ledger.latest_by_table() == {"silver.marks": {D1: ENTRY}}
    old = ledger.rows()
    index = old.schema.get_field_index("sequence")
    old = old.set_column(index, "sequence", pa.nulls(1, pa.int64())) if lacks == "a null" else old.remove_column(index)
    old = old.set_column(old.schema.get_field_index("run_id"), "run_id", pa.array(["old"]))
    write_deltalake(f"{ledger.store.tables}/lake/ledger", old, mode="append", schema_mode="merge")

    assert ledger.latest("silver.marks") == {D1: ENTRY}
    assert ledger.latest_by_table() == {"silver.marks": {D1: ENTRY}}


def test_old_entries_that_a_newer_one_has_replaced_are_forgotten_and_no_others(ledger: Ledger) -> None:
    other_day, other_table = (
        replace(ENTRY, day=D2, run_id="only one"),
        replace(ENTRY, table="gold.totals", run_id="too"),
    )
    ledger.record([replace(ENTRY, run_id="old"), other_day, other_table])
    ledger.record([replace(ENTRY, run_id="at the moment", recorded_at=NOW + timedelta(hours=1))])
    ledger.record([replace(ENTRY, run_id="newest", recorded_at=NOW + timedelta(hours=2))])
    version = ledger.store.log(f"{ledger.store.tables}/lake/ledger").version()

    assert ledger.forget(NOW) == 0
    assert ledger.store.log(f"{ledger.store.tables}/lake/ledger").version() == version, "nothing was committed"
    assert ledger.forget(NOW + timedelta(hours=1)) == 1
    kept = {"only one", "too", "at the moment", "newest"}
    assert {row["run_id"] for row in ledger.rows().to_pylist()} == kept
    assert ledger.latest("silver.marks")[D1].run_id == "newest"
    assert ledger.forget(NOW + timedelta(days=1)) == 1
    assert ledger.rows().num_rows == 3


def test_a_ledger_whose_rows_were_deleted_is_empty(ledger: Ledger) -> None:
    ledger.record([ENTRY])
    DeltaTable(f"{ledger.store.tables}/lake/ledger").delete()

    assert (ledger.latest("silver.marks"), ledger.latest_by_table(), ledger.forget(NOW)) == ({}, {}, 0)


def test_recording_nothing_commits_nothing(ledger: Ledger) -> None:
    ledger.record([])

    assert ledger.store.log(f"{ledger.store.tables}/lake/ledger").version() is None


def test_a_ledger_of_an_older_release_is_read_and_goes_on(ledger: Ledger) -> None:
    row = {**asdict(ENTRY), "inputs": json.dumps(dict(ENTRY.inputs)), "table_ids": None}
    older = pa.Table.from_pylist([row], schema=SCHEMA).drop_columns(["disagreeing", "table_ids", "sequence"])
    ledger.store.append_to_lake("ledger", lambda _: older)
    as_it_is_read = replace(ENTRY, disagreeing=0, table_ids={})
    assert ledger.latest("silver.marks") == {D1: as_it_is_read}

    ledger.record([replace(ENTRY, day=D2)])

    assert ledger.latest("silver.marks") == {D1: as_it_is_read, D2: replace(ENTRY, day=D2)}


def test_rows_of_an_older_release_come_first_in_the_order_of_their_clock(ledger: Ledger) -> None:
    ahead = NOW + timedelta(days=3650)
    rows = [
        {**asdict(ENTRY), "inputs": "{}", "table_ids": None, "run_id": name, "recorded_at": at}
        for name, at in (("2", ahead), ("1", NOW))
    ]
    older = pa.Table.from_pylist(rows, schema=SCHEMA).drop_columns(["disagreeing", "table_ids", "sequence"])
    ledger.store.append_to_lake("ledger", lambda _: older)
    assert ledger.latest("silver.marks")[D1].run_id == "2"

    ledger.record([replace(ENTRY, run_id="3")])

    assert [row["run_id"] for row in ledger.rows().to_pylist()] == ["1", "2", "3"]
    assert ledger.latest("silver.marks")[D1].run_id == "3"


def test_a_column_that_a_newer_release_adds_is_passed_over(ledger: Ledger) -> None:
    objects = {name: json.dumps(dict(getattr(ENTRY, name))) for name in ("inputs", "table_ids")}
    row = {**asdict(ENTRY), **objects, "cost": 1.5}
    newer = pa.Table.from_pylist([row], schema=SCHEMA.append(pa.field("cost", pa.float64())))
    ledger.store.append_to_lake("ledger", lambda _: newer)

    assert ledger.latest("silver.marks") == {D1: ENTRY}


def test_many_writers_lose_no_entry(ledger: Ledger) -> None:
    def record(number: int) -> None:
        ledger.record([replace(ENTRY, table=f"silver.t{number}")])

    threads = [threading.Thread(target=record, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert set(ledger.latest_by_table()) == {f"silver.t{number}" for number in range(8)}
