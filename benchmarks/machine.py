"""Describe the machine that the figures were measured on."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import psutil

from lake.engine.java import find_java

__all__ = ["describe_machine", "load"]

PACKAGES = ("pyspark", "delta-spark", "dagster", "polars", "deltalake", "duckdb")


def describe_machine() -> dict[str, str]:
    """Processor, cores, memory, versions and the date."""
    java = find_java()
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "processor": _processor(),
        "cores": str(_cores()),
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        "Java": str(java.version),
        **{package: version(package) for package in PACKAGES},
    }


def load() -> float:
    """Return the share of the processor that others use, from 0 to 1.

    A look of a second, taken before a run.
    """
    return psutil.cpu_percent(interval=1.0) / 100


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
