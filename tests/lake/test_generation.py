"""When a table's stream begins anew, and where its checkpoint lies."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyspark.sql.functions as F
import pyspark.sql.types as T
import pytest
from deltalake import DeltaTable
from pyspark.sql import DataFrame, SparkSession

from lake.declare.contract import Contract, Field
from lake.declare.feed import TopicFeed
from lake.declare.table import Append, InsertNew, Read, Table, table
from lake.declare.topic_source import TopicSource
from lake.ownership.frontier import Frontier, FrontierTable
from lake.storage.archive import TopicArchive
from lake.storage.landing import Landing
from lake.storage.store_path import AnyPath, open_path, remove_tree, write_text
from lake.stream.follow import release
from lake.stream.generation import Checkpoints, StreamPlan, begin_generations, is_new, plan_stream, step_txn
from lake.write.store import DeltaStore, Txn
from tests.lakes import without_spark

JAN = {day: date(2013, 1, day) for day in range(1, 32)}
NOON = datetime(2013, 1, 6, 12, tzinfo=UTC)
FACTS: dict[str, Any] = {"fresh_within": timedelta(hours=26), "owner": "team:tests"}
CLICKS = TopicFeed("clicks", "what visitors clicked")


class ClickEvents(Contract):
    """A message as received."""

    value: T.StringType = Field(description="the message", nullable=True)
    offset: T.LongType = Field(description="its place")
    landed_on: T.DateType = Field(description="when it landed")
    event_date: T.DateType = Field(description="the day that it is about")


class Clicks(Contract):
    """A click."""

    visitor: T.StringType = Field(description="who")
    clicked_at: T.TimestampType = Field(description="when, UTC")
    clicked_on: T.DateType = Field(description="UTC day of clicked_at")


class Visitors(Contract):
    """A visitor's day."""

    visitor: T.StringType = Field(description="who")
    clicked_on: T.DateType = Field(description="UTC day")


@table(
    reads=[CLICKS], contract=ClickEvents, key=["offset", "landed_on"], day="landed_on", read_by="event_date",
    write=Append(), layer="bronze", **FACTS,
)  # fmt: skip
def click_events(clicks: DataFrame) -> DataFrame:
    """One row per message."""
    landed_on = F.col("_landed_on").alias("landed_on")
    return clicks.select("value", "offset", landed_on, F.to_date("timestamp").alias("event_date"))


@table(
    reads=[click_events], contract=Clicks, key=["visitor", "clicked_at"], day="clicked_on", day_of="clicked_at",
    event_time="clicked_at", lateness=timedelta(hours=3), write=InsertNew(["_offset"]), layer="silver", **FACTS,
)  # fmt: skip
def clicks(click_events: DataFrame) -> DataFrame:
    """One row per click."""
    at = F.get_json_object("value", "$.at").cast("timestamp")
    return click_events.select(
        F.get_json_object("value", "$.visitor").alias("visitor"), at.alias("clicked_at"),
        F.to_date(at).alias("clicked_on"), F.col("offset").alias("_offset"),
    )  # fmt: skip


@table(
    reads=[clicks], contract=Visitors, key=["visitor", "clicked_on"], day="clicked_on",
    write=InsertNew(["visitor"]), layer="gold", **FACTS,
)  # fmt: skip
def visitors(clicks: DataFrame) -> DataFrame:
    """One row per visitor and day."""
    return clicks.groupBy("visitor", "clicked_on").agg(F.count(F.lit(1)).alias("_times")).drop("_times")


def pairs_of(clicks: DataFrame, others: DataFrame) -> DataFrame:
    return clicks.join(others.select("visitor", "clicked_on"), ["visitor", "clicked_on"], how="inner")


pairs = replace(
    visitors, name="pairs", transform=pairs_of, reads=(clicks.days(), replace(clicks, name="others").days())
)
view_events = replace(click_events, name="view_events", reads=(Read(replace(CLICKS, name="views")),))
FOLLOWED = [click_events, clicks, visitors]


