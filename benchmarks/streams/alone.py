"""Measure single parts of streams by themselves.

They are micro-batches with much state, with and without the contract; Dagster; ticks; a year.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console

from benchmarks.machine import load
from benchmarks.measure import python, run_measured
from benchmarks.plain_spark import TUNED
from benchmarks.streams import contract, state, ticks
from benchmarks.streams.reaction import measure_reaction
from benchmarks.streams.replayed import replay_through_kafka
from benchmarks.streams.results import SampledRun, StreamResults
from benchmarks.streams.rounds import clean_env

__all__ = ["measure_contract_alone", "measure_dagster", "measure_state", "measure_ticks_alone", "measure_year"]

PROJECT = Path(__file__).resolve().parents[2]


def measure_state(
    work: Path, results: StreamResults, out: Console, *, sides: Sequence[str], keys: int, rows: int, batches: int
) -> None:
    """Add a run of each side with this many keys in state."""
    for side in sides:
        out.print(f"[bold]{side}[/], {keys:,} departures in state")
        results.busy = max(results.busy, load())
        home = _fresh(work, f"state-{side}")
        found = _run("benchmarks.streams.state", [side, home, keys, rows, batches], home, side, work)
        facts = {"keys": keys, "rows": rows, "state_rows": found["state_rows"]}
        results.sampled.append(SampledRun("state", side, found["seconds"], facts))
        shutil.rmtree(home)


def measure_contract_alone(work: Path, results: StreamResults, out: Console, *, rows: int, batches: int) -> None:
    """Add the micro-batches of a bronze and a silver table, with and without enforcement."""
    out.print(f"[bold]contract[/], {rows:,} rows a micro-batch")
    results.busy = max(results.busy, load())
    home = _fresh(work, "contract")
    found = _run("benchmarks.streams.contract", [home, rows, batches], home, "ours", work)
    results.sampled += [SampledRun(**run) for run in found["runs"]]
    shutil.rmtree(home)


def measure_dagster(work: Path, results: StreamResults, out: Console, *, commits: int) -> None:
    """Add the seconds from commits of a stream to the runs they call for.

    Counted to the start of the runs.
    """
    out.print(f"[bold]dagster[/], {commits} late messages")
    results.busy = max(results.busy, load())
    home = _fresh(work, "dagster")
    results.sampled.append(SampledRun("dagster", "ours", measure_reaction(home, commits, out.print)))
    shutil.rmtree(home)


def measure_ticks_alone(work: Path, results: StreamResults, out: Console, *, times: int) -> None:
    """Add the ticks of the sensors that look at every table."""
    out.print(f"[bold]tick[/], {times} of each sensor")
    results.busy = max(results.busy, load())
    home = _fresh(work, "tick")
    ticks.fill(home)
    found = [SampledRun(**run) for run in _run("benchmarks.streams.ticks", [times], home, "ours", work)["runs"]]
    for run in found:
        out.print(f"  {run.side}: median {median(run.seconds) * 1000:.0f} ms, at most {max(run.seconds) * 1000:.0f} ms")
    results.sampled += found
    shutil.rmtree(home)


def measure_year(work: Path, results: StreamResults, out: Console, *, first_day: date) -> None:
    """Add the messages of the whole source through Kafka.

    They come late, doubled and broken; the tables equal the source.
    """
    out.print("[bold]year[/], the real messages through Kafka")
    results.busy = max(results.busy, load())
    home = _fresh(work, "year")
    found = replay_through_kafka(home, first_day, None, out.print)
    facts = {"messages": found.messages, "rows": found.rows, **found.seconds}
    results.sampled.append(SampledRun("year", "ours", [found.seconds["follow"]], facts))
    shutil.rmtree(home)


def _fresh(work: Path, name: str) -> Path:
    home = work / "homes" / name
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    return home


def _run(module: str, arguments: Sequence[object], home: Path, side: str, work: Path) -> dict[str, Any]:
    extra = {"LAKEHOUSE_HOME": str(home)} | ({TUNED: "1"} if side == "tuned" else {})
    command = [*python(module), *map(str, arguments)]
    run_measured(command, env=clean_env(extra), log=work / f"{home.name}.log", folder=PROJECT)
    reports = {part.__name__: part.REPORT for part in (state, contract, ticks)}
    found: dict[str, Any] = json.loads((home / reports[module]).read_text())
    return found
