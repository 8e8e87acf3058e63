"""Kill the process at a named place in the write path, as tests ask.

The process ends as in a power cut. `LAKEHOUSE_FAILPOINT=after_commit` kills at the first pass through that point;
`after_commit@silver.orders` only where the table is that one; `after_commit@silver.orders:3` at the third such pass.
Read once, at import; off, a failpoint costs one comparison.
"""

from __future__ import annotations

import os
import re
import signal
import threading
from dataclasses import dataclass

__all__ = ["FAILPOINTS", "VARIABLE", "failpoint"]

VARIABLE = "LAKEHOUSE_FAILPOINT"

FAILPOINTS = (
    "before_write",
    "after_files",
    "after_commit",
    "after_receipt",
    "before_checkpoint",
    "after_closing",
    "before_sealing",
    "after_sealing",
    "after_claim",
    "before_load",
    "after_load",
    "before_swap",
    "after_swap",
)
"""Every named point: around each table write, after a receipt, at the end of a micro-batch, around seals and claims,
and around what a sink loads and then shows to readers.
"""

_ARMED = re.compile(r"(?P<name>\w+)(?:@(?P<table>[\w.]+))?(?::(?P<passes>\d+))?", re.ASCII)


@dataclass
class _Armed:
    name: str
    table: str | None
    passes: int
    lock: threading.Lock

    def is_met(self, name: str, table: str) -> bool:
        """Count this pass and tell whether it is the one that kills."""
        if name != self.name or self.table not in (None, table):
            return False
        with self.lock:
            self.passes -= 1
            return self.passes == 0


def _arm(text: str | None) -> _Armed | None:
    if not text:
        return None
    match = _ARMED.fullmatch(text)
    if match is None or match["name"] not in FAILPOINTS:
        raise ValueError(f"{VARIABLE}={text!r}: expected NAME[@layer.table][:N], NAME one of {', '.join(FAILPOINTS)}")
    return _Armed(match["name"], match["table"], int(match["passes"] or 1), threading.Lock())


_armed = _arm(os.environ.get(VARIABLE))


def failpoint(name: str, table: str = "") -> None:
    """Kill this process here if the environment asked for it."""
    if _armed is not None and _armed.is_met(name, table):
        _kill()


def _kill() -> None:
    import psutil  # which nobody needs who is not killed

    for child in psutil.Process().children(recursive=True):
        child.kill()
    os.kill(os.getpid(), signal.SIGKILL)
