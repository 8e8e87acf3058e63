"""Whatever was acknowledged survives a power cut."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from lake.declare.days import Days
from lake.ownership.frontier import Frontier, FrontierTable
from lake.ownership.ledger import Entry, Ledger
from lake.storage.archive import TopicArchive
from lake.storage.durable import write_whole
from lake.storage.log import Log
from lake.stream.generation import Checkpoints, StreamPlan
from lake.stream.progress import MicroBatch, Receipts
from lake.stream.topics import TopicGuard
from lake.testing.lakes import stored_rows
from lake.write.enforce import NOTHING_DROPPED, Counts
from lake.write.store import DeltaStore, Txn
from tests.lakes import without_spark
from tests.power import Disk
from tests.tiny import day_of, marks

D1 = day_of(1)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


@pytest.fixture
def lake(home: Path) -> DeltaStore:
    return without_spark(home)


@pytest.fixture
def disk(home: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


def rows_of(path: Path) -> list[dict[str, object]]:
    return list(DeltaTable(path).to_pyarrow_table().to_pylist())


def test_the_ledger_the_frontier_and_a_commit_of_a_stream_survive(
    lake: DeltaStore, disk: Disk, home: Path, tmp_path: Path
) -> None:
    row = pa.Table.from_pylist([{"name": "a", "day": D1, "points": 1}], schema=marks.contract.arrow_schema)
    lake.append(marks, row, Txn("follow", 0), {})
    lake.upsert(marks, row.set_column(2, "points", pa.array([2], pa.int32())), Txn("follow", 1), {})
    Ledger(lake).record([Entry("silver.marks", D1, "written", 1, 1, 0, 0, {}, 1, "code", 0.1)])
    frontier = FrontierTable(lake)
    frontier.change(lambda _: Frontier(D1, D1), "follow")

    left = disk.after_a_power_cut(home, tmp_path / "left") / "tables"

    assert rows_of(left / marks.path) == [{"name": "a", "day": D1, "points": 2}]
    assert [row["table"] for row in rows_of(left / "lake" / "ledger")] == ["silver.marks"]
    assert [row["first_open"] for row in rows_of(left / "lake" / "frontier")] == [D1]
    version = DeltaTable(left / marks.path).version()
    assert json.loads((left / marks.path / "_delta_log" / f"{version:020d}.crc").read_text())["numFiles"] == 1


def test_rows_in_quarantine_survive(lake: DeltaStore, disk: Disk, home: Path, tmp_path: Path) -> None:
    schema = NOTHING_DROPPED.rejected.schema
    rejected = {"day": D1, "rules": ["points ge"], "raw": "{}", "row": "{}"}
    row = pa.Table.from_pylist([{name: rejected.get(name) for name in schema.names}], schema=schema)
    lake.store_quarantine(marks, row, [Days.of(D1)])

    left = disk.after_a_power_cut(home, tmp_path / "left")

    (kept,) = rows_of(left / "tables" / "quarantine" / marks.path)
    assert (kept["day"], kept["raw"]) == (D1, "{}")


def test_the_marks_and_the_receipts_of_streams_survive(
    lake: DeltaStore, disk: Disk, home: Path, tmp_path: Path
) -> None:
    checkpoints, plan = Checkpoints(home / "checkpoints"), StreamPlan(marks, False, "append", "0f")
    checkpoints.create(plan, 3)
    checkpoints.note_delivered(marks, {"landed_on=2013-01-01/a.jsonl": "12 1"})
    TopicGuard([marks], TopicArchive(lake.landing), lake, home / "checkpoints")._keep(marks, {"topic": "marks"})
    receipts = Receipts(lake, home / "streams")
    for batch in (0, 1):
        receipts.add(MicroBatch("silver.marks", 3, batch, Counts(1, 1, 0, 0), 1, 0.1, datetime(2013, 1, 1, tzinfo=UTC)))

    left = disk.after_a_power_cut(home, tmp_path / "left")

    waiting = (left / "streams" / "receipts.jsonl").read_text().splitlines()
    assert [json.loads(line)["batch_id"] for line in waiting] == [0, 1]
    after = Checkpoints(left / "checkpoints")
    assert not after.is_lost(plan, 3, lake)
    assert after.note_delivered(marks, {"landed_on=2013-01-01/a.jsonl": "13 2"}), "the mark was forgotten"
    assert json.loads((left / "checkpoints" / "topics" / "silver.marks.json").read_text()) == {"topic": "marks"}


@pytest.mark.spark
def test_what_spark_wrote_survives_once_the_store_has_returned(
    store: DeltaStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    disk, ddl, days = Disk(monkeypatch), "name STRING, day DATE, points INT", [Days.between(D1, day_of(2))]
    with store.lock(marks.full_name):
        store.replace(marks, store.spark.createDataFrame([("a", D1, 1), ("b", day_of(2), 2)], ddl), days, {})
        store.append(marks, store.spark.createDataFrame([("c", D1, 3)], ddl), Txn("follow", 0), {})

    left = disk.after_a_power_cut(tmp_path, tmp_path.parent / f"{tmp_path.name} left")

    kept = sorted(tuple(row.values()) for row in rows_of(left / "tables" / marks.path))
    assert kept == sorted(tuple(row.values()) for row in stored_rows(store, marks))
    assert kept == [("a", D1, 1), ("b", day_of(2), 2), ("c", D1, 3)]


def test_a_file_is_replaced_in_one_step_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "marks.json"
    write_whole(file, "old")
    with file.open() as held:
        write_whole(file, b"new")

        assert (held.read(), file.read_text()) == ("old", "new")
    assert list(file.parent.iterdir()) == [file]


def test_what_cannot_be_written_leaves_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "marks.json"
    write_whole(file, "old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(file, "new")

    assert (file.read_text(), list(tmp_path.iterdir())) == ("old", [file])


def test_a_file_of_a_log_on_this_machine_survives(disk: Disk, home: Path, tmp_path: Path) -> None:
    (home / "_delta_log").mkdir()
    Log(str(home)).write_file("0.crc", b"{}")
    write_whole(home / "other", "")

    left = disk.after_a_power_cut(home, tmp_path / "left")

    assert (left / "_delta_log" / "0.crc").read_bytes() == b"{}"
