"""Keep which checks found an error last in one small file.

Asking Dagster's log for that takes more than a second. Whoever evaluates a check notes its verdict here, whatever
started the run. Of a check that the file does not name, because an older release evaluated it or the file was lost, the
log is asked once.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from lake.storage.durable import write_whole

__all__ = ["RedChecks"]

_WAITS_SECONDS = 30.0
"""For another process that writes the file, which takes milliseconds."""


@dataclass(frozen=True)
class RedChecks:
    """The newest verdicts of one lake.

    Attributes:
        home: folder of the lake.
    """

    home: Path

    @property
    def _file(self) -> Path:
        return self.home / "checks.json"

    def note(self, found: Mapping[str, str]) -> None:
        """Note what checks have found.

        Args:
            found: by name, `layer.table check`, what is wrong; empty where that is no error.
        """
        if found.items() <= self._read().items():
            return  # as nearly always
        self.home.mkdir(parents=True, exist_ok=True)
        with FileLock(self._file.with_suffix(".lock"), timeout=_WAITS_SECONDS):
            write_whole(self._file, json.dumps({**self._read(), **found}, indent=0, sort_keys=True))

    def errors(self, names: Collection[str], ask: Callable[[list[str]], Mapping[str, str]]) -> dict[str, str]:
        """Find those of some checks that found an error last, with what is wrong.

        Args:
            names: of the checks.
            ask: finds the same of checks that the file does not name.
        """
        known = self._read()
        if unknown := sorted(name for name in names if name not in known):
            asked = {**dict.fromkeys(unknown, ""), **ask(unknown)}
            self.note(asked)
            known = {**asked, **known}
        return {name: known[name] for name in names if known[name]}

    def _read(self) -> dict[str, str]:
        try:
            said = json.loads(self._file.read_text())
        except (OSError, ValueError):
            return {}
        return {str(name): str(what) for name, what in said.items()} if isinstance(said, dict) else {}
