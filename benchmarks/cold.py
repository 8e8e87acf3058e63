"""Measure what commands cost that do nothing: processor time of a cold process over a lake that is up to date."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from statistics import median

from benchmarks.measure import processor_seconds

__all__ = ["COMMANDS", "TARGETS", "measure_cold"]

COMMANDS: dict[str, Sequence[str]] = {
    "python": ("-c", "pass"),
    "--help": ("-m", "lake.commands.cli", "--help"),
    "status": ("-m", "lake.commands.cli", "status"),
    "sql": ("-m", "lake.commands.cli", "sql", "show all tables"),
    "refresh": ("-m", "lake.commands.cli", "refresh"),
}
"""By the name that they are printed with."""
TARGETS = {"status": 1.2, "sql": 1.2, "refresh": 2.0}
"""Seconds of processor time on a quiet machine."""


def measure_cold(rounds: int, tell: Callable[[str], None]) -> dict[str, float]:
    """Run every command in turn, so many times, and return the median of each in seconds."""
    spent: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(rounds):
        for name, command in COMMANDS.items():
            spent[name].append(processor_seconds([sys.executable, *command]))
    found = {name: median(seconds) for name, seconds in spent.items()}
    for name, seconds in found.items():
        target = f"  (target {TARGETS[name]:.1f} s)" if name in TARGETS else ""
        tell(f"{name:<8} {seconds:5.2f} s, least {min(spent[name]):.2f} s{target}")
    return found
