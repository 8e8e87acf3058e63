"""Print what `lakehouse status` and `lakehouse quarantine` show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, NamedTuple, TypeVar

from rich.console import Console
from rich.markup import escape
from rich.table import Table as Grid

from lake.batch.accepted_losses import AcceptedLoss, AcceptedLosses
from lake.batch.freshness import Freshness, FreshnessJudge
from lake.batch.rescued import count_rescued
from lake.batch.survey import Survey, TableState, ways_to_mend
from lake.declare.days import Days, utc_day
from lake.declare.table import Table
from lake.declare.words import counted
from lake.errors import BadSetting
from lake.ownership.frontier import Frontier, event_progress, sealable_before
from lake.ownership.passed_over import PassedOver
from lake.ownership.reopening import is_ahead
from lake.project.environment import Environment
from lake.storage.unread import describe_unread
from lake.stream.progress import StreamStatus, describe_unread_files
from lake.stream.stalled import Stall, StreamWatch

__all__ = [
    "Health",
    "Ownership",
    "describe_lost",
    "describe_older_code",
    "print_quarantine",
    "print_status",
    "print_without_source",
    "read_ownership",
]

Day = date | None
Reason = TypeVar("Reason")


class Health(NamedTuple):
    """The health of a lake.

    Every table is fresh, with no day missing or stale; every log can be read.
    """

    is_healthy: bool
    is_readable: bool


def print_status(console: Console, environment: Environment, names: Sequence[str], *, verbose: bool) -> Health:
    """Print one line per table."""
    settings, survey = environment.settings, environment.survey()
    judge = FreshnessJudge(survey, settings.now())
    grid = Grid(box=None, pad_edge=False)
    for title in ("table", "newest day", "days", "rows", "rejected", "missing", "stale", "freshness", "owner"):
        is_number = title in ("days", "rows", "rejected", "missing", "stale")
        whole = title != "freshness"  # the one text that may be long, so the one that may wrap
        grid.add_column(title, no_wrap=whole, justify="right" if is_number else "left")
    healthy = True
    chosen = environment.choose(names)
    for table in chosen:
        state = survey.states[table.full_name]
        freshness = judge.judge(table)
        is_whole = not (state.missing or state.stale or state.lost or state.foreign or state.unreadable)
        healthy = healthy and is_whole and not freshness.is_late
        grid.add_row(table.full_name, *_cells(state, freshness), table.owner)
    whose = ", the clock of the last replay" if judge.now == settings.replay_clock() else ""
    console.print(f"{settings.tables}, as of {judge.now:%Y-%m-%d %H:%M} UTC{whose}")
    console.print(grid)
    accepted = AcceptedLosses(environment.store).all()
    for table in chosen:
        _print_disagreeing(console, survey.states[table.full_name])
        _print_rescued(console, table, count_rescued(table, environment.store))
        print_without_source(console, survey.states[table.full_name])
        _print_foreign(console, survey, table)
        _print_accepted(console, [one for one in accepted if one.table == table.full_name])
    for line in describe_older_code(survey, chosen):
        console.print(f"[yellow]{escape(line)}[/]", soft_wrap=True)
    for table in chosen if verbose else ():
        _print_reasons(console, survey.states[table.full_name], is_followed=survey.view.frontier is not None)
    _print_days(console, chosen, survey, verbose=verbose)
    healthy = _print_streams(console, environment, survey, verbose=verbose) and healthy
    for damage in survey.unreadable:
        console.print(f"[red]{escape(str(damage))}[/]", soft_wrap=True)
    for line in describe_unread(environment.unread()):
        console.print(f"[yellow]{escape(line)}[/]", soft_wrap=True)
    healthy = _print_short_calendar(console, environment) and healthy
    healthy = _print_ahead(console, environment, survey.view.frontier) and healthy
    if any(survey.states[t.full_name].missing or survey.states[t.full_name].stale for t in chosen):
        console.print("next: [bold]lakehouse refresh[/] brings everything up to date")
    elif not any(state.entries or state.missing for state in survey.states.values()):
        console.print("nothing has landed yet; next: [bold]lakehouse land FEED FILE[/]")
    return Health(is_healthy=healthy, is_readable=not survey.unreadable)


def _print_short_calendar(console: Console, environment: Environment) -> bool:
    """Say where the calendar is shorter than the lake.

    Returns:
        Whether it is not.
    """
    try:
        environment.refuse_short_calendar()
    except BadSetting as error:
        console.print(f"[red]{escape(str(error))}[/]", soft_wrap=True)
        return False
    return True


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
    settled = (days if first_open is None else days.before(first_open) for days in state.up_to_date)
    return Ownership(tuple(days for days in settled if days), reasons, first_open)


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
        for reason, sealed in _by_reason(days.sealed).items():
            why.append(f"{table.full_name}: sealed {_spell(sealed)}, not settled: {reason}")
    console.print()
    console.print(grid)
    for line in why if verbose else ():
        console.print(line)


def _list(ranges: Sequence[Days]) -> str:
    return ", ".join(map(str, ranges)) or "-"


def _print_streams(console: Console, environment: Environment, survey: Survey, *, verbose: bool) -> bool:
    """Print a line per stream, and which days are open.

    Prints nothing where no stream ever ran. Returns whether the streams have read each file that they were given.
    """
    frontier, settings = survey.view.frontier, environment.settings
    if frontier is None:
        return True
    owner = f"streams own days from {frontier.first_open} on" if frontier.claimed else "released: batch owns every day"
    console.print(f"\nstreams: {owner}; bronze is followed from landing day {frontier.stream_from} on")
    watch = StreamWatch(environment.store, settings.home, from_files=settings.feed == "files")
    titles = ("stream", "state", "open from", "watermark", "lag messages", "lag s", "rows/s")
    grid = Grid(*titles, box=None, pad_edge=False)
    notes: list[str] = []
    for table in environment.tables.values():
        stream = watch.statuses.get(table.full_name)
        if survey.states[table.full_name].unreadable:
            continue  # its log cannot be read; that is said below
        stall = watch.judge(table, now=datetime.now(UTC), clock=settings.now())
        if stream is not None:
            waiting = stream.lag_messages if stream.lag_messages is not None else watch.count_waiting(table)
            grid.add_row(table.full_name, *_stream_cells(stream, frontier.first_open_day(table), stall, waiting))
        if stream is not None and stream.unread_files:
            unread = describe_unread_files(stream.unread_files)
            notes.append(f"[red]{table.full_name} goes on without {escape(unread)}[/]")
        if stall is not None:
            notes.append(f"[red]{table.full_name} is stalled: {escape(str(stall))}[/]")
        elif stream is not None and stream.last_error:
            notes.append(f"{table.full_name}: last error: {escape(stream.last_error.splitlines()[0])}")
    console.print(grid)
    for note in [*notes, *_passed_over(environment)]:
        console.print(note, soft_wrap=True)
    for line in _why_open(environment, frontier) if verbose else ():
        console.print(line)
    return not any(stream.unread_files for stream in watch.statuses.values())


def _passed_over(environment: Environment) -> Iterator[str]:
    """Tell which messages operators have passed over.

    Spark refuses to read them.
    """
    for message in PassedOver(environment.store).all():
        by = f"{message.passed_at:%Y-%m-%d %H:%M} by {message.passed_by}"
        yield f"passed over: {escape(str(message.place))}, timestamp {message.timestamp}, on {escape(by)}"


def _print_ahead(console: Console, environment: Environment, frontier: Frontier | None) -> bool:
    """Say where days are sealed that have not come.

    No stream writes them.

    Returns:
        Whether there are none.
    """
    now = environment.settings.now()
    if frontier is None or not is_ahead(frontier, now):
        return True
    claimed = [table for table in environment.tables.values() if table.full_name in frontier.claimed]
    day = sealable_before(claimed, environment.store, now=now) or utc_day(now)
    sealed = max(day for day in (frontier.first_open, frontier.closing, frontier.stream_from) if day)
    console.print(
        f"[bold red]the frontier is ahead of the clock[/]: days up to {sealed} are sealed, and it is {now:%Y-%m-%d}; "
        f"no stream writes them. next: [bold]lakehouse follow --reopen {day}[/], then lakehouse follow "
        "(docs/runbook-streams.md, 'Days were sealed too far')",
        soft_wrap=True,
    )
    return False


def _stream_cells(stream: StreamStatus, first_open: date | None, stall: Stall | None, waiting: int | None) -> list[str]:
    watermark = None if (stream.watermark or "1970").startswith("1970") else stream.watermark
    cells = (first_open, watermark, waiting, stream.lag_seconds, stream.rows_per_second)
    state = stream.state if stall is None else f"[red]{stall.kind}[/]"
    return [state, *("-" if cell is None else str(cell) for cell in cells)]


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


def _cells(state: TableState, freshness: Freshness) -> list[str]:
    totals = state.totals
    colour = "red" if freshness.is_late else "green"
    return [
        str(state.newest_day or "-"),
        f"{totals.days:,}" if state.table.day else "whole",
        f"{totals.rows:,}",
        _warn(totals.rejected),
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
        for reason, days in _by_reason(reasons).items():
            console.print(f"{state.table.full_name}: {kind} {_spell(days)}: {reason}")


def describe_older_code(survey: Survey, tables: Iterable[Table]) -> Iterator[str]:
    """Describe the days of tables that an older code computed, with the next command."""
    for table in tables:
        if days := survey.older_code(table):
            name = table.full_name
            yield f"{name}: computed by older code: {_spell(days)}; next: lakehouse refresh {name} --changed-code"


def _print_disagreeing(console: Console, state: TableState) -> None:
    """Print duplicates that differ from the row that is kept.

    They tell of a source that contradicts itself.
    """
    found = state.totals.disagreeing
    if found:
        total, days = sum(found.values()), _spell(sorted(found, key=str))
        said = f"{total:,} duplicates disagree with the row that is kept: {days}; see docs/late-data.md"
        console.print(f"{state.table.full_name}: {said}", soft_wrap=True)


def _print_rescued(console: Console, table: Table, found: Mapping[date | None, int]) -> None:
    """Print rows with fields that the contract does not know.

    Their source has grown.
    """
    if found:
        rows, days = counted(sum(found.values()), "row"), _spell(sorted(found, key=str))
        said = f"{rows} with fields that the contract does not know: {days}; see _rescued and docs/feeds.md"
        console.print(f"{table.full_name}: {said}", soft_wrap=True)


def print_without_source(console: Console, state: TableState) -> None:
    """Print days whose files are gone.

    Bronze is their archive, or has lost them too.
    """
    for reason, days in _by_reason(state.archived).items():
        console.print(f"{state.table.full_name}: archived: {reason}: {_spell(days)}", soft_wrap=True)
    for line in describe_lost(state):
        console.print(f"[red]{escape(line)}[/]", soft_wrap=True)


def describe_lost(state: TableState) -> Iterator[str]:
    """Describe what a table has lost, with the next command."""
    name = state.table.full_name
    for loss, days in _by_reason(state.lost).items():
        ranges = Days.ranges(day for day in days if day)
        command = f"lakehouse refresh {name}{f' --days {ranges[0]}' if ranges else ''} --accept-loss REASON"
        yield (
            f"{name}: lost: {loss}: {_spell(days)}; put the files back, or restore the table's folder from a backup, "
            f"then lakehouse refresh; where they are gone for good: {command}"
        )


def _print_foreign(console: Console, survey: Survey, table: Table) -> None:
    """Print rows that no declaration gives."""
    for reason, days in _by_reason(survey.states[table.full_name].foreign).items():
        for how, some in ways_to_mend(survey, table, days):
            console.print(f"[red]{table.full_name}: {reason}: {_spell(some)}; next: {how}[/]", soft_wrap=True)


def _print_accepted(console: Console, accepted: Iterable[AcceptedLoss]) -> None:
    """Print losses that somebody accepted, for good to see."""
    for loss in accepted:
        day = loss.day or "the whole table"
        console.print(f"{loss.table}: lost: accepted: {day}: {escape(str(loss))}", soft_wrap=True)


def _by_reason(reasons: Mapping[Day, Reason]) -> dict[Reason, list[Day]]:
    found: dict[Reason, list[Day]] = {}
    for day, reason in reasons.items():
        found.setdefault(reason, []).append(day)
    return found


def _spell(days: Iterable[Day]) -> str:
    ranges = Days.ranges(day for day in days if day)
    return ", ".join(map(str, ranges)) or "the whole table"


def print_quarantine(console: Console, environment: Environment, name: str, days: Days | None, limit: int) -> None:
    """Print how many rows broke each rule, then some of them."""
    table = environment.table(name)
    rows = _quarantined(environment, environment.store.quarantine_path(table), days)
    console.print(f"{table.full_name}: {len(rows):,} rows in quarantine" + (f" for {days}" if days else ""))
    rules = Counter(rule for row in rows for rule in row["rules"])
    grid = Grid("rule", "rows", box=None)
    for rule, count in rules.most_common():
        grid.add_row(rule, f"{count:,}")
    if rules:
        console.print(grid)
    for row in rows[:limit]:
        console.print(f"[dim]{row['day']}[/] {escape(', '.join(row['rules']))}\n  {escape(row['raw'] or row['row'])}")
    if len(rows) > limit:
        console.print(
            f"... {len(rows) - limit:,} more: --limit {len(rows)}, or query quarantine.{table.layer}_{table.name}"
        )


def _quarantined(environment: Environment, path: str, days: Days | None) -> list[dict[str, Any]]:
    log = environment.store.log(path)
    if log.version() is None:
        return []
    rows = log.require().to_pyarrow_table().to_pylist()
    chosen = [row for row in rows if days is None or row["day"] in days]
    return sorted(chosen, key=lambda row: (str(row["day"]), row["row"]))