def plan_of(table: Table, fingerprint: str = "f") -> StreamPlan:
    return StreamPlan(table, is_stateful=False, output_mode="append", fingerprint=fingerprint)


@pytest.fixture
def store(tmp_path: Path) -> DeltaStore:
    return without_spark(tmp_path)


@pytest.fixture(params=["", "file://"], ids=["folder", "store"])
def checkpoints(request: pytest.FixtureRequest, tmp_path: Path) -> Checkpoints:
    """In a folder, and through the door of object stores."""
    return Checkpoints(open_path(f"{request.param}{tmp_path}", {}) / "checkpoints")


def write(store: DeltaStore, table: Table, txn: Txn, day: date = JAN[5]) -> None:
    """Commit one row, as a micro-batch does."""
    values = {
        "visitor": "a", "value": "{}", "offset": txn.version, "clicked_at": datetime(2013, 1, 5, 9, tzinfo=UTC),
    } | dict.fromkeys(("clicked_on", "landed_on", "event_date"), day)  # fmt: skip
    schema = table.contract.arrow_schema
    rows = pa.Table.from_pylist([{name: values[name] for name in schema.names}], schema=schema)
    store.append(table, rows, txn, {})


# How a table runs as a stream


@pytest.mark.spark
def test_groups_and_joins_of_streams_keep_state_and_a_changed_group_is_written_again(spark: SparkSession) -> None:
    plans = [plan_stream(table, spark) for table in (click_events, clicks, visitors, pairs)]

    assert [(plan.table.name, plan.is_stateful, plan.output_mode) for plan in plans] == [
        ("click_events", False, "append"),
        ("clicks", False, "append"),
        ("visitors", True, "update"),
        ("pairs", True, "append"),
    ]


@pytest.mark.spark
def test_the_checkpoints_of_the_release_before_are_found_again(spark: SparkSession) -> None:
    """Under any other fingerprint all open days are computed anew: that has to be wanted, as with a new Spark."""
    fingerprints = {table.name: plan_stream(table, spark).fingerprint for table in (click_events, clicks, visitors)}

    assert fingerprints == {
        "click_events": "b9499193cd85", "clicks": "b9499193cd85", "visitors": "f4a652c0e579",
    }  # fmt: skip


@pytest.mark.spark
def test_only_a_stream_with_state_begins_anew_when_its_transform_or_a_watermark_changes(spark: SparkSession) -> None:
    def other(clicks: DataFrame) -> DataFrame:
        return visitors(clicks.where(F.col("visitor") != "robot"))

    def fingerprint(table: Table) -> str:
        return plan_stream(table, spark).fingerprint

    patient = replace(clicks, lateness=timedelta(hours=4))
    assert fingerprint(replace(visitors, reads=(clicks.days(),))) == fingerprint(visitors)
    assert fingerprint(replace(visitors, transform=other)) != fingerprint(visitors)
    assert fingerprint(replace(visitors, reads=(patient.days(),))) != fingerprint(visitors)
    assert fingerprint(patient) == fingerprint(clicks)


@pytest.mark.spark
def test_a_change_of_the_last_of_many_columns_is_a_change_of_the_transform(spark: SparkSession) -> None:
    """Spark prints the first 25 of them only, if it is not told otherwise."""

    def counted(value: object) -> Callable[[DataFrame], DataFrame]:
        def transform(clicks: DataFrame) -> DataFrame:
            counts = [F.count(F.lit(number)).alias(f"_{number}") for number in range(40)]
            last = F.max(F.lit(value)).alias("_last")
            return clicks.groupBy("visitor", "clicked_on").agg(*counts, last).select("visitor", "clicked_on", "_last")

        return transform

    shown = spark.conf.get("spark.sql.debug.maxToStringFields")
    one, other = (plan_stream(replace(visitors, transform=counted(value)), spark) for value in (1, 2))
    assert one.fingerprint != other.fingerprint
    assert spark.conf.get("spark.sql.debug.maxToStringFields") == shown


