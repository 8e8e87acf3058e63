"""Show several logs in one view.

Each line stands as it is written, with the name of the service that wrote it.
"""

from __future__ import annotations

import os
import re
import select
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

from rich.console import Console
from rich.text import Text

__all__ = ["LogView"]

OWN = "up"
COLOURS = ("cyan", "green", "magenta", "yellow", "blue")
LONGEST_LINE = 1_000
"""A pipe that can take anything takes 4,096 bytes at once. The whole line is in the log."""
BLOCK_BYTES = 65_536


@dataclass
class _Tail:
    """The lines that a log file has got since it was last read."""

    name: str
    path: Path
    position: int
    shown: re.Pattern[str]
    rest: bytes = b""

    def lines(self) -> list[str]:
        """Return some of the next complete lines that are shown.

        There are none at the file's end. A file that has become shorter is read from its start.
        """
        with suppress(OSError), self.path.open("rb") as file:
            if self.path.stat().st_size < self.position:
                self.position, self.rest = 0, b""
            file.seek(self.position)
            while block := file.read(BLOCK_BYTES):
                self.position += len(block)
                *whole, self.rest = (self.rest + block).split(b"\n")
                lines = (line.decode(errors="replace") for line in whole)
                if found := [line for line in lines if self.shown.search(line)]:
                    return found
        return []


class LogView:
    """Prints the lines of several log files and of their supervisor.

    Each has a name and a colour. The view never waits for whoever reads it: what cannot be printed now stays in the
    files until it can.
    """

    def __init__(self, console: Console, names: Sequence[str]) -> None:
        self._console = console
        self._width = max(map(len, (*names, OWN)))
        self._colours = dict(zip(names, cycle(COLOURS), strict=False))
        self._tails: list[_Tail] = []
        self._pending: deque[tuple[str, str]] = deque()

    def follow(self, name: str, path: Path, position: int = 0, shown: str = "") -> None:
        """Show what this file holds from a position on, and all that comes.

        Args:
            name: of the service that writes it.
            path: the file.
            position: where to begin.
            shown: only lines in which this regular expression is found.
        """
        self._tails.append(_Tail(name, path, position, re.compile(shown)))

    def say(self, line: str) -> None:
        """Show a line of the supervisor itself."""
        self._pending.append((OWN, line))

    def show(self) -> None:
        """Print what there is, as far as it can be printed now."""
        if self._print_pending() and self._read():
            self._print_pending()

    def finish(self) -> None:
        """Print all that is left, for services that have ended."""
        while self._print_pending() and self._read():
            pass

    def _read(self) -> bool:
        """Take the next lines of every log and tell whether there are any."""
        self._pending.extend((tail.name, line) for tail in self._tails for line in tail.lines())
        return bool(self._pending)

    def _print_pending(self) -> bool:
        """Print what was taken and tell whether all of it could be printed."""
        while self._pending and self._can_print():
            self._print(*self._pending.popleft())
        return not self._pending

    def _can_print(self) -> bool:
        try:
            return bool(select.select([], [self._console.file], [], 0)[1])
        except (OSError, ValueError):  # not a file of the system
            return True

    def _print(self, name: str, line: str) -> None:
        style = self._colours.get(name, "bold")
        text = Text.assemble((f"{name:<{self._width}} | ", style), Text.from_ansi(line[:LONGEST_LINE]))
        with self._console.capture() as rendered:  # printing itself, Rich would end the process at a broken pipe
            self._console.print(text, soft_wrap=True)
        try:
            self._console.file.write(rendered.get())
            self._console.file.flush()
        except OSError:  # the reader has gone: a closed terminal, a pipe's end
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._console.file.fileno())
