"""Run the sides in turn and compare what they wrote.

In turn is A B C A B C. Each run is a process of its own in a fresh home.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from json import loads
from pathlib import Path

from rich.console import Console

import lakehouse_assets
from benchmarks.compare import compare_tables, table_sizes
from benchmarks.errors import SidesDiffer
from benchmarks.machine import describe_machine, load
from benchmarks.measure import python, run_measured
from benchmarks.per_day import DAYS
from benchmarks.plain_spark import TUNED
from benchmarks.results import Results, Run
from benchmarks.side import REPORT
from benchmarks.tables import TABLES
from lake.declare.days import Days
from lake.declare.table import discover

__all__ = ["SIDES", "measure_sides"]

SIDES: Mapping[str, str] = {
    "ours": "benchmarks.ours",
    "plain": "benchmarks.plain_spark",
    "tuned": "benchmarks.plain_spark",
    "polars": "benchmarks.polars_delta",
    "per_day": "benchmarks.per_day",
}
"""The module that runs each side, in the order of a round."""

PROJECT = Path(__file__).resolve().parents[1]

SAME_FILES = ("ours", "plain", "tuned")
"""Sides that must also write the same number of data files."""


@dataclass
class _Bench:
    work: Path
    landing: Path
    days: Days
    results: Results
    out: Console
    keep: bool
    reference: tuple[str, Path] | None = None
    files: dict[str, dict[str, int]] = field(default_factory=dict)


def measure_sides(
    work: Path,
    landing: Path,
    days: Days,
    sides: Sequence[str],
    results: Results,
    out: Console,
    *,
    rounds: int,
    per_day: int,
    keep: bool,
    after_run: Callable[[], None],
) -> None:
    """Fill `results` with runs whose outputs are equal.

    Args:
        work: where homes are made.
        landing: what all sides read.
        days: the landing days.
        sides: names of `SIDES`.
        results: receives every run.
        out: told of the progress.
        rounds: how often each side runs; `per_day` runs once.
        per_day: how many days `per_day` computes.
        keep: leave the homes in `work`.
        after_run: called after every run, to save what was measured.

    Raises:
        SideFailed: a process failed.
        SidesDiffer: two sides wrote something else; the run does not count.
    """
    bench = _Bench(work, landing, days, results, out, keep)
    results.days, results.day_count, results.runs = str(days), len(days), []
    results.machine, results.files, results.busy = describe_machine(), {}, 0.0
    results.left_out = sorted(set(discover(lakehouse_assets)) - set(TABLES))
    whole = [side for side in SIDES if side in sides and side != "per_day"]
    for number in range(1, rounds + 1):
        for side in whole:
            _run_whole(bench, side, number)
            after_run()
    if "per_day" in sides:
        _run_per_day(bench, per_day)
        after_run()
    if bench.reference and not keep:
        shutil.rmtree(bench.reference[1])


def _run_whole(bench: _Bench, side: str, number: int) -> None:
    bench.out.print(f"[bold]{side}[/], round {number}")
    home = _fresh_home(bench, f"{side}-{number}")
    run = _run(bench, side, number, home, {})
    _check(bench, side, home)
    bench.results.runs.append(run)
    if bench.reference is None:
        bench.reference = (side, home)
    elif not bench.keep:
        shutil.rmtree(home)


def _run_per_day(bench: _Bench, count: int) -> None:
    """Compute some days again in a copy of what the first side wrote.

    Then the copy must still be equal to it.
    """
    chosen = _measured_days(bench.days, count)
    bench.out.print(f"[bold]per_day[/], {len(chosen)} runs: {', '.join(map(str, chosen))}")
    if bench.reference is None:
        bench.out.print("    first all days, to compute some again within them; this run is not recorded")
        home = _fresh_home(bench, "ours-0")
        _run(bench, "ours", 0, home, {})
        bench.reference = ("ours", home)
        bench.results.rows = {name: size.rows for name, size in table_sizes(home, TABLES).items()}
    home = _fresh_home(bench, "per_day-1")
    shutil.copytree(bench.reference[1] / "tables", home / "tables")
    run = _run(bench, "per_day", 1, home, {DAYS: ",".join(map(str, chosen))})
    _check(bench, "per_day", home)
    bench.results.runs.append(run)
    if not bench.keep:
        shutil.rmtree(home)


def _measured_days(days: Days, count: int) -> list[date]:
    """Return consecutive days in the middle of the range.

    So there are days around them.
    """
    count = min(count, len(days))
    first = days.start + timedelta(days=(len(days) - count) // 2)
    return [first + timedelta(days=number) for number in range(count)]


def _fresh_home(bench: _Bench, name: str) -> Path:
    home = bench.work / "homes" / name
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    (home / "landing").symlink_to(bench.landing, target_is_directory=True)
    return home


def _run(bench: _Bench, side: str, number: int, home: Path, extra: Mapping[str, str]) -> Run:
    bench.results.busy = max(bench.results.busy, load())
    settings = {name: value for name, value in os.environ.items() if not name.startswith(("LAKEHOUSE_", "DAGSTER_"))}
    tuned = {TUNED: "1"} if side == "tuned" else {}
    env = {**settings, "LAKEHOUSE_HOME": str(home), "PYTHONUNBUFFERED": "1", **tuned, **extra}
    measured = run_measured(python(SIDES[side]), env=env, log=bench.work / f"{home.name}.log", folder=PROJECT)
    phases = loads((home / REPORT).read_text())
    peak = f"peak {measured.peak_bytes / 2**30:.2f} GiB"
    bench.out.print(f"  {measured.seconds:.1f} s ({measured.cpu_seconds:.1f} s of processor), {peak}")
    return Run(side, number, measured.seconds, measured.cpu_seconds, measured.peak_bytes, phases)


def _check(bench: _Bench, side: str, home: Path) -> None:
    sizes = table_sizes(home, TABLES)
    rows = {name: size.rows for name, size in sizes.items()}
    files = {name: size.files for name, size in sizes.items()}
    bench.results.files[side] = sum(files.values())
    if bench.reference is None:
        bench.results.rows = rows
        bench.files[side] = files
        return
    name, reference = bench.reference
    compare_tables((name, reference), (side, home), TABLES)
    bench.files.setdefault(side, files)
    _check_files(bench.files)
    bench.out.print(f"  all {len(TABLES)} tables equal those of {name}")


def _check_files(files: Mapping[str, Mapping[str, int]]) -> None:
    one, *others = (side for side in SAME_FILES if side in files)
    for other, table in ((other, table) for other in others for table in TABLES):
        if files[one][table] != files[other][table]:
            what = f"{files[one][table]:,} and {files[other][table]:,} data files"
            raise SidesDiffer(table, f"{one} and {other}", what)