# Where a checkpoint lies


def test_a_checkpoint_is_named_after_its_table_its_generation_and_its_plan() -> None:
    folder = Checkpoints(Path("checkpoints")).folder(plan_of(visitors, "0f3a"), 3)
    assert folder == Path("checkpoints/gold/visitors/g3-0f3a")


def test_a_new_generation_removes_the_folders_of_those_before_it(checkpoints: Checkpoints) -> None:
    checkpoints.create(plan_of(visitors), 1)
    checkpoints.create(plan_of(clicks), 1)
    checkpoints.create(plan_of(visitors), 2)

    assert sorted(str(folder).removeprefix(f"{checkpoints.root}/") for folder in checkpoints.root.glob("*/*/*")) == [
        "gold/visitors/g2-f",
        "silver/clicks/g1-f",
    ]
    assert (checkpoints.folder(plan_of(visitors), 2) / "generation").read_text() == "gold.visitors 2\n"


def test_a_query_is_new_until_its_first_micro_batch_has_begun(tmp_path: Path) -> None:
    assert is_new(tmp_path)
    offsets = tmp_path / "offsets"
    offsets.mkdir()
    (offsets / ".0.crc").touch()
    assert is_new(tmp_path), "Spark has only prepared it"
    (offsets / "0").touch()
    assert not is_new(tmp_path)


def test_a_step_has_the_identity_under_which_older_releases_have_written_it() -> None:
    """Under another one a micro-batch that is repeated after an upgrade would be written twice."""
    assert step_txn(clicks, "write", 3, 7) == Txn("follow/silver.clicks/write/3", 7)


# When a checkpoint is lost


def begun(checkpoints: Checkpoints, store: DeltaStore, generation: int = 1) -> AnyPath:
    """A generation of `clicks` that has written its first micro-batch."""
    checkpoints.create(plan_of(clicks), generation)
    write(store, clicks, step_txn(clicks, "write", generation, 0))
    offsets = checkpoints.folder(plan_of(clicks), generation) / "offsets"
    write_text(offsets / "0", "")
    return offsets


def test_a_stream_goes_on_from_a_checkpoint_that_is_there(checkpoints: Checkpoints, store: DeltaStore) -> None:
    assert checkpoints.is_lost(plan_of(clicks), 1, store)
    begun(checkpoints, store)
    checkpoints.note_table(plan_of(clicks), 1, store)
    assert not checkpoints.is_lost(plan_of(clicks), 1, store)
    assert checkpoints.is_lost(plan_of(clicks), 2, store)
    assert checkpoints.is_lost(plan_of(clicks, "another plan"), 1, store)


def test_a_checkpoint_of_a_release_that_noted_no_table_is_good(checkpoints: Checkpoints, store: DeltaStore) -> None:
    begun(checkpoints, store)
    assert not checkpoints.is_lost(plan_of(clicks), 1, store)


def test_a_checkpoint_that_has_forgotten_what_its_stream_wrote_is_lost(
    checkpoints: Checkpoints, store: DeltaStore
) -> None:
    remove_tree(begun(checkpoints, store))
    assert checkpoints.is_lost(plan_of(clicks), 1, store)


@pytest.mark.parametrize(
    "txn", [step_txn(clicks, "write", 1, 0), step_txn(clicks, "rejects", 2, 0), step_txn(visitors, "write", 2, 0)]
)
def test_a_stream_that_was_stopped_before_its_first_micro_batch_goes_on(
    checkpoints: Checkpoints, store: DeltaStore, txn: Txn
) -> None:
    """What an earlier generation, or another step, has written is not what it has forgotten."""
    checkpoints.create(plan_of(clicks), 2)
    write(store, clicks, txn)
    assert not checkpoints.is_lost(plan_of(clicks), 2, store)


