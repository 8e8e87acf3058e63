"""Everything that can go wrong in a benchmark.

LakeError
├── SideFailed    a measured process failed
└── SidesDiffer   two sides computed something else
"""

from __future__ import annotations

from pathlib import Path

from lake.errors import LakeError, Message

__all__ = ["SideFailed", "SidesDiffer"]

SHOWN_LINES = 12


class SideFailed(LakeError):
    """A process that was to be measured failed.

    Its time does not count.

    Attributes:
        command: what was run.
        exit_code: what it returned.
        log: all that it printed.
    """

    command: str
    exit_code: int
    log: Path

    def message(self) -> Message:
        last = self.log.read_text(errors="replace").strip().splitlines()[-SHOWN_LINES:]
        found = f"exit code {self.exit_code}; it ended with\n" + "\n".join(last)
        return Message(f"benchmark: {self.command}", found, f"all that it said is in {self.log}")


class SidesDiffer(LakeError):
    """Two sides computed something else, so their times must not be compared.

    Attributes:
        table: the first table that differs.
        sides: whose.
        what: how.
    """

    table: str
    sides: str
    what: str

    def message(self) -> Message:
        return Message(
            f"benchmark: {self.table}",
            f"{self.sides} differ: {self.what}",
            "the time of that run was not recorded; its folder was kept: look at both, mend the side that is wrong",
        )
