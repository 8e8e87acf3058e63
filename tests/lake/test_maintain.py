"""Maintenance changes no row and makes no day stale, whatever it removes and wherever it is killed."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from delta.tables import DeltaOptimizeBuilder
from delta.tables import DeltaTable as SparkTable
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import DeltaError
from pyspark.sql import SparkSession

import lake.batch.maintain
import lake.storage.log
import lake.storage.log_versions
import lake.storage.retention
from lake.batch.maintain import Maintained, Maintenance, maintain
from lake.batch.refresh import refresh
from lake.batch.survey import Survey
from lake.declare.days import Days
from lake.ownership.frontier import Frontier, FrontierTable
from lake.ownership.ledger import Entry, Ledger
from lake.storage.log import Log
from lake.storage.touches import FILE
from lake.testing.lakes import interpreted, open_lake, refresh_all, stored_rows
from lake.write.store import DeltaStore
from tests.tiny import day_of, land, mark_files, marks, totals

TABLES = [mark_files, marks, totals]
DAYS = [day_of(number) for number in range(1, 5)]
D1, D2, D3, D4 = DAYS
ALL = Days(D1, DAYS[-1] + timedelta(days=1))
STEPS = [
    (DeltaOptimizeBuilder, "executeCompaction"),
    (SparkTable, "vacuum"),
    (Log, "write_touches"),
    (DeltaTable, "create_checkpoint"),
    (DeltaTable, "cleanup_metadata"),
]
"""Whatever maintenance changes, in its order."""


OF_AN_OPERATOR = "spark.sql.sources.parallelPartitionDiscovery.parallelism"


@pytest.fixture(autouse=True)
def nothing_is_promised(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not needed may go at once, so that a test need not wait for thirty days."""
    monkeypatch.setattr(lake.storage.retention, "HISTORY", timedelta(0))
    monkeypatch.setattr(lake.storage.retention, "RECENT", timedelta(0))


@pytest.fixture(autouse=True)
def new_process() -> Iterator[None]:
    yield
    forget_logs()


def forget_logs() -> None:
    """Forget what this process has read of logs, as a new one would."""
    for known in (
        lake.storage.log._TOUCHES,
        lake.storage.log_versions.PLACES,
        lake.storage.log_versions._OPENED,
        lake.storage.log._TXNS,
    ):
        known.clear()


