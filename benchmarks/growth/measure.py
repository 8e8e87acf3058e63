"""Measure what it costs to look at lakes of one month and three years.

Both are simulated by `benchmarks.growth.lake`, and looked at in turn. What counts is the median, of processor time:
other processes on the machine make everything wait.
"""

from __future__ import annotations

import io
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from statistics import median

import dagster as dg
from rich.console import Console

from benchmarks.growth.lake import SimulatedLake
from benchmarks.measure import processor_seconds
from benchmarks.report import grid, replace_between
from benchmarks.streams.rounds import clean_env
from benchmarks.streams.ticks import ticker, until_quiet
from lake.commands.look import Look
from lake.commands.status import print_status
from lake.declare.days import Days
from lake.orchestration.definitions import build_definitions
from lake.project.environment import Environment, open_environment
from lake.project.settings import Settings
from sensors.chosen import sensors

__all__ = ["DAYS", "five_million_additions", "measure_growth", "render_growth", "write_growth"]

DAYS = {"1 month": 31, "36 months": 1096}
AT_MOST = 1.5
BEGIN, END = "<!-- growth: begin -->", "<!-- growth: end -->"
_NEW_IN = "bronze.weather_files"

Seconds = Mapping[str, Mapping[str, float]]
"""What was measured: by what it is, the median by lake."""


def measure_growth(work: Path, out: Console, times: int) -> Seconds:
    """Build the lakes, unless they were built today, and look at them in turn."""
    lakes = {name: _lake(work / name.replace(" ", "-"), days, out) for name, days in DAYS.items()}
    found: dict[str, dict[str, list[float]]] = {}
    for number in range(times + 1):
        for name, (environment, simulated) in lakes.items():
            for what, seconds in _looks(environment, simulated):
                if number:  # the first look of a process is that of the command
                    found.setdefault(what, {}).setdefault(name, []).append(seconds)
        out.print(f"  round {number} of {times}")
    return {what: {name: median(seconds) for name, seconds in by.items()} for what, by in found.items()}


def _lake(home: Path, length: int, out: Console) -> tuple[Environment, SimulatedLake]:
    last = datetime.now(UTC).date() - timedelta(days=1)
    days = Days.between(last - timedelta(days=length - 1), last)
    environment = open_environment(Settings.from_env(_variables(home, days.start)))
    done = home / f"built-{last}"
    if not done.exists():
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir(parents=True)
    simulated = SimulatedLake(list(environment.tables.values()), environment.store, home, days)
    if not done.exists():
        started = time.monotonic()
        simulated.build()
        done.touch()
        out.print(f"  built {length} days in {time.monotonic() - started:.0f} s")
    simulated.calendar = environment.settings.calendar()
    return environment, simulated


def _variables(home: Path, first_day: date) -> dict[str, str]:
    calendar = {"LAKEHOUSE_FIRST_DAY": str(first_day), "LAKEHOUSE_LAST_DAY": "open"}
    return {"LAKEHOUSE_HOME": str(home), "LAKEHOUSE_FEED": "kafka", **calendar}


def _looks(environment: Environment, simulated: SimulatedLake) -> Iterator[tuple[str, float]]:
    """Look at one lake in each way and give the seconds of processor time."""
    console = Console(file=io.StringIO(), width=140)
    yield "`lakehouse status`, the command", _command(environment)
    yield "the same in an open process", _timed(lambda: print_status(console, Look(environment), verbose=False))
    definitions = build_definitions(environment.settings, list(environment.tables.values()), sensors=sensors)
    with dg.DagsterInstance.ephemeral() as instance:
        tick = ticker(definitions, instance, "reconcile", environment)
        quiet = until_quiet(tick)
        yield "a tick of `reconcile`, nothing new", _timed(lambda: tick(quiet))
        simulated.rewrite(_NEW_IN, simulated.days.last)
        yield "a tick of `reconcile`, something new", _timed(lambda: tick(quiet))
        simulated.catch_up(datetime.now(UTC))


def _timed(call: Callable[[], object]) -> float:
    started = time.process_time()
    call()
    return time.process_time() - started


def _command(environment: Environment) -> float:
    settings = environment.settings
    extra = _variables(settings.home, settings.first_day)
    command = [str(Path(sys.executable).with_name("lakehouse")), "status"]
    return processor_seconds(command, {**clean_env(extra), "PYTHONPATH": os.pathsep.join(sys.path)})


def render_growth(found: Seconds, times: int, additions: float) -> str:
    """Return the measured part of the section, as Markdown."""
    short, long = DAYS
    lines = []
    for what, by in found.items():
        ratio = by[long] / by[short]
        is_met = ratio <= AT_MOST and by[long] < 1
        lines.append(
            (what, *(f"{by[name] * 1000:,.0f} ms" for name in DAYS), f"{ratio:.2f}", "met" if is_met else "missed")
        )
    table = grid(("processor time", short, long, "times as much", "under 1 s and at most 1.5 times"), lines)
    return (
        f"{table}\n\n(Medians of {times} rounds, both lakes in turn, on {datetime.now(UTC):%Y-%m-%d}. The machine took "
        f"{additions:.2f} s for five million additions in Python; an ordinary one takes 0.25 s.)"
    )


def write_growth(text: str, document: Path) -> None:
    """Replace what stands between the markers of a document."""
    replace_between(document, BEGIN, END, text)


def five_million_additions() -> float:
    """Return the processor time that this machine takes for them.

    In seconds, to compare it with another machine.
    """
    started, total = time.process_time(), 0
    for number in range(5_000_000):
        total += number
    return time.process_time() - started
