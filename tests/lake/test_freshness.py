"""Freshness: judged by the newest day that is due, and by what the feeds were to deliver for it. No JVM."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake
from pyspark.sql import SparkSession

from lake.batch.freshness import Deliveries, Freshness, FreshnessJudge, due_day
from lake.batch.survey import Survey
from lake.declare.days import Days
from lake.declare.feed import EVERY_DAY, SOME_DAYS, Delivery
from lake.declare.graph import with_upstream
from lake.declare.table import Read, Table
from lake.errors import DeclarationError
from lake.ownership.frontier import Frontier, FrontierTable
from lake.storage.landing import Landing
from lake.write.store import DeltaStore
from tests.recorded import hold, record
from tests.tiny import FEED, day_of, land, mark_files, marks, totals
from tests.tiny_topics import call_events, calls, hourly_calls

CALENDAR = Days.parse("2013-01-01..2013-12-31")
D1, D2, D3 = day_of(1), day_of(2), day_of(3)
TWO_HOURS = timedelta(hours=2)
FILES = replace(mark_files, fresh_within=TWO_HOURS)
MARKS = replace(marks, reads=(Read(FILES),), fresh_within=TWO_HOURS)


@pytest.fixture
def store(tmp_path: Path) -> DeltaStore:
    def no_session() -> SparkSession:
        raise AssertionError("freshness needs no Spark")

    return DeltaStore(str(tmp_path / "tables"), Landing(tmp_path / "landing"), tmp_path / "locks", no_session)


def at(day: int, hour: int, minute: int = 0) -> datetime:
    return datetime(2013, 1, day, hour, minute, tzinfo=UTC)


def judge(store: DeltaStore, table: Table, now: datetime) -> Freshness:
    return FreshnessJudge(Survey(list(with_upstream([table])), store, CALENDAR), now).judge(table)


@pytest.mark.parametrize(
    ("now", "due", "newest", "said"),
    [
        (at(1, 23), None, None, "nothing due yet"),
        (at(2, 1, 59), None, None, "nothing due yet"),
        (at(2, 2), D1, None, "late: 2013-01-01 is missing for 0 h: marks_feed missed 2013-01-01"),
        (at(2, 2), D1, D1, "fresh"),
        (at(3, 1, 59), D1, D1, "fresh"),
        (at(3, 5), D2, D1, "late: 2013-01-02 is missing for 3 h: marks_feed missed 2013-01-02"),
        (at(3, 5), D2, day_of(5), "fresh"),
        (
            at(9, 2),
            day_of(8),
            D3,
            "late: 2013-01-04..2013-01-08 are missing, the first for 4 days: marks_feed missed 2013-01-08",
        ),
    ],
)
def test_a_table_is_late_when_the_day_that_is_due_is_not_there(
    store: DeltaStore, now: datetime, due: date | None, newest: date | None, said: str
) -> None:
    days = list(Days.between(D1, newest)) if newest else []
    hold(store, FILES, days)
    record(store, FILES, days)

    verdict = judge(store, FILES, now)

    assert verdict.due_day == due
    assert verdict.is_late == said.startswith("late")
    assert str(verdict) == said
    assert verdict.newest_day == (min(newest, due) if newest and due else None)
    assert verdict.is_whole is False


MONTHLY = replace(totals, name="monthly", reads=(MARKS.month(),), fresh_within=TWO_HOURS)
WEEKLY = replace(totals, name="weekly", reads=(MARKS.week(),), fresh_within=TWO_HOURS)


@pytest.mark.parametrize(
    ("table", "now", "due"),
    [
        (MONTHLY, datetime(2013, 2, 1, 1, tzinfo=UTC), None),
        (MONTHLY, datetime(2013, 2, 1, 2, tzinfo=UTC), D1),
        (MONTHLY, datetime(2013, 3, 1, 1, tzinfo=UTC), D1),
        (MONTHLY, datetime(2013, 3, 1, 2, tzinfo=UTC), date(2013, 2, 1)),
        (WEEKLY, at(14, 1), None),
        (WEEKLY, at(14, 2), day_of(7)),
        (WEEKLY, at(20, 23), day_of(7)),
    ],
)
def test_a_week_or_month_is_due_when_all_of_it_is(table: Table, now: datetime, due: date | None) -> None:
    assert due_day(table, now, CALENDAR) == due


def test_a_month_is_late_by_the_time_since_its_end(store: DeltaStore) -> None:
    january = list(Days.whole("month", D1))
    for table in (FILES, MARKS):
        hold(store, table, january)
        record(store, table, january)

    assert not judge(store, MONTHLY, at(31, 23)).is_late
    late = judge(store, MONTHLY, datetime(2013, 2, 1, 5, tzinfo=UTC))
    record(store, MONTHLY, [D1])

    assert str(late) == "late: 2013-01-01 is missing for 3 h: gold.monthly of 2013-01-01: never computed"
    assert str(judge(store, MONTHLY, datetime(2013, 2, 1, 5, tzinfo=UTC))) == "fresh"


@pytest.mark.parametrize(("late_by", "said"), [
    (timedelta(minutes=59), "0 h"), (timedelta(hours=71, minutes=59), "71 h"), (timedelta(hours=72), "3 days"),
    (timedelta(hours=119), "4 days"),
])  # fmt: skip
def test_what_is_late_is_told_in_hours_and_from_the_third_day_on_in_days(late_by: timedelta, said: str) -> None:
    assert str(Freshness(D1, None, D1, late_by, "why")) == f"late: 2013-01-01 is missing for {said}: why"


def test_a_table_whose_log_is_damaged_is_late_and_names_the_file(store: DeltaStore) -> None:
    hold(store, FILES, [D1])
    record(store, FILES, [D1])
    newest = max(Path(store.path(FILES), "_delta_log").glob("*.json"))
    newest.write_text('{"add": {"pa')

    verdict = judge(store, FILES, at(2, 2))

    assert verdict.is_late
    assert newest.name in verdict.why


def test_a_delivery_that_was_not_computed_is_late_by_its_table(store: DeltaStore) -> None:
    hold(store, FILES, [D1])
    land(store, D1, "a", [("a", D1, 1)])

    assert judge(store, FILES, at(2, 2)).why == "bronze.mark_files of 2013-01-01: never computed"


def test_days_after_the_calendar_are_never_due(store: DeltaStore) -> None:
    hold(store, FILES, [CALENDAR.last])

    verdict = judge(store, FILES, datetime(2020, 1, 1, tzinfo=UTC))

    assert (verdict.due_day, verdict.is_late) == (CALENDAR.last, False)


def test_the_zone_of_the_clock_does_not_matter(store: DeltaStore) -> None:
    elsewhere = at(2, 2).astimezone(timezone(timedelta(hours=-11)))

    assert judge(store, FILES, elsewhere) == judge(store, FILES, at(2, 2))


@pytest.mark.usefixtures("new_york")
def test_the_zone_of_the_process_does_not_matter(store: DeltaStore) -> None:
    assert judge(store, FILES, at(2, 2)).due_day == D1


def test_a_day_that_was_computed_from_nothing_is_no_delivery(store: DeltaStore) -> None:
    hold(store, FILES, [D1])
    for table in (FILES, MARKS):
        record(store, table, [D1])
        record(store, table, [D2], rows=0)

    assert str(judge(store, MARKS, at(2, 2))) == "fresh"
    assert str(judge(store, MARKS, at(3, 2))) == ("late: 2013-01-02 is missing for 0 h: marks_feed missed 2013-01-02")


def test_a_dead_feed_is_late_while_another_lives_and_so_is_whatever_reads_it(store: DeltaStore) -> None:
    other = replace(FILES, name="other_files", reads=(Read(replace(FEED, name="other")),))
    joined = replace(MARKS, name="joined", reads=(Read(FILES), Read(other)))
    below = replace(totals, reads=(Read(joined),), fresh_within=TWO_HOURS)
    hold(store, FILES, [D1, D2])
    hold(store, other, [D1])
    for table in (FILES, other, MARKS, joined, below):
        record(store, table, [D1, D2])

    late = {t.name: str(judge(store, t, at(3, 2))) for t in (FILES, other, MARKS, joined, below)}

    dead = "late: 2013-01-02 is missing for 0 h: other missed 2013-01-02"
    assert late == {"mark_files": "fresh", "other_files": dead, "marks": "fresh", "joined": dead, "totals": dead}


def test_a_delivery_of_fewer_rows_than_declared_counts_as_none(store: DeltaStore) -> None:
    files = replace(FILES, reads=(Read(replace(FEED, delivers=Delivery(at_least=24))),))
    hold(store, files, [D1], rows=23)
    assert str(judge(store, files, at(2, 2))) == (
        "late: 2013-01-01 is missing for 0 h: marks_feed delivered 23 rows on 2013-01-01, expected at least 24"
    )

    hold(store, files, [D1], rows=1)
    assert str(judge(store, files, at(2, 2))) == "fresh"


def test_a_feed_of_some_days_may_be_as_old_as_its_table_says(store: DeltaStore) -> None:
    files = replace(FILES, reads=(Read(replace(FEED, delivers=SOME_DAYS)),), fresh_within=timedelta(days=7))
    reader = replace(MARKS, reads=(Read(FILES), Read(replace(files, name="register"))))
    register = reader.reads[1].source
    assert isinstance(register, Table)
    assert str(judge(store, register, at(9, 0))) == ("late: 2013-01-01 is missing for 0 h: marks_feed never delivered")

    hold(store, register, [D2])
    hold(store, FILES, Days.between(D1, day_of(20)))
    record(store, reader, Days.between(D1, day_of(20)))

    assert str(judge(store, register, at(10, 23))) == "fresh"
    assert str(judge(store, reader, at(10, 23))) == "fresh", "no day of it is due for another reason"
    stale = "the newest delivery of marks_feed is of 2013-01-02"
    assert str(judge(store, register, at(11, 1))) == f"late: 2013-01-03 is missing for 1 h: {stale}"
    assert str(judge(store, reader, at(11, 2))).endswith(stale)


def test_what_landed_and_was_not_read_is_not_called_a_missed_delivery(store: DeltaStore) -> None:
    land(store, D1, "a", [("a", D1, 1)])

    assert judge(store, FILES, at(2, 2)).why == "what marks_feed delivered on 2013-01-01 is not in bronze"


def test_a_day_that_no_input_has_rows_for_need_not_be_computed_but_its_inputs_must_be(store: DeltaStore) -> None:
    below = replace(totals, reads=(Read(MARKS),), fresh_within=TWO_HOURS)
    store.create(MARKS)
    hold(store, FILES, [D1])
    assert judge(store, below, at(2, 2)).why == "silver.marks of 2013-01-01: never computed"

    record(store, MARKS, [D1], rows=0)
    assert str(judge(store, below, at(2, 2))) == "fresh"

    hold(store, MARKS, [D1])
    assert judge(store, below, at(2, 2)).why == "gold.totals of 2013-01-01: never computed"

    record(store, below, [D1], outcome="failed")
    assert judge(store, below, at(2, 2)).why == "gold.totals of 2013-01-01: broke the contract"


def test_of_the_days_around_its_own_a_day_needs_those_that_are_due_there(store: DeltaStore) -> None:
    wide = replace(MARKS, reads=(FILES.days(after=1),), fresh_within=timedelta(hours=26))
    soon = replace(wide, fresh_within=TWO_HOURS)
    hold(store, FILES, [D1])
    record(store, FILES, [D1])
    record(store, wide, [D1])

    assert str(judge(store, soon, at(2, 2))) == "fresh"
    assert judge(store, wide, at(3, 2)).why == "marks_feed missed 2013-01-02"


def test_a_table_without_days_has_read_what_is_due_of_a_feed_that_delivers(store: DeltaStore) -> None:
    whole = replace(MARKS, name="whole", day=None, read_by=None)
    hold(store, FILES, [D1])
    assert str(judge(store, whole, at(2, 2))) == (
        "late: bronze.mark_files changed in version 1, which silver.whole has not read"
    )

    record(store, whole, [None], inputs={"bronze.mark_files": 1})
    assert str(judge(store, whole, at(2, 2))) == "fresh"
    assert judge(store, whole, at(2, 2)) == Freshness(D1, D1, is_whole=True)
    assert str(judge(store, whole, at(3, 2))) == "late: marks_feed missed 2013-01-02"

    ids = {"bronze.mark_files": store.table_log(FILES).table_id() or ""}
    record(store, whole, [None], inputs={"bronze.mark_files": 1}, table_ids=ids)
    assert str(judge(store, whole, at(2, 2))) == "fresh"

    ids = {"bronze.mark_files": "another table of this name"}
    record(store, whole, [None], inputs={"bronze.mark_files": 1}, table_ids=ids)
    assert str(judge(store, whole, at(2, 2))) == (
        "late: bronze.mark_files was made anew, which silver.whole has not read"
    )


def test_a_table_without_days_that_is_late_has_no_newest_day_and_is_late_by_the_day_that_is_due(
    store: DeltaStore,
) -> None:
    whole = replace(MARKS, name="whole", day=None, read_by=None)
    hold(store, FILES, [D1])
    record(store, whole, [None], inputs={"bronze.mark_files": 1})
    hold(store, FILES, [D2])

    why = "bronze.mark_files changed in version 2, which silver.whole has not read"
    assert judge(store, whole, at(3, 5)) == Freshness(D2, None, D2, timedelta(hours=3), why, is_whole=True)


def test_days_to_come_are_nothing_that_a_table_without_days_has_to_have_read(store: DeltaStore) -> None:
    whole = replace(MARKS, name="whole", reads=(Read(MARKS),), day=None, read_by=None)
    hold(store, FILES, [D1])
    record(store, MARKS, [D1], rows=0)
    hold(store, MARKS, [D3])
    assert str(judge(store, whole, at(2, 2))) == "fresh", "it never read a row, and none is due"

    hold(store, MARKS, [D1])
    record(store, whole, [None], inputs={"silver.marks": 2})
    hold(store, MARKS, [D2])
    assert str(judge(store, whole, at(2, 2))) == "fresh", "version 3 changed the next day"


def test_every_change_of_a_table_without_days_has_to_be_read_by_another(store: DeltaStore) -> None:
    whole = replace(MARKS, name="whole", day=None, read_by=None)
    below = replace(whole, name="below", reads=(Read(whole),))
    hold(store, FILES, [D1])
    record(store, whole, [None], inputs={"bronze.mark_files": 1})
    store.create(whole)
    assert str(judge(store, below, at(2, 2))) == "fresh", "there is nothing to read yet"

    write_deltalake(store.path(whole), pa.Table.from_pylist([{"name": "a", "day": D3, "points": 1}]), mode="append")
    assert judge(store, below, at(2, 2)).why == "silver.whole changed in version 1, which silver.below has not read"


def test_each_day_needs_all_that_is_due_of_a_table_without_days(store: DeltaStore) -> None:
    whole = replace(MARKS, name="whole", day=None, read_by=None)
    reader = replace(totals, reads=(Read(MARKS), Read(whole)), fresh_within=TWO_HOURS)
    for day in (D1, D2):
        hold(store, FILES, [day])
        record(store, MARKS, [day])
    record(store, whole, [None], inputs={"bronze.mark_files": 1})
    record(store, reader, [D1, D2])

    said = "bronze.mark_files changed in version 2, which silver.whole has not read"
    assert (
        str(judge(store, reader, at(3, 2))) == f"late: 2013-01-01..2013-01-02 are missing, the first for 24 h: {said}"
    )


def test_a_table_without_days_that_is_another_by_now_is_late(store: DeltaStore) -> None:
    whole = replace(MARKS, name="whole", day=None, read_by=None)
    hold(store, FILES, [D1])
    store.create(whole)
    own = store.table_log(whole).table_id() or ""
    record(store, whole, [None], inputs={"bronze.mark_files": 1}, table_ids={"silver.whole": own})
    assert str(judge(store, whole, at(2, 2))) == "fresh"
    record(store, whole, [None], inputs={"bronze.mark_files": 1}, table_ids={"silver.whole": "the one before"})
    assert str(judge(store, whole, at(2, 2))) == (
        "late: silver.whole was made anew and does not hold what was computed"
    )


def test_a_day_that_streams_own_is_there_when_its_deliveries_are_and_a_batch_table_waits_for_the_seal(
    store: DeltaStore,
) -> None:
    names = [table.full_name for table in (call_events, calls, hourly_calls)]
    own = Frontier(D1, D1, claimed=frozenset(names), generations=dict.fromkeys(names, 1))
    FrontierTable(store).change(lambda _: own, "test")
    settled = replace(totals, reads=(Read(calls),), fresh_within=timedelta(hours=26))
    hold(store, call_events, [D1])
    assert judge(store, calls, at(3, 2)).why == "calls missed 2013-01-02"

    hold(store, call_events, [D2])
    hold(store, calls, [D1])
    assert str(judge(store, calls, at(3, 2))) == "fresh"
    assert str(judge(store, hourly_calls, at(3, 2))) == "fresh"
    assert judge(store, settled, at(3, 2)).why == (
        "gold.totals of 2013-01-01: not computed while streams own days that it reads"
    )


def test_a_day_before_those_that_streams_own_is_computed_by_batch_and_missed_there(store: DeltaStore) -> None:
    own = Frontier(D3, D3, claimed=frozenset({calls.full_name}), generations={calls.full_name: 1})
    FrontierTable(store).change(lambda _: own, "test")
    hold(store, call_events, [D1, D2])
    record(store, call_events, [D1, D2])

    assert judge(store, calls, at(3, 2)).why == "silver.calls of 2013-01-01: never computed"


def test_a_delivery_that_is_awaited_keeps_back_all_that_reads_it(store: DeltaStore) -> None:
    other = replace(FILES, name="other_files", reads=(Read(replace(FEED, name="other")),))
    register = replace(FILES, name="register", reads=(Read(replace(FEED, name="seldom", delivers=SOME_DAYS)),))
    joined = replace(MARKS, name="joined", reads=(Read(FILES), Read(other)))
    tables = [FILES, other, register, MARKS, joined]
    land(store, D1, "a", [("a", D1, 1)])

    def awaited() -> dict[str, set[str]]:
        found = Deliveries(store).awaited(tables, D1)
        return {feed.name: {table.name for table in readers} for feed, readers in found.items()}

    assert awaited() == {"other": {"other_files", "joined"}}
    hold(store, other, [D1])  # by a stream: nothing of it lands as a file
    assert awaited() == {}


def test_a_delivery_without_rows_cannot_be_declared() -> None:
    assert [str(one) for one in (EVERY_DAY, SOME_DAYS, Delivery(at_least=24))] == [
        "every day, at least 1 row",
        "on some days, at least 1 row",
        "every day, at least 24 rows",
    ]
    with pytest.raises(DeclarationError, match="cannot be seen"):
        Delivery(at_least=0)
