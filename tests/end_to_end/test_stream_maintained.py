"""Maintenance runs beside streams and refreshes: no row is lost, doubled, or read twice."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

import lake.storage.retention
from lake.batch.maintain import Maintained, maintain
from lake.declare.days import Days
from lake.testing.lakes import interpreted
from lakehouse_assets.bronze.departure_events import departure_events
from lakehouse_assets.silver.departures import departures
from tests.streaming import Lake, Message, Messages, at

pytestmark = [pytest.mark.streams, pytest.mark.spark, pytest.mark.slow]

JAN_1 = Days.of(date(2013, 1, 1))
ROUNDS = 6


@pytest.fixture
def lake_(tmp_path: Path, spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lake]:
    """A lake that promises nothing, so that maintenance removes at once what nobody needs."""
    monkeypatch.setattr(lake.storage.retention, "HISTORY", timedelta(0))
    monkeypatch.setattr(lake.storage.retention, "RECENT", timedelta(0))
    monkeypatch.setattr(Lake, "_check_log", lambda *_: None)  # maintenance removes commits
    with interpreted(spark):
        yield Lake(tmp_path / "home", lambda: spark, [departure_events, departures])


def left(messages: Messages, day: int, number: int) -> Message:
    moment = at(day, 9, number)
    return messages.departure(date(2013, 1, day), number, scheduled=moment, left=moment, sent=moment)


def test_maintenance_in_a_loop_beside_a_stream_and_refreshes_changes_no_row(lake_: Lake) -> None:
    messages, ended, done = Messages(), threading.Event(), list[Maintained]()
    sent = [left(messages, 1, number) for number in range(1, 4)]
    lake_.land(sent, "first.jsonl")
    lake_.follow()

    def keep_house() -> None:
        while not ended.is_set():
            done.extend(maintain(lake_.tables, lake_.store, checkpoints=lake_.home / "checkpoints"))

    house = threading.Thread(target=keep_house)
    with lake_.following() as running:
        house.start()
        try:
            for number in range(1, ROUNDS + 1):
                sent.append(left(messages, 3, number))
                lake_.land(sent[-1:], f"more-{number}.jsonl")
                running.until_read(lake_, departures, len(sent))
                lake_.settle(JAN_1.start)
        finally:
            ended.set()
            house.join()

    assert sum(r.counts.rows_in for r in running.receipts if r.table == departures.full_name) == ROUNDS
    assert sum(one.commits_removed for one in done) > 0
    assert sum(one.files_removed for one in done) > 0
    lake_.check_equals_batch(sent)
