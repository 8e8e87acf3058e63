"""Files first, then one commit: what can be refused, overtaken or lost in between, and what readers skip files by."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import CommitFailedError
from hypothesis import given, settings
from hypothesis import strategies as st

from lake.commands.query import connect
from lake.declare.days import Days
from lake.errors import RowsOutsideDays, WrittenMeanwhile
from lake.storage.log import Log
from lake.testing.lakes import open_lake, stored_rows
from lake.write import committer
from lake.write.committer import Committer, Note, _Change
from lake.write.data_files import stage_rows
from lake.write.store import DeltaStore, Txn
from tests.tiny import day_of, marks

pytestmark = pytest.mark.slow

D1, D2, D3 = (day_of(number) for number in (1, 2, 3))
KEY = ("day", "name")


@pytest.fixture
def store(tmp_path: Path) -> DeltaStore:
    found = open_lake(tmp_path, None)  # type: ignore[arg-type]  # no session is needed
    found.create(marks)
    return found


@pytest.fixture
def target(store: DeltaStore) -> Committer:
    log = store.table_log(marks)
    return Committer(marks.full_name, store.path(marks), log, marks.contract.arrow_schema, ("day",), "day")


def rows(*found: tuple[str | None, date, int]) -> pa.Table:
    names, days, points = zip(*found, strict=True)
    return pa.table({"name": list(names), "day": list(days), "points": pa.array(points, pa.int32())})


def held(store: DeltaStore) -> list[tuple[object, ...]]:
    return sorted(tuple(row.values()) for row in stored_rows(store, marks))


def files(store: DeltaStore) -> set[Path]:
    return set(Path(store.path(marks)).rglob("*.parquet"))


def before_commit(monkeypatch: pytest.MonkeyPatch, action: Callable[[], object]) -> None:
    """Do something once, when the files are there and nothing is committed."""
    left = [action]

    def failpoint(name: str, _: str = "") -> None:
        if name == "after_files" and left:
            left.pop()()

    monkeypatch.setattr(committer, "failpoint", failpoint)


def test_days_are_replaced_and_others_stay(store: DeltaStore, target: Committer) -> None:
    target.add(rows(("a", D1, 1), ("a", D2, 2), ("a", D3, 3)), Note({}))

    done = target.replace(rows(("b", D2, 20)), [Days.between(D2, D3)], Note({"why": "test"}))

    assert held(store) == [("a", D1, 1), ("b", D2, 20)]
    assert (done.rows_by_day("day"), done.days("day"), done.metadata["why"]) == ({D2: 1}, {D2, D3}, "test")


def test_merging_replaces_rows_by_their_key_and_leaves_other_files_alone(store: DeltaStore, target: Committer) -> None:
    for row in (("a", D1, 1), ("b", D1, 2), ("a", D2, 3)):
        target.add(rows(row), Note({}))
    before = set(DeltaTable(store.path(marks)).file_uris())

    target.merge(rows(("a", D1, 10), ("c", D1, 30)), KEY, Note({}))

    assert held(store) == [("a", D1, 10), ("a", D2, 3), ("b", D1, 2), ("c", D1, 30)]
    assert len(before & set(DeltaTable(store.path(marks)).file_uris())) == 2


def test_what_is_refused_leaves_no_file(store: DeltaStore, target: Committer) -> None:
    with pytest.raises(RowsOutsideDays) as refused:
        target.replace(rows(("a", D1, 1), ("a", D3, 3)), [Days.of(D1)], Note({}))
    with pytest.raises(ValueError, match="null"):
        target.add(rows((None, D1, 1)), Note({}))

    assert refused.value.outside == {D3: 1}
    assert (files(store), store.version(marks)) == (set(), 0)


def test_another_day_that_is_written_meanwhile_is_in_nobody_s_way(
    store: DeltaStore, target: Committer, monkeypatch: pytest.MonkeyPatch
) -> None:
    before_commit(monkeypatch, lambda: write_deltalake(store.path(marks), rows(("x", D2, 9)), mode="append"))

    done = target.replace(rows(("a", D1, 1)), [Days.of(D1)], Note({}))

    assert (done.version, held(store)) == (2, [("a", D1, 1), ("x", D2, 9)])


@pytest.mark.parametrize("is_empty", [True, False])
def test_who_is_overtaken_on_its_day_writes_nothing(
    store: DeltaStore, target: Committer, monkeypatch: pytest.MonkeyPatch, is_empty: bool
) -> None:
    """Also where it has no row for that day: what it has computed is old by now."""
    before_commit(monkeypatch, lambda: write_deltalake(store.path(marks), rows(("x", D1, 9)), mode="append"))

    mine = rows(("a", D2, 2)) if is_empty else rows(("a", D1, 1))
    with pytest.raises(WrittenMeanwhile, match="version 1"):
        target.replace(mine, [Days.between(D1, D2)], Note({}))

    assert held(store) == [("x", D1, 9)]


def test_files_that_two_join_at_once_are_not_doubled(
    store: DeltaStore, target: Committer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for row in (("a", D1, 1), ("b", D1, 2)):
        target.add(rows(row), Note({}))
    before_commit(monkeypatch, DeltaTable(store.path(marks)).optimize.compact)

    store.compact(marks, Days.of(D1))

    assert held(store) == [("a", D1, 1), ("b", D1, 2)]
    assert store.version(marks) == 3, "the other one has joined them"


def test_rows_that_come_while_files_are_joined_stay(
    store: DeltaStore, target: Committer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for row in (("a", D1, 1), ("b", D1, 2)):
        target.add(rows(row), Note({}))
    before_commit(monkeypatch, lambda: write_deltalake(store.path(marks), rows(("x", D1, 9)), mode="append"))

    store.compact(marks, Days.of(D1))

    assert held(store) == [("a", D1, 1), ("b", D1, 2), ("x", D1, 9)]
    assert len(DeltaTable(store.path(marks)).file_uris()) == 2


def test_no_more_is_read_at_a_time_than_the_process_can_hold(
    store: DeltaStore, target: Committer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        target.add(rows((f"{number}", D1, number)), Note({}))
    size = max(file.stat().st_size for file in files(store))
    monkeypatch.setattr(committer, "_MOST_JOINED_BYTES", 2 * size)

    store.compact(marks, Days.of(D1))

    assert len(DeltaTable(store.path(marks)).file_uris()) == 3, "two of two, and one alone"
    assert [row[0] for row in held(store)] == ["0", "1", "2", "3", "4"]


def test_files_that_somebody_joins_meanwhile_are_not_doubled(
    store: DeltaStore, target: Committer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for row in (("a", D1, 1), ("b", D1, 2)):
        target.add(rows(row), Note({}))
    before_commit(monkeypatch, DeltaTable(store.path(marks)).optimize.compact)

    with pytest.raises(WrittenMeanwhile):
        target.merge(rows(("a", D1, 10)), KEY, Note({}))
    target.merge(rows(("a", D1, 10)), KEY, Note({}))

    assert held(store) == [("a", D1, 10), ("b", D1, 2)]


def test_who_asked_earlier_who_owns_the_days_is_refused_where_they_were_written_since(
    store: DeltaStore, target: Committer
) -> None:
    target.add(rows(("x", D1, 9)), Note({}))

    with pytest.raises(WrittenMeanwhile, match="version 1"):
        target.replace(rows(("a", D1, 1)), [Days.of(D1)], Note({}, since=0))
    target.replace(rows(("a", D2, 1)), [Days.of(D2)], Note({}, since=0))

    assert held(store) == [("a", D2, 1), ("x", D1, 9)]


def test_a_commit_whose_answer_was_lost_is_found_and_not_made_twice(
    store: DeltaStore, target: Committer, monkeypatch: pytest.MonkeyPatch
) -> None:
    once, left = _Change._try, ["lost"]

    def without_answer(change: _Change, actions: Any) -> None:
        once(change, actions)
        if left:
            left.pop()
            raise CommitFailedError("no answer")

    monkeypatch.setattr(_Change, "_try", without_answer)

    assert target.add(rows(("a", D1, 1)), Note({})).version == 1
    assert (held(store), store.version(marks)) == ([("a", D1, 1)], 1)


def test_an_error_after_the_commit_takes_no_file_away(
    store: DeltaStore, target: Committer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(committer, "flush_commits", full)
    with pytest.raises(OSError, match="No space left"):
        target.add(rows(("a", D1, 1)), Note({}))

    assert held(store) == [("a", D1, 1)]


def test_a_step_of_a_stream_is_committed_once(store: DeltaStore, target: Committer) -> None:
    for _ in range(2):
        target.add(rows(("a", D1, 1)), Note({}, Txn("marks:1", 4)))
    target.add(rows(("b", D1, 1)), Note({}, Txn("marks:1", 5)))

    assert held(store) == [("a", D1, 1), ("b", D1, 1)]


def test_a_year_of_days_is_one_commit(store: DeltaStore, target: Committer) -> None:
    days = [D1 + timedelta(days=number) for number in range(366)]

    done = target.replace(rows(*(("a", day, 1) for day in days)), None, Note({}))
    target.replace(rows(("b", D1, 2)), None, Note({}))

    assert (done.version, done.rows, held(store)) == (1, 366, [("b", D1, 2)])


# What readers skip files by

texts = st.text(max_size=40) | st.text("ab", min_size=30, max_size=70) | st.just("z" * 32 + chr(0x10FFFF) * 2)
moments = st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1))
values = st.fixed_dictionaries(
    {
        "text": st.none() | texts,
        "whole": st.none() | st.integers(-(2**63), 2**63 - 1),
        "real": st.none() | st.floats(),
        "exact": st.none() | st.decimals(-(10**20), 10**20, places=3),
        "moment": st.none() | moments,
        "day": st.none() | st.dates(),
    }
)
COLUMNS = pa.schema(
    [
        ("text", pa.string()), ("whole", pa.int64()), ("real", pa.float64()), ("exact", pa.decimal128(25, 3)),
        ("moment", pa.timestamp("us", "UTC")), ("day", pa.date32()),
    ]
)  # fmt: skip


def parse(name: str, text: Any) -> Any:
    if name in ("moment", "real"):
        return datetime.fromisoformat(text) if name == "moment" else float(text)
    return date.fromisoformat(text) if name == "day" else text


@settings(max_examples=60, deadline=None)
@given(found=st.lists(values, min_size=1, max_size=6))
def test_no_value_lies_outside_what_is_said_of_its_file(
    tmp_path_factory: pytest.TempPathFactory, found: list[dict[str, Any]]
) -> None:
    for row in found:
        row["moment"] = None if row["moment"] is None else row["moment"].replace(tzinfo=UTC)
    log = Log(str(tmp_path_factory.mktemp("files")))
    with stage_rows(pa.Table.from_pylist(found, COLUMNS), log, []) as staged:
        (file,) = staged.files
    said = json.loads(file.statistics, parse_float=Decimal)

    assert said["numRecords"] == len(found)
    for name in COLUMNS.names:
        known = [row[name] for row in found if row[name] is not None and row[name] == row[name]]
        assert said["nullCount"][name] == sum(row[name] is None for row in found)
        for kind, order in (("minValues", 1), ("maxValues", -1)):
            if name in said[kind]:
                bound = parse(name, said[kind][name])
                assert sorted([bound, *known])[::order][0] == bound
        assert name != "real" or name not in said["maxValues"], "no number is above a NaN, and footers pass over it"


def test_duckdb_and_polars_read_only_files_that_can_hold_what_is_asked_for(
    store: DeltaStore, target: Committer
) -> None:
    for number in range(6):
        target.add(rows((f"{number}", D1, number)), Note({}))

    lake = connect(store, [marks])
    plan = lake.sql("explain analyze select * from silver.marks where points = 3").fetchall()[0][1]
    found = pl.scan_delta(store.path(marks)).filter(pl.col("points") == 3).collect()

    assert "Scanning Files: 1/6" in plan
    assert found.rows() == [("3", D1, 3)]


@pytest.mark.spark
def test_spark_reads_only_files_that_can_hold_what_is_asked_for(store: DeltaStore, spark: Any) -> None:
    store.session = lambda: spark
    for number in range(6):
        frame = spark.createDataFrame([(f"{number}", D1, number)], "name STRING, day DATE, points INT")
        store.append(marks, frame, Txn("marks:1", number), {})
    rows_read = spark.read.format("delta").load(store.path(marks)).where("points = 3")

    rows_read.collect()
    metrics = rows_read._jdf.queryExecution().executedPlan().collectLeaves().head().metrics()

    assert metrics.get("numFiles").get().value() == 1


RACER = """
import sys
from pathlib import Path
import pyarrow as pa
from lake.declare.days import Days
from lake.errors import WrittenMeanwhile
from lake.write.committer import Committer, Note
from lake.testing.lakes import open_lake
from tests.tiny import day_of, marks

store = open_lake(Path(sys.argv[1]), None)
target = Committer("marks", store.path(marks), store.table_log(marks), marks.contract.arrow_schema, ("day",), "day")
done = refused = 0
while done + refused < 25:
    row = {"name": [f"{sys.argv[2]}{done}"], "day": [day_of(1)], "points": pa.array([done], pa.int32())}
    try:
        target.replace(pa.table(row), [Days.of(day_of(1))], Note({}))
        done += 1
    except WrittenMeanwhile:
        refused += 1
print(done, refused)
"""


def test_processes_that_race_for_a_day_without_a_common_lock_never_both_win(store: DeltaStore, tmp_path: Path) -> None:
    """As on hosts whose locks do not reach each other: each holds none."""
    racers = [
        subprocess.Popen([sys.executable, "-c", RACER, str(tmp_path), name], stdout=subprocess.PIPE, text=True)
        for name in "abc"
    ]
    counts = [[int(word) for word in racer.communicate(timeout=120)[0].split()] for racer in racers]

    assert sum(done for done, _ in counts) == store.version(marks)
    assert sum(refused for _, refused in counts) > 0
    assert len(held(store)) == 1