def test_a_table_that_was_made_anew_lacks_what_its_stream_has_written(
    checkpoints: Checkpoints, store: DeltaStore
) -> None:
    begun(checkpoints, store)
    checkpoints.note_table(plan_of(clicks), 1, store)
    location = Path(store.path(clicks))
    location.rename(location.with_name("aside"))
    assert checkpoints.is_lost(plan_of(clicks), 1, store), "it is gone"
    write(store, clicks, step_txn(clicks, "write", 1, 0))
    assert checkpoints.is_lost(plan_of(clicks), 1, store), "it has another id"


def test_a_table_that_was_restored_later_lacks_what_its_stream_has_written(
    checkpoints: Checkpoints, store: DeltaStore
) -> None:
    begun(checkpoints, store)
    write(store, clicks, step_txn(clicks, "write", 1, 1))
    checkpoints.note_table(plan_of(clicks), 1, store)
    DeltaTable(store.path(clicks)).restore(1)
    assert checkpoints.is_lost(plan_of(clicks), 1, store)
    checkpoints.note_table(plan_of(clicks), 1, store)
    assert not checkpoints.is_lost(plan_of(clicks), 1, store), "the stream began after it"


def test_an_older_copy_of_a_table_lacks_what_its_stream_has_written_since_it_was_noted(
    checkpoints: Checkpoints, store: DeltaStore
) -> None:
    begun(checkpoints, store)
    checkpoints.note_table(plan_of(clicks), 1, store)
    name = store.table_log(clicks).table_id()
    checkpoints.note_seen(plan_of(clicks), 1, (name, 1))
    assert not checkpoints.is_lost(plan_of(clicks), 1, store)
    checkpoints.note_seen(plan_of(clicks), 1, (name, 2))  # as of a version that the copy does not have
    assert checkpoints.is_lost(plan_of(clicks), 1, store)


def test_no_table_is_noted_before_there_is_one(checkpoints: Checkpoints, store: DeltaStore) -> None:
    checkpoints.create(plan_of(clicks), 1)
    noted = checkpoints.folder(plan_of(clicks), 1) / "table_id"
    checkpoints.note_table(plan_of(clicks), 1, store)
    assert not noted.is_file()
    write(store, clicks, step_txn(clicks, "write", 1, 0))
    checkpoints.note_table(plan_of(clicks), 1, store)
    stored = DeltaTable(store.path(clicks))
    assert noted.read_text() == f"{stored.metadata().id} {stored.version()}\n"


# What bronze was given


def test_a_file_that_changed_after_it_was_read_is_told_until_the_stream_begins_anew(checkpoints: Checkpoints) -> None:
    checkpoints.create(plan_of(click_events), 1)
    assert not checkpoints.note_delivered(click_events, {"a.jsonl": "12 1 e3"})
    assert not checkpoints.note_delivered(click_events, {"a.jsonl": "12 1 e3", "b.jsonl": "5 2 77"})
    assert checkpoints.note_delivered(click_events, {"a.jsonl": "12 1 e3", "b.jsonl": "6 3 78"})
    assert checkpoints.note_delivered(click_events, {"b.jsonl": "6 3 78"}), "it was told and not mended"
    checkpoints.create(plan_of(click_events), 2)
    assert not checkpoints.note_delivered(click_events, {"a.jsonl": "12 1 e3", "b.jsonl": "6 3 78"})


def test_a_file_is_compared_with_what_it_was_when_it_was_read_first(checkpoints: Checkpoints) -> None:
    """A copy of it with another time is the same file, and one that is gone for a while is not forgotten."""
    checkpoints.create(plan_of(click_events), 1)
    checkpoints.note_delivered(click_events, {"a.jsonl": "12 1 e3"})
    assert not checkpoints.note_delivered(click_events, {"a.jsonl": "12 9 e3", "b.jsonl": "5 2 77"})
    assert not checkpoints.note_delivered(click_events, {"c.jsonl": "8 4 1b"})
    noted = checkpoints.root / "bronze" / "click_events" / "delivered.json"
    assert json.loads(noted.read_text()) == {"a.jsonl": "12 1 e3", "b.jsonl": "5 2 77", "c.jsonl": "8 4 1b"}
    assert checkpoints.note_delivered(click_events, {"a.jsonl": "13 9 e4"})


