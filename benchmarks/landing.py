"""The landing folder that all sides share: replayed once, kept for the next time."""

from __future__ import annotations

import json
import shutil
from datetime import date
from pathlib import Path

from rich.console import Console

from airline.replay import replay
from lake.declare.days import Days

__all__ = ["YEAR", "shared_landing"]

YEAR = Days.parse("2012-12-31..2014-01-02")
"""Everything that is received about the flights of 2013, if nothing disturbs it."""

_COMPLETE = "_benchmark.json"


def shared_landing(work: Path, days: Days, out: Console) -> Path:
    """Return a landing folder with exactly these days, clean.

    It has no late, repeated or broken messages.
    """
    folder = work / f"landing-{days.start}-{days.last}"
    if (folder / _COMPLETE).is_file():
        out.print(f"landing: {folder} is there already")
        return folder
    shutil.rmtree(folder, ignore_errors=True)

    def landed(day: date, _lines: int) -> None:
        if day.day == 1:
            out.print(f"    replayed to {day}")

    out.print(f"landing: replaying {days}")
    report = replay(folder, days, progress=landed)
    (folder / _COMPLETE).write_text(json.dumps(report.lines))
    out.print(f"    {report.files:,} files, {report.bytes / 2**20:,.0f} MiB in {report.seconds:.0f} s")
    return folder
