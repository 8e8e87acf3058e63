"""Run `lakehouse refresh`.

It plans, runs through Dagster and reports a line per table.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

from lake.batch.accepted_losses import accept_loss
from lake.batch.survey import Survey
from lake.commands.json_output import VERSION, print_json
from lake.commands.problems import describe_lost, spell_days
from lake.commands.publishing import Outcome, may_succeed_later, publish_what_reads
from lake.commands.status import describe_older_code
from lake.commands.status_report import DayRange, as_ranges
from lake.declare.days import Days
from lake.declare.graph import with_upstream
from lake.declare.table import Table
from lake.declare.words import counted
from lake.errors import CannotAcceptLoss
from lake.project.environment import open_environment
from lake.storage.unread import describe_unread

if TYPE_CHECKING:
    from lake.orchestration.results import CheckResult, TableResult

__all__ = [
    "Ended",
    "LoadedSink",
    "RefreshReport",
    "accept_loss_from_command_line",
    "notes_of",
    "refresh_from_command_line",
]


class Ended(Enum):
    """The end of a refresh.

    All days were written and no check found an error, or not so, or only a lock was in the way.
    """

    DONE = "done"
    FAILED = "failed"
    TRY_AGAIN = "try_again"


@dataclass(frozen=True)
class RefreshedCheck:
    """A check of a table, and its outcome.

    It has a name, says whether it passed, WARN or ERROR if not, and why.
    """

    name: str
    passed: bool
    severity: str
    description: str


@dataclass(frozen=True)
class RefreshedTable:
    """The outcome of a table in one run.

    Attributes:
        table: `layer.name`.
        days: those asked for; null of a table without days.
        run_id: the run in Dagster.
        status: done; failed, some days were not written; skipped, since a table that it reads failed.
        rows_in, rows_out, rejected, duplicates, disagreeing: of the days that were written.
        seconds: how long it took.
        message: why it failed or was skipped.
        checks: those that ran after it.
    """

    table: str
    days: DayRange | None
    run_id: str
    status: str
    rows_in: int
    rows_out: int
    rejected: int
    duplicates: int
    disagreeing: int
    seconds: float
    message: str
    checks: Sequence[RefreshedCheck]


@dataclass(frozen=True)
class LoadedSink:
    """The outcome of a sink that reads what was refreshed.

    Attributes:
        sink: `serving.name`.
        status: done, also where nothing was due; failed.
        days: those that were loaded, as ranges; none of a table without days.
        rows: of these days, or of the whole table.
        version: of the table that was read; null where it was never written, or the sink failed.
        seconds: how long it took.
        message: why it failed.
    """

    sink: str
    status: str
    days: Sequence[DayRange]
    rows: int
    version: int | None
    seconds: float
    message: str


@dataclass(frozen=True)
class RefreshReport:
    """The object that `lakehouse refresh --json` prints at its end.

    Its lines go to standard error meanwhile.

    Attributes:
        version: of all reports in JSON.
        ended: done; failed; try_again, where only a lock was in the way.
        tables: in the order in which they ran; a table that ran twice comes twice.
        problems: damaged logs, what is lost, what landed unread, checks that an earlier run left red.
        notes: which days an older code computed, or which of the days that were named were computed early.
        sinks: those that read what was refreshed, loaded after it.
    """

    version: int
    ended: str
    tables: Sequence[RefreshedTable]
    problems: Sequence[str]
    notes: Sequence[str]
    sinks: Sequence[LoadedSink]


def refresh_from_command_line(
    out: Console,
    err: Console,
    names: Sequence[str],
    days: Days | None,
    *,
    changed_code: bool = False,
    as_json: bool = False,
) -> Ended:
    """Refresh and print a line per table.

    With `as_json` print one object at the end, and the lines on `err`.
    """
    report = _refresh(err if as_json else out, err, names, days, changed_code=changed_code)
    if as_json:
        print_json(out, report)
    return Ended(report.ended)


def _refresh(
    out: Console, err: Console, names: Sequence[str], days: Days | None, *, changed_code: bool
) -> RefreshReport:
    from lake.orchestration.refresher import Refresher

    environment = open_environment()
    environment.settings.make_folders()
    tables = environment.choose(names)
    environment.refuse_short_calendar()
    with Refresher(environment, lambda result: print_result(out, result)) as refresher:
        results = (
            refresher.days(tables, days) if days is not None else refresher.to_date(tables, changed_code=changed_code)
        )
        standing = refresher.standing(tables, results)
    damages = refresher.survey.unreadable if refresher.survey else []
    for damage in damages:
        err.print(f"[bold red]damaged[/] {escape(str(damage))}", soft_wrap=True)
    unread = describe_unread(environment.unread())
    for line in unread:
        err.print(f"[yellow]{escape(line)}[/]\n  next: move it to landing/FEED/landed_on=YYYY-MM-DD/", soft_wrap=True)
    lost = list(_lost(refresher.survey, tables)) if days is None and refresher.survey else []
    for line in lost:
        err.print(f"[bold red]lost[/] {escape(line)}", soft_wrap=True)
    if not results:
        is_all = not (unread or damages or lost or standing)
        out.print("nothing to do: no day is missing or stale" if is_all else "no day is missing or stale")
    failed = [result for result in results if not result.ok]
    for result in failed:
        err.print(f"[bold red]{result.status}[/] {result.table}: {escape(result.message)}")
    done = {result.table for result in results if result.ok}
    computed = [table for table in tables if table.full_name in done]
    notes = notes_of(refresher.survey, tables, computed, days)
    for line in notes:
        out.print(f"[yellow]{escape(line)}[/]", soft_wrap=True)
    for line in standing:
        err.print(f"[bold red]still red[/] {escape(line)}", soft_wrap=True)
    ended = Ended.FAILED if damages or lost or standing else _ended(results, days_named=days is not None)
    # Also where some of it failed, because days wait for nobody.
    sinks = publish_what_reads(out, err, environment, with_upstream(tables))
    problems = [*map(str, damages), *lost, *unread, *standing]
    reported = [_reported(result) for result in results]
    loaded = [_loaded(one) for one in sinks]
    return RefreshReport(VERSION, _with_sinks(ended, sinks).value, reported, problems, notes, loaded)


def notes_of(survey: Survey | None, tables: Sequence[Table], computed: Sequence[Table], days: Days | None) -> list[str]:
    """Tell of days of an older code.

    Where days were named, tell of early ones instead.
    """
    if survey is None:
        return []
    return [*(describe_older_code(survey, tables) if days is None else _describe_early(survey, computed, days))]


def _describe_early(survey: Survey, tables: Sequence[Table], days: Days) -> Iterator[str]:
    """Say which days were computed though streams still write what they are computed from."""
    for table in tables:
        own = table.own_days(days) if table.day else ()
        if early := [day for day in own if survey.is_early(table, day) and not survey.is_open(table, day)]:
            said = "early, of what streams have written so far; batch computes it again once sealed"
            yield f"{table.full_name} {spell_days(early)}: {said}"


def _with_sinks(ended: Ended, sinks: Sequence[Outcome]) -> Ended:
    """Return the state at the end, after sinks were loaded."""
    if may_succeed_later(sinks):
        return Ended.TRY_AGAIN if ended is Ended.DONE else ended
    return Ended.FAILED if any(one.error for one in sinks) else ended


def _loaded(outcome: Outcome) -> LoadedSink:
    done = outcome.published
    if done is None:
        return LoadedSink(outcome.sink.full_name, "failed", [], 0, None, 0.0, str(outcome.error))
    return LoadedSink(outcome.sink.full_name, "done", as_ranges(done.days), done.rows, done.version, done.seconds, "")


def _reported(result: TableResult) -> RefreshedTable:
    checks = [RefreshedCheck(one.name, one.passed, one.severity, one.description) for one in result.checks]
    days = DayRange(result.days.start, result.days.last) if result.days else None
    counts = (result.rows_in, result.rows_out, result.rejected, result.duplicates, result.disagreeing)
    return RefreshedTable(
        result.table, days, result.run_id, result.status, *counts, result.seconds, result.message, checks
    )


def _lost(survey: Survey, tables: Sequence[Table]) -> Iterator[str]:
    wanted = with_upstream(tables)
    return (line for state in survey.states.values() if state.table in wanted for line in describe_lost(state))


def accept_loss_from_command_line(out: Console, names: Sequence[str], days: Days | None, reason: str) -> None:
    """Write down that rows of some days are lost for good."""
    environment = open_environment()
    if len(names) != 1:
        raise CannotAcceptLoss("lakehouse refresh", "a loss is accepted table by table", "name one table of bronze")
    table = environment.table(names[0])
    for loss in accept_loss(table, environment.store, days, reason):
        out.print(f"{loss.table} {loss.day or 'whole'}: accepted as lost: {escape(str(loss))}", soft_wrap=True)
    out.print("next: lakehouse refresh computes what reads it without these rows")


def _ended(results: Sequence[TableResult], *, days_named: bool) -> Ended:
    """Return the state at the end.

    Of the verdicts of one check only the last counts. Who names days asks for them; that the table is late is shown and
    does not count.
    """
    from lake.orchestration.checks import LATE

    beside = LATE if days_named else frozenset[str]()
    failed = [result for result in results if result.status == "failed"]
    newest = {(result.table, check.name): check for result in results for check in result.checks}
    has_error = any(_is_error(check) for check in newest.values() if check.name not in beside)
    if all(result.ok for result in results):
        return Ended.FAILED if has_error else Ended.DONE
    was_locked = failed and all(result.retryable for result in failed)
    return Ended.TRY_AGAIN if was_locked and not has_error else Ended.FAILED


def _is_error(check: CheckResult) -> bool:
    return not check.passed and check.severity == "ERROR"


def print_result(out: Console, result: TableResult) -> None:
    """Print a line with days, rows and seconds, then the checks that failed.

    The line has the table, days, rows, rejects, duplicates and seconds.
    """
    done = "[bold red]REJECTED[/]" if result.rejected and not result.rows_out else "[green]ok[/]"
    mark = {"done": done, "failed": "[bold red]FAILED[/]", "skipped": "[yellow]skipped[/]"}[result.status]
    parts = [f"{result.rows_out:>9,} rows", f"{result.rejected:>5,} rejected", f"{result.duplicates:>6,} duplicates"]
    if result.disagreeing:
        parts.append(f"{result.disagreeing:,} of them disagree with the row that is kept")
    if result.unchanged_days:
        parts.append("unchanged" if result.days is None else counted(result.unchanged_days, "day unchanged"))
    days = str(result.days) if result.days is not None else "whole"
    out.print(f"{mark:<12} {result.table:<32} {days:<24} {', '.join(parts)}  {result.seconds:5.1f} s", soft_wrap=True)
    for check in result.checks:
        if not check.passed:
            shade = "red" if check.severity == "ERROR" else "yellow"
            first, *rest = check.description.splitlines() or [""]
            out.print(f"             [{shade}]{check.name}[/] {escape(first)}", soft_wrap=True)
            if rest and rest[-1].startswith("next: "):
                out.print(f"               {escape(rest[-1])}", soft_wrap=True)
