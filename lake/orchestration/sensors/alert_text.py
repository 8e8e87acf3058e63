"""Put a cause into the words of one message.

It names the lake, the table, its owner and its days, the first lines of the reason, the next command, the section of
the runbook, the page of the run, and what stands behind it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from lake.declare.words import counted, more
from lake.orchestration.sensors.causes import Causes, Finding, Ranges
from lake.orchestration.sensors.notify import Message
from lake.project.settings import Settings

__all__ = ["Spelling", "split_next"]

SHOWN_LINES, SHOWN_TABLES = 3, 8


@dataclass(frozen=True)
class Spelling:
    """Spells the causes of one sensor.

    Attributes:
        settings: of the lake.
        good: what is said of a finding where a cause is over: "is fresh again".
    """

    settings: Settings
    good: str

    def began(self, causes: Causes, found: Mapping[str, Finding], names: AbstractSet[str]) -> Iterator[Message]:
        """Spell the causes that began."""
        for root in sorted(names):
            behind = [found[name] for name in sorted(causes.open[root].behind) if name != root]
            first = found[root] if root in found else behind.pop(0)
            tables = _behind(first, behind)
            also = f", and {counted(len(tables), 'table')} behind it" if tables else ""
            title = f"{self._lake}: {first.table} {first.what}{also}"
            yield Message(title, "\n".join(self._lines(first, tables)), {root})

    def ended(self, roots: Mapping[str, str], names: AbstractSet[str]) -> Iterator[Message]:
        """Spell the causes that are over.

        Args:
            roots: what is to be said of a cause, beside its name.
            names: those that are over.
        """
        for root in sorted(names):
            title, _, body = roots.get(root, f"{root} {self.good}").partition("\n")
            yield Message(f"{self._lake}: {title}", f"{self._place}\n{body}".strip(), {root}, good_news=True)

    @property
    def _lake(self) -> str:
        return f"Lakehouse {self.settings.root.name} ({self.settings.environment})"

    @property
    def _place(self) -> str:
        return f"lake: {self.settings.tables} ({self.settings.environment})"

    def _lines(self, first: Finding, tables: Mapping[str, Ranges]) -> Iterator[str]:
        yield self._place
        yield f"table: {first.table}" + (f" (owner {first.owner})" if first.owner else "")
        if first.days is not None:
            yield f"days: {', '.join(map(str, first.days))}"
        yield f"reason: {_first_lines(first.reason)}"
        if tables:
            yield f"behind it: {_listed(tables)}"
        if first.next:
            yield f"next: {first.next}"
        if first.runbook:
            yield f"runbook: {first.runbook}"
        if first.run:
            yield f"run: {self.settings.ui_url}/runs/{first.run}"
        else:
            yield f"page: {self.settings.ui_url}/assets/{first.table.replace('.', '/')}"


def split_next(said: str) -> tuple[str, str]:
    """Split what is wrong from the next command that it ends with."""
    reason, _, step = said.partition("next: ")
    return reason.strip(), step.strip().partition("\n")[0]


def _behind(first: Finding, others: Iterable[Finding]) -> dict[str, Ranges]:
    found = {place: days for one in others for place, days in one.places.items()}
    return {table: days for table, days in {**found, **first.beside}.items() if table != first.table}


def _first_lines(reason: str) -> str:
    lines = [line.strip() for line in reason.splitlines() if line.strip()]
    left_out = [f"and {more(len(lines) - SHOWN_LINES, 'line')}"] if len(lines) > SHOWN_LINES else []
    return "\n  ".join([*lines[:SHOWN_LINES], *left_out])


def _listed(tables: Mapping[str, Ranges]) -> str:
    shown = [_with_days(table, tables[table]) for table in sorted(tables)[:SHOWN_TABLES]]
    rest = len(tables) - len(shown)
    return "; ".join([*shown, *([more(rest, "table")] if rest else [])])


def _with_days(table: str, days: Sequence[object] | None) -> str:
    return f"{table} {', '.join(map(str, days))}" if days else table
