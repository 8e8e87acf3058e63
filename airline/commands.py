"""The commands of the example: `lakehouse demo` and `lakehouse replay`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from lake.commands.options import DayRange, err, out, parse_option
from lake.declare.days import Days

__all__ = ["demo", "replay"]


def demo(
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep what an earlier demo left, instead of starting over.")
    ] = False,
) -> None:
    """Replay January 2013, fill all tables, repair late days, and show the results.

    Messages are delivered late, and just their days are repaired.
    """
    from airline.demo import run_demo

    sys.exit(run_demo(out, keep=keep))


def replay(
    days: DayRange = None,
    source: Annotated[
        Path | None,
        typer.Option(exists=True, file_okay=False, help="Folder with flights, weather, planes, airlines, airports."),
    ] = None,
    late: Annotated[float, typer.Option(help="Share of messages that land up to 10 days late, 0..1.")] = 0.0,
    duplicates: Annotated[float, typer.Option(help="Share of messages that are sent twice, 0..1.")] = 0.0,
    malformed: Annotated[float, typer.Option(help="Share of messages beside which a broken copy is sent, 0..1.")] = 0.0,
    seed: Annotated[int, typer.Option(help="The same seed injects the same disorder.")] = 0,
    to_kafka: Annotated[
        str | None, typer.Option(help="Send the messages to this broker, HOST:PORT, instead of landing them as files.")
    ] = None,
    speed: Annotated[
        float | None, typer.Option(help="With --to-kafka: times as fast as they were sent; as fast as can be if none.")
    ] = None,
) -> None:
    """Turn flight records into the landing files that an airline would get.

    They are those of these landing days.
    """
    chosen = parse_option("--days", days, Days.parse)
    if to_kafka is not None:
        from lake.engine.packages import require_extra

        require_extra("kafka")
        from airline.producing import produce_with_progress

        disorder = {"late": late, "duplicates": duplicates, "malformed": malformed}
        sent = produce_with_progress(err, to_kafka, chosen, source, seed=seed, speed=speed, **disorder)
        out.print(f"{sent:,} messages sent to {to_kafka}")
        return

    from airline.replaying import replay_with_progress

    report = replay_with_progress(
        err, days=chosen, source=source, late=late, duplicates=duplicates, malformed=malformed, seed=seed
    )
    lines = ", ".join(f"{feed} {count:,}" for feed, count in report.lines.items())
    out.print(f"landed {report.days}: {lines}; {report.files:,} files in {report.seconds:.1f} s")
    if report.injected:
        out.print("injected: " + ", ".join(f"{kind} {count:,}" for kind, count in report.injected.items()))
