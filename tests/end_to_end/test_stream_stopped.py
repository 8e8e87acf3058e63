"""SIGTERM ends `lakehouse follow` in order: what a micro-batch began to write is whole, and the next start goes on."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from deltalake import DeltaTable
from pyspark.sql import SparkSession

from lake.storage.holder import read_holder
from lakehouse_assets.bronze.departure_events import departure_events
from lakehouse_assets.silver.departures import departures
from tests.following import LOG, follower
from tests.streaming import Lake, Message, Messages, at

pytestmark = [pytest.mark.streams, pytest.mark.spark, pytest.mark.slow]

JAN_2 = date(2013, 1, 2)
MANY = 5_000
"""So many messages keep a micro-batch busy for longer than it takes to see that it runs."""


@pytest.fixture
def lake(session: Callable[[], SparkSession], tmp_path: Path) -> Lake:
    return Lake(tmp_path / "home", session, [departure_events, departures])


def left(messages: Messages, number: int) -> Message:
    moment = at(2, 8)
    return messages.departure(JAN_2, number, scheduled=moment, left=moment, sent=moment)


def await_that(process: subprocess.Popen[bytes], lake: Lake, is_so: Callable[[], bool]) -> None:
    """Wait until something is so while the process runs; the test's own limit is the deadline."""
    while not is_so():
        assert process.poll() is None, (lake.home / LOG).read_text()[-3000:]
        time.sleep(0.01)


def ended(process: subprocess.Popen[bytes], lake: Lake) -> str:
    """Ask it to end, and see that it does so in order; returns what it printed."""
    process.send_signal(signal.SIGTERM)
    code = process.wait(240)
    said = (lake.home / LOG).read_text()
    assert code == 0, said[-3000:]
    assert "Traceback" not in said
    return said


def planned(lake: Lake) -> bool:
    """Whether a micro-batch of bronze has begun."""
    return any((lake.home / "checkpoints/bronze/departure_events").glob("*/offsets/0"))


def is_written_by(process: subprocess.Popen[bytes], lake: Lake) -> bool:
    """Whether the process writes bronze right now."""
    holder = read_holder(lake.store.locks / f"{departure_events.full_name}.holder")
    return holder is not None and holder.pid == process.pid


def files_without_commit(lake: Lake) -> set[str]:
    """Data files that lie in bronze and in no version of it; nothing was ever removed."""
    folder = Path(lake.store.path(departure_events))
    return {str(file) for file in folder.rglob("*.parquet") if "_delta_log" not in file.parts} - {
        uri.removeprefix("file://") for uri in DeltaTable(str(folder)).file_uris()
    }


def test_sigterm_in_a_micro_batch_ends_the_streams_after_it(lake: Lake) -> None:
    messages = Messages()
    sent = [left(messages, number) for number in range(1, MANY + 1)]
    lake.land(sent, "many.jsonl")
    with follower(lake.home, departures.full_name, "--since", str(JAN_2)) as process:
        await_that(process, lake, lambda: planned(lake) and is_written_by(process, lake))
        said = ended(process, lake)

    assert f"{departure_events.full_name:<32} batch 0" in said
    assert "open from 2013-01-02 on" in said
    assert sum(lake.store.table_log(departure_events).rows_by_day("landed_on").values()) == MANY
    assert files_without_commit(lake) == set()
    assert lake.store.table_log(departures).rows_by_day("departed_on") == {}, "its reader has not begun"

    sent.append(left(messages, MANY + 1))
    lake.land(sent[-1:], "later.jsonl")
    lake.follow()
    lake.check_equals_batch(sent)
