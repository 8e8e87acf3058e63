"""Share consoles, exit codes and arguments among all commands.

Those of a project use them too, and read days in the same way.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Annotated, TypeVar

import typer

from lake.commands.exit_codes import FAILED, NOT_SET_UP, STOPPED, TRY_AGAIN, WRONG_ARGUMENTS
from lake.commands.terminal import Terminal
from lake.errors import BadDay

__all__ = [
    "FAILED",
    "NOT_SET_UP",
    "STOPPED",
    "TRY_AGAIN",
    "WRONG_ARGUMENTS",
    "AsJson",
    "DayRange",
    "TableNames",
    "err",
    "out",
    "parse_option",
]

T = TypeVar("T")

_WHOLE = 10_000
"""So wide that no line is wrapped and no cell cut, for files and other programs."""

out = Terminal(highlight=False, width=None if sys.stdout.isatty() else _WHOLE)
err = Terminal(stderr=True, highlight=False, width=None if sys.stderr.isatty() else _WHOLE)

TableNames = Annotated[
    list[str] | None,
    typer.Argument(help="Tables as layer.name, a layer, or a name that only one table has. All if none."),
]
DayRange = Annotated[str | None, typer.Option("--days", help="A day 2024-01-31, or a range 2024-01-01..2024-01-31.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object, for other programs: docs/json-output.md.")]


def parse_option(option: str, text: str | None, parse: Callable[[str], T]) -> T | None:
    """Parse the text of an option, if it was given.

    An empty text, as of a variable that is not set, is no day.
    """
    try:
        return None if text is None else parse(text)
    except BadDay as error:
        raise BadDay(error.text, f"{error.problem} ({option})") from error
