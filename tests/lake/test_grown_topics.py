"""Of the archive of a topic a late file touches only the days that its messages are about."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime

import pytest

from lake.batch.refresh import Receipt, refresh
from lake.declare.days import Days
from lake.ownership.ledger import Ledger
from lake.testing.lakes import quarantined, stored_rows
from lake.write.horizon import Horizon
from lake.write.store import DeltaStore
from tests.tiny_topics import call_events

pytestmark = pytest.mark.spark

D1, D2, D3 = (date(2024, 3, day) for day in (1, 2, 3))
EVENING = Horizon(datetime(2024, 3, 3, 18, tzinfo=UTC))


def land(store: DeltaStore, name: str, hour: int = 12, **calls: date) -> None:
    """Let a file of messages land on the third day: offset and day, as `_7=D1`."""
    folder = store.landing.root / "calls" / f"landed_on={D3}"
    folder.mkdir(parents=True, exist_ok=True)
    place = {"topic": "calls", "partition": 0, "key": None, "headers": None}
    lines = [
        {
            **place,
            "offset": int(offset[1:]),
            "timestamp": f"{D3}T{hour:02}:00:00Z",
            "value": json.dumps({"at": f"{day} 12:00"}),
        }
        for offset, day in calls.items()
    ]
    (folder / name).write_text("".join(f"{json.dumps(line)}\n" for line in lines))


def load(store: DeltaStore, horizon: Horizon = EVENING) -> Receipt:
    return refresh(call_events, store, Days.of(D3), unless_equal=True, horizon=horizon)


def touched(store: DeltaStore) -> set[date]:
    """The event days that the newest commit wrote."""
    newest = store.table_log(call_events).newest_touch("event_date")
    return {day for day, version in newest.items() if version == max(newest.values())}


def held(store: DeltaStore) -> dict[int, date]:
    return {row["offset"]: row["event_date"] for row in stored_rows(store, call_events)}


@pytest.fixture
def loaded(store: DeltaStore) -> DeltaStore:
    land(store, "a.jsonl", _1=D3, _2=D2, _3=D3)
    load(store)
    assert touched(store) == {D2, D3}
    return store


def test_a_late_file_touches_only_the_days_that_it_is_about(loaded: DeltaStore) -> None:
    land(loaded, "late.jsonl", _7=D1, _8=D1)

    receipt = load(loaded)

    assert touched(loaded) == {D1}
    assert held(loaded) == {1: D3, 2: D2, 3: D3, 7: D1, 8: D1}
    assert (receipt.counts[D3].rows_in, receipt.counts[D3].rows_out, receipt.counts[D3].duplicates) == (5, 5, 0)
    assert Ledger(loaded).latest(call_events.full_name)[D3].counts == receipt.counts[D3]


def test_where_bronze_holds_a_message_of_the_file_the_day_is_read_whole(loaded: DeltaStore) -> None:
    land(loaded, "late.jsonl", _7=D1, _3=D3)

    receipt = load(loaded)

    assert held(loaded) == {1: D3, 2: D2, 3: D3, 7: D1}
    assert (receipt.counts[D3].rows_in, receipt.counts[D3].rows_out, receipt.counts[D3].duplicates) == (5, 4, 1)


def test_what_the_clock_has_rejected_is_judged_again(store: DeltaStore) -> None:
    land(store, "a.jsonl", _1=D3)
    land(store, "b.jsonl", 3, _2=D3)
    load(store, Horizon(datetime(2024, 3, 3, 6, tzinfo=UTC)))
    assert (held(store), len(quarantined(store, call_events))) == ({2: D3}, 1)
    land(store, "late.jsonl", _7=D2)

    load(store)

    assert (held(store), quarantined(store, call_events)) == ({1: D3, 2: D3, 7: D2}, [])
