"""The ledger: the newest entry of a table and day counts."""

from __future__ import annotations

import json
import threading
from dataclasses import asdict, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from lake.ledger import SCHEMA, Entry, Ledger
from tests.lakes import open_lake

D1, D2 = date(2013, 1, 1), date(2013, 1, 2)
NOW = datetime(2013, 2, 1, tzinfo=UTC)
ENTRY = Entry("silver.marks", D1, "written", 3, 1, 1, 1, {"bronze.mark_files": 4}, 7, "abc", 0.5, 1, "run-1", NOW)


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


def test_the_newest_entry_of_a_day_counts_and_the_older_ones_are_kept(ledger: Ledger) -> None:
    newer = replace(ENTRY, outcome="failed", recorded_at=NOW + timedelta(seconds=1))
    ledger.record([newer])
    ledger.record([ENTRY])

    assert ledger.latest("silver.marks") == {D1: newer}
    assert ledger.rows("silver.marks").num_rows == 2


def test_tables_and_days_are_told_apart(ledger: Ledger) -> None:
    other_day, other_table = replace(ENTRY, day=D2), replace(ENTRY, table="gold.totals", day=None)

    ledger.record([ENTRY, other_day, other_table])

    assert ledger.latest_by_table() == {
        "silver.marks": {D1: ENTRY, D2: other_day},
        "gold.totals": {None: other_table},
    }


def test_recording_nothing_commits_nothing(ledger: Ledger) -> None:
    ledger.record([])

    assert ledger.store.log(f"{ledger.store.tables}/lake/ledger").version() is None


def test_a_ledger_of_an_older_release_is_read_and_goes_on(ledger: Ledger) -> None:
    row = {**asdict(ENTRY), "inputs": json.dumps(dict(ENTRY.inputs))}
    older = pa.Table.from_pylist([row], schema=SCHEMA).drop_columns(["disagreeing"])
    ledger.store.append_to_lake("ledger", older)
    assert ledger.latest("silver.marks") == {D1: replace(ENTRY, disagreeing=0)}

    ledger.record([replace(ENTRY, day=D2)])

    assert ledger.latest("silver.marks") == {D1: replace(ENTRY, disagreeing=0), D2: replace(ENTRY, day=D2)}


def test_a_column_that_a_newer_release_adds_is_passed_over(ledger: Ledger) -> None:
    row = {**asdict(ENTRY), "inputs": json.dumps(dict(ENTRY.inputs)), "cost": 1.5}
    ledger.store.append_to_lake(
        "ledger", pa.Table.from_pylist([row], schema=SCHEMA.append(pa.field("cost", pa.float64())))
    )

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
