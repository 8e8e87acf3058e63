"""Ctrl-C and SIGTERM in the middle of Spark's work: one line, the exit code of the signal, no JVM left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from deltalake import DeltaTable

COMMAND = ["refresh", "bronze.departure_events", "--days", "2013-01-01"]
SLOW = """
import functools, signal, sys, time
from pathlib import Path
import pyspark.sql.functions as F
from lake.commands.cli import main
from lakehouse_assets.bronze.departure_events import departure_events

signal.signal(signal.SIGINT, signal.default_int_handler)
marker, known = sys.argv.pop(1), departure_events.transform

def for_ever(_):
    Path(marker).touch()
    time.sleep(600)
    return True

@functools.wraps(known)
def slow(messages):
    return known(messages).filter(F.udf(for_ever, "boolean")("value"))

object.__setattr__(departure_events, "transform", slow)
main()
"""
"""The command, with rows that Spark never gets done with; a file tells that it has begun."""


@pytest.mark.streams
@pytest.mark.spark
@pytest.mark.slow
@pytest.mark.parametrize(("by", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_in_the_middle_of_spark_ends_a_command_with_one_line(
    tmp_path: Path, by: signal.Signals, code: int
) -> None:
    landed, marker = tmp_path / "landing" / "departures" / "landed_on=2013-01-01", tmp_path / "begun"
    landed.mkdir(parents=True)
    (landed / "messages.jsonl").write_text("no json\nnor this\n")
    env = {**os.environ, "LAKEHOUSE_HOME": str(tmp_path), "LAKEHOUSE_SPARK_MASTER": "local[1]"}

    with (tmp_path / "said").open("w") as said:
        process = subprocess.Popen([sys.executable, "-c", SLOW, str(marker), *COMMAND], env=env, stderr=said)
        try:
            while not marker.exists() and process.poll() is None:
                time.sleep(0.1)
            started = psutil.Process(process.pid).children(recursive=True)
            assert "java" in {child.name() for child in started}
            process.send_signal(by)
            ended = process.wait(timeout=60)
        finally:
            process.kill()

    told = [line for line in (tmp_path / "said").read_text().splitlines() if "Picked up JDK_JAVA_OPTIONS" not in line]
    assert (ended, told) == (code, ["stopped; nothing half-written was left behind"])
    _, left = psutil.wait_procs(started, timeout=60)
    assert left == []
    table = tmp_path / "tables" / "bronze" / "departure_events"
    assert not DeltaTable.is_deltatable(str(table)) or DeltaTable(str(table)).to_pyarrow_table().num_rows == 0
