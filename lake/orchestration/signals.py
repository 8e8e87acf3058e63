"""Hear a signal that comes while Dagster ends a run, which Dagster forgets."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

__all__ = ["hearing_signals"]

_NO_DESCRIPTOR = -1


@contextmanager
def hearing_signals() -> Iterator[Callable[[], bool]]:
    """Give what tells whether Ctrl-C or SIGTERM came since.

    Dagster holds signals back between the steps of a run and drops those that come after the last one, because with it
    the process ends too. So they are read where Python writes them, whatever the handler, and are passed on to what
    read there before. Only the main thread may listen: in others none is heard.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    heard: set[int] = set()
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)

    def is_stopped() -> bool:
        with suppress(BlockingIOError):
            said = os.read(reader, 65536)
            heard.update(said)
            if before != _NO_DESCRIPTOR:
                os.write(before, said)
        return not heard.isdisjoint({signal.SIGINT, signal.SIGTERM})

    try:
        yield is_stopped
    finally:
        signal.set_wakeup_fd(before, warn_on_full_buffer=False)
        is_stopped()
        os.close(reader)
        os.close(writer)
