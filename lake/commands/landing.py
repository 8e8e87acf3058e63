"""Land files from the command line."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path

from rich.console import Console

from lake.declare.days import utc_day
from lake.declare.words import counted
from lake.errors import BadDay
from lake.project.environment import Environment
from lake.storage.deliver import deliver

__all__ = ["land_from_command_line"]


def land_from_command_line(
    out: Console,
    environment: Environment,
    feed_name: str,
    files: Sequence[Path],
    day: date | None,
    hour: int | None = None,
) -> None:
    """Put files into the landing folder of a feed.

    Prints what landed and the next command.

    Raises:
        UnknownFeed: no table reads a feed of this name.
        BadDay: the calendar does not have the day.
        CannotLand: a file cannot be a delivery.
    """
    settings, landing = environment.settings, environment.store.landing
    feed, chosen = environment.feed(feed_name), day or utc_day(settings.now())
    if chosen not in settings.whole_calendar:
        raise BadDay(str(chosen), f"the calendar has the days {settings.whole_calendar}")
    done = deliver(landing, feed, chosen, files, hour)
    if done.same:
        out.print(f"landed before, with the same content: {', '.join(done.same)}", markup=False, soft_wrap=True)
    if done.new:
        files_landed, rows = counted(len(done.new), "file"), counted(landing.count_rows(feed, chosen), "row")
        held = "which holds" if feed.pattern is None else f"and {chosen} has"
        out.print(f"landed {files_landed} in {done.folder}, {held} {rows} now", markup=False, soft_wrap=True)
        out.print("next: [bold]lakehouse refresh[/]")
