"""Refresh: exactly the days asked for, every row accounted for, and a receipt that says so."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import pyspark.sql.functions as F
import pytest
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession

from lake.batch import refresh as batch
from lake.batch.refresh import Receipt, refresh
from lake.batch.survey import Survey, TableState
from lake.declare.days import Days
from lake.declare.table import Table
from lake.errors import (
    ContractBroken,
    DeclarationError,
    FilesGone,
    LandingDamaged,
    RowsLost,
    RowsOutsideDays,
    RowsWithoutDay,
    SchemaDrift,
)
from lake.ownership.frontier import Frontier, FrontierTable
from lake.ownership.ledger import Ledger
from lake.storage.commits import Commit
from lake.testing.lakes import job_ids_of, quarantined, stored_rows
from lake.write.enforce import Counts
from lake.write.store import DeltaStore
from tests.lakes import commits_since
from tests.tiny import FEED, day_of, land, mark_files, marks, strict, totals

pytestmark = pytest.mark.spark

D1, D2, D3, D4 = (day_of(number) for number in (1, 2, 3, 4))
ALL = Days.between(D1, D4)


def points(store: DeltaStore, table: Table = marks) -> list[tuple[str, date, int]]:
    return [(row["name"], row["day"], row["points"]) for row in stored_rows(store, table)]


def through_bronze(store: DeltaStore, table: Table = marks, days: Days = ALL) -> Receipt:
    refresh(mark_files, store, days)
    return refresh(table, store, days)


def test_a_refresh_replaces_its_days_and_leaves_the_others(store: DeltaStore) -> None:
    land(store, D1, "a", [("a", D1, 1)])
    land(store, D2, "a", [("a", D2, 2)])
    through_bronze(store)
    land(store, D1, "a", [("a", D1, 10)])
    land(store, D2, "a", [("a", D2, 20)])
    refresh(mark_files, store, ALL)

    receipt = refresh(marks, store, Days.of(D2))

    assert points(store) == [("a", D1, 1), ("a", D2, 20)]
    assert receipt.outcomes == {D2: "written"}
    assert receipt.counts == {D2: Counts(1, 1)}


def test_a_day_that_is_now_empty_becomes_empty(store: DeltaStore) -> None:
    land(store, D1, "a", [("a", D1, 1), ("b", D1, -1)])
    land(store, D2, "a", [("a", D2, 2)])
    through_bronze(store)
    for day in (D1, D2):
        land(store, day, "a", [])

    receipt = through_bronze(store, days=Days.of(D1))

    assert points(store) == [("a", D2, 2)]
    assert quarantined(store, marks) == []
    assert receipt.counts == {D1: Counts()}
    assert Ledger(store).latest("silver.marks")[D1].rows_out == 0


def test_every_row_is_out_rejected_or_a_duplicate(store: DeltaStore) -> None:
    land(store, D1, "a", [("a", D1, 1), ("a", D1, 5), ("b", D1, -1), ("long name", D1, None), "no json", ("c", D1, 3)])

    receipt = through_bronze(store)

    assert receipt.counts[D1] == Counts(rows_in=6, rows_out=2, rejected=3, duplicates=1)
    assert receipt.total == receipt.counts[D1]
    assert receipt.counts[D1].disagreeing == 1
    assert receipt.rules == {
        "name:not_null": 1,
        "name:str_length": 1,
        "points:greater_than_or_equal_to": 1,
        "points:not_null": 2,
    }
    assert points(store) == [("a", D1, 1), ("c", D1, 3)]
    assert sorted((row["raw"], row["day"], row["rules"]) for row in quarantined(store, marks)) == [
        ("no json", D1, ["name:not_null", "points:not_null"]),
        ('{"name": "b", "day": "2013-01-01", "points": -1}', D1, ["points:greater_than_or_equal_to"]),
        ('{"name": "long name", "day": "2013-01-01", "points": null}', D1, ["name:str_length", "points:not_null"]),
    ]


@pytest.mark.parametrize("how", ["collected", "by Spark", "compared"])
def test_the_receipt_counts_the_duplicates_that_disagree_by_day(
    store: DeltaStore, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(batch, "_MOST_COLLECTED", 0 if how == "by Spark" else 100)
    land(store, D1, "a", [("a", D1, 1), ("a", D1, 1), ("a", D1, 5), ("b", D1, 3)])
    land(store, D2, "a", [("a", D2, 1), ("a", D2, 1)])
    land(store, D3, "a", [("a", D3, 2), ("a", D3, 1), ("a", D3, 3)])
    through_bronze(store)

    receipt = refresh(marks, store, ALL, unless_equal=how == "compared")

    assert {day: (count.duplicates, count.disagreeing) for day, count in receipt.counts.items()} == {
        D1: (2, 1),
        D2: (1, 0),
        D3: (2, 2),
        D4: (0, 0),
    }
    assert [Ledger(store).latest("silver.marks")[day].disagreeing for day in (D1, D2, D3)] == [1, 0, 2]


def test_a_file_that_changed_in_place_in_a_lake_that_once_streamed_is_counted_and_bronze_keeps_its_rows(
    store: DeltaStore,
) -> None:
    """Streams only add to bronze, so that nothing there is replaced; what says otherwise must not go unsaid."""
    land(store, D1, "a", [("a", D1, 1), ("b", D1, 2), ("c", D1, 3)])
    refresh(mark_files, store, Days.of(D1))
    FrontierTable(store).change(
        lambda _: Frontier(stream_from=D4, first_open=D4, generations={mark_files.full_name: 1}), "released"
    )
    before = stored_rows(store, mark_files)
    land(store, D1, "a", [("a", D1, 1), ("b", D1, 7), ("c", D1, 8), ("d", D1, 9)])

    receipt = refresh(mark_files, store, Days.of(D1))

    kept = [row for row in stored_rows(store, mark_files) if '"d"' not in row["line"]]
    assert kept == before
    assert receipt.counts[D1].disagreeing == 2
    assert Ledger(store).latest(mark_files.full_name)[D1].disagreeing == 2


def test_a_mended_day_leaves_the_quarantine(store: DeltaStore) -> None:
    land(store, D1, "a", [("a", D1, -1)])
    land(store, D2, "a", [("a", D2, -2)])
    through_bronze(store)
    land(store, D1, "a", [("a", D1, 1)])

    through_bronze(store)

    assert points(store) == [("a", D1, 1)]
    assert [row["day"] for row in quarantined(store, marks)] == [D2]


def test_a_broken_row_of_a_policy_fail_table_fails_its_day_and_no_other(store: DeltaStore) -> None:
    land(store, D1, "a", [("a", D1, 1)])
    land(store, D2, "a", [("a", D2, 2)])
    land(store, D3, "a", [("a", D3, 3)])
    through_bronze(store, strict)
    land(store, D1, "a", [("a", D1, 10)])
    land(store, D2, "a", [("a", D2, 20), ("b", D2, -1)])
    land(store, D3, "a", [("a", D3, 30)])

    receipt = through_bronze(store, strict)

    assert points(store) == [("a", D1, 10), ("a", D2, 2), ("a", D3, 30)]
    assert receipt.failed_days == [D2]
    assert receipt.outcomes == {D1: "written", D2: "failed", D3: "written", D4: "written"}
    assert receipt.counts[D2] == Counts(rows_in=2, rows_out=0, rejected=1)
    assert receipt.counts[D3] == Counts(1, 1)
    assert [row["rules"] for row in quarantined(store, marks)] == [["points:greater_than_or_equal_to"]]
    with pytest.raises(ContractBroken, match="days 2013-01-02"):
        receipt.check()


def test_the_retry_of_a_mended_day_writes_it(store: DeltaStore) -> None:
    land(store, D1, "a", [("a", D1, -1)])
    assert through_bronze(store, strict).failed_days == [D1]
    land(store, D1, "a", [("a", D1, 1)])

    receipt = through_bronze(store, strict, Days.of(D1))

    assert receipt.check().failed_days == []
    assert points(store) == [("a", D1, 1)]
    assert quarantined(store, marks) == []


def test_when_every_day_fails_nothing_is_written(store: DeltaStore) -> None:
    land(store, D1, "a", [("a", D1, -1)])

    receipt = through_bronze(store, strict, Days.of(D1))

    assert receipt.failed_days == [D1]
    assert points(store) == []


def broken_transform(mark_files: DataFrame) -> DataFrame:
    """One row per name and day, if the rows were numbers."""
    return marks.transform(mark_files).withColumn("points", F.raise_error(F.lit("not today")).cast("int"))


def test_an_error_that_is_not_the_contract_is_not_taken_for_it(store: DeltaStore) -> None:
    land(store, D1, "a", [("a", D1, 1)])
    refresh(mark_files, store, ALL)

    with pytest.raises(PySparkException, match="not today"):
        refresh(replace(strict, transform=broken_transform), store, ALL)
    assert Ledger(store).latest("silver.marks") == {}


def misdated(mark_files: DataFrame) -> DataFrame:
    """One row per name, on the wrong day."""
    return marks.transform(mark_files).withColumn("day", F.date_add("day", 7))


def test_a_row_of_another_day_is_an_error_that_names_the_day_and_nothing_is_written(store: DeltaStore) -> None:
    land(store, D1, "a", [("a", D1, 1), ("b", D1, 1)])
    through_bronze(store)
    version = store.version(marks)

    with pytest.raises(RowsOutsideDays) as refused:
        refresh(replace(marks, transform=misdated), store, Days.of(D1))

    assert refused.value.outside == {date(2013, 1, 8): 2}
    assert refused.value.days == "2013-01-01"
    assert "silver.marks, column day, days 2013-01-01" in str(refused.value)
    assert store.version(marks) == version
    assert points(store) == [("a", D1, 1), ("b", D1, 1)]


def test_a_table_that_reads_around_its_days_keeps_only_its_own(store: DeltaStore) -> None:
    land(store, D1, "a", [("a", D1, 1)])
    land(store, D2, "a", [("a", D2, 20)])
    land(store, D3, "a", [("a", D3, 300)])
    through_bronze(store)

    receipt = refresh(totals, store, Days.of(D2))

    assert [(row["day"], row["points"]) for row in stored_rows(store, totals)] == [(D2, 21)]
    assert receipt.total == Counts(1, 1)


def test_a_repair_that_changes_nothing_commits_nothing(store: DeltaStore) -> None:
    land(store, D1, "a", [("a", D1, 1), ("a", D1, 2), ("b", D1, -1)])
    through_bronze(store)
    version = store.version(marks)

    receipt = refresh(marks, store, ALL, unless_equal=True)

    assert store.version(marks) == version == receipt.version
    assert set(receipt.outcomes.values()) == {"unchanged"}
    assert receipt.counts[D1] == Counts(3, 1, 1, 1)
    assert Ledger(store).latest("silver.marks")[D1].outcome == "unchanged"
    assert len(quarantined(store, marks)) == 1


def test_a_repair_commits_only_the_days_that_differ(store: DeltaStore) -> None:
    land(store, D1, "a", [("a", D1, 1)])
    land(store, D2, "a", [("a", D2, 2)])
    through_bronze(store)
    land(store, D2, "a", [("a", D2, 20)])
    refresh(mark_files, store, ALL)
    before = store.version(marks)
    assert before is not None

    receipt = refresh(marks, store, ALL, unless_equal=True)

    commits = commits_since(store.table_log(marks), before)
    assert commits is not None
    assert [commit.days("day") for commit in commits] == [{D2}]
    assert receipt.outcomes == {D1: "unchanged", D2: "written", D3: "unchanged", D4: "unchanged"}
    assert points(store) == [("a", D1, 1), ("a", D2, 20)]


def test_a_repair_empties_a_day_that_is_now_empty(store: DeltaStore) -> None:
    land(store, D1, "a", [("a", D1, 1)])
    land(store, D2, "a", [("a", D2, 2)])
    through_bronze(store)
    land(store, D2, "a", [])
    refresh(mark_files, store, ALL)

    receipt = refresh(marks, store, ALL, unless_equal=True)

    assert receipt.outcomes[D2] == "written"
    assert points(store) == [("a", D1, 1)]


def test_a_repair_of_a_policy_fail_table_leaves_broken_days_alone(store: DeltaStore) -> None:
    land(store, D1, "a", [("a", D1, 1)])
    land(store, D2, "a", [("a", D2, 2)])
    through_bronze(store, strict)
    land(store, D1, "a", [("a", D1, 10)])
    land(store, D2, "a", [("a", D2, 20), ("b", D2, -1)])
    refresh(mark_files, store, ALL)

    receipt = refresh(strict, store, ALL, unless_equal=True)

    assert receipt.failed_days == [D2]
    assert points(store) == [("a", D1, 10), ("a", D2, 2)]


def test_a_clean_refresh_is_one_commit_whose_metadata_say_what_it_was_made_of(store: DeltaStore) -> None:
    land(store, D1, "a", [("a", D1, 1)])
    refresh(mark_files, store, ALL)

    receipt = refresh(marks, store, ALL, run_id="run-7")

    assert receipt.version == 1  # version 0 created the table
    commit = store.table_log(marks).commit(1)
    assert commit is not None
    said = dict(commit.metadata)
    assert said.pop("write")
    assert said == {
        "refresh": "silver.marks",
        "days": "2013-01-01..2013-01-04",
        "inputs": {"bronze.mark_files": 1},
        "code_version": marks.code_version,
        "run_id": "run-7",
    }


def test_the_ledger_has_a_row_per_day_also_for_empty_ones(store: DeltaStore) -> None:
    land(store, D1, "a", [("a", D1, 1), ("a", D1, 2)])
    through_bronze(store)

    entries = Ledger(store).latest("silver.marks")

    assert list(entries) == list(ALL)
    first = entries[D1]
    assert (first.outcome, first.rows_in, first.rows_out, first.rejected, first.duplicates) == ("written", 2, 1, 0, 1)
    assert (first.version, first.inputs, first.code_version) == (1, {"bronze.mark_files": 1}, marks.code_version)
    assert [entries[day].rows_in for day in (D2, D3, D4)] == [0, 0, 0]
    assert set(Ledger(store).latest("bronze.mark_files")[D1].inputs) == {"feed:marks_feed"}
    assert Ledger(store).latest("bronze.mark_files")[D2].inputs == {"feed:marks_feed": None}


def test_a_table_with_days_cannot_be_refreshed_without_any(store: DeltaStore) -> None:
    with pytest.raises(DeclarationError, match="it has days, and none were asked for"):
        refresh(marks, store, None)


def another_schema(mark_files: DataFrame) -> DataFrame:
    """One row per name and day, with points as text."""
    return marks.transform(mark_files).withColumn("points", F.col("points").cast("string"))


def test_a_transform_with_other_columns_than_its_contract_writes_nothing(store: DeltaStore) -> None:
    with pytest.raises(SchemaDrift, match="points should be int and is string"):
        refresh(replace(marks, transform=another_schema), store, ALL)
    assert store.version(marks) is None
    assert Ledger(store).latest("silver.marks") == {}


def test_keys_stay_unique_when_one_name_comes_again_with_other_points(store: DeltaStore) -> None:
    """The first received wins, whatever the order of files, and with equal lineage the other columns decide."""
    land(store, D1, "z", [("a", D1, 9)])
    land(store, D2, "b", [("a", D1, 1), ("a", D1, 2)])

    through_bronze(store)

    assert points(store) == [("a", D1, 9)]


def test_a_row_whose_day_breaks_the_contract_is_filed_under_its_event_day(store: DeltaStore) -> None:
    land(store, D2, "a", ['{"name": "a", "points": 1}'])
    refresh(mark_files, store, ALL)
    undated = replace(
        marks, transform=lambda mark_files: marks.transform(mark_files).withColumn("day", F.lit(None).cast("date"))
    )

    receipt = refresh(undated, store, ALL)

    assert receipt.counts[D2] == Counts(1, 0, 1, 0)
    assert [(row["day"], row["rules"]) for row in quarantined(store, marks)] == [(D2, ["day:not_null"])]


def without_day(marks: DataFrame) -> DataFrame:
    """Totals whose day is unknown where it is D2."""
    return totals.transform(marks).withColumn("day", F.when(F.col("day") != F.lit(D2), F.col("day")))


def test_a_row_without_a_day_is_refused_before_anything_is_written(store: DeltaStore) -> None:
    land(store, D1, "a", [("a", D1, 1)])
    land(store, D2, "a", [("a", D2, 2)])
    through_bronze(store)
    refresh(totals, store, Days.of(D1))

    with pytest.raises(RowsWithoutDay) as refused:
        refresh(replace(totals, transform=without_day), store, ALL)

    assert (refused.value.table, refused.value.column) == ("gold.totals", "day")
    assert stored_rows(store, totals) == [{"day": D1, "points": 1}]
    assert quarantined(store, totals) == []
    assert set(Ledger(store).latest("gold.totals")) == {D1}


def lose_a_row_of_each_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on every commit that replaces days holds a row fewer than was handed to it, by its own account."""
    write = DeltaStore.replace

    def lossy(*given: Any, **options: Any) -> Commit:
        commit = write(*given, **options)
        (partition, rows), *others = commit.added.items()
        return replace(commit, added={partition: rows - 1, **dict(others)})

    monkeypatch.setattr(DeltaStore, "replace", lossy)


