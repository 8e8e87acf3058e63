"""Keep which checks found an error last in one small file.

Asking Dagster's log for that takes more than a second. Whoever evaluates a check notes its verdict here, whatever
started the run. Of a check that the file does not name, because an older release evaluated it or the file was lost, the
log is asked once.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from lake.storage.noted import Noted

__all__ = ["RedChecks"]


@dataclass(frozen=True)
class RedChecks:
    """The newest verdicts of one lake.

    Attributes:
        home: folder of the lake.
    """

    home: Path

    @property
    def _noted(self) -> Noted:
        return Noted(self.home / "checks.json")

    def note(self, found: Mapping[str, str]) -> None:
        """Note what checks have found.

        Args:
            found: by name, `layer.table check`, what is wrong; empty where that is no error.
        """
        self._noted.note(found)

    def errors(self, names: Collection[str], ask: Callable[[list[str]], Mapping[str, str]]) -> dict[str, str]:
        """Find those of some checks that found an error last, with what is wrong.

        Args:
            names: of the checks.
            ask: finds the same of checks that the file does not name.
        """
        known = {name: str(what) for name, what in self._noted.read().items()}
        if unknown := sorted(name for name in names if name not in known):
            asked = {**dict.fromkeys(unknown, ""), **ask(unknown)}
            self.note(asked)
            known = {**asked, **known}
        return {name: known[name] for name in names if known[name]}