def test_before_its_first_generation_a_table_was_given_nothing(checkpoints: Checkpoints) -> None:
    assert not checkpoints.note_delivered(click_events, {"a.jsonl": "12 1 e3"})
    assert not checkpoints.note_delivered(click_events, {"a.jsonl": "13 2 e4"})
    assert not checkpoints.root.is_dir()


# Claims, and which tables begin anew


def begin(
    store: DeltaStore, tables: Sequence[Table] = (), *, asked: Sequence[Table] = (), since: date | None = None,
    earliest: date = date.min, source: TopicSource | None = None,
) -> Frontier:  # fmt: skip
    return begin_generations(
        FrontierTable(store),
        [plan_of(table) for table in tables or FOLLOWED],
        Checkpoints(store.landing.root.parent / "checkpoints"),
        asked=[table.full_name for table in asked],
        since=since,
        earliest=earliest,
        source=source,
        now=NOON,
    )


def land(landing: Landing, day: date, feed: str = "clicks") -> None:
    folder = landing.root / feed / f"landed_on={day}"
    folder.mkdir(parents=True)
    (folder / "a.jsonl").write_text("{}\n")


def test_the_first_claim_begins_every_table_and_the_next_goes_on(store: DeltaStore, checkpoints: Checkpoints) -> None:
    first = begin(store, since=JAN[5])
    assert first == Frontier(
        JAN[5], JAN[5],
        claimed=frozenset({"bronze.click_events", "silver.clicks", "gold.visitors"}),
        generations={"bronze.click_events": 1, "silver.clicks": 1, "gold.visitors": 1},
    )  # fmt: skip
    assert all((checkpoints.folder(plan_of(table), 1) / "generation").is_file() for table in FOLLOWED)
    assert begin(store) == first
    assert FrontierTable(store).state() == first
    (kept,) = DeltaTable(f"{store.tables}/lake/frontier").to_pyarrow_table().to_pylist()
    assert kept["cause"] == "follow"


def test_a_table_that_is_followed_later_begins_alone(store: DeltaStore) -> None:
    begin(store, [click_events, clicks], since=JAN[5])
    state = begin(store)
    assert state.claimed == {"bronze.click_events", "silver.clicks", "gold.visitors"}
    assert state.generations == {"bronze.click_events": 1, "silver.clicks": 1, "gold.visitors": 1}


def test_tables_that_are_not_followed_now_keep_their_claim_and_their_checkpoint(
    store: DeltaStore, checkpoints: Checkpoints
) -> None:
    first = begin(store, since=JAN[5])
    assert begin(store, [click_events]) == first
    assert begin(store, [visitors]) == first, "that its input is not among them is no reason to begin anew"


def test_what_is_asked_for_and_its_readers_begin_anew(store: DeltaStore, checkpoints: Checkpoints) -> None:
    begin(store, since=JAN[5])
    assert begin(store, asked=[visitors]).generations == {
        "bronze.click_events": 1, "silver.clicks": 1, "gold.visitors": 2,
    }  # fmt: skip
    assert begin(store, asked=[clicks]).generations == {
        "bronze.click_events": 1, "silver.clicks": 2, "gold.visitors": 3,
    }  # fmt: skip
    assert begin(store, asked=[click_events]).generations == {
        "bronze.click_events": 2, "silver.clicks": 2, "gold.visitors": 3,
    }, "bronze only ever adds"  # fmt: skip
    folders = sorted(folder.name for folder in checkpoints.root.glob("*/*/*"))
    assert folders == ["g2-f", "g2-f", "g3-f"]


