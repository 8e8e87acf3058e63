"""Command line of the benchmarks: `python -m benchmarks --help`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from benchmarks.landing import YEAR, shared_landing
from benchmarks.machine import describe_machine
from benchmarks.measure import run_measured
from benchmarks.report import render, write_report
from benchmarks.results import Results
from benchmarks.rounds import SIDES, measure_sides
from benchmarks.streams import rounds as streams
from benchmarks.streams.results import StreamResults
from lake.days import Days
from lake.errors import LakeError

PROJECT = Path(__file__).resolve().parents[1]
DOCUMENT = PROJECT / "docs" / "benchmarks.md"
WORK = PROJECT / ".lakehouse" / "benchmarks"
MEASURED, TRIED_OUT = "results.json", "results-try-out.json"
STREAMS = "streams.json"
STREAM_RATES = (1_000, 5_000)

out = Console(highlight=False, width=None if sys.stdout.isatty() else 140)
commands = typer.Typer(
    name="python -m benchmarks",
    add_completion=False,
    pretty_exceptions_enable=False,
    help="""Measure the whole-year backfill against other ways to compute the same tables.

    ours is lakehouse refresh; plain a hand-written PySpark script; polars Polars with delta-rs; per_day one Dagster
    run per day. Each run is a process in a fresh folder; all tables are compared before a time counts.
    docs/benchmarks.md says more. Without a command the sides are measured.""",
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
    chosen = [side.strip() for side in sides.split(",")]
    if unknown := sorted(set(chosen) - set(SIDES)):
        raise typer.BadParameter(f"no side {', '.join(unknown)}; there are {', '.join(SIDES)}", param_hint="--sides")
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
    """Measure `lakehouse demo` in a fresh home, as `make demo` runs it once set up."""
    home = _made(work) / "homes" / "demo"
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    out.print("[bold]demo[/]")
    measured = run_measured(
        [str(Path(sys.executable).with_name("lakehouse")), "demo"],
        env={**os.environ, "LAKEHOUSE_HOME": str(home)},
        log=work / "demo.log",
    )
    shutil.rmtree(home)
    _note(work, "demo", measured.seconds)


@commands.command()
def setup(work: WorkFolder = WORK) -> None:
    """Measure `make setup` in a fresh clone of the last commit; what is not in the caches comes over the network."""
    clone = Path(tempfile.mkdtemp(prefix="setup-", dir=_made(work)))
    out.print("[bold]setup[/]")
    try:
        subprocess.run(["git", "clone", "--quiet", str(PROJECT), str(clone / "project")], check=True)
        # What the activated environment sets would reach the one that is being made.
        env = {name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "PYTHONPATH")}
        measured = run_measured(["make", "setup"], env=env, log=work / "setup.log", folder=clone / "project")
    finally:
        shutil.rmtree(clone)
    _note(work, "setup", measured.seconds)


@commands.command()
def stream(
    rate: Annotated[list[int] | None, typer.Option("--rate", min=1, help="Messages a second; may be repeated.")] = None,
    seconds: Annotated[float, typer.Option("--seconds", min=1, help="How long messages are measured.")] = 60.0,
    warm_up: Annotated[float, typer.Option("--warm-up", min=0, help="Seconds of messages before them.")] = 45.0,
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="How often each side runs.")] = 3,
    sides: Annotated[str, typer.Option("--sides", help="Which sides, separated by commas.")] = ",".join(streams.SIDES),
    more: Annotated[bool, typer.Option("--more", help="Add these runs to those that were measured before.")] = False,
    work: WorkFolder = WORK,
    keep: Annotated[bool, typer.Option("--keep", help="Keep what the sides wrote.")] = False,
) -> None:
    """Measure how long a message takes from Kafka to bronze, silver and gold."""
    chosen = [side.strip() for side in sides.split(",")]
    if unknown := sorted(set(chosen) - set(streams.SIDES)):
        raise typer.BadParameter(f"no side {', '.join(unknown)}; there are {', '.join(streams.SIDES)}")
    kept = _made(work) / STREAMS
    results = (StreamResults.load(kept) if more else None) or StreamResults(describe_machine())
    results.seconds = seconds
    plans = [streams.Plan(one, warm_up, seconds) for one in rate or STREAM_RATES]
    streams.measure_latency(
        work,
        results,
        out,
        sides=chosen,
        plans=plans,
        rounds=rounds,
        keep=keep,
        after_run=lambda: results.save(kept),
    )


@commands.command()
def report(work: WorkFolder = WORK) -> None:
    """Write docs/benchmarks.md again from what was measured last."""
    _publish(_results(_made(work) / MEASURED))


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
    """Into the document, unless a shorter range than the year was tried out: that only shows its figures."""
    if results.days in ("", str(YEAR)):
        write_report(results, DOCUMENT)
        out.print(f"written: {DOCUMENT}")
    else:
        out.print(render(results), markup=False, soft_wrap=True)


def main() -> None:
    """Run a command; print an error that a user can cause as a message."""
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
