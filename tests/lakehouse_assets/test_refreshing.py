"""What `lakehouse refresh` brings up to date before the days that were asked for."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyspark.sql.functions as F
import pytest
from pyspark.sql import DataFrame, SparkSession

from lake.batch.plan import steps_to_date
from lake.batch.refresh import refresh
from lake.commands.refreshing import Ended, _ended, notes_of
from lake.declare.days import Days
from lake.declare.table import Read, Table
from lake.orchestration.red_checks import RedChecks
from lake.orchestration.refresher import Refresher
from lake.orchestration.resource import LakehouseResource
from lake.orchestration.results import TableResult
from lake.ownership.frontier import Frontier, FrontierTable
from lake.project.environment import Environment
from lake.project.settings import Settings
from lake.testing.lakes import interpreted, stored_rows
from lake.write.store import DeltaStore
from tests.lakehouse_assets.conftest import Lakehouse
from tests.lakehouse_assets.small_lake import settings_for
from tests.quiet_dagster import QUIET_DAGSTER
from tests.streaming import at
from tests.tiny import FEED, day_of, land, mark_files, marks, strict, totals
from tests.tiny_early import EARLY, STREAMS, call, expected, held

pytestmark = [pytest.mark.spark, QUIET_DAGSTER]

D2, D3 = day_of(2), day_of(3)


def _best(marks: DataFrame) -> DataFrame:
    """One row per day."""
    return marks.groupBy("day").agg(F.sum("points").alias("points"))


def _compared(marks: DataFrame, best: DataFrame) -> DataFrame:
    """One row per day."""
    return marks.select("day").distinct().crossJoin(best.agg(F.sum("points").alias("points")))


best = replace(totals, name="best", day=None, read_by=None, reads=(Read(marks),), transform=_best)
compared = replace(totals, name="compared", reads=(Read(marks), Read(best)), transform=_compared)
TABLES: list[Table] = [mark_files, marks, best, compared]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    calendar = {"LAKEHOUSE_FIRST_DAY": "2013-01-01", "LAKEHOUSE_LAST_DAY": "2013-01-31"}
    return settings_for(tmp_path, LAKEHOUSE_NOW="2013-01-20T08:00:00Z", **calendar)


@pytest.fixture
def store(settings: Settings) -> DeltaStore:
    return LakehouseResource.from_settings(settings).store()


@pytest.fixture
def refresher(
    spark: SparkSession, settings: Settings, store: DeltaStore, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Refresher]:
    monkeypatch.setenv("DAGSTER_HOME", "")
    settings.make_folders()
    environment = Environment(settings, {table.full_name: table for table in TABLES}, store)
    with interpreted(spark), Refresher(environment, lambda _: None) as opened:
        yield opened


def outline(results: list[TableResult]) -> list[tuple[str, str]]:
    return [(result.table, str(result.days or "whole")) for result in results]


def test_a_table_without_days_has_read_all_that_landed_before_a_day_is_computed_from_it(
    refresher: Refresher, store: DeltaStore
) -> None:
    """It is two tables away from what landed: neither its log nor that of what it reads says that anything is due."""
    land(store, D2, "a", [("a", D2, 1)])
    land(store, D3, "a", [("a", D3, 2)])
    first = refresher.days([compared], Days.of(D3))
    land(store, D2, "b", [("b", D2, 4)])

    second = refresher.days([compared], Days.of(D3))

    assert all(result.ok for result in [*first, *second])
    RedChecks(refresher.environment.settings.home).note({"gold.best contract": "3 rows rejected"})
    assert refresher.standing([compared], first) == [], "it was computed and checked"
    assert refresher.standing([compared], []) == ["gold.best contract: 3 rows rejected"]
    assert outline(first)[-1] == outline(second)[-1] == ("gold.compared", "2013-01-03")
    assert stored_rows(store, compared) == [{"day": D3, "points": 7}]


def test_what_was_asked_for_is_not_computed_where_its_input_failed(
    refresher: Refresher, store: DeltaStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    land(store, D2, "a", [("a", D2, 1)])

    def no_rows(*_: Any) -> DataFrame:
        raise AssertionError("broken on purpose")

    broken = replace(marks, transform=no_rows)
    tables = [mark_files, broken, replace(best, reads=(Read(broken),))]
    environment = replace(refresher.environment, tables={table.full_name: table for table in tables})
    monkeypatch.setattr(refresher, "environment", environment)

    results = refresher.days([tables[-1]], Days.of(D3))

    assert [(result.table, result.status, result.message.splitlines()[0:1]) for result in results] == [
        ("bronze.mark_files", "done", []),
        ("silver.marks", "failed", ["AssertionError: broken on purpose"]),
        ("gold.best", "skipped", ["not computed: it reads silver.marks, which failed or was skipped"]),
    ]


def _points(notes: DataFrame) -> DataFrame:
    """One row per day."""
    return notes.groupBy("event_date").count().select(F.col("event_date").alias("day"), F.col("count").alias("points"))


def test_what_does_not_read_a_failed_bronze_table_is_brought_up_to_date_beside_it(
    refresher: Refresher, store: DeltaStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    other_feed = replace(FEED, name="other_feed")
    land(store, D2, "a", [("a", D2, 1)])
    (store.landing.root / "marks_feed").rename(store.landing.root / "other_feed")
    land(store, D2, "a", [("a", D2, 1)])

    def cannot_be_read(_: DataFrame) -> DataFrame:
        raise AssertionError("broken on purpose")

    broken = replace(mark_files, transform=cannot_be_read)
    notes = replace(mark_files, name="notes", reads=(Read(other_feed),))
    counted = replace(totals, name="counted", reads=(Read(notes),), transform=_points)
    marked = replace(marks, reads=(Read(broken),))
    tables = [broken, notes, marked, counted, replace(best, reads=(Read(marked),))]
    environment = replace(refresher.environment, tables={table.full_name: table for table in tables})
    monkeypatch.setattr(refresher, "environment", environment)

    results = refresher.to_date(tables)

    assert [(result.table, result.status, result.message.splitlines()[0:1]) for result in results] == [
        ("bronze.mark_files", "failed", ["AssertionError: broken on purpose"]),
        ("bronze.notes", "done", []),
        ("gold.counted", "done", []),
        ("silver.marks", "skipped", ["not computed: it reads bronze.mark_files, which failed or was skipped"]),
        ("gold.best", "skipped", ["not computed: it reads silver.marks, which failed or was skipped"]),
    ]
    assert stored_rows(store, counted) == [{"day": D2, "points": 1}]
    assert _ended(results, days_named=False) == Ended.FAILED
    again = steps_to_date(environment.survey(), tables)
    assert [[table.full_name for table in step.tables] for step in again] == [["bronze.mark_files"]]


def test_a_landing_day_that_cannot_be_read_keeps_no_other_day_from_its_readers(
    refresher: Refresher, store: DeltaStore
) -> None:
    land(store, D2, "a", [("a", D2, 1)])
    land(store, D3, "a", [("a", D3, 2)])
    torn = store.landing.folder(FEED, D3) / "torn.gz"
    torn.write_bytes(gzip.compress(b"line\n" * 10_000)[:-30])

    results = refresher.to_date([marks])

    assert [(result.table, result.status, result.failed_days) for result in results] == [
        ("bronze.mark_files", "failed", (D3,)),
        ("silver.marks", "done", ()),
    ]
    assert str(torn) in results[0].message
    assert [row["day"] for row in stored_rows(store, marks)] == [D2]


def test_days_asked_for_are_computed_but_for_those_that_read_a_day_which_broke_its_contract(
    refresher: Refresher, store: DeltaStore
) -> None:
    for number in (2, 3, 4, 5):
        land(store, day_of(number), "a", [("a", day_of(number), -1 if number == 3 else 1)])
    summed = replace(totals, reads=(replace(totals.reads[0], source=strict),))
    tables = [mark_files, strict, summed, replace(best, reads=(Read(summed),))]
    refresher.environment = replace(refresher.environment, tables={one.full_name: one for one in tables})

    results = refresher.days([strict, summed], Days.between(D2, day_of(5)))

    told = [
        (one.table, one.status, str(one.days), one.failed_days)
        for one in results
        if one.table in {"silver.marks", "gold.totals"}
    ]
    assert told == [
        ("silver.marks", "failed", "2013-01-01..2013-01-05", (D3,)),
        ("gold.totals", "done", "2013-01-02", ()),
        ("gold.totals", "done", "2013-01-05", ()),
        ("gold.totals", "skipped", "2013-01-03..2013-01-04", ()),
    ]
    assert results[-1].message == "not computed: it reads silver.marks, which failed or was skipped"
    assert [row["day"] for row in stored_rows(store, summed)] == [D2, day_of(5)]
    assert _ended(results, days_named=True) == Ended.FAILED


def test_days_asked_for_are_computed_but_for_those_that_read_a_landing_day_that_cannot_be_read(
    refresher: Refresher, store: DeltaStore
) -> None:
    for day in (D2, D3, day_of(4), day_of(5)):
        land(store, day, "a", [("a", day, 1)])
    torn = store.landing.folder(FEED, D3) / "torn.gz"
    torn.write_bytes(gzip.compress(b"line\n" * 10_000)[:-30])
    environment = replace(refresher.environment, tables={one.full_name: one for one in (mark_files, marks, totals)})
    refresher.environment = environment

    results = refresher.days([marks, totals], Days.between(D2, day_of(5)))

    by_table: dict[str, list[tuple[str, str]]] = {}
    for result in results:
        by_table.setdefault(result.table, []).append((result.status, str(result.days)))
    assert by_table["bronze.mark_files"] == [("failed", "2013-01-01..2013-01-06")]
    assert by_table["silver.marks"][-1] == ("skipped", "2013-01-03")
    assert by_table["gold.totals"][-1] == ("skipped", "2013-01-03..2013-01-04")
    assert results[-1].message == "not computed: it reads silver.marks, which failed or was skipped"
    assert {status for found in by_table.values() for status, _ in found[:-1]} == {"done"}
    assert [row["day"] for row in stored_rows(store, marks)] == [D2, day_of(4), day_of(5)]
    assert [row["day"] for row in stored_rows(store, totals)] == [D2, day_of(5)]
    assert _ended(results, days_named=True) == Ended.FAILED


def test_a_call_whose_first_step_left_a_table_late_ends_with_0_once_its_last_step_made_it_fresh(
    refresher: Refresher, lakehouse: Lakehouse, store: DeltaStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for day in (D2, day_of(19)):  # too far apart for one step; the second is the newest that is due
        land(store, day, "a", [("a", day, 1)])
    monkeypatch.setattr("lake.commands.refreshing.open_environment", lambda: refresher.environment)

    done = lakehouse(tmp_path, "refresh", "bronze.mark_files")

    told = [line.split() for line in done.stdout.splitlines()]
    assert [line[:3] for line in told if line[0] != "next:"] == [
        ["ok", "bronze.mark_files", "2013-01-02"],
        ["fresh", "late:", "2013-01-03..2013-01-19"],
        ["ok", "bronze.mark_files", "2013-01-19"],
    ]
    assert (done.returncode, done.stderr) == (0, "")


def _doubled(mark_files: DataFrame) -> DataFrame:
    """One row per name and day, with twice the points: the declaration as somebody has mended it."""
    return marks(mark_files).withColumn("points", F.col("points") * 2)


def test_a_mended_declaration_is_told_and_its_days_are_computed_again_on_request_before_what_reads_them(
    refresher: Refresher, store: DeltaStore
) -> None:
    land(store, D2, "a", [("a", D2, 1)])
    land(store, D3, "a", [("a", D3, 2)])
    refresher.to_date(TABLES)
    # The others stand in one file with the first `marks`, and that has not changed.
    mended = replace(marks, transform=_doubled)
    tables = [mark_files, mended, replace(best, reads=(Read(mended),))]
    environment = replace(refresher.environment, tables={table.full_name: table for table in tables})

    assert Refresher(environment, lambda _: None).to_date(tables) == []
    assert notes_of(environment.survey(), tables, [], None) == [
        "silver.marks: computed by older code: 2013-01-02..2013-01-03; "
        "next: lakehouse refresh silver.marks --changed-code"
    ]
    with Refresher(environment, lambda _: None) as mending:
        again = mending.to_date(tables, changed_code=True)
        assert mending.to_date(tables, changed_code=True) == []

    assert outline(again) == [("silver.marks", "2013-01-02..2013-01-03"), ("gold.best", "whole")]
    assert stored_rows(store, best) == [{"day": D2, "points": 2}, {"day": D3, "points": 4}]
    assert notes_of(environment.survey(), tables, [], None) == []


def test_a_day_whose_inputs_streams_write_is_computed_early_of_what_is_there(
    refresher: Refresher, store: DeltaStore
) -> None:
    sent = [call(1, "ann", at(1, 9)), call(2, "ann", at(2, 9)), call(3, "bob", at(2, 10))]
    for message in sent:
        folder = store.landing.root / "calls" / f"landed_on={message['timestamp'][:10]}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{message['offset']}.jsonl").write_text(json.dumps(message) + "\n")
    for one in STREAMS:  # the same rows as by streams, which then own the days
        refresh(one, store, Days.between(day_of(1), D3))
    names = [one.full_name for one in STREAMS]
    state = Frontier(day_of(1), day_of(1), claimed=frozenset(names), generations=dict.fromkeys(names, 1))
    FrontierTable(store).change(lambda _: state, "test")
    refresher.environment = replace(refresher.environment, tables={one.full_name: one for one in [*STREAMS, *EARLY]})

    results = refresher.days([EARLY[1]], Days.of(D2))

    assert [(one.table, str(one.days), one.status, one.message) for one in results] == [
        ("silver.answers", "2013-01-01..2013-01-02", "done", ""),
        ("gold.answer_totals", "2013-01-02", "done", ""),
    ]
    assert held(store, EARLY[1]) == [row for row in expected(store)[1] if row["called_on"] == D2] != []
    (refused,) = refresher.days([STREAMS[1]], Days.of(D2))
    assert (refused.table, refused.status) == ("silver.calls", "failed")
    assert "streams own" in refused.message
