"""Look after a warm process: its JVM, and its memory."""

from __future__ import annotations

import re
from contextlib import suppress

import psutil
from pyspark import SparkContext
from pyspark.sql import SparkSession

__all__ = ["is_fit"]

_BESIDE_THE_HEAP = 2 * 2**30
_UNITS = {"k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}


def is_fit() -> bool:
    """Tell whether this process may take more runs.

    The JVM, if one was started, runs, and memory is as its heap explains.
    """
    gateway = SparkContext._gateway
    if gateway is None:
        return True
    if gateway.proc.poll() is not None:
        return False
    session = SparkSession._instantiatedSession
    heap = _bytes(session.conf.get("spark.driver.memory", "1g") or "") if session is not None else None
    return heap is None or _resident() <= heap + _BESIDE_THE_HEAP


def _bytes(text: str) -> int | None:
    found = re.fullmatch(r"(\d+)([kmgt])b?", text.strip().lower())
    return int(found[1]) * _UNITS[found[2]] if found else None


def _resident() -> int:
    """Count the memory of this process and of what it has started."""
    own, total = psutil.Process(), 0
    for process in (own, *own.children(recursive=True)):
        with suppress(psutil.Error):
            total += process.memory_info().rss
    return total
