"""Command line of the benchmarks: `python -m benchmarks --help`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from benchmarks.cold import measure_cold
from benchmarks.growth.measure import five_million_additions, measure_growth, render_growth, write_growth
from benchmarks.landing import YEAR, shared_landing
from benchmarks.machine import describe_machine
from benchmarks.measure import run_measured
from benchmarks.report import render, write_report
from benchmarks.results import Results
from benchmarks.rounds import SIDES, measure_sides
from benchmarks.streams.alone import (
    measure_contract_alone,
    measure_dagster,
    measure_state,
    measure_ticks_alone,
    measure_year,
)
from benchmarks.streams.late import measure_late, render_late
from benchmarks.streams.report import render_streams, write_stream_report
from benchmarks.streams.results import StreamResults
from benchmarks.streams.rounds import SIDES as STREAM_SIDES
from benchmarks.streams.rounds import StreamPlan, measure_latency
from lake.declare.days import Days
from lake.errors import LakeError

PROJECT = Path(__file__).resolve().parents[1]
DOCUMENT = PROJECT / "docs" / "benchmarks.md"
WORK = PROJECT / ".lakehouse" / "benchmarks"
MEASURED, TRIED_OUT = "results.json", "results-try-out.json"
STREAMS, STREAMS_TRIED_OUT = "streams.json", "streams-try-out.json"
PARTS = ("latency", "state", "contract", "dagster", "tick", "year")
STREAM_RATES = (1_000, 5_000)
STREAM_SECONDS = 60.0
STATE_KEYS = 100_000

out = Console(highlight=False, width=None if sys.stdout.isatty() else 140)
commands = typer.Typer(
    name="python -m benchmarks",
    add_completion=False,
    pretty_exceptions_enable=False,
    help="""Measure the whole-year backfill against other ways to compute the same tables.

    ours is lakehouse refresh; plain a hand-written PySpark script, tuned the same in a session of this project; polars
    Polars with delta-rs; per_day one Dagster run per day. Each run is a process in a fresh folder; all tables are
    compared before a time counts. docs/benchmarks.md says more. Without a command the sides are measured.""",
)

WorkFolder = Annotated[Path, typer.Option("--work", help="Where landing files, homes, logs and results are kept.")]


@commands.callback(invoke_without_command=True)
def measure(
    context: typer.Context,
    days: Annotated[str, typer.Option("--days", help="Landing days; a shorter range is for trying things out.")] = str(
        YEAR
    ),
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="How often each side runs; per_day runs once.")] = 3,
    sides: Annotated[str, typer.Option("--sides", help="Which sides, separated by commas.")] = ",".join(SIDES),
    per_day: Annotated[int, typer.Option("--per-day", min=1, help="How many days per_day computes.")] = 5,
    work: WorkFolder = WORK,
    keep: Annotated[bool, typer.Option("--keep", help="Keep what the sides wrote.")] = False,
) -> None:
    """Measure the sides (the default command)."""
    if context.invoked_subcommand:
        return
    chosen = _chosen(sides, SIDES, "--sides")
    landing_days = Days.parse(days)
    landing = shared_landing(_made(work), landing_days, out)
    kept = work / (MEASURED if landing_days == YEAR else TRIED_OUT)
    results = _results(kept)
    measure_sides(
        work,
        landing,
        landing_days,
        chosen,
        results,
        out,
        rounds=rounds,
        per_day=per_day,
        keep=keep,
        after_run=lambda: results.save(kept),
    )
    _publish(results)


@commands.command()
def demo(work: WorkFolder = WORK) -> None:
    """Measure `lakehouse demo` in a fresh home, once set up.

    It is what `make demo` runs.
    """
    _measure_command(work, "demo")


@commands.command()
def replay(work: WorkFolder = WORK) -> None:
    """Measure `lakehouse replay` of the whole year in a fresh home."""
    _measure_command(work, "replay")


def _measure_command(work: Path, name: str) -> None:
    home = _made(work) / "homes" / name
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    out.print(f"[bold]{name}[/]")
    measured = run_measured(
        [str(Path(sys.executable).with_name("lakehouse")), name],
        env={**os.environ, "LAKEHOUSE_HOME": str(home)},
        log=work / f"{name}.log",
    )
    shutil.rmtree(home)
    out.print(f"  {measured.peak_bytes / 2**30:.2f} GiB at most")
    _note(work, name, measured.seconds)


@commands.command()
def setup(work: WorkFolder = WORK) -> None:
    """Measure `make setup` in a fresh clone of the last commit.

    What is not in the caches comes over the network.
    """
    clone = Path(tempfile.mkdtemp(prefix="setup-", dir=_made(work)))
    out.print("[bold]setup[/]")
    try:
        subprocess.run(["git", "clone", "--quiet", str(PROJECT), str(clone / "project")], check=True)
        # The variables of the activated environment would reach the one that is being made.
        env = {name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "PYTHONPATH")}
        measured = run_measured(["make", "setup"], env=env, log=work / "setup.log", folder=clone / "project")
    finally:
        shutil.rmtree(clone)
    _note(work, "setup", measured.seconds)


@commands.command()
def stream(
    parts: Annotated[str, typer.Option("--parts", help="What to measure, separated by commas.")] = ",".join(PARTS),
    rate: Annotated[list[int] | None, typer.Option("--rate", min=2, help="Messages a second; may be repeated.")] = None,
    seconds: Annotated[
        float, typer.Option("--seconds", min=1, help="How long messages are measured.")
    ] = STREAM_SECONDS,
    warm_up: Annotated[
        float, typer.Option("--warm-up", min=0, help="Seconds of messages before them; a JVM needs over two minutes.")
    ] = 150.0,
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="How often each side runs.")] = 3,
    sides: Annotated[str, typer.Option("--sides", help="Which sides, separated by commas.")] = ",".join(STREAM_SIDES),
    keys: Annotated[int, typer.Option("--keys", min=1, help="Departures in state.")] = STATE_KEYS,
    more: Annotated[bool, typer.Option("--more", help="Add to what was measured before.")] = False,
    work: WorkFolder = WORK,
    keep: Annotated[bool, typer.Option("--keep", help="Keep what the sides wrote.")] = False,
) -> None:
    """Measure streams from Kafka to gold, and their parts by themselves.

    The parts are Kafka to bronze, silver, gold; much state; the cost of contracts; Dagster; ticks; the year.
    """
    chosen, measured = _chosen(sides, STREAM_SIDES, "--sides"), _chosen(parts, PARTS, "--parts")
    rates = rate or STREAM_RATES
    is_full = set(rates) == set(STREAM_RATES) and seconds >= STREAM_SECONDS and keys == STATE_KEYS
    kept = _made(work) / (STREAMS if is_full else STREAMS_TRIED_OUT)
    results = (StreamResults.load(kept) if more else None) or StreamResults(describe_machine())
    if "latency" in measured:
        results.seconds = seconds
        plans = [StreamPlan(one, warm_up, seconds) for one in rates]
        measure_latency(
            work,
            results,
            out,
            sides=chosen,
            plans=plans,
            rounds=rounds,
            keep=keep,
            after_run=lambda: results.save(kept),
        )
    if "state" in measured:
        measure_state(work, results, out, sides=chosen, keys=keys, rows=1_000, batches=20)
    if "contract" in measured:
        for rows in STREAM_RATES:
            measure_contract_alone(work, results, out, rows=rows, batches=40)
    if "dagster" in measured:
        measure_dagster(work, results, out, commits=5)
    if "tick" in measured:
        measure_ticks_alone(work, results, out, times=50)
    if "year" in measured:
        measure_year(work, results, out, first_day=YEAR.start)
    results.save(kept)
    _publish_streams(results, is_full=is_full)


@commands.command()
def late(
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="How often each side starts.")] = 2,
    messages: Annotated[int, typer.Option("--messages", min=1, help="Late messages after each warm start.")] = 4,
    cold: Annotated[int, typer.Option("--cold", min=1, help="Late messages after each cold start.")] = 1,
    work: WorkFolder = WORK,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the lake, and use the one that was kept.")] = False,
) -> None:
    """Measure from a late message to all of gold, and a click on Materialize: cold runs beside the warm process."""
    home = _made(work) / "homes" / "late"
    if not keep:
        shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True, exist_ok=True)
    for line in render_late(measure_late(home, rounds, {"cold": cold, "warm": messages}, out.print)):
        out.print(line)
    if not keep:
        shutil.rmtree(home)


@commands.command()
def growth(
    times: Annotated[int, typer.Option("--times", min=1, help="How often each lake is looked at.")] = 7,
    work: WorkFolder = WORK,
) -> None:
    """Measure what looking at a lake of three years costs.

    Beside it, a lake of one month. Both are simulated, without Spark.
    """
    found = measure_growth(_made(work) / "growth", out, times)
    write_growth(render_growth(found, times, five_million_additions()), DOCUMENT)
    out.print(f"written: {DOCUMENT}")


@commands.command()
def cold(times: Annotated[int, typer.Option("--times", min=1, help="How often each command is run.")] = 7) -> None:
    """Measure the processor time of commands that do nothing, over the lake of LAKEHOUSE_HOME."""
    measure_cold(times, out.print)


@commands.command()
def report(work: WorkFolder = WORK) -> None:
    """Write docs/benchmarks.md again from what was measured last."""
    _publish(_results(_made(work) / MEASURED))
    if (streams := StreamResults.load(work / STREAMS)) is not None:
        _publish_streams(streams, is_full=True)


def _made(work: Path) -> Path:
    work.mkdir(parents=True, exist_ok=True)
    return work


def _results(kept: Path) -> Results:
    results = Results.load(kept)
    return results or Results(describe_machine())


def _note(work: Path, name: str, seconds: float) -> None:
    out.print(f"  {seconds:.0f} s")
    results = _results(work / MEASURED)
    results.other_seconds[name] = seconds
    results.save(work / MEASURED)
    _publish(results)


def _publish(results: Results) -> None:
    """Write into the document, unless a shorter range was tried out.

    A range shorter than the year only shows its figures.
    """
    if results.days in ("", str(YEAR)):
        write_report(results, DOCUMENT)
        out.print(f"written: {DOCUMENT}")
    else:
        out.print(render(results), markup=False, soft_wrap=True)


def _publish_streams(results: StreamResults, *, is_full: bool) -> None:
    """Into the document, unless something smaller was tried out."""
    if is_full:
        write_stream_report(results, DOCUMENT)
        out.print(f"written: {DOCUMENT}")
    else:
        out.print(render_streams(results), markup=False, soft_wrap=True)


def _chosen(text: str, known: Collection[str], option: str) -> list[str]:
    chosen = [name.strip() for name in text.split(",")]
    if unknown := sorted(set(chosen) - set(known)):
        raise typer.BadParameter(f"no {', '.join(unknown)}; there are {', '.join(known)}", param_hint=option)
    return chosen


def main() -> None:
    """Run a command and print errors that a user can cause as messages."""
    try:
        commands()
    except KeyboardInterrupt:
        out.print("stopped")
        sys.exit(130)
    except LakeError as error:
        out.print(str(error), markup=False)
        sys.exit(1)


if __name__ == "__main__":
    main()
