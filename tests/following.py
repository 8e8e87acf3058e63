"""Streams in a process of their own, for tests that kill or stop them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from lake.engine.failpoints import VARIABLE

__all__ = ["LOG", "follower", "logged"]

ROOT = Path(__file__).parents[1]
LOG = "follow.log"
"""What the process prints, in its home."""


@contextmanager
def follower(
    home: Path, *arguments: str, failpoint: str | None = None, **settings: str
) -> Iterator[subprocess.Popen[bytes]]:
    """The command with these arguments and `LAKEHOUSE_...` settings; killed at the end, if it still runs then.

    The clock stands still at the end of the day of the messages: none is ahead of it, and a silent topic seals nothing.
    """
    env = {f"LAKEHOUSE_{name}": value for name, value in settings.items()}
    env |= {"LAKEHOUSE_HOME": str(home), "LAKEHOUSE_NOW": "2013-01-02T23:59:00Z", "TZ": "UTC", "PYTHONPATH": str(ROOT)}
    env |= {"LAKEHOUSE_SPARK_MASTER": "local[2]"} | ({VARIABLE: failpoint} if failpoint else {})
    home.mkdir(exist_ok=True)
    with logged(["-m", "lake.commands.cli", "follow", *arguments], os.environ | env, home / LOG) as process:
        yield process


@contextmanager
def logged(arguments: Sequence[str], env: Mapping[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Python with these arguments, in the folder of the log of what it prints; killed at the end, if it still runs."""
    with log.open("wb") as said:
        process = subprocess.Popen([sys.executable, *arguments], env=env, cwd=log.parent, stdout=said, stderr=said)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
