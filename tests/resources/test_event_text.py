"""The text of an event that was filled in is the text that Dagster would have written."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.partitions.subset import DefaultPartitionsSubset
from dagster._core.events import (
    AssetMaterializationPlannedData,
    DagsterEvent,
    DagsterEventType,
    StepMaterializationData,
)
from dagster._serdes import serialize_value
from hypothesis import given
from hypothesis import strategies as st

from lake.orchestration.event_text import events_by_partition, texts_of

pytestmark = pytest.mark.slow

KEY = dg.AssetKey(["gold", 'a "name"'])

numbers = st.integers(-(2**70), 2**70) | st.floats() | st.booleans()
# A lone half of a pair of surrogates can be written as JSON and is no text.
words = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.just("partition")
metadata = st.dictionaries(st.sampled_from(["rows", "seconds", "outcome", "list"]), numbers | words | st.lists(numbers))


@st.composite
def materializations(draw: st.DrawFn) -> dg.EventLogEntry:
    facts: Mapping[str, Any] = draw(st.just({"rows": 1, "seconds": 0.5, "outcome": "written"}) | metadata)
    made = dg.AssetMaterialization(
        KEY,
        partition=draw(st.none() | st.just("2013-01-01") | words),
        metadata=facts,
        tags=draw(st.sampled_from([{}, {"kind": "test"}])),
        description=draw(st.sampled_from([None, "what", "why"])),
    )
    return entry(DagsterEventType.ASSET_MATERIALIZATION, StepMaterializationData(made), draw(st.floats(0, 2e9)))


@st.composite
def plans(draw: st.DrawFn) -> dg.EventLogEntry:
    planned = AssetMaterializationPlannedData(KEY, partition=draw(st.none() | words))
    return entry(DagsterEventType.ASSET_MATERIALIZATION_PLANNED, planned, draw(st.floats(0, 2e9)))


def entry(kind: DagsterEventType, data: Any, timestamp: float) -> dg.EventLogEntry:
    event = DagsterEvent(event_type_value=kind.value, job_name="j", event_specific_data=data, step_key="s")
    return message(timestamp)._replace(dagster_event=event)


def message(timestamp: float) -> dg.EventLogEntry:
    return dg.EventLogEntry(  # type: ignore[no-untyped-call]
        error_info=None, level=logging.DEBUG, user_message="", run_id="r", timestamp=timestamp, job_name="j"
    )


@given(st.lists(materializations() | plans() | st.builds(message, st.floats(0, 2e9)), max_size=12))
def test_the_texts_are_those_of_dagster(events: list[dg.EventLogEntry]) -> None:
    assert list(texts_of(events)) == [serialize_value(event) for event in events]


def test_a_plan_for_a_range_becomes_one_for_each_of_its_partitions() -> None:
    days = DefaultPartitionsSubset({"2013-01-01", "2013-01-02"})
    planned = AssetMaterializationPlannedData(KEY, partitions_subset=days)
    events = events_by_partition(entry(DagsterEventType.ASSET_MATERIALIZATION_PLANNED, planned, 1.0))

    assert sorted(str(event.get_dagster_event().partition) for event in events) == ["2013-01-01", "2013-01-02"]
    assert all(event.get_dagster_event().partitions_subset is None for event in events)


def test_what_says_nothing_of_a_range_stays_one_event() -> None:
    assert events_by_partition(message(1.0)) == [message(1.0)]
