"""A stream joins the small files of its open days between two micro-batches: no reader notices."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from functools import partial
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from lake.declare.days import Days
from lake.declare.table import Table
from lake.stream.micro_batch import MicroBatchWriter
from lake.testing.lakes import interpreted
from lakehouse_assets.bronze.departure_events import departure_events
from lakehouse_assets.silver.departures import departures
from tests.streaming import Following, Lake, Message, Messages, at

pytestmark = [pytest.mark.streams, pytest.mark.spark, pytest.mark.slow]

JAN_1, JAN_2 = date(2013, 1, 1), date(2013, 1, 2)
EVERY = 4


@pytest.fixture
def lake(tmp_path: Path, spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lake]:
    monkeypatch.setattr("lake.stream.building.MicroBatchWriter", partial(MicroBatchWriter, compact_every=EVERY))
    with interpreted(spark):
        yield Lake(tmp_path / "home", lambda: spark, [departure_events, departures])


def left(messages: Messages, day: int, number: int) -> Message:
    moment = at(day, 9, number)
    return messages.departure(date(2013, 1, day), number, scheduled=moment, left=moment, sent=moment)


def files(lake: Lake, day: date) -> set[str]:
    """The files that silver holds of a day."""
    held = lake.store.table_log(departures).files_by_day("departed_on", [Days.of(day)])
    return set(held.get(day, {}))


def compactions(lake: Lake, table: Table) -> int:
    """How many versions of a table joined files."""
    log = lake.store.table_log(table)
    made = (log.commit(version) for version in range((log.version() or 0) + 1))
    return sum(commit is not None and "joined" in commit.metadata for commit in made)


def rows_read(running: Following) -> int:
    """How many rows silver was given."""
    return sum(receipt.counts.rows_in for receipt in running.receipts if receipt.table == departures.full_name)


def has_read(running: Following, rows: int) -> bool:
    return rows_read(running) >= rows


def test_open_days_are_compacted_while_their_reader_goes_on_and_sealed_days_are_left_alone(lake: Lake) -> None:
    messages = Messages()
    sent = [left(messages, day, number) for day, number in ((1, 1), (1, 2), (2, 3))]
    for message in sent:  # the micro-batches 0, 1 and 2; the third seals the first day
        lake.land([message], f"{message['partition']}-{message['offset']}.jsonl")
        lake.follow()
    state = lake.frontier.state()
    assert state is not None
    assert state.first_open == JAN_2
    sealed = files(lake, JAN_1)
    assert len(sealed) == 2

    more = [left(messages, 2, number) for number in range(4, 9)]
    more += [messages.again(more[0], at(2, 10)), left(messages, 2, 9)]
    with lake.following() as running:
        for number, message in enumerate(more, start=1):  # 3 to 9
            lake.land([message], f"more-{number}.jsonl")
            running.until(partial(has_read, running, number), f"silver was given {number} rows")

    assert rows_read(running) == len(more), "a row was read again"
    for table in (departure_events, departures):
        assert compactions(lake, table) == 2, table.full_name
    assert len(files(lake, JAN_2)) == 2, "what was joined by the micro-batch 8, and what the next one wrote"
    assert files(lake, JAN_1) == sealed
    lake.check_equals_batch([*sent, *more])
