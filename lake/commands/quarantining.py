"""Print what `lakehouse quarantine` shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from rich.console import Console
from rich.markup import escape
from rich.table import Table as Grid

from lake.batch.rejected import rejected_rows
from lake.commands.json_output import VERSION
from lake.declare.days import Days
from lake.declare.table import Table
from lake.declare.words import counted
from lake.project.environment import Environment

__all__ = ["BrokenRule", "QuarantineReport", "RejectedRow", "print_quarantine", "report_quarantine"]


@dataclass(frozen=True)
class BrokenRule:
    """A rule of the contract, and how many rows broke it."""

    rule: str
    rows: int


@dataclass(frozen=True)
class RejectedRow:
    """A row that broke the contract.

    Attributes:
        day: the day under which it is filed; null where the table has none.
        rules: what it broke.
        raw: what the source sent; null where it is no message.
        row: what the transform made of it, as JSON text.
    """

    day: date | None
    rules: Sequence[str]
    raw: str | None
    row: str


@dataclass(frozen=True)
class QuarantineReport:
    """The object that `lakehouse quarantine --json` prints.

    Attributes:
        version: of all reports in JSON.
        table: `layer.name`.
        rows: how many are in quarantine, of the days asked for.
        rules: the most often broken first.
        examples: the first rows by day, as many as `--limit` says.
    """

    version: int
    table: str
    rows: int
    rules: Sequence[BrokenRule]
    examples: Sequence[RejectedRow]


def report_quarantine(environment: Environment, table: Table, days: Days | None, limit: int) -> QuarantineReport:
    """Count the rows of a table that broke each rule, and show some."""
    rows = rejected_rows(environment.store, table, days)
    rules = Counter(rule for row in rows for rule in row["rules"])
    return QuarantineReport(
        VERSION,
        table.full_name,
        len(rows),
        [BrokenRule(rule, count) for rule, count in rules.most_common()],
        [RejectedRow(row["day"], row["rules"], row["raw"], row["row"]) for row in rows[:limit]],
    )


def print_quarantine(console: Console, said: QuarantineReport, days: Days | None) -> None:
    """Print how many rows broke each rule, then some of them."""
    console.print(f"{said.table}: {counted(said.rows, 'row')} in quarantine" + (f" for {days}" if days else ""))
    grid = Grid("rule", "rows", box=None)
    for broken in said.rules:
        grid.add_row(escape(broken.rule), f"{broken.rows:,}")
    if said.rules:
        console.print(grid)
    for row in said.examples:
        shown = f"[dim]{row.day}[/] {escape(', '.join(row.rules))}\n  {escape(row.raw or row.row)}"
        console.print(shown, soft_wrap=True)
    left = said.rows - len(said.examples)
    if left:
        view = said.table.replace(".", "_")
        console.print(f"... {left:,} more: --limit {said.rows}, or query quarantine.{view}")
