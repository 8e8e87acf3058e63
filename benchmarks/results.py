"""Keep what was measured as JSON.

So the report can be written again without measuring again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median

__all__ = ["Results", "Run", "Spread"]


@dataclass(frozen=True)
class Run:
    """One run of one side.

    Attributes:
        side: ours, plain, tuned, per_day or polars.
        round: counted from 1; the sides of one round ran one after the other.
        seconds: wall time of the process; for per_day of the days that were computed.
        cpu_seconds: processor time of its process tree.
        peak_bytes: most resident memory of its process tree.
        phases: seconds by table, or by day for per_day.
    """

    side: str
    round: int
    seconds: float
    cpu_seconds: float
    peak_bytes: int
    phases: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Spread:
    """Median and range of some figures."""

    middle: float
    least: float
    most: float

    @classmethod
    def of(cls, figures: list[float]) -> Spread:
        return cls(median(figures), min(figures), max(figures))


@dataclass
class Results:
    """Everything that the report says.

    Attributes:
        machine: what it ran on.
        days: the landing days.
        runs: every run of every side.
        rows: rows by table; the same on all sides.
        files: data files over all tables, by side.
        left_out: tables of the project that the sides do not compute.
        other_seconds: demo and set-up, seconds by name.
        busy: the largest share of the processor that others used before a run began.
    """

    machine: dict[str, str]
    days: str = ""
    day_count: int = 0
    runs: list[Run] = field(default_factory=list)
    rows: dict[str, int] = field(default_factory=dict)
    files: dict[str, int] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    other_seconds: dict[str, float] = field(default_factory=dict)
    busy: float = 0.0

    @property
    def sides(self) -> list[str]:
        """The sides that ran, in their order."""
        return list(dict.fromkeys(run.side for run in self.runs))

    def of(self, side: str) -> list[Run]:
        """Return the runs of one side."""
        return [run for run in self.runs if run.side == side]

    def year_seconds(self, run: Run) -> float:
        """Return the seconds for all days.

        As measured, or for per_day by its mean day.
        """
        if run.side != "per_day":
            return run.seconds
        return sum(run.phases.values()) / len(run.phases) * self.day_count

    def seconds(self, side: str) -> Spread:
        """Wall seconds for all days."""
        return Spread.of([self.year_seconds(run) for run in self.of(side)])

    def cpu_seconds(self, side: str) -> Spread:
        """Return the processor seconds of the runs as they were.

        For per_day, of the days that it computed.
        """
        return Spread.of([run.cpu_seconds for run in self.of(side)])

    def peak_gib(self, side: str) -> Spread:
        """Peak memory, GiB."""
        return Spread.of([run.peak_bytes / 2**30 for run in self.of(side)])

    def ratio(self, side: str, to: str) -> Spread:
        """Return how many times as long as `to` a side took, round by round.

        A side that ran once is compared with every round.
        """
        ours, others = ({run.round: self.year_seconds(run) for run in self.of(name)} for name in (side, to))
        if ours.keys() & others.keys() and min(len(ours), len(others)) > 1:
            return Spread.of([ours[n] / others[n] for n in ours.keys() & others.keys()])
        return Spread.of([one / other for one in ours.values() for other in others.values()])

    def save(self, path: Path) -> None:
        """Keep as JSON."""
        partly = path.with_suffix(".partly")
        partly.write_text(json.dumps(asdict(self), indent=1))
        partly.replace(path)

    @classmethod
    def load(cls, path: Path) -> Results | None:
        """Read what was kept, None where nothing was."""
        if not path.is_file():
            return None
        found = json.loads(path.read_text())
        return cls(**{**found, "runs": [Run(**run) for run in found["runs"]]})
