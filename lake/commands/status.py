"""Print what `lakehouse status` shows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from time import sleep
from typing import NamedTuple

from rich.console import Console
from rich.markup import escape
from rich.table import Table as Grid

from lake.batch.accepted_losses import AcceptedLoss, AcceptedLosses
from lake.batch.freshness import Freshness
from lake.batch.rescued import count_rescued
from lake.batch.survey import Survey, TableState
from lake.commands.json_output import print_json
from lake.commands.look import Held, Look
from lake.commands.problems import by_reason, find_problems, spell_days
from lake.commands.sink_status import print_sinks
from lake.declare.days import Day, Days
from lake.declare.table import Table
from lake.declare.words import counted
from lake.ownership.frontier import Frontier, event_progress
from lake.ownership.passed_over import PassedOver
from lake.project.automation import describe_automation
from lake.project.environment import Environment, open_environment
from lake.storage.kept_code import keep_code
from lake.storage.kept_facts import keep_facts_in

__all__ = [
    "Health",
    "Ownership",
    "describe_older_code",
    "print_status",
    "read_ownership",
    "show_status",
]


class Health(NamedTuple):
    """The health of a lake.

    Every table is fresh, with no day missing or stale; every log can be read.
    """

    is_healthy: bool
    is_readable: bool


def show_status(console: Console, names: Sequence[str], *, verbose: bool, as_json: bool, every: float | None) -> Health:
    """Print the status of a lake, once or every so many seconds.

    Also for programs, as JSON.
    """
    look = Look(open_environment(), names)
    with keep_facts_in(look.environment.settings.home / "looks.json"), keep_code():
        return _show_looks(console, look, verbose=verbose, as_json=as_json, every=every)


def _show_looks(console: Console, look: Look, *, verbose: bool, as_json: bool, every: float | None) -> Health:
    while True:
        if as_json:
            from lake.commands.status_report import report_status

            report = report_status(look)
            print_json(console, report)
            return Health(report.is_healthy, not look.survey.unreadable)
        if every is None:
            return print_status(console, look, verbose=verbose)
        with console.capture() as captured:  # all at once, so that nothing flickers
            print_status(console, look, verbose=verbose)
        console.clear()
        console.out(captured.get(), end="", highlight=False)
        sleep(every)
        look = Look(open_environment(), look.names)


def print_status(console: Console, look: Look, *, verbose: bool) -> Health:
    """Print what is wrong, then one line per table."""
    settings, survey, problems = look.environment.settings, look.survey, find_problems(look)
    whose = ", the clock of the last replay" if look.now == settings.replay_clock() else ""
    console.print(f"{settings.tables}, as of {look.now:%Y-%m-%d %H:%M} UTC{whose}")
    for problem in problems:
        console.print(f"[{'red' if problem.is_error else 'yellow'}]{escape(str(problem))}[/]", soft_wrap=True)
    _print_tables(console, look)
    _print_notes(console, look)
    for table in look.tables if verbose else ():
        _print_reasons(console, look.state(table), is_followed=look.frontier is not None)
    _print_days(console, look.tables, survey, verbose=verbose)
    _print_streams(console, look, verbose=verbose)
    print_sinks(console, look)
    console.print(describe_automation(settings), soft_wrap=True)
    if look.frontier is None and not any(state.entries or state.missing for state in survey.states.values()):
        first = "lakehouse follow reads Kafka" if settings.feed == "kafka" else "lakehouse land FEED FILE"
        console.print(f"nothing has landed yet; next: [bold]{first}[/]")
    is_healthy = not any(problem.is_error for problem in problems)
    return Health(is_healthy=is_healthy, is_readable=not survey.unreadable)


def _print_tables(console: Console, look: Look) -> None:
    grid = Grid(box=None, pad_edge=False)
    for title in ("table", "newest day", "days", "rows", "rejected", "missing", "stale", "freshness", "owner"):
        is_number = title in ("days", "rows", "rejected", "missing", "stale")
        whole = title != "freshness"  # the one text that may be long, so the one that may wrap
        grid.add_column(title, no_wrap=whole, justify="right" if is_number else "left")
    for table in look.tables:
        cells = _cells(look.state(table), look.held(table), look.freshness[table.full_name])
        grid.add_row(table.full_name, *cells, table.owner)
    console.print(grid)


def _print_notes(console: Console, look: Look) -> None:
    """Print what is worth knowing of tables and is nothing wrong."""
    store = look.environment.store
    accepted = AcceptedLosses(store).all()
    for table in look.tables:
        state = look.state(table)
        _print_disagreeing(console, state)
        _print_rescued(console, table, count_rescued(table, store) if not state.unreadable else {})
        for reason, days in by_reason(state.archived).items():
            console.print(f"{state.table.full_name}: archived: {reason}: {spell_days(days)}", soft_wrap=True)
        _print_accepted(console, [one for one in accepted if one.table == table.full_name])
    for line in describe_older_code(look.survey, look.tables):
        console.print(f"[yellow]{escape(line)}[/]", soft_wrap=True)


@dataclass(frozen=True)
class Ownership:
    """The days of one table by their owner.

    As far as anything is known of them.

    Attributes:
        settled: batch has computed them from all that their inputs hold.
        sealed: batch owns them and has not, or not since an input changed; with the reason.
        open: streams own them, or a day that they are computed from, from this day on; None where batch owns every day.
    """

    settled: tuple[Days, ...]
    sealed: Mapping[Day, str]
    open: date | None


def read_ownership(state: TableState, frontier: Frontier | None) -> Ownership:
    """Sort the days of a table that has days."""
    table = state.table
    first_open = frontier.first_early_day(table) if frontier else None
    due = {**state.missing, **state.stale}
    followed = frontier is not None and frontier.was_followed(table)
    never = "batch has not computed it yet" if followed else "never computed"
    reasons: dict[Day, str] = {day: reason if day in state.entries else never for day, reason in due.items()}
    return Ownership(state.settled(first_open), reasons, first_open)


def _print_days(console: Console, tables: Iterable[Table], survey: Survey, *, verbose: bool) -> None:
    """Print which days of each table are settled, sealed and open.

    Nothing where no stream ever ran.
    """
    if survey.view.frontier is None:
        return
    grid = Grid("table", "settled", "sealed, not settled", "open", box=None, pad_edge=False)
    why: list[str] = []
    for table in tables:
        if table.day is None:
            continue
        days = read_ownership(survey.states[table.full_name], survey.view.frontier)
        opened = "-" if days.open is None else f"from {days.open} on"
        grid.add_row(
            table.full_name, _list(days.settled), _list(Days.ranges(day for day in days.sealed if day)), opened
        )
        for reason, sealed in by_reason(days.sealed).items():
            why.append(f"{table.full_name}: sealed {spell_days(sealed)}, not settled: {reason}")
    console.print()
    console.print(grid)
    for line in why if verbose else ():
        console.print(line)


def _list(ranges: Sequence[Days]) -> str:
    return ", ".join(map(str, ranges)) or "-"


def _print_streams(console: Console, look: Look, *, verbose: bool) -> None:
    """Print a line per stream, and which days are open.

    Nothing where no stream ever ran.
    """
    frontier = look.frontier
    if frontier is None:
        return
    owner = f"streams own days from {frontier.first_open} on" if frontier.claimed else "released: batch owns every day"
    console.print(f"\nstreams: {owner}; bronze is followed from landing day {frontier.stream_from} on")
    titles = ("stream", "state", "open from", "watermark", "lag messages", "lag s", "rows/s")
    grid = Grid(*titles, box=None, pad_edge=False)
    notes: list[str] = []
    for name, table in look.environment.tables.items():
        stream = look.streams.get(name)
        if stream is None:
            continue
        stall = look.stalls.get(name)
        cells = (
            frontier.first_followed_day(table),
            stream.known_watermark,
            *look.lag(table, stream),
            stream.rows_per_second,
        )
        state = stream.state if stall is None else f"[red]{stall.kind}[/]"
        grid.add_row(name, state, *("-" if cell is None else str(cell) for cell in cells))
        if stall is None and stream.last_error:
            notes.append(f"{name}: last error: {escape(stream.last_error.splitlines()[0])}")
    console.print(grid)
    for note in [*notes, *_passed_over(look.environment)]:
        console.print(note, soft_wrap=True)
    for line in _why_open(look.environment, frontier) if verbose else ():
        console.print(line)


def _passed_over(environment: Environment) -> Iterator[str]:
    """Tell which messages operators have passed over.

    Spark refuses to read them.
    """
    for message in PassedOver(environment.store).all():
        by = f"{message.passed_at:%Y-%m-%d %H:%M} by {message.passed_by}"
        yield f"passed over: {escape(str(message.place))}, timestamp {message.timestamp}, on {escape(by)}"


def _why_open(environment: Environment, frontier: Frontier) -> Iterator[str]:
    """Say how far each table that speaks for a topic has come.

    A day ends when all have passed it by their lateness.
    """
    for table in environment.tables.values():
        if table.full_name in frontier.claimed and table.event_time and table.lateness is not None:
            newest = event_progress(table, environment.store, environment.settings.now())
            said = (
                f"{newest:%Y-%m-%d %H:%M}, so days before {newest - table.lateness:%Y-%m-%d} are over"
                if newest
                else "-"
            )
            hours = table.lateness.total_seconds() / 3600
            yield f"{table.full_name}: newest event {said} (lateness {hours:g} h); the slowest feed decides"


def _cells(state: TableState, held: Held, freshness: Freshness) -> list[str]:
    colour = "red" if freshness.is_late else "green"
    return [
        str(held.newest_day or "-"),
        f"{held.days:,}" if state.table.day else "whole",
        f"{held.rows:,}",
        _warn(held.rejected),
        "[red]?[/]" if state.unreadable else _warn(len(state.missing)),
        "[red]?[/]" if state.unreadable else _warn(len(state.stale)),
        f"[{colour}]{freshness}[/]",
    ]


def _warn(count: int) -> str:
    return f"[yellow]{count:,}[/]" if count else "0"


def _print_reasons(console: Console, state: TableState, *, is_followed: bool) -> None:
    """Print why days are due.

    Where streams run, that is said of sealed days below.
    """
    says_due = not (is_followed and state.table.day)
    for kind, reasons in (("missing", state.missing), ("stale", state.stale)) if says_due else ():
        for reason, days in by_reason(reasons).items():
            console.print(f"{state.table.full_name}: {kind} {spell_days(days)}: {reason}")


def describe_older_code(survey: Survey, tables: Iterable[Table]) -> Iterator[str]:
    """Describe the days of tables that an older code computed, with the next command."""
    for table in tables:
        if days := survey.older_code(table):
            name = table.full_name
            yield f"{name}: computed by older code: {spell_days(days)}; next: lakehouse refresh {name} --changed-code"


def _print_disagreeing(console: Console, state: TableState) -> None:
    """Print duplicates that differ from the row that is kept.

    They tell of a source that contradicts itself.
    """
    found = state.totals.disagreeing
    if found:
        total, days = sum(found.values()), spell_days(found)
        said = f"{total:,} duplicates disagree with the row that is kept: {days}; see docs/late-data.md"
        console.print(f"{state.table.full_name}: {said}", soft_wrap=True)


def _print_rescued(console: Console, table: Table, found: Mapping[date | None, int]) -> None:
    """Print rows with fields that the contract does not know.

    Their source has grown.
    """
    if found:
        rows, days = counted(sum(found.values()), "row"), spell_days(found)
        said = f"{rows} with fields that the contract does not know: {days}; see _rescued and docs/feeds.md"
        console.print(f"{table.full_name}: {said}", soft_wrap=True)


def _print_accepted(console: Console, accepted: Iterable[AcceptedLoss]) -> None:
    """Print losses that somebody accepted, for good to see."""
    for loss in accepted:
        day = loss.day or "the whole table"
        console.print(f"{loss.table}: lost: accepted: {day}: {escape(str(loss))}", soft_wrap=True)
