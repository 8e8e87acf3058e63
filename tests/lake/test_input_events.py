"""How new the events are that a micro-batch has read, from a checkpoint's offsets and the commits of its inputs."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from deltalake import DeltaTable

from lake.storage.store_path import write_text
from lake.stream.input_events import InputEvents
from lake.stream.stream_inputs import StreamInputs
from lake.testing.lakes import open_lake
from lake.write.store import DeltaStore
from tests.recorded import D2, commit, follow
from tests.tiny_topics import calls, texts

ALL_BEFORE = -1
"""The index of an offset that ends with the version before the one that it names."""


def noon(minute: int) -> datetime:
    return datetime(2013, 1, 2, 12, minute, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path) -> DeltaStore:
    """Calls of 12:01 to 12:05 in versions 1 to 5."""
    store = open_lake(tmp_path, None)  # type: ignore[arg-type]  # no session is needed
    follow(store, calls, texts)
    for minute in range(1, 6):
        commit(store, calls, {D2: 1}, maxima={"called_at": noon(minute).isoformat()})
    return store


@pytest.fixture
def events(store: DeltaStore, tmp_path: Path) -> InputEvents:
    (tmp_path / "offsets").mkdir()
    inputs = [(table, store.table_log(table)) for table in (calls, texts)]
    return InputEvents(StreamInputs("gold.flown", inputs, tmp_path))


def read_to(events: InputEvents, store: DeltaStore, batch_id: int, *ends: tuple[int, int]) -> None:
    """Write the offsets of a micro-batch as Spark and Delta do: a version and an index for each input."""
    ids = [DeltaTable(store.path(table)).metadata().id for table in (calls, texts)]
    offsets = [
        {"sourceVersion": 1, "reservoirId": name, "reservoirVersion": end, "index": index, "isStartingVersion": False}
        for name, (end, index) in zip(ids, ends, strict=False)
    ]
    lines = ["v1", json.dumps({"batchWatermarkMs": 0, "conf": {}}), *map(json.dumps, offsets)]
    write_text(events.inputs.checkpoint / "offsets" / str(batch_id), "\n".join(lines))


def test_it_is_the_newest_of_what_was_read_since_the_micro_batch_before(events: InputEvents, store: DeltaStore) -> None:
    commit(store, calls, {D2: 1}, maxima={"called_at": noon(0).isoformat()})  # version 6, of older events
    read_to(events, store, 0, (3, ALL_BEFORE))
    read_to(events, store, 1, (5, 0))
    read_to(events, store, 2, (7, ALL_BEFORE))

    assert [events.newest(batch) for batch in (0, 1, 2)] == [noon(2), noon(5), noon(0)]


def test_of_several_inputs_it_is_the_newest_of_all(events: InputEvents, store: DeltaStore) -> None:
    commit(store, texts, {D2: 1}, maxima={"written_at": noon(30).isoformat()})
    read_to(events, store, 0, (3, ALL_BEFORE), (1, ALL_BEFORE))
    read_to(events, store, 1, (4, ALL_BEFORE), (2, ALL_BEFORE))

    assert [events.newest(0), events.newest(1)] == [noon(2), noon(30)]


def test_a_micro_batch_that_reads_nothing_is_as_new_as_the_one_before(events: InputEvents, store: DeltaStore) -> None:
    read_to(events, store, 4, (3, ALL_BEFORE))
    read_to(events, store, 5, (3, ALL_BEFORE))

    assert events.newest(5) == noon(2)


def test_an_offset_may_name_a_version_that_is_not_there_yet(events: InputEvents, store: DeltaStore) -> None:
    read_to(events, store, 0, (6, ALL_BEFORE))

    assert events.newest(0) == noon(5)


@pytest.mark.parametrize("content", ["", "v1\n{nope", 'v1\n{"reservoirId": 1}', "v1\n-\n-"])
def test_offsets_that_cannot_be_read_say_nothing(events: InputEvents, content: str) -> None:
    write_text(events.inputs.checkpoint / "offsets" / "0", content)

    assert (events.newest(0), events.newest(7)) == (None, None)
