"""The ledger entries that a look keeps for the next process, and when they must not be believed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from lake.errors import LogDamaged
from lake.ownership import ledger as ledger_module
from lake.ownership.ledger import Entry, Ledger
from lake.storage import log_versions
from lake.storage.kept_facts import keep_facts_in
from lake.testing.lakes import open_lake

D1, D2 = date(2013, 1, 1), date(2013, 1, 2)
NOW = datetime(2013, 2, 1, 3, 4, 5, 6, tzinfo=UTC)
IDS = {"silver.marks": "51f0", "bronze.mark_files": "8d2c"}
FILES = {"feed:marks": {"a.jsonl": [3, 1_700_000_000_000_000_001, "c0ffee"]}}
FIRST = Entry("silver.marks", D1, "written", 3, 1, 1, 1, FILES, 7, "abc", 0.5, 1, "run-1", NOW, IDS)
SECOND = replace(FIRST, day=D2, inputs={"bronze.mark_files": 4}, recorded_at=NOW + timedelta(seconds=1))
WHOLE = replace(FIRST, table="gold.totals", day=None, inputs={}, table_ids={}, seconds=1.25)
HELD = {"silver.marks": {D1: FIRST, D2: SECOND}, "gold.totals": {None: WHOLE}}


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    found = Ledger(open_lake(tmp_path, None))  # type: ignore[arg-type]  # the ledger needs no session
    found.record([replace(FIRST, outcome="failed"), WHOLE])
    found.record([FIRST, SECOND])
    return found


@pytest.fixture(autouse=True)
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Tell how often a ledger was read whole."""
    found: list[str] = []
    newest = Ledger._newest

    def note(one: Ledger) -> Mapping[str, Mapping[date | None, Entry]]:
        found.append(one._location)
        return newest(one)

    monkeypatch.setattr(Ledger, "_newest", note)
    return found


def kept_file(ledger: Ledger) -> Path:
    return Path(ledger.store.tables).parent / "kept" / "looks-ledger.json"


def look(ledger: Ledger) -> Mapping[str, Mapping[date | None, Entry]]:
    """Read the newest entries as a new process does, which remembers only what was written down."""
    for known in (ledger_module._READ._known, log_versions.PLACES, log_versions._NEWEST):
        known.clear()
    with keep_facts_in(kept_file(ledger).with_name("looks.json")):
        return ledger.latest_by_table()


def test_a_second_process_finds_the_same_entries_and_reads_none(ledger: Ledger, reads: list[str]) -> None:
    assert look(ledger) == HELD
    assert len(reads) == 1

    assert look(ledger) == HELD
    assert len(reads) == 1


def test_entries_that_came_since_are_added(ledger: Ledger, reads: list[str]) -> None:
    look(ledger)
    newer = replace(FIRST, run_id="run-2", recorded_at=NOW - timedelta(days=1))
    ledger.record([newer])

    for _ in range(2):
        assert look(ledger) == {**HELD, "silver.marks": {D1: newer, D2: SECOND}}
    assert len(reads) == 1


def test_entries_are_kept_anew_once_many_commits_have_come(ledger: Ledger, reads: list[str]) -> None:
    look(ledger)
    for number in range(ledger_module._FEW + 1):
        ledger.record([replace(FIRST, run_id=str(number))])
        assert json.loads(kept_file(ledger).read_bytes())["place"][0] == 1
    found = look(ledger)

    assert found["silver.marks"][D1].run_id == str(ledger_module._FEW)
    assert json.loads(kept_file(ledger).read_bytes())["place"][0] == ledger_module._FEW + 2
    assert look(ledger) == found
    assert len(reads) == 1


def test_what_a_clean_up_replaced_is_read_once_more(ledger: Ledger, reads: list[str]) -> None:
    look(ledger)
    assert ledger.forget(NOW + timedelta(days=1)) == 1
    reads.clear()

    assert look(ledger) == HELD
    assert look(ledger) == HELD
    assert len(reads) == 1


