"""Keep what was measured about streams as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median

from benchmarks.results import Spread
from benchmarks.streams.latency import percentile

__all__ = ["LAYERS", "LatencyRun", "Percentiles", "SampledRun", "StreamResults"]

LAYERS = ("bronze", "silver", "gold")


@dataclass(frozen=True)
class Percentiles:
    """Seconds within which half, and 99 of 100, of some things were done."""

    p50: float
    p99: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Percentiles:
        """Return the percentiles of these seconds."""
        return cls(round(percentile(seconds, 0.5), 3), round(percentile(seconds, 0.99), 3))


@dataclass(frozen=True)
class LatencyRun:
    """One run of one side at one rate.

    Attributes:
        side: ours, plain or tuned.
        rate: messages a second, both topics together.
        round: counted from 1; the sides of one round ran one after the other.
        messages: how many were measured.
        layers: from producer to committed row, by layer.
        commits: commits a second that added rows, by layer.
        cores: processor seconds a second of the side, without broker and producer.
        peak_gib: resident memory of the side at the end.
    """

    side: str
    rate: int
    round: int
    messages: int
    layers: Mapping[str, Percentiles]
    commits: Mapping[str, float]
    cores: float
    peak_gib: float


@dataclass(frozen=True)
class SampledRun:
    """The seconds of the micro-batches of one run of one side.

    Or of whatever else was repeated.

    Attributes:
        what: state, contract, dagster, tick or year.
        side: whose.
        seconds: of each.
        facts: what to know about it: rows, keys in state.
    """

    what: str
    side: str
    seconds: list[float]
    facts: Mapping[str, float] = field(default_factory=dict)


@dataclass
class StreamResults:
    """Everything that the section about streams says.

    Attributes:
        machine: what it ran on.
        seconds: for how long messages were measured, per run.
        latency: every run.
        sampled: the micro-batches that were timed by themselves.
        busy: the largest share of the processor that others used before a run began.
    """

    machine: dict[str, str]
    seconds: float = 0.0
    latency: list[LatencyRun] = field(default_factory=list)
    sampled: list[SampledRun] = field(default_factory=list)
    busy: float = 0.0

    @property
    def rates(self) -> list[int]:
        """The rates that were measured, rising."""
        return sorted({run.rate for run in self.latency})

    def sides(self, rate: int) -> list[str]:
        """Return the sides that ran at a rate, in their order."""
        return list(dict.fromkeys(run.side for run in self.latency if run.rate == rate))

    def of(self, side: str, rate: int) -> list[LatencyRun]:
        """Return the runs of a side at a rate."""
        return [run for run in self.latency if (run.side, run.rate) == (side, rate)]

    def p50(self, side: str, rate: int, layer: str) -> Spread:
        """Return the median latency of a layer, over the rounds."""
        return Spread.of([run.layers[layer].p50 for run in self.of(side, rate)])

    def p99(self, side: str, rate: int, layer: str) -> Spread:
        """Return the latency that 99 of 100 messages do not exceed, over the rounds."""
        return Spread.of([run.layers[layer].p99 for run in self.of(side, rate)])

    def median_of(self, what: str, side: str, rows: float) -> float | None:
        """Return the median of what was repeated with so many rows.

        Over all runs of a side; None where it never ran.
        """
        runs = [run for run in self.sampled if (run.what, run.side, run.facts.get("rows")) == (what, side, rows)]
        seconds = [one for run in runs for one in run.seconds]
        return median(seconds) if seconds else None

    def save(self, path: Path) -> None:
        """Keep as JSON."""
        partly = path.with_suffix(".partly")
        partly.write_text(json.dumps(asdict(self), indent=1))
        partly.replace(path)

    @classmethod
    def load(cls, path: Path) -> StreamResults | None:
        """Read what was kept, None where nothing was."""
        if not path.is_file():
            return None
        found = json.loads(path.read_text())
        latency = [_latency_run(run) for run in found.pop("latency")]
        sampled = [SampledRun(**run) for run in found.pop("sampled")]
        return cls(**found, latency=latency, sampled=sampled)


def _latency_run(found: dict[str, object]) -> LatencyRun:
    layers = found.pop("layers")
    assert isinstance(layers, dict)
    return LatencyRun(**found, layers={name: Percentiles(**part) for name, part in layers.items()})  # type: ignore[arg-type]
