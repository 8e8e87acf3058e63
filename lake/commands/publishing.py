"""Run `lakehouse publish`.

It loads each sink and reports a line for each.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from rich.console import Console
from rich.markup import escape

from lake.batch.survey import Survey
from lake.declare.days import Days
from lake.declare.sink import Sink
from lake.declare.table import Table
from lake.engine.packages import has_extra
from lake.errors import LakeError
from lake.project.environment import Environment
from lake.serve.publish import Published, publish

__all__ = [
    "Outcome",
    "may_succeed_later",
    "print_published",
    "publish_from_command_line",
    "publish_sinks",
    "publish_what_reads",
]


def publish_from_command_line(
    out: Console, err: Console, environment: Environment, names: Sequence[str], days: Days | None, *, anew: bool
) -> bool:
    """Publish sinks, print a line for each and tell whether all could be."""
    sinks = environment.choose_sinks(names)
    if not sinks:
        out.print("no sink is declared; next: write serving/NAME.py (docs/serving.md)")
    return publish_sinks(out, err, environment, sinks, days, anew=anew)


@dataclass(frozen=True)
class Outcome:
    """The outcome of one sink: what was loaded, or why it could not be."""

    sink: Sink
    published: Published | None = None
    error: LakeError | None = None


def publish_what_reads(
    out: Console, err: Console, environment: Environment, tables: Collection[Table]
) -> list[Outcome]:
    """Publish what is due of the sinks that read some tables."""
    sinks = [sink for sink in environment.sinks.values() if sink.reads in tables]
    return _load(out, err, environment, sinks, is_quiet=True)


def publish_sinks(
    out: Console,
    err: Console,
    environment: Environment,
    sinks: Sequence[Sink],
    days: Days | None = None,
    *,
    anew: bool = False,
) -> bool:
    """Publish sinks, and have Dagster record what was loaded, where it is installed.

    A sink that cannot be loaded keeps no other from it. Where all that failed may succeed later, as when somebody else
    writes a destination, the last error is raised.

    Args:
        out: for lines about sinks.
        err: for errors.
        environment: settings and tables.
        sinks: which.
        days: load these in any case, and no others.
        anew: begin with an empty table at the destination.
    """
    outcomes = _load(out, err, environment, sinks, days, anew=anew)
    if may_succeed_later(outcomes):
        raise [one.error for one in outcomes if one.error][-1]
    return not any(one.error for one in outcomes)


def may_succeed_later(outcomes: Iterable[Outcome]) -> bool:
    """Tell whether some sinks failed, and all of them for now only."""
    failed = [one.error for one in outcomes if one.error]
    return bool(failed) and all(error.retryable for error in failed)


def _load(
    out: Console,
    err: Console,
    environment: Environment,
    sinks: Sequence[Sink],
    days: Days | None = None,
    *,
    anew: bool = False,
    is_quiet: bool = False,
) -> list[Outcome]:
    place = replace(environment.place, tell=lambda step: out.print(f"[dim]{escape(step)}[/]", soft_wrap=True))
    outcomes = list[Outcome]()
    for sink in sinks:
        survey = Survey([sink.reads], environment.store, environment.settings.calendar())
        try:
            done = publish(sink, survey, place, days, anew=anew)
        except LakeError as error:
            outcomes.append(Outcome(sink, error=error))
            err.print(f"[bold red]FAILED[/] {sink.full_name}: {escape(str(error))}", soft_wrap=True)
        else:
            outcomes.append(Outcome(sink, done))
            print_published(out, done, is_quiet=is_quiet)
    loaded = [one.published for one in outcomes if one.published and one.published.days]
    if loaded and has_extra("dagster"):
        from lake.orchestration.sinks import record_published  # Dagster, for which there is nearly always no need

        record_published(environment.settings, environment.store, loaded)
    return outcomes


def print_published(out: Console, published: Published, *, is_quiet: bool = False) -> None:
    """Print one line: sink, days, rows, seconds."""
    sink, days = published.sink, [day for day in published.days if day]
    if not published.days:
        what = "up to date" if published.version is not None else f"{sink.reads.full_name} was never written"
        if not is_quiet:
            out.print(f"[green]ok[/]           {sink.full_name:<32} {what}", soft_wrap=True)
        return
    ranges = ", ".join(map(str, Days.ranges(days)[:3])) or "whole"
    more = f" and {len(Days.ranges(days)) - 3} more ranges" if len(Days.ranges(days)) > 3 else ""
    out.print(
        f"[green]ok[/]           {sink.full_name:<32} {ranges + more:<24} {published.rows:>9,} rows of version "
        f"{published.version}  {published.seconds:5.1f} s",
        soft_wrap=True,
    )