def another_in_its_place(folder: Path) -> None:
    """Write the same number of commits with other entries."""
    rows = DeltaTable(folder).to_pyarrow_table()
    shutil.rmtree(folder)
    other = rows.set_column(rows.column_names.index("run_id"), "run_id", pa.array(["other"] * rows.num_rows))
    for place in range(2):
        write_deltalake(folder, other.filter(pa.compute.equal(other["sequence"], place)), mode="append")


def a_restored_version(folder: Path) -> None:
    DeltaTable(folder).restore(0)


def removed_rows(folder: Path) -> None:
    DeltaTable(folder).delete("day = '2013-01-02'")


def an_older_commit_that_is_gone(folder: Path) -> None:
    DeltaTable(folder).create_checkpoint()
    (folder / "_delta_log" / f"{0:020d}.json").unlink()


CHANGES = [another_in_its_place, a_restored_version, removed_rows, an_older_commit_that_is_gone]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_ledger_that_has_changed_is_read_again(
    ledger: Ledger, reads: list[str], change: Callable[[Path], object]
) -> None:
    look(ledger)
    change(Path(ledger.store.tables) / "lake" / "ledger")

    found = look(ledger)

    stored = DeltaTable(f"{ledger.store.tables}/lake/ledger").to_pyarrow_table().sort_by("sequence").to_pylist()
    newest = {(row["table"], row["day"]): (row["outcome"], row["run_id"], row["inputs"]) for row in stored}
    entries = [entry for by_day in found.values() for entry in by_day.values()]
    assert {
        (one.table, one.day): (one.outcome, one.run_id, json.dumps(one.inputs, sort_keys=True)) for one in entries
    } == newest
    assert len(reads) == 2


def test_an_old_commit_that_was_damaged_since_is_found(ledger: Ledger) -> None:
    look(ledger)
    (Path(ledger.store.tables) / "lake" / "ledger" / "_delta_log" / f"{0:020d}.json").write_text("{")

    with pytest.raises(LogDamaged):
        look(ledger)


def test_entries_of_another_lake_are_not_believed(ledger: Ledger, tmp_path: Path) -> None:
    look(ledger)
    other = Path(ledger.store.tables).parent / "other" / "tables"
    shutil.copytree(ledger.store.tables, other)  # with the same commits
    said = json.loads(kept_file(ledger).read_bytes())
    log = other / "lake" / "ledger" / "_delta_log"
    names = sorted(file.name for file in log.iterdir())
    stats = [(log / name).stat() for name in names]
    said["files"] = [[n, s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_ino] for n, s in zip(names, stats, strict=True)]
    said["tables"] = {}
    kept_file(ledger).write_text(json.dumps(said))

    found = Ledger(open_lake(other.parent, None))  # type: ignore[arg-type]
    for known in (ledger_module._READ._known, log_versions.PLACES, log_versions._NEWEST):
        known.clear()
    with keep_facts_in(kept_file(ledger).with_name("looks.json")):
        assert found.latest_by_table() == HELD


def test_entries_of_a_release_with_other_fields_are_not_believed(ledger: Ledger) -> None:
    look(ledger)
    said = json.loads(kept_file(ledger).read_bytes())
    said["fields"].reverse()  # as if another order had been declared
    said["tables"] = {}
    kept_file(ledger).write_text(json.dumps(said))

    assert look(ledger) == HELD


@pytest.mark.parametrize("content", ["", "{", "[]", "1", "null", '{"location": 1}'])
def test_a_torn_memory_is_none(ledger: Ledger, content: str) -> None:
    look(ledger)
    kept_file(ledger).write_text(content)

    assert look(ledger) == HELD


@pytest.mark.parametrize("name", ["location", "fields", "files", "place", "tables"])
@pytest.mark.parametrize("value", [None, 3, "x", [1], {"silver.marks": [1]}, {"silver.marks": [[1, 2], [3]]}])
def test_a_memory_with_another_thing_in_a_place_is_none(ledger: Ledger, name: str, value: object) -> None:
    look(ledger)
    said = json.loads(kept_file(ledger).read_bytes())
    kept_file(ledger).write_text(json.dumps({**said, name: value}))

    assert look(ledger) == HELD


def test_nobody_keeps_entries_outside_of_a_look(ledger: Ledger) -> None:
    assert ledger.latest_by_table() == HELD
    assert not kept_file(ledger).parent.exists()
