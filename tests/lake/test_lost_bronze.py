"""Bronze that is gone together with what it came from is not followed. Needs no JVM."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pytest

from lake.batch.inputs import pin_inputs
from lake.declare.feed import TopicFeed
from lake.declare.topic_source import TopicSource
from lake.errors import BronzeLost, InputLost
from lake.ownership.ledger import Entry, Ledger
from lake.storage.archive import TopicArchive
from lake.storage.store_path import remove_tree
from lake.stream.generation import Checkpoints, StreamPlan
from lake.stream.lost_bronze import refuse_lost_bronze
from lake.stream.progress import MicroBatch, Receipts
from lake.write.enforce import Counts
from lake.write.store import DeltaStore, Txn
from tests.lakes import without_spark
from tests.tiny_topics import call_events, calls

D1 = date(2013, 1, 1)
FEED = "calls"
PLAN = StreamPlan(call_events, is_stateful=False, output_mode="append", fingerprint="f")


@pytest.fixture
def store(tmp_path: Path) -> DeltaStore:
    return without_spark(tmp_path)


@pytest.fixture
def checkpoints(tmp_path: Path) -> Checkpoints:
    return Checkpoints(tmp_path / "checkpoints")


def land(store: DeltaStore, name: str) -> Path:
    file = store.landing.root / FEED / f"landed_on={D1}" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("{}\n")
    return file


def write(store: DeltaStore, rows: int = 1) -> None:
    """Commit rows of bronze, as a micro-batch does, with its receipt."""
    row: dict[str, Any] = {"topic": FEED, "partition": 0, "timestamp": datetime(2013, 1, 1, tzinfo=UTC)}
    found = [{**row, "offset": offset, "landed_on": D1, "event_date": D1} for offset in range(rows)]
    held = pa.Table.from_pylist(found, schema=call_events.contract.arrow_schema)
    store.append(call_events, held, Txn("test", 0), {})


def receive(store: DeltaStore, tmp_path: Path, rows: int) -> None:
    receipts = Receipts(store, tmp_path / "streams")
    receipts.add(MicroBatch(call_events.full_name, 1, 0, Counts(rows, rows, 0, 0), 1, 0.1))
    receipts.commit()


@pytest.fixture
def followed(store: DeltaStore, checkpoints: Checkpoints, tmp_path: Path) -> list[Path]:
    """Two files that a stream has read; three rows."""
    files = [land(store, name) for name in ("a.jsonl", "b.jsonl")]
    checkpoints.create(PLAN, 1)
    checkpoints.note_delivered(call_events, TopicArchive(store.landing).delivered(TopicFeed(FEED, "")))
    write(store, 3)
    checkpoints.note_table(PLAN, 1, store)
    receive(store, tmp_path, 3)
    return files


def check(store: DeltaStore, checkpoints: Checkpoints, source: TopicSource | None = None, accept: str = "") -> None:
    refuse_lost_bronze([call_events, calls], source or TopicArchive(store.landing), store, checkpoints, [accept])


def remove(store: DeltaStore) -> None:
    shutil.rmtree(store.path(call_events))


def test_bronze_without_some_of_its_files_is_refused_by_their_names_until_somebody_accepts_that(
    store: DeltaStore, checkpoints: Checkpoints, followed: list[Path]
) -> None:
    followed[1].unlink()
    check(store, checkpoints)  # bronze holds what is gone
    remove(store)
    with pytest.raises(BronzeLost) as refused:
        check(store, checkpoints)
    error = refused.value
    assert (error.table, error.topic, error.rows) == ("bronze.call_events", FEED, 3)
    assert error.files == ["landed_on=2013-01-01/b.jsonl"]
    assert "lakehouse follow --accept-loss bronze.call_events" in error.message().next_step
    check(store, checkpoints, accept="bronze.call_events")


def test_bronze_that_was_made_anew_without_its_files_is_refused_too(
    store: DeltaStore, checkpoints: Checkpoints, followed: list[Path]
) -> None:
    shutil.rmtree(followed[0].parent)
    remove(store)
    write(store)
    with pytest.raises(BronzeLost):
        check(store, checkpoints)


def test_bronze_whose_files_are_all_there_begins_anew(
    store: DeltaStore, checkpoints: Checkpoints, followed: list[Path]
) -> None:
    del followed
    remove(store)
    check(store, checkpoints)
    store.create(call_events)
    check(store, checkpoints)


def test_without_its_checkpoint_too_its_receipts_and_the_ledger_say_what_it_held(
    store: DeltaStore, checkpoints: Checkpoints, followed: list[Path]
) -> None:
    inputs = {f"feed:{FEED}": {"c.jsonl": [1, 1, "0"]}}
    entry = Entry(call_events.full_name, D1, "written", 4, 4, 0, 0, inputs, 1, "x", 0.1)
    remove_tree(checkpoints.root)
    remove(store)
    check(store, checkpoints)  # a stream would read the same two files again
    Ledger(store).record([entry])
    with pytest.raises(BronzeLost) as refused:
        check(store, checkpoints)
    assert (refused.value.rows, refused.value.files) == (7, ["landed_on=2013-01-01/c.jsonl"])
    Ledger(store).record([replace(entry, rows_out=0, inputs={})])  # somebody has accepted that
    shutil.rmtree(followed[0].parent)
    with pytest.raises(BronzeLost) as refused:
        check(store, checkpoints)
    assert (refused.value.rows, refused.value.files) == (3, [])


def test_a_lake_that_never_held_a_message_is_followed(store: DeltaStore, checkpoints: Checkpoints) -> None:
    check(store, checkpoints)
    store.create(call_events)
    check(store, checkpoints)


class Broker:
    """A topic that has lost its messages before an offset; `first` of None: all of them."""

    def __init__(self, first: int | None) -> None:
        self.first = first

    def bounds(self, feed: TopicFeed) -> Mapping[int, tuple[int, int]]:
        del feed
        return {0: (9 if self.first is None else self.first, 9)}

    def first_day(self, feed: TopicFeed) -> date | None:
        del feed
        return None if self.first is None else D1

    def topic(self, feed: TopicFeed) -> str:
        return feed.name

    def identity(self, feed: TopicFeed) -> str | None:
        del feed
        return "id"

    def first_from(self, feed: TopicFeed, offsets: Mapping[int, int]) -> Mapping[int, Any]:
        del feed, offsets
        return {}


def broker(first: int | None) -> TopicSource:
    return cast(TopicSource, Broker(first))


def test_a_topic_that_is_empty_now_is_nothing_to_begin_anew_from(
    store: DeltaStore, checkpoints: Checkpoints, followed: list[Path]
) -> None:
    del followed
    check(store, checkpoints, broker(None))
    remove(store)
    check(store, checkpoints, broker(3))
    with pytest.raises(BronzeLost):
        check(store, checkpoints, broker(None))


def test_what_reads_a_table_that_is_gone_is_not_computed_to_nothing(store: DeltaStore) -> None:
    """No entry says what streams have written; but its readers have entries."""
    read = {call_events.full_name: 4}
    entry = Entry(calls.full_name, D1, "written", 3, 3, 0, 0, read, 1, calls.code_version, 0.1)
    pin_inputs(calls, store, None, None)
    Ledger(store).record([entry])
    with pytest.raises(InputLost) as refused:
        pin_inputs(calls, store, None, None)
    assert refused.value.days == {None: (3, 0)}
    write(store)
    assert pin_inputs(calls, store, None, None).read == {call_events.full_name: 1}
