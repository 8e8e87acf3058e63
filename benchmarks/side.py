"""Run a side as a process of its own, in a home folder.

Every side says what it spent time on.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["REPORT", "Stopwatch", "run_side"]

REPORT = "side.json"
"""Where in its home a side reports its phases."""


@dataclass
class Stopwatch:
    """Seconds by phase. A side prints its tables as it goes."""

    phases: dict[str, float] = field(default_factory=dict)

    def add(self, phase: str, seconds: float) -> None:
        self.phases[phase] = round(self.phases.get(phase, 0.0) + seconds, 3)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        started = time.monotonic()
        yield
        self.add(name, time.monotonic() - started)

    @contextmanager
    def table(self, name: str) -> Iterator[None]:
        """As `phase`, and say so."""
        with self.phase(name):
            yield
        print(f"    {name:<34} {self.phases[name]:7.2f} s", flush=True)


def run_side(compute: Callable[[Path, Stopwatch], None]) -> None:
    """Run a side in LAKEHOUSE_HOME: read its `landing`, write its `tables`, report its phases."""
    if sys.argv[1:]:
        sys.exit("a side takes no arguments; python -m benchmarks runs all of them")
    home, watch = Path(os.environ["LAKEHOUSE_HOME"]), Stopwatch()
    compute(home, watch)
    (home / REPORT).write_text(json.dumps(watch.phases))
