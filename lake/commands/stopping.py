"""Let Ctrl-C and SIGTERM stop a command, and tell afterwards which it was."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from functools import cache
from types import FrameType

__all__ = ["hear_signals"]


def hear_signals() -> Callable[[], int]:
    """Make both signals raise KeyboardInterrupt.

    Returns what gives the exit code: 130 or 143.

    Dagster and PySpark put handlers of their own in place, so that which signal came is read where Python writes it.
    Dagster gives SIGTERM the handler of SIGINT. A job in the background of a shell ignores SIGINT, and would be deaf to
    SIGTERM then too: so this handler is there for both, and passes over the one that is to be ignored.
    """
    is_deaf = signal.getsignal(signal.SIGINT) is signal.SIG_IGN

    def stop(signum: int, _frame: FrameType | None) -> None:
        if not (is_deaf and signum == signal.SIGINT):
            raise KeyboardInterrupt

    heard, told = _pipe()
    signal.set_wakeup_fd(told, warn_on_full_buffer=False)
    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    _drained(heard)
    return lambda: 128 + next((one for one in reversed(_drained(heard)) if one == signal.SIGTERM), signal.SIGINT)


@cache
def _pipe() -> tuple[int, int]:
    heard, told = os.pipe()
    os.set_blocking(heard, False)
    os.set_blocking(told, False)
    return heard, told


def _drained(heard: int) -> bytes:
    try:
        return os.read(heard, 65536)
    except BlockingIOError:
        return b""