@pytest.fixture(scope="module")
def filled(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake in which all is computed; made once, and copied."""
    root = tmp_path_factory.mktemp("filled")
    store = open_lake(root, spark)
    for number, day in enumerate(DAYS):
        land(store, day, "a", [("a", day, number), ("b", day, 1), ("x", day, -1)])
    with interpreted(spark):
        refresh_all(store, [ALL], TABLES)
    return root


@pytest.fixture
def lake_of_four_days(filled: Path, store: DeltaStore, tmp_path: Path) -> DeltaStore:
    shutil.copytree(filled, tmp_path, dirs_exist_ok=True)
    return store


def scatter(store: DeltaStore, day: date, files: int = 6) -> None:
    """Leave many small files in one day, as a stream does."""
    schema = marks.contract.arrow_schema
    for number in range(files):
        row = pa.Table.from_pylist([{"name": f"s{number}", "day": day, "points": number}], schema=schema)
        write_deltalake(store.path(marks), row, mode="append")


def stale(store: DeltaStore) -> dict[str, list[object]]:
    """What a new process finds missing or stale."""
    forget_logs()
    survey = Survey(TABLES, store, ALL)
    return {name: [*state.missing, *state.stale] for name, state in survey.states.items()}


def files_of(store: DeltaStore, day: date) -> int:
    return len(store.table_log(marks).files_by_day("day", [Days.of(day)]).get(day, {}))


@contextmanager
def printed_by(store: DeltaStore) -> Iterator[Callable[[], str]]:
    """What the JVM prints from this thread meanwhile."""
    jvm: Any = store.spark._jvm
    console = getattr(getattr(jvm.scala, "Console$"), "MODULE$")
    before, written = console.out(), jvm.java.io.ByteArrayOutputStream()
    console.setOutDirect(jvm.java.io.PrintStream(written))
    try:
        yield written.toString
    finally:
        console.setOutDirect(before)


@pytest.mark.spark
def test_small_files_of_batch_days_are_joined_and_nothing_else_changes(
    lake_of_four_days: DeltaStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = lake_of_four_days
    scatter(store, D1)
    scatter(store, D4)
    FrontierTable(store).change(
        lambda _: Frontier(stream_from=D4, first_open=D4, claimed=frozenset({"silver.marks"})), "claimed"
    )
    rows = {table.full_name: stored_rows(store, table) for table in TABLES}
    before = stale(store)

    with printed_by(store) as printed:
        done = {one.name: one for one in maintain([marks], store, checkpoints=tmp_path / "none")}

    assert printed() == "", "a program may read what a command prints"
    assert done["silver.marks"].days_joined == 1
    assert (files_of(store, D1), files_of(store, D4)) == (1, 7)
    assert done["silver.marks"].files_removed == 7
    assert {table.full_name: stored_rows(store, table) for table in TABLES} == rows
    assert stale(store) == before
    assert [one.name for one in maintain([marks], store, checkpoints=tmp_path / "none") if one.days_joined] == []


@pytest.mark.spark
def test_removed_commits_make_no_day_stale_not_even_after_a_kill(
    lake_of_four_days: DeltaStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = lake_of_four_days
    refresh(marks, store, Days.of(D2))
    refresh(totals, store, ALL)
    log = store.table_log(marks)
    touched, newest = log.newest_touch("day"), log.version()
    assert not any(stale(store).values())

    def killed(_: DeltaTable) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(DeltaTable, "cleanup_metadata", killed)
        with pytest.raises(KeyboardInterrupt):
            maintain([marks], store, checkpoints=tmp_path / "none")
    assert not any(stale(store).values())

    maintain([marks], store, checkpoints=tmp_path / "none")

    assert store.table_log(marks).commit(1) is None
    assert newest is not None
    assert not any(stale(store).values())
    forget_logs()
    assert log.newest_touch("day") == touched
    assert Log(store.path(totals)).newest_change() is not None
    # Control: without what was written down, every day counts as changed by the last commit that is gone.
    Path(store.path(marks), "_delta_log", FILE).unlink()
    assert D1 in stale(store)["silver.marks"]


@pytest.mark.spark
@pytest.mark.parametrize("when", ["before", pytest.param("after", marks=pytest.mark.streams)])
def test_killed_at_any_step_it_leaves_the_same_rows_and_the_next_call_does_the_rest(
    lake_of_four_days: DeltaStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    store = lake_of_four_days
    scatter(store, D1)
    rows = {table.full_name: stored_rows(store, table) for table in TABLES}
    before = stale(store)

    for owner, step in STEPS:
        with monkeypatch.context() as patched:
            patched.setattr(owner, step, killed(getattr(owner, step), when))
            with pytest.raises(KeyboardInterrupt):
                maintain([marks], store, checkpoints=tmp_path / "none")
        assert {table.full_name: stored_rows(store, table) for table in TABLES} == rows, step
        assert stale(store) == before, step

    done = maintain([marks], store, checkpoints=tmp_path / "none")
    assert files_of(store, D1) == 1
    assert store.table_log(marks).commit(1) is None
    assert not any(one.note for one in done)
    assert {table.full_name: stored_rows(store, table) for table in TABLES} == rows
    assert stale(store) == before


def killed(step: Callable[..., Any], when: str) -> Callable[..., Any]:
    """A step at whose beginning or end the process is killed."""

    def run(*arguments: Any, **options: Any) -> None:
        if when == "after":
            step(*arguments, **options)
        raise KeyboardInterrupt

    return run


@pytest.mark.spark
def test_what_a_stream_has_not_read_or_may_ask_for_is_kept(lake_of_four_days: DeltaStore, tmp_path: Path) -> None:
    store = lake_of_four_days
    log = store.table_log(marks)
    offsets = tmp_path / "checkpoints" / "gold" / "totals" / "g1-x" / "offsets"
    offsets.mkdir(parents=True)
    line = {"reservoirId": log.table_id(), "reservoirVersion": 1, "index": -1, "sourceVersion": 1}
    (offsets / "0").write_text(f"v1\n{{}}\n{json.dumps(line)}")

    done = {one.name: one for one in maintain([marks], store, checkpoints=tmp_path / "checkpoints")}

    assert done["silver.marks"] == Maintained("silver.marks", note="a stream has read up to version 0 only")
    assert log.commit(0) is not None
    assert done["lake.ledger"].note == ""


@pytest.mark.spark
def test_versions_can_be_read_for_as_long_as_is_promised_and_then_are_removed(
    store: DeltaStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()  # with the retention that is promised
    store.spark.conf.set(OF_AN_OPERATOR, "3")
    versions = []
    for points in (1, 7):
        with store.lock(marks.full_name):
            rows = store.spark.createDataFrame([("a", D1, points)], "name STRING, day DATE, points INT")
            store.replace(marks, rows, [Days.of(D1)], {})
        versions.append(store.version(marks))

    age(store, timedelta(days=29))
    kept = {one.name: one for one in maintain([marks], store, checkpoints=tmp_path / "none")}["silver.marks"]
    assert [row["points"] for row in stored_rows(store, marks, version=versions[0])] == [1]
    assert (kept.files_removed, kept.commits_removed) == (0, 0)

    age(store, timedelta(days=2))
    gone = {one.name: one for one in maintain([marks], store, checkpoints=tmp_path / "none")}["silver.marks"]
    assert gone.files_removed == 1
    assert [row["points"] for row in stored_rows(store, marks)] == [7]
    with pytest.raises((OSError, DeltaError)):
        stored_rows(store, marks, version=versions[0])
    assert store.spark.conf.get(OF_AN_OPERATOR) == "3", "a setting is given back as it was"
    store.spark.conf.unset(OF_AN_OPERATOR)


def age(store: DeltaStore, by: timedelta) -> None:
    """Let the marks, and all that their log says, be older."""
    table, milliseconds = Path(store.path(marks)), int(by.total_seconds() * 1000)
    said = re.compile(r'("(?:timestamp|modificationTime|deletionTimestamp)":)(\d{13})')
    for file in [*table.glob("_delta_log/*checkpoint*"), *table.glob("_delta_log/.*.crc")]:
        file.unlink()  # all commits are there, and say the same
    for file in table.glob("_delta_log/*.json"):
        file.write_text(said.sub(lambda found: f"{found[1]}{int(found[2]) - milliseconds}", file.read_text()))
    for file in (one for one in table.rglob("*") if one.is_file()):
        at = file.stat().st_mtime - by.total_seconds()
        os.utime(file, (at, at))
    jvm: Any = store.spark._jvm
    jvm.org.apache.spark.sql.delta.DeltaLog.clearCache()
    forget_logs()


def test_the_ledger_forgets_old_entries_that_newer_ones_replaced(tmp_path: Path) -> None:
    store = open_lake(tmp_path, None)  # type: ignore[arg-type]  # the ledger needs no session
    ledger = Ledger(store)
    now = datetime(2013, 6, 1, tzinfo=UTC)
    entry = Entry("silver.marks", D1, "written", 1, 1, 0, 0, {}, 1, "abc", 0.5, recorded_at=now - timedelta(days=120))
    newest = replace(entry, version=3, recorded_at=now - timedelta(days=100))
    recent = replace(entry, day=D2, version=4, recorded_at=now - timedelta(days=1))
    replaced = replace(recent, version=5, recorded_at=now)
    for one in (entry, newest, recent, replaced):
        ledger.record([one])

    assert ledger.forget(now - timedelta(days=90)) == 1

    assert [row["version"] for row in ledger.rows().to_pylist()] == [3, 4, 5]
    assert ledger.latest("silver.marks") == {D1: newest, D2: replaced}
    assert ledger.forget(now - timedelta(days=90)) == 0


def test_maintenance_forgets_what_the_ledger_no_longer_needs(tmp_path: Path) -> None:
    store = open_lake(tmp_path, None)  # type: ignore[arg-type]  # the ledger needs no session
    now = datetime.now(UTC)
    for version, days_ago in enumerate([120, 100, 89]):
        at = now - timedelta(days=days_ago)
        Ledger(store).record([Entry("silver.marks", D1, "written", 1, 1, 0, 0, {}, version, "a", 0.5, recorded_at=at)])

    maintain([], store, checkpoints=tmp_path / "none", now=now)

    assert [row["version"] for row in Ledger(store).rows().to_pylist()] == [2]


def test_a_quarantine_is_kept_as_long_as_its_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lake.storage.retention, "HISTORY", timedelta(days=30))
    monkeypatch.setattr(lake.storage.retention, "RECENT", timedelta(days=2))
    store = open_lake(tmp_path, None)  # type: ignore[arg-type]  # nothing here needs a session
    rejects = pa.table({"day": [D1], "rules": [["a rule"]], "raw": ["{"], "row": ["1"]})

    store.create(marks)
    store.store_quarantine(marks, rejects, [ALL])

    stored = [DeltaTable(path).metadata() for path in (store.path(marks), store.quarantine_path(marks))]
    assert [one.configuration["delta.logRetentionDuration"] for one in stored] == ["interval 30 days"] * 2
    assert [one.configuration["delta.deletedFileRetentionDuration"] for one in stored] == ["interval 30 days"] * 2
    # An older release gave it two days.
    quarantine = DeltaTable(store.quarantine_path(marks))
    quarantine.alter.set_table_properties({"delta.logRetentionDuration": "interval 2 days"})
    work = Maintenance(store, tmp_path, datetime.now(UTC))
    work._set_properties(next(place for place in work.places([marks]) if place.name == "quarantine.silver.marks"))
    found = DeltaTable(store.quarantine_path(marks)).metadata().configuration
    assert found["delta.logRetentionDuration"] == "interval 30 days"


def test_own_tables_are_joined_and_their_logs_are_short(tmp_path: Path) -> None:
    store = open_lake(tmp_path, None)  # type: ignore[arg-type]  # nothing here needs a session
    ledger = Ledger(store)
    now = datetime.now(UTC)
    for number in range(20):
        ledger.record([Entry("silver.marks", day_of(number + 1), "written", 1, 1, 0, 0, {}, 1, "abc", 0.5)])
    before = ledger.latest("silver.marks")

    done = maintain([], store, checkpoints=tmp_path / "none", now=now)

    assert [(one.name, one.days_joined) for one in done] == [("lake.ledger", 1)]
    assert done[0].files_removed == 20
    assert done[0].commits_removed >= 19
    forget_logs()
    assert Ledger(store).latest("silver.marks") == before


def test_touches_of_another_table_or_a_torn_file_are_passed_over(tmp_path: Path) -> None:
    path = str(tmp_path / "t")
    for day in (D1, D2):
        write_deltalake(path, pa.table({"day": [day], "n": [1]}), mode="append", partition_by=["day"])
    log = Log(path)
    log.write_touches(["day"])
    assert log.written_touches() is not None
    kept = Path(path, "_delta_log", FILE)

    torn = kept.read_bytes()[:-5]
    other = json.dumps({**json.loads(kept.read_bytes()), "table_id": "another"}).encode()
    later = json.dumps({**json.loads(kept.read_bytes()), "version": 7}).encode()
    changed = json.dumps({**json.loads(kept.read_bytes()), "commit": "0000"}).encode()
    for content in (torn, other, later, changed, b"[]", b""):
        kept.write_bytes(content)
        forget_logs()
        assert log.written_touches() is None
        assert log.newest_touch("day") == {D1: 0, D2: 1}