def state_of_marks(store: DeltaStore) -> TableState:
    return Survey([mark_files, marks], store, ALL).states["silver.marks"]


def test_a_day_of_which_a_row_was_lost_has_no_receipt_and_stays_missing(
    store: DeltaStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    land(store, D1, "a", [("a", D1, 1), ("b", D1, 2)])
    refresh(mark_files, store, ALL)
    lose_a_row_of_each_commit(monkeypatch)

    with pytest.raises(RowsLost) as lost:
        refresh(marks, store, Days.of(D1))

    assert (lost.value.table, lost.value.stored) == ("silver.marks", 1)
    assert Ledger(store).latest("silver.marks") == {}
    assert state_of_marks(store).missing == {D1: "never computed"}


def test_a_repair_that_lost_a_row_leaves_the_receipt_of_before_and_the_day_stays_stale(
    store: DeltaStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    land(store, D1, "a", [("a", D1, 1)])
    land(store, D2, "a", [("b", D2, 2)])
    through_bronze(store)
    before = Ledger(store).latest("silver.marks")
    land(store, D2, "a", [("b", D2, 20), ("c", D2, 30)])
    refresh(mark_files, store, Days.of(D2))
    lose_a_row_of_each_commit(monkeypatch)

    with pytest.raises(RowsLost) as lost:
        refresh(marks, store, ALL, unless_equal=True)

    assert (lost.value.table, lost.value.stored) == ("silver.marks", 1)
    assert Ledger(store).latest("silver.marks") == before
    assert D2 in state_of_marks(store).stale


def test_archived_messages_that_bronze_should_hold_beside_those_of_a_stream_and_does_not_are_lost(
    store: DeltaStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    land(store, D1, "streamed", [("a", D1, 1), ("b", D1, 2)])
    refresh(mark_files, store, Days.of(D1))
    (store.landing.folder(FEED, D1) / "streamed").unlink()  # what only the stream has read is in no archive
    followed = Frontier(D1, D1, generations={mark_files.full_name: 1})
    FrontierTable(store).change(lambda _: followed, "a stream wrote the table once")
    land(store, D1, "archived", [("c", D1, 3), ("d", D1, 4)])
    insert = DeltaStore.insert_new

    def lossy(held: DeltaStore, table: Table, rows: DataFrame, *others: Any) -> Commit:
        return insert(held, table, rows.where("line not like '%\"d\"%'"), *others)

    with monkeypatch.context() as broken:
        broken.setattr(DeltaStore, "insert_new", lossy)
        with pytest.raises(RowsLost) as lost:
            refresh(mark_files, store, Days.of(D1))
    assert lost.value.stored == 1

    receipt = refresh(mark_files, store, Days.of(D1))

    assert (receipt.outcomes, receipt.total) == ({D1: "written"}, Counts(2, 2))
    assert len(stored_rows(store, mark_files)) == 4


def names_of_jobs(spark: SparkSession, action: Callable[[], object]) -> list[str]:
    """What started each Spark job of an action, apart from those by which Delta reads the logs of tables."""
    jobs = spark.sparkContext._jsc.sc().statusStore()
    found = [jobs.job(number) for number in job_ids_of(spark, action)]
    return [
        job.name()
        for job in found
        if not re.search("Delta: |recordDeltaOperation", f"{job.name()} {job.description()}")
    ]


def test_a_clean_refresh_of_bronze_or_of_silver_is_one_spark_job(store: DeltaStore, spark: SparkSession) -> None:
    ran = []
    for number in (1, 2):
        land(store, D1, "a", [("a", D1, number), ("b", D1, number)])
        ran += [names_of_jobs(spark, partial(refresh, table, store, ALL)) for table in (mark_files, marks)]

    assert [[name.partition(" ")[0] for name in names] for names in ran] == [["parquet"]] * 4
    assert points(store) == [("a", D1, 2), ("b", D1, 2)]


def test_a_duplicate_costs_a_second_job(store: DeltaStore, spark: SparkSession) -> None:
    """The control: jobs over rows other than the write are seen."""
    land(store, D1, "a", [("a", D1, 1), ("a", D1, 2)])
    refresh(mark_files, store, ALL)

    assert len(names_of_jobs(spark, partial(refresh, marks, store, ALL))) == 2


def test_files_that_cannot_be_read_keep_their_own_days_back_and_no_others(store: DeltaStore) -> None:
    days = Days.between(D1, day_of(5))
    for day in days:
        land(store, day, "a", [("a", day, 1)])
    torn = store.landing.folder(FEED, D1) / "torn.gz"
    torn.write_bytes(gzip.compress(b"line\n" * 10_000)[:-30])
    gone = store.landing.folder(FEED, D2) / "gone"
    gone.symlink_to(gone.with_name("nothing"))
    colon = store.landing.folder(FEED, D4) / "10:00"
    colon.write_text("b\n")

    receipt = refresh(mark_files, store, days)

    assert receipt.failed_days == [D1, D2, D4]
    assert {row["landed_on"] for row in stored_rows(store, mark_files)} == {D3, day_of(5)}
    assert set(Ledger(store).latest("bronze.mark_files")) == {D3, day_of(5)}
    with pytest.raises(LandingDamaged) as damaged:
        receipt.check()
    assert set(damaged.value.files) == {str(torn), str(gone), str(colon)}
    assert all(str(path) in str(damaged.value) for path in (torn, gone, colon))

    for path in (torn, gone, colon):
        path.unlink()
    assert refresh(mark_files, store, days).check().total.rows_out == 5


def test_a_link_that_leads_out_of_landing_keeps_its_own_day_back_and_one_inside_is_read(
    store: DeltaStore, tmp_path: Path
) -> None:
    for day in (D1, D2, D3):
        land(store, day, "a", [("a", day, 1)])
    (tmp_path / "secret").write_text("secret\n")
    out = store.landing.folder(FEED, D2) / "out"
    out.symlink_to(tmp_path / "secret")
    (store.landing.folder(FEED, D3) / "inside").symlink_to(store.landing.folder(FEED, D1) / "a")

    receipt = refresh(mark_files, store, Days.between(D1, D3))

    assert receipt.failed_days == [D2]
    with pytest.raises(LandingDamaged, match=re.escape(f"{out} (is a link that leads out of landing")):
        receipt.check()
    assert sorted(str(row["file"]) for row in stored_rows(store, mark_files)) == ["a", "a", "inside"]


def test_a_data_file_that_is_gone_refuses_readers_and_is_made_again(store: DeltaStore) -> None:
    for day in (D1, D2):
        land(store, day, "a", [("a", day, 1)])
    through_bronze(store)
    (gone,) = Path(store.path(marks)).glob(f"day={D2}/*.parquet")
    gone.unlink()

    with pytest.raises(FilesGone, match=re.escape("lakehouse refresh silver.marks --days 2013-01-02")):
        refresh(totals, store, ALL)
    refresh(marks, store, Days.of(D2), unless_equal=True)

    assert points(store) == [("a", D1, 1), ("a", D2, 1)]
    assert refresh(totals, store, ALL).total.rows_out == 2
