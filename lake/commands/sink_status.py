"""Print what `lakehouse status` says of sinks."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table as Grid

from lake.commands.look import Look
from lake.errors import LakeError
from lake.serve.compare import Standing

__all__ = ["print_sinks"]


def print_sinks(console: Console, look: Look) -> None:
    """Print a line for each sink of the tables asked for.

    Nothing where there is none.
    """
    grid = Grid("sink", "reads", "newest day", "rows", "state", box=None, pad_edge=False)
    grid.columns[3].justify = "right"
    for sink, standing in look.sinks.items():
        grid.add_row(sink.full_name, sink.reads.full_name, *_cells(standing))
    if look.sinks:
        console.print()
        console.print(grid)


def _cells(standing: Standing | LakeError) -> tuple[str, str, str]:
    if isinstance(standing, LakeError):
        return "", "", "[red]cannot be read[/]"
    state = "[yellow]behind[/]" if standing.due.days else "[green]up to date[/]"
    if standing.due.sink.to.follows_log:
        return "", "", state
    rows = sum(load.rows for load in standing.loads.values())
    is_new = not (standing.loads or standing.due.days)
    return str(standing.newest_day or "-"), f"{rows:,}", "nothing to load yet" if is_new else state
