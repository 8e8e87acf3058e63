"""Write what was measured into docs/benchmarks.md, between two markers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.results import Results, Spread
from benchmarks.tables import TABLES

__all__ = ["BUSY_ABOVE", "grid", "met", "render", "replace_between", "spread_text", "write_report"]

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
NAMES = {
    "ours": "`ours`: lakehouse refresh, everything included",
    "plain": "`plain`: hand-written PySpark + Delta",
    "tuned": "`tuned`: the same in this project's session",
    "per_day": "`per_day`: one Dagster run per day",
    "polars": "`polars`: Polars + delta-rs",
}
PLAIN_AT_MOST, PER_DAY_AT_LEAST = 1.25, 50
OTHER_TARGETS = {
    "demo": ("`make demo`, after set-up", 120),
    "setup": ("the first `make setup`", 180),
    "replay": ("`lakehouse replay` of the whole year", 60),
}
BUSY_ABOVE = 0.25


def write_report(results: Results, document: Path) -> None:
    """Replace what a document says about the sides."""
    replace_between(document, BEGIN, END, render(results))


def replace_between(document: Path, begin: str, end: str, measured: str) -> None:
    """Replace what stands between two markers of a document."""
    before, found, rest = document.read_text().partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"{document} lacks the lines {begin} and {end}")
    document.write_text(f"{before}{begin}\n\n{measured}\n\n{end}{after}")


def render(results: Results) -> str:
    """Return the measured part of the report, as Markdown."""
    parts = [_summary(results), *_targets(results), *_sides(results), *_phases(results), _machine(results)]
    return "\n\n".join(part for part in parts if part)


def _summary(results: Results) -> str:
    if not results.runs:
        return "The sides were not measured yet: `make bench`."
    rows = sum(results.rows.values())
    counted = {side: len(results.of(side)) for side in results.sides}
    rounds = ", ".join(f"{side} {count}" for side, count in counted.items())
    text = (
        f"Landing days {results.days} ({results.day_count} days), {len(results.rows)} tables, {rows:,} rows. "
        f"Runs: {rounds}. After every run all tables were compared with those of the first: equal, row by row."
    )
    if results.left_out:
        text += f" Left out on all sides: {', '.join(results.left_out)}."
    if results.busy > BUSY_ABOVE:
        text += (
            f"\n\n**The machine was not idle** (up to {results.busy:.0%} of the processor was in use before a run): "
            "the times are too long, and the ratios uncertain."
        )
    return text


def _targets(results: Results) -> Iterator[str]:
    lines: list[Sequence[str]] = []
    sides = set(results.sides)
    if {"ours", "plain"} <= sides:
        ratio = results.ratio("ours", "plain")
        lines.append(
            ("`ours` against `plain`", f"at most {PLAIN_AT_MOST} x its time", _times(ratio), met(ratio.middle <= 1.25))
        )
    if {"ours", "per_day"} <= sides:
        ratio = results.ratio("per_day", "ours")
        is_met = met(ratio.middle >= PER_DAY_AT_LEAST)
        lines.append(("`ours` against `per_day`", f"at least {PER_DAY_AT_LEAST} x faster", _times(ratio), is_met))
    for other in sorted({"tuned", "polars"} & sides if "ours" in sides else ()):
        lines.append((f"`ours` against `{other}`", "no target", _times(results.ratio("ours", other)), ""))
    for name, (what, target) in OTHER_TARGETS.items():
        if name in results.other_seconds:
            seconds = results.other_seconds[name]
            lines.append((what, f"under {target} s", f"{seconds:.0f} s", met(seconds < target)))
    if lines:
        yield grid(("", "target", "measured", ""), lines)


def _sides(results: Results) -> Iterator[str]:
    if not results.runs:
        return
    lines = []
    for side in results.sides:
        seconds = spread_text(results.seconds(side), "s", 0 if side == "per_day" else 1)
        if side == "per_day":
            seconds = f"{seconds}, extrapolated"
        memory = spread_text(results.peak_gib(side), "GiB", 2)
        cpu = "" if side == "per_day" else spread_text(results.cpu_seconds(side), "s", 1)
        lines.append((NAMES[side], seconds, cpu, memory, f"{results.files.get(side, 0):,}"))
    yield grid(("side", "wall time", "processor time", "peak memory", "data files"), lines)
    yield "Median, and least to most of the runs where there were several. " + _extrapolation(results)


def _extrapolation(results: Results) -> str:
    for run in results.of("per_day"):
        days = len(run.phases)
        mean = sum(run.phases.values()) / days
        return (
            f"`per_day` ran {days} days ({', '.join(run.phases)}), {min(run.phases.values()):.0f} to "
            f"{max(run.phases.values()):.0f} s each; its {mean:.0f} s per day times {results.day_count} days are its "
            "wall time here."
        )
    return ""


def _phases(results: Results) -> Iterator[str]:
    sides = [side for side in results.sides if side != "per_day"]
    if not sides:
        return
    typical = {side: _typical(results, side) for side in sides}
    others = list(dict.fromkeys(name for side in sides for name in typical[side] if name not in TABLES))
    lines = [
        (name, f"{results.rows.get(name, 0):,}", *(_cell(typical[side].get(name)) for side in sides)) for name in TABLES
    ]
    lines += [(name, "", *(_cell(typical[side].get(name)) for side in sides)) for name in others]
    rest = [results.seconds(side).middle - sum(typical[side].values()) for side in sides]
    lines.append(("interpreter, imports, exit", "", *(_cell(seconds) for seconds in rest)))
    yield "Seconds by table, median of the runs:"
    yield grid(("table", "rows", *sides), lines)


def _typical(results: Results, side: str) -> dict[str, float]:
    runs = results.of(side)
    names = dict.fromkeys(name for run in runs for name in run.phases)
    return {name: Spread.of([run.phases.get(name, 0.0) for run in runs]).middle for name in names}


def _machine(results: Results) -> str:
    return grid(("machine", ""), list(results.machine.items()))


def _cell(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.1f}"


def _times(ratio: Spread) -> str:
    return spread_text(ratio, "x", 0 if ratio.middle >= 10 else 2)


def spread_text(spread: Spread, unit: str, digits: int) -> str:
    """Return the median, and from least to most where they differ."""
    text = f"**{spread.middle:,.{digits}f} {unit}**"
    return text if spread.least == spread.most else f"{text} ({spread.least:,.{digits}f} .. {spread.most:,.{digits}f})"


def met(is_met: bool) -> str:
    """Say whether a target was met."""
    return "met" if is_met else "**missed**"


def grid(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
