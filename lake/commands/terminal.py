"""Print to a terminal what others have written: it is shown, and commands nothing.

A message in quarantine, an error or a file name may hold control sequences, which would move the cursor, rename the
window or answer for whoever reads. Every text goes through here as it is rendered, wherever it came from.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

__all__ = ["Terminal", "plain"]

_PICTURES = {code: chr(0x2400 + code) for code in range(0x20) if chr(code) not in "\t\n"} | {0x7F: "\u2421"}
_UNPRINTABLE = "\ufffd"
_REORDERING = (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
"""They make a line read otherwise than it is stored."""
_SHOWN = _PICTURES | dict.fromkeys([*range(0x80, 0xA0), *_REORDERING], _UNPRINTABLE)


def plain(text: str) -> str:
    """Return a text with pictures in place of control characters.

    Tab and line end stay as they are.
    """
    return text.translate(_SHOWN)


class Terminal(Console):
    """A console whose only control sequences are its own.

    These are colours, and the movements of a progress bar. A value such as `a:x:b` gets no picture in its middle.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(emoji=False, **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render as ever, with every text made plain."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(plain(segment.text), segment.style)
