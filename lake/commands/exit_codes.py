"""List the exit codes of `lakehouse`, and what a scheduler makes of each.

The page docs/schedulers.md shows the same table.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = [
    "EXIT_CODES",
    "FAILED",
    "NOT_SET_UP",
    "STOPPED",
    "TERMINATED",
    "TRY_AGAIN",
    "WRONG_ARGUMENTS",
    "ExitCode",
    "one_line",
]

DONE, FAILED, WRONG_ARGUMENTS, NOT_SET_UP, TRY_AGAIN, STOPPED, TERMINATED = 0, 1, 2, 3, 75, 130, 143


class ExitCode(NamedTuple):
    """An exit code, its meaning, and whether a retry helps."""

    code: int
    short: str
    means: str
    retry: str


EXIT_CODES = (
    ExitCode(DONE, "done", "all was written, and no check found an error", "-"),
    ExitCode(
        FAILED,
        "failed",
        "a table was not written, is left out or is late, or a check still found an error at the end",
        "may help: a source may have sent a file again",
    ),
    ExitCode(WRONG_ARGUMENTS, "wrong arguments", "an argument or a setting is refused", "never helps"),
    ExitCode(NOT_SET_UP, "machine not set up", "Java, a jar, a package, a right or a key is missing", "never helps"),
    ExitCode(
        TRY_AGAIN,
        "try again later",
        "another process has the table, or an object store, cluster or destination does not answer",
        "helps",
    ),
    ExitCode(STOPPED, "stopped", "stopped by Ctrl-C; nothing is half-written", "helps"),
    ExitCode(TERMINATED, "terminated", "stopped by SIGTERM; nothing is half-written", "helps"),
)


def one_line() -> str:
    """Say all of them in one line, for the help."""
    return f"Exit codes: {', '.join(f'{one.code} {one.short}' for one in EXIT_CODES)}."
