"""Keep a few facts by name in one small JSON file, which several processes write."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from lake.storage.durable import write_whole

__all__ = ["Noted"]

_WAITS_SECONDS = 30.0
"""For another process that writes the file, which takes milliseconds."""


@dataclass(frozen=True)
class Noted:
    """Facts by name. A file that is lost, or that cannot be read, holds none.

    Attributes:
        file: where they lie.
    """

    file: Path

    def read(self) -> dict[str, Any]:
        """Return all facts."""
        try:
            said = json.loads(self.file.read_text())
        except (OSError, ValueError):
            return {}
        return said if isinstance(said, dict) else {}

    def note(self, facts: Mapping[str, Any]) -> None:
        """Add facts, or replace those of the same names."""
        if facts.items() <= self.read().items():
            return  # as nearly always
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(self.file.with_suffix(".lock"), timeout=_WAITS_SECONDS):
            write_whole(self.file, json.dumps({**self.read(), **facts}, indent=0, sort_keys=True))
