"""Run `lakehouse follow`.

It runs tables as streams until they are idle or somebody stops them.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from functools import partial
from types import FrameType

from rich.console import Console

from lake.batch.early import compute_early
from lake.commands.brokers import topic_source
from lake.declare.days import Days
from lake.declare.graph import early_of, streams_of
from lake.declare.table import Table, is_followable
from lake.declare.topic_source import Place
from lake.engine.compiling import Work
from lake.ownership.frontier import Frontier, FrontierTable
from lake.ownership.reopening import reopen
from lake.project.calendar import refuse_outside
from lake.project.environment import Environment, open_environment
from lake.project.opening import open_checkpoints, open_session
from lake.project.settings import Settings
from lake.stream.early import Early
from lake.stream.follow import follow, refuse_batch_only, release
from lake.stream.progress import MicroBatch

__all__ = ["follow_from_command_line", "release_from_command_line", "reopen_from_command_line"]


def follow_from_command_line(
    out: Console,
    names: Sequence[str],
    new_generation: Sequence[str],
    accept_loss: Sequence[str],
    since: date | None,
    *,
    until_idle: bool,
    feed: str | None = None,
    passing: Sequence[str] = (),
) -> bool:
    """Follow the tables named, or all that can be followed.

    Batch-only tables that are named, or declare `early_every`, are computed early beside their streams. Prints a line
    per micro-batch that had rows. Returns whether all that there is could be read.
    """
    environment = open_environment(Settings.from_env({**os.environ, **({"LAKEHOUSE_FEED": feed} if feed else {})}))
    places = [Place.parse(text) for text in passing]
    environment.settings.make_folders()
    chosen = environment.choose(names)
    early = early_of(chosen if names else [table for table in chosen if table.early_every])
    asked = [table for table in chosen if (is_followable(table) if not names else table not in early)]
    streams = [*asked, *(table for table in streams_of(early) if table not in asked)]
    refuse_batch_only(streams, known=environment.tables.values())
    source = topic_source(environment.settings)
    environment.store.session = partial(open_session, environment.settings, Work.STREAMS)
    with _stopped_by_signals() as stop:
        done = follow(
            streams,
            environment.store,
            FrontierTable(environment.store),
            home=environment.settings.home,
            checkpoints=open_checkpoints(environment.settings),
            source=source,
            until_idle=until_idle,
            stop=stop,
            new_generation=[table.full_name for name in new_generation for table in environment.choose([name])],
            accept_loss=[table.full_name for name in accept_loss for table in environment.choose([name])],
            passing=places,
            since=since,
            now=environment.settings.now,
            calendar=environment.settings.whole_calendar,
            on_receipt=lambda receipt: _print_micro_batch(out, receipt),
            early=_early(environment, early),
        )
    out.print(_describe(done.frontier))
    return not done.unread_files


def _early(environment: Environment, tables: Sequence[Table]) -> Early:
    """Have batch compute the early days of some tables."""
    store, settings = environment.store, environment.settings
    return Early(
        tables,
        lambda table, patience: compute_early(table, store, settings.calendar(), settings.horizon(), patience=patience),
    )


def release_from_command_line(out: Console) -> None:
    """Hand every day back to batch."""
    _print_frontier(out, release(FrontierTable(open_environment().store)))


def reopen_from_command_line(out: Console, day: date) -> None:
    """Open every day from this one on again.

    Raises:
        OutsideCalendar: the tables do not have the day.
    """
    environment = open_environment()
    settings = environment.settings
    refuse_outside(Days.of(day), settings.whole_calendar)
    _print_frontier(out, reopen(FrontierTable(environment.store), environment.tables.values(), day, settings.now()))


def _print_frontier(out: Console, state: Frontier | None) -> None:
    out.print("no stream was ever started: batch owns every day" if state is None else _describe(state))


def _print_micro_batch(out: Console, receipt: MicroBatch) -> None:
    counts = receipt.counts
    if counts.rows_in:
        out.print(
            f"{receipt.table:<32} batch {receipt.batch_id:<5} {counts.rows_out:>8,} rows, "
            f"{counts.rejected:,} rejected, {counts.duplicates:,} duplicates  {receipt.seconds:5.1f} s",
            soft_wrap=True,
        )


def _describe(frontier: Frontier) -> str:
    if not frontier.claimed:
        return f"released: batch owns every day; sealed up to, without, {frontier.first_open}"
    return f"open from {frontier.first_open} on; earlier days are sealed: lakehouse refresh settles them"


@contextmanager
def _stopped_by_signals() -> Iterator[threading.Event]:
    """Give an event that Ctrl-C and SIGTERM set.

    So running micro-batches end in order.
    """
    stop = threading.Event()

    def ask(_signum: int, _frame: FrameType | None) -> None:
        # Not from this thread: it may hold the event's lock, being about to wait for it.
        threading.Thread(target=stop.set, daemon=True).start()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
