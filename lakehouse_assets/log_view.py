"""One view of several logs: each line as it is written, with the name of the service that wrote it."""

from __future__ import annotations

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
    """What a log file has got since it was last read."""

    name: str
    path: Path
    position: int
    rest: bytes = b""

    def lines(self) -> list[str]:
        """The next complete lines; a file that has become shorter is read from its start."""
        with suppress(OSError), self.path.open("rb") as file:
            if self.path.stat().st_size < self.position:
                self.position, self.rest = 0, b""
            file.seek(self.position)
            block = file.read(BLOCK_BYTES)
            self.position += len(block)
            *whole, self.rest = (self.rest + block).split(b"\n")
            return [line.decode(errors="replace").rstrip("\r") for line in whole]
        return []


class LogView:
    """Prints the lines of several log files, and what their supervisor says, with a name and a colour for each.

    It never waits for whoever reads it: what cannot be printed now stays in the files until it can.
    """

    def __init__(self, console: Console, names: Sequence[str]) -> None:
        self._console = console
        self._width = max(map(len, (*names, OWN)))
        self._colours = dict(zip(names, cycle(COLOURS), strict=False))
        self._tails: list[_Tail] = []
        self._pending: deque[tuple[str, str]] = deque()

    def follow(self, name: str, path: Path, position: int = 0) -> None:
        """Show what this file holds from a position on, and what is written to it."""
        self._tails.append(_Tail(name, path, position))

    def say(self, line: str) -> None:
        """Show a line of the supervisor itself."""
        self._pending.append((OWN, line))

    def show(self) -> None:
        """Print what there is, as far as it can be printed now."""
        if not self._pending:
            self._read()
        while self._pending and self._can_print():
            self._print(*self._pending.popleft())

    def finish(self) -> None:
        """Print what is left, for services that have ended."""
        self.show()
        while not self._pending and self._read():
            self.show()

    def _read(self) -> bool:
        self._pending.extend((tail.name, line) for tail in self._tails for line in tail.lines())
        return bool(self._pending)

    def _can_print(self) -> bool:
        try:
            return bool(select.select([], [self._console.file], [], 0)[1])
        except (OSError, ValueError):  # not a file of the system
            return True

    def _print(self, name: str, line: str) -> None:
        style = self._colours.get(name, "bold")
        text = Text.assemble((f"{name:<{self._width}} | ", style), line[:LONGEST_LINE])
        with suppress(OSError):  # nobody reads any more: a closed terminal, a pipe's end
            self._console.print(text, soft_wrap=True)
