"""Checkpoints torn or lost, and disks that are full: refused with the next command, or made anew, and equal."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from lake.errors import STREAM_RUNBOOK, StreamBroken
from lake.stream.progress import read_statuses
from lake.testing.lakes import interpreted
from lakehouse_assets.bronze.departure_events import departure_events
from lakehouse_assets.gold.delay_alerts import delay_alerts
from lakehouse_assets.silver.departures import departures
from tests.streaming import Lake, Message, Messages, at

pytestmark = [pytest.mark.spark, pytest.mark.slow, pytest.mark.faults, pytest.mark.timeout(1800)]

JAN_1 = date(2013, 1, 1)
ROOT = Path(__file__).parents[2]


@pytest.fixture
def lake(tmp_path: Path, spark: SparkSession) -> Iterator[Lake]:
    with interpreted(spark):
        yield Lake(tmp_path / "home", lambda: spark, [departure_events, departures, delay_alerts])


def late_departures(messages: Messages, hour: int, numbers: range) -> list[Message]:
    """Departures of one hour, 40 minutes late: from the fifth on they raise an alert."""
    found = []
    for number in numbers:
        left = at(1, hour, number)
        found.append(messages.departure(JAN_1, 100 * hour + number, scheduled=at(1, hour - 1), left=left, sent=left))
    return found


@pytest.fixture
def messages() -> Messages:
    return Messages()


@pytest.fixture
def sent(lake: Lake, messages: Messages) -> list[Message]:
    """Two micro-batches of every query: an alert, and three late departures that only state remembers."""
    batches = [late_departures(messages, 9, range(1, 6)), late_departures(messages, 11, range(1, 4))]
    for number, batch in enumerate(batches):
        lake.land(batch, f"{number}.jsonl")
        lake.follow(since=JAN_1)
    return [message for batch in batches for message in batch]


def go_on(lake: Lake, messages: Messages, sent: list[Message]) -> None:
    """Two more late departures: with the three before they raise an alert."""
    sent += late_departures(messages, 11, range(4, 6))
    lake.land(sent[-2:], "more.jsonl")


def in_lanes(cases: Mapping[str, object], often: str) -> list[Any]:
    """One of the cases in the lane `streams`, which goes with each change, and the others in the long one."""
    lanes = {name: pytest.mark.streams if name == often else pytest.mark.soak for name in cases}
    assert often in cases
    return [pytest.param(case, id=name, marks=lanes[name]) for name, case in cases.items()]


# Checkpoints


def checkpoint(lake: Lake) -> Path:
    """The checkpoint of the query that keeps state."""
    (folder,) = (lake.home / "checkpoints" / "gold" / "delay_alerts").iterdir()
    return folder


def newest(folder: Path) -> Path:
    return max((path for path in folder.iterdir() if path.name.isdigit()), key=lambda path: int(path.name))


def tear(file: Path, keep: float = 0.5) -> None:
    """Cut a file off, as a power cut would; and with it the checksum that would only say so."""
    file.with_name(f".{file.name}.crc").unlink(missing_ok=True)
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * keep)])


def state_files(lake: Lake) -> list[Path]:
    return [path for path in (checkpoint(lake) / "state").rglob("*") if path.suffix in {".changelog", ".zip", ".sst"}]


def tear_state(lake: Lake) -> None:
    for file in state_files(lake):
        tear(file)


TORN: dict[str, Callable[[Lake], None]] = {
    "newest offsets cut in half": lambda lake: tear(newest(checkpoint(lake) / "offsets")),
    "newest offsets empty": lambda lake: tear(newest(checkpoint(lake) / "offsets"), keep=0),
    "newest commit empty": lambda lake: tear(newest(checkpoint(lake) / "commits"), keep=0),
    "state cut in half": tear_state,
    "state lost": lambda lake: shutil.rmtree(checkpoint(lake) / "state"),
    "metadata cut in half": lambda lake: tear(checkpoint(lake) / "metadata"),
}


@pytest.mark.parametrize("damage", in_lanes(TORN, "state cut in half"))
def test_a_torn_checkpoint_is_refused_with_the_command_that_mends_it(
    lake: Lake, messages: Messages, sent: list[Message], damage: Callable[[Lake], None]
) -> None:
    before = lake.rows(delay_alerts)
    folder = checkpoint(lake)
    damage(lake)
    go_on(lake, messages, sent)

    with pytest.raises(StreamBroken) as refused:
        lake.follow()

    where, _, next_step = refused.value.message()
    assert where == f"stream of gold.delay_alerts, checkpoint {folder}"
    assert next_step.startswith("lakehouse follow --new-generation gold.delay_alerts:")
    assert f"({STREAM_RUNBOOK}, 'A checkpoint is damaged')" in next_step
    assert read_statuses(lake.home / "streams")["gold.delay_alerts"].state == "failed"
    assert lake.rows(delay_alerts) == before
    lake.follow(new_generation=["gold.delay_alerts"])
    assert lake.store.read(delay_alerts).count() == 2
    lake.check_equals_batch(sent)


def lose_progress(lake: Lake) -> None:
    for name in ("offsets", "commits"):
        shutil.rmtree(checkpoint(lake) / name)


LOST: dict[str, Callable[[Lake], None]] = {
    "of one query": lambda lake: shutil.rmtree(checkpoint(lake)),
    "offsets and commits of one query": lose_progress,
    "of all": lambda lake: shutil.rmtree(lake.home / "checkpoints"),
    "of bronze": lambda lake: shutil.rmtree(lake.home / "checkpoints" / "bronze"),
}


@pytest.mark.parametrize("loss", in_lanes(LOST, "of all"))
def test_a_lost_checkpoint_begins_a_generation_by_itself_that_ends_equal(
    lake: Lake, messages: Messages, sent: list[Message], loss: Callable[[Lake], None]
) -> None:
    loss(lake)
    go_on(lake, messages, sent)
    lake.follow()
    assert lake.store.read(delay_alerts).count() == 2
    lake.check_equals_batch(sent)


# Disks


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[None]:
    """Put a small file system under a folder, with what the folder holds."""
    folder.mkdir(parents=True, exist_ok=True)
    aside = folder.with_name(f"{folder.name}.aside")
    shutil.copytree(folder, aside)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    if not hasattr(os, "geteuid") or os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("only root can mount a small file system, and only where mounting is allowed")
    try:
        shutil.copytree(aside, folder, dirs_exist_ok=True)
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(file: Path) -> None:
    """Write until nothing more fits."""
    with file.open("wb", buffering=0) as stream:
        try:
            while stream.write(b"x" * 512):
                pass
        except OSError:
            return


DISKS: dict[str, Callable[[Lake], Path]] = {
    "bronze": lambda lake: lake.home / "tables" / "bronze",
    "gold": lambda lake: lake.home / "tables" / "gold",
    "checkpoint": lambda lake: lake.home / "checkpoints",
    "state": lambda lake: checkpoint(lake) / "state",
}


@pytest.mark.soak
@pytest.mark.parametrize("disk", DISKS.values(), ids=DISKS.keys())
def test_on_a_full_disk_streams_stop_and_say_so_and_with_room_they_go_on(
    lake: Lake, messages: Messages, sent: list[Message], disk: Callable[[Lake], Path]
) -> None:
    folder = disk(lake)
    with small_disk(folder, megabytes=4):
        go_on(lake, messages, sent)
        filler = folder / "filler"
        fill(filler)
        with pytest.raises(StreamBroken) as stopped:
            lake.follow()
        assert stopped.value.diagnosis[0] == "The disk is full", stopped.value
        assert lake.store.read(delay_alerts).count() == 1
        filler.unlink()
        lake.follow()
        assert lake.store.read(delay_alerts).count() == 2
        lake.check_equals_batch(sent)
