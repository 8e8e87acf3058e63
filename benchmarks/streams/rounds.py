"""Run the sides in turn and time every message.

Each runs against a broker of its own that was just started.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from rich.console import Console

from benchmarks.errors import SideFailed
from benchmarks.machine import load
from benchmarks.measure import python, run_measured
from benchmarks.plain_spark import TUNED
from benchmarks.streams.check import check_written, rows_in_gold
from benchmarks.streams.latency import TOPICS, added_rows, latencies_by_layer
from benchmarks.streams.messages import SENT
from benchmarks.streams.plain import ADDRESS
from benchmarks.streams.results import LatencyRun, Percentiles, StreamResults
from lake.commands.brokers import create_topics
from lake.commands.kafka_broker import LocalBroker
from lake.engine.jars import fetch
from lake.stream.kafka import KafkaCluster

__all__ = ["SIDES", "StreamPlan", "clean_env", "measure_latency", "run_in", "started", "wait_until"]

PROJECT = Path(__file__).resolve().parents[2]
GOLD = "gold/hourly_airport_performance"
SIDES: Mapping[str, Sequence[str]] = {
    "ours": ["lake.commands.cli", "follow", "hourly_airport_performance", "--feed", "kafka"],
    "plain": ["benchmarks.streams.plain"],
    "tuned": ["benchmarks.streams.plain"],
}
"""What runs each side: a module and its arguments."""

READY_WITHIN_SECONDS = 180.0
COUNTED_WITHIN_SECONDS = 300.0
ENDS_WITHIN_SECONDS = 120.0
POLL_SECONDS = 0.5


@dataclass(frozen=True)
class StreamPlan:
    """The rate and the lengths of a run.

    Attributes:
        rate: messages a second, both topics together.
        warm_up: seconds of messages before those that are measured.
        seconds: of messages that are measured.
    """

    rate: int
    warm_up: float
    seconds: float


def measure_latency(
    work: Path,
    results: StreamResults,
    out: Console,
    *,
    sides: Sequence[str],
    plans: Sequence[StreamPlan],
    rounds: int,
    keep: bool,
    after_run: Callable[[], None],
) -> None:
    """Fill `results` with runs whose tables hold what was sent.

    Raises:
        SideFailed: a process failed, or did not get there in time.
        SidesDiffer: a side wrote something else; the run does not count.
    """
    fetch("spark-kafka", out.print)
    before = max((run.round for run in results.latency), default=0)
    for number in range(before + 1, before + rounds + 1):
        for plan in plans:
            for side in sides:
                out.print(f"[bold]{side}[/], {plan.rate:,} messages/s, round {number}")
                results.busy = max(results.busy, load())
                results.latency.append(_run(work, side, plan, number, out, keep=keep))
                after_run()


def _run(work: Path, side: str, plan: StreamPlan, number: int, out: Console, *, keep: bool) -> LatencyRun:
    home = work / "homes" / f"stream-{side}-{plan.rate}-{number}"
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    broker = LocalBroker(home / "kafka")
    try:
        address = broker.up().address
        create_topics(KafkaCluster(address), TOPICS)
        extra = {"LAKEHOUSE_HOME": str(home), "LAKEHOUSE_KAFKA": address, ADDRESS: address}
        extra["LAKEHOUSE_LAST_DAY"] = "open"  # the messages are of today, and the example's calendar has ended
        extra |= {TUNED: "1"} if side == "tuned" else {}
        with started(SIDES[side], clean_env(extra), work / f"{home.name}.log") as process:
            sent_from, cores, memory = _send(process, home, address, plan, work / f"{home.name}.log")
    finally:
        broker.down()
    check_written(side, home / "tables", json.loads((home / SENT).read_text()))
    run = _timed(home / "tables", side, plan, number, sent_from, cores, memory)
    for layer, found in run.layers.items():
        out.print(f"  {layer:<7} p50 {found.p50:6.2f} s   p99 {found.p99:6.2f} s   {run.commits[layer]:.2f} commits/s")
    out.print(f"  {run.cores:.2f} cores, {memory:.2f} GiB; {run.messages:,} messages measured, all tables right")
    if not keep:
        shutil.rmtree(home)
    return run


def _send(
    process: subprocess.Popen[str], home: Path, address: str, plan: StreamPlan, log: Path
) -> tuple[float, float, float]:
    """Send messages and wait until gold has counted all.

    Returns:
        When measuring began, the cores in use then, and GiB at the end.
    """
    tables = home / "tables"
    wait_until(process, log, READY_WITHIN_SECONDS, (tables / GOLD / "_delta_log").is_dir)
    producer = [home, address, plan.rate, plan.warm_up + plan.seconds]
    with started(["benchmarks.streams.messages", *map(str, producer)], clean_env({}), home / "producer.log") as sender:
        time.sleep(plan.warm_up)
        sent_from, spent = time.time(), _cpu_seconds(process.pid)
        time.sleep(plan.seconds)
        cores = (_cpu_seconds(process.pid) - spent) / (time.time() - sent_from)
        if sender.wait(ENDS_WITHIN_SECONDS):
            raise SideFailed("the producer", sender.returncode, home / "producer.log")
    sent = json.loads((home / SENT).read_text())
    wait_until(process, log, COUNTED_WITHIN_SECONDS, lambda: rows_in_gold(tables) == sent)
    memory = sum(one.memory_info().rss for one in _tree(process.pid)) / 2**30
    return sent_from, cores, memory


def _timed(
    tables: Path, side: str, plan: StreamPlan, number: int, sent_from: float, cores: float, memory: float
) -> LatencyRun:
    layers = latencies_by_layer(tables, sent_from, sent_from + plan.seconds)
    found = {layer: Percentiles.of(waited) for layer, waited in layers.items()}
    folders = {
        "bronze": [tables / "bronze" / name for name in TOPICS.values()],
        "silver": [tables / "silver" / name for name in TOPICS],
        "gold": [tables / GOLD],
    }
    commits = {layer: _commits_a_second(paths, sent_from, plan.seconds) for layer, paths in folders.items()}
    return LatencyRun(side, plan.rate, number, len(layers["gold"]), found, commits, round(cores, 2), round(memory, 2))


def _commits_a_second(tables: Sequence[Path], sent_from: float, seconds: float) -> float:
    """Commits that added rows while messages were measured, per table."""
    moments = [commit.at for table in tables for commit in added_rows(table, [])]
    return round(sum(sent_from <= at < sent_from + seconds for at in moments) / seconds / len(tables), 2)


def wait_until(process: subprocess.Popen[str], log: Path, within: float, is_so: Callable[[], bool]) -> None:
    """Wait until something is so.

    Raises:
        SideFailed: the process that was to bring it about ended, or took longer than this many seconds.
    """
    deadline = time.monotonic() + within
    while not is_so():
        if process.poll() is not None or time.monotonic() > deadline:
            raise SideFailed("a process that streams", process.returncode or 0, log)
        time.sleep(POLL_SECONDS)


@contextmanager
def started(command: Sequence[str], env: Mapping[str, str], log: Path) -> Iterator[subprocess.Popen[str]]:
    """Start a process of this project's Python.

    It is asked to end at the end, and made to if it does not.
    """
    module, *arguments = command
    with log.open("w") as written:
        process = subprocess.Popen(
            [*python(module), *arguments], env=dict(env), cwd=PROJECT, stdout=written, stderr=written, text=True
        )
    tree: list[psutil.Process] = []
    try:
        yield process
        tree = _tree(process.pid)
        process.terminate()
        process.wait(ENDS_WITHIN_SECONDS)
    finally:
        tree = tree or _tree(process.pid)
        if process.poll() is None:
            process.kill()
            process.wait()
        _, alive = psutil.wait_procs(tree, timeout=5)
        for one in alive:
            one.kill()


def run_in(home: Path, name: str, command: Sequence[str], extra: Mapping[str, str]) -> float:
    """Run a module in a home to its end and return the seconds.

    Its log is `<name>.log` in the home.

    Raises:
        SideFailed: it did not exit with 0.
    """
    module, *arguments = command
    env = clean_env({"LAKEHOUSE_HOME": str(home), **extra})
    return run_measured([*python(module), *arguments], env=env, log=home / f"{name}.log", folder=PROJECT).seconds


def clean_env(extra: Mapping[str, str]) -> dict[str, str]:
    """This process's environment without the settings of its own lakehouse."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LAKEHOUSE_", "DAGSTER_"))}
    return {**kept, "PYTHONUNBUFFERED": "1", **extra}


def _tree(pid: int) -> list[psutil.Process]:
    try:
        return [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _cpu_seconds(pid: int) -> float:
    return sum(spent.user + spent.system for spent in (one.cpu_times() for one in _tree(pid)))
