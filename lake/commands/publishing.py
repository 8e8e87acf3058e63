"""Run `lakehouse publish`.

It loads each sink and reports a line for each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rich.console import Console
from rich.markup import escape

from lake.declare.days import Days
from lake.errors import LakeError
from lake.project.environment import Environment
from lake.serve.publish import Published, publish

__all__ = ["print_published", "publish_from_command_line"]


def publish_from_command_line(
    out: Console, err: Console, environment: Environment, names: Sequence[str], days: Days | None, *, anew: bool
) -> bool:
    """Publish sinks, print a line for each and tell whether all could be.

    A sink that cannot be loaded keeps no other from it. One that fails only because somebody else writes its
    destination is tried again by a scheduler: that error is raised at the end.
    """
    sinks = environment.choose_sinks(names)
    if not sinks:
        out.print("no sink is declared; next: write serving/NAME.py (docs/serving.md)")
    place = replace(environment.place, tell=lambda step: out.print(f"[dim]{escape(step)}[/]", soft_wrap=True))
    survey, failed = environment.survey(), list[LakeError]()
    for one in sinks:
        try:
            print_published(out, publish(one, survey, place, days, anew=anew))
        except LakeError as error:
            failed.append(error)
            err.print(f"[bold red]FAILED[/] {one.full_name}: {escape(str(error))}", soft_wrap=True)
    if failed and all(error.retryable for error in failed):
        raise failed[-1]
    return not failed


def print_published(out: Console, published: Published) -> None:
    """Print one line: sink, days, rows, seconds."""
    sink, days = published.sink, [day for day in published.days if day]
    if not published.days:
        what = "up to date" if published.version is not None else f"{sink.reads.full_name} was never written"
        out.print(f"[green]ok[/]           {sink.full_name:<32} {what}", soft_wrap=True)
        return
    ranges = ", ".join(map(str, Days.ranges(days)[:3])) or "whole"
    more = f" and {len(Days.ranges(days)) - 3} more ranges" if len(Days.ranges(days)) > 3 else ""
    out.print(
        f"[green]ok[/]           {sink.full_name:<32} {ranges + more:<24} {published.rows:>9,} rows of version "
        f"{published.version}  {published.seconds:5.1f} s",
        soft_wrap=True,
    )
