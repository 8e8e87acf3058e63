"""Write what was measured about streams into docs/benchmarks.md, between two markers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

from benchmarks.report import BUSY_ABOVE, grid, met, replace_between, spread_text
from benchmarks.results import Spread
from benchmarks.streams.contract import TABLES
from benchmarks.streams.results import LAYERS, StreamResults

__all__ = ["render_streams", "write_stream_report"]

BEGIN, END = "<!-- streams: begin -->", "<!-- streams: end -->"
P50_AT_MOST = {"bronze": 1.0, "gold": 4.0}
ENFORCING_AT_MOST = 0.10


def write_stream_report(results: StreamResults, document: Path) -> None:
    """Replace what stands between the markers of a document."""
    replace_between(document, BEGIN, END, render_streams(results))


def render_streams(results: StreamResults) -> str:
    """Return the measured part of the section, as Markdown."""
    parts = [_busy(results), *_latency(results), *_state(results), *_contract(results), *_dagster(results)]
    parts += [*_ticks(results), *_year(results)]
    machine = ", ".join(f"{name} {value}" for name, value in results.machine.items())
    return "\n\n".join(part for part in [*parts, f"Measured on: {machine}."] if part)


def _busy(results: StreamResults) -> str:
    if results.busy <= BUSY_ABOVE:
        return ""
    return (
        f"**The machine was not idle** (up to {results.busy:.0%} of the processor was in use before a run): "
        "the times are too long, and the ratios uncertain."
    )


def _latency(results: StreamResults) -> Iterator[str]:
    if not results.latency:
        return
    targets = [line for rate in results.rates for line in _targets(results, rate)]
    yield grid(("messages/s", "p50 of `ours`", "target", "measured", ""), targets)
    lines = [line for rate in results.rates for side in results.sides(rate) for line in _layers(results, side, rate)]
    yield (
        f"Seconds from producer to committed row, of every message sent in {results.seconds:.0f} s; "
        "median of the runs, and least to most:"
    )
    yield grid(("messages/s", "side", "layer", "p50", "p99", "commits/s", "cores", "memory"), lines)


def _targets(results: StreamResults, rate: int) -> Iterator[Sequence[str]]:
    if "ours" not in results.sides(rate):
        return
    for layer in LAYERS:
        p50 = results.p50("ours", rate, layer).middle
        if layer in P50_AT_MOST:
            limit = P50_AT_MOST[layer]
            yield (f"{rate:,}", layer, f"at most {limit} s", f"**{p50:.2f} s**", met(p50 <= limit))
        if "plain" in results.sides(rate):
            plain = results.p50("plain", rate, layer).middle
            yield (f"{rate:,}", layer, f"not above `plain`: {plain:.2f} s", f"**{p50:.2f} s**", met(p50 <= plain))


def _layers(results: StreamResults, side: str, rate: int) -> Iterator[Sequence[str]]:
    runs = results.of(side, rate)
    for layer in LAYERS:
        p50, p99 = (spread_text(part(side, rate, layer), "s", 2) for part in (results.p50, results.p99))
        commits = Spread.of([run.commits[layer] for run in runs]).middle
        cores = Spread.of([run.cores for run in runs]).middle
        memory = Spread.of([run.peak_gib for run in runs]).middle
        is_first = layer == LAYERS[0]
        use = (f"{cores:.2f}", f"{memory:.1f} GiB") if is_first else ("", "")
        yield (
            f"{rate:,}" if is_first else "",
            f"`{side}`" if is_first else "",
            layer,
            p50,
            p99,
            f"{commits:.2f}",
            *use,
        )


def _state(results: StreamResults) -> Iterator[str]:
    runs = [run for run in results.sampled if run.what == "state"]
    if not runs:
        return
    keys = runs[0].facts["keys"]
    yield f"A micro-batch of the join of `silver.flights` with {keys:,.0f} departures in state, seconds:"
    lines = []
    for side in dict.fromkeys(run.side for run in runs):
        seconds = [one for run in runs if run.side == side for one in run.seconds]
        facts = next(run.facts for run in runs if run.side == side)
        lines.append((f"`{side}`", f"{facts['rows']:,.0f}", f"{facts['state_rows']:,.0f}", _seconds(seconds, 2)))
    yield grid(("side", "rows of the micro-batch", "rows in state", "seconds"), lines)


def _contract(results: StreamResults) -> Iterator[str]:
    measured = sorted({run.facts["rows"] for run in results.sampled if run.what == "contract"})
    lines = [line for name in TABLES for rows in measured for line in _cost(results, name, rows)]
    if lines:
        yield "What contract and key cost a micro-batch (median; the same query with a select in their place):"
        yield grid(("table", "rows", "enforced", "a select instead", "cost", "target", ""), lines)


def _cost(results: StreamResults, name: str, rows: float) -> Iterator[Sequence[str]]:
    enforced, selected = (results.median_of("contract", f"{side} {name}", rows) for side in ("enforced", "selected"))
    if enforced is not None and selected is not None:
        cost = enforced / selected - 1
        figures = (f"{enforced * 1000:.0f} ms", f"{selected * 1000:.0f} ms", f"**{cost:+.1%}**")
        is_met = met(cost <= ENFORCING_AT_MOST)
        yield (name, f"{rows:,.0f}", *figures, f"at most {ENFORCING_AT_MOST:.0%}", is_met)


def _dagster(results: StreamResults) -> Iterator[str]:
    seconds = [one for run in results.sampled if run.what == "dagster" for one in run.seconds]
    if seconds:
        yield (
            "From a commit to the start of the Dagster run that `reconcile` asks for (a tick every 5 s), "
            f"{len(seconds)} commits: {_seconds(seconds, 1)}."
        )


def _ticks(results: StreamResults) -> Iterator[str]:
    runs = [run for run in results.sampled if run.what == "tick"]
    if not runs:
        return
    facts = runs[-1].facts
    yield f"A tick of the sensors that look at all {facts['tables']:.0f} tables, each of {facts['days']:.0f} days:"
    lines = []
    for side in dict.fromkeys(run.side for run in runs):
        seconds = [one for run in runs if run.side == side for one in run.seconds]
        median_ms, most_ms = (f"{part * 1000:.0f} ms" for part in (median(seconds), max(seconds)))
        lines.append((side, f"{len(seconds)}", f"**{median_ms}**", most_ms))
    yield grid(("sensor, and what it meets", "ticks", "median", "most"), lines)


def _year(results: StreamResults) -> Iterator[str]:
    for run in [run for run in results.sampled if run.what == "year"][-1:]:
        facts = run.facts
        yield (
            f"The year's real messages with disorder, {facts['messages']:,.0f} of them, through Kafka: sent in "
            f"{facts['send']:.0f} s, followed until idle in {facts['follow']:.0f} s "
            f"({facts['messages'] / facts['follow']:,.0f} messages a second), released and repaired in "
            f"{facts['repair']:.0f} s. Then bronze holds each message once, and {facts['rows']:,.0f} rows of silver "
            "and gold equal the source's CSV files."
        )


def _seconds(seconds: list[float], digits: int) -> str:
    return spread_text(Spread.of(seconds), "s", digits)