def test_a_lake_without_anything_is_followed_from_the_clocks_day_on(store: DeltaStore) -> None:
    state = begin(store)
    assert (state.stream_from, state.first_open) == (JAN[6], JAN[6])
    release(FrontierTable(store))
    assert begin(store, [clicks]).stream_from == JAN[6], "nor does a table that reads no feed itself say otherwise"


def test_a_lake_is_followed_from_the_first_landing_day_on(store: DeltaStore) -> None:
    for day in (JAN[3], JAN[2], JAN[4]):
        land(store.landing, day)
    state = begin(store)
    assert (state.stream_from, state.first_open) == (JAN[2], JAN[2])


def test_a_lake_is_followed_from_the_first_landing_day_of_any_feed_up_to_today(store: DeltaStore) -> None:
    both = [click_events, view_events]
    land(store.landing, JAN[6])
    assert begin(store, both).stream_from == JAN[6]
    release(FrontierTable(store))
    land(store.landing, JAN[4], "views")
    assert begin(store, both).stream_from == JAN[4]


def test_what_lies_before_the_calendar_is_not_followed(store: DeltaStore) -> None:
    land(store.landing, JAN[2])
    assert begin(store, earliest=JAN[4]).stream_from == JAN[4]
    release(FrontierTable(store))
    assert begin(store, earliest=JAN[4], since=JAN[3]).stream_from == JAN[3], "it was asked for"


def test_a_topic_is_followed_from_its_first_message_on_wherever_files_have_landed(
    store: DeltaStore, tmp_path: Path
) -> None:
    land(store.landing, JAN[2])
    topic = Landing(tmp_path / "topic")
    land(topic, JAN[4])
    assert begin(store, source=TopicArchive(topic)).stream_from == JAN[4]


def test_where_batch_has_loaded_bronze_streams_take_over_on_its_newest_day(store: DeltaStore) -> None:
    """It may hold a part of that day only."""
    land(store.landing, JAN[2])
    for number, day in enumerate((JAN[3], JAN[4], JAN[2])):
        write(store, click_events, Txn("batch", number), day)
    assert begin(store).stream_from == JAN[4]


def test_where_batch_has_loaded_today_streams_take_over_today(store: DeltaStore) -> None:
    land(store.landing, JAN[2])
    write(store, click_events, Txn("batch", 0), JAN[6])
    assert begin(store).stream_from == JAN[6]


def test_days_that_are_over_when_streams_take_over_stay_with_batch(store: DeltaStore) -> None:
    """Silver holds a click at 09:00, and clicks may be three hours late: the day before is over."""
    land(store.landing, JAN[2])
    write(store, clicks, Txn("batch", 0))
    state = begin(store)
    assert (state.stream_from, state.first_open) == (JAN[2], JAN[5])


def test_a_first_day_that_is_asked_for_is_the_first_open_one(store: DeltaStore) -> None:
    write(store, clicks, Txn("batch", 0))
    state = begin(store, since=JAN[3])
    assert (state.stream_from, state.first_open) == (JAN[3], JAN[3])


def test_after_a_release_all_begin_anew_and_sealed_days_stay_sealed(store: DeltaStore) -> None:
    begin(store, since=JAN[2])
    frontier = FrontierTable(store)
    frontier.change(
        lambda now: Frontier(JAN[2], JAN[4], JAN[4], generations=now.generations if now else {}), "released"
    )
    land(store.landing, JAN[3])
    assert begin(store) == Frontier(
        JAN[3], JAN[4],
        claimed=frozenset({"bronze.click_events", "silver.clicks", "gold.visitors"}),
        generations={"bronze.click_events": 2, "silver.clicks": 2, "gold.visitors": 2},
    )  # fmt: skip
    release(FrontierTable(store))
    assert begin(store, since=JAN[5]).first_open == JAN[5], "batch owned the days between"
