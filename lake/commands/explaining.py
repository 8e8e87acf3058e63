"""Tell the whole story of a day, without a JVM.

What it was computed from, by whom, what became of each row, what would change it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from rich.console import Console
from rich.markup import escape

from lake.batch.accepted_losses import AcceptedLosses
from lake.batch.rescued import count_rescued
from lake.commands.json_output import VERSION
from lake.commands.look import Look
from lake.commands.problems import describe_lost
from lake.commands.quarantining import BrokenRule, report_quarantine
from lake.declare.days import Day, Days
from lake.declare.feed import Feed
from lake.declare.graph import readers_of
from lake.declare.table import Read, Table
from lake.declare.words import counted
from lake.errors import BadDay
from lake.ownership.ledger import Entry, Ledger

__all__ = ["Change", "Computation", "Explanation", "InputOfDay", "explain_day", "print_explanation"]

State = Literal["settled", "open", "missing", "stale", "archived", "lost", "unreadable", "empty"]
_FILES_SHOWN = 5


@dataclass(frozen=True)
class Computation:
    """One time that batch computed the day.

    Attributes:
        at: when, UTC.
        outcome: written; unchanged, it was equal to what was stored; failed, it broke a `fail` contract.
        run_id: the run in Dagster; empty where it was none.
        code_version: of the table's declaration and what it imports.
        is_current_code: whether the code is the same now.
        version: of the table that holds it.
        rows_in, rows_out, rejected, duplicates, disagreeing: candidate rows, and what became of them.
        seconds: of the whole run of the table.
    """

    at: str
    outcome: str
    run_id: str
    code_version: str
    is_current_code: bool
    version: int
    rows_in: int
    rows_out: int
    rejected: int
    duplicates: int
    disagreeing: int
    seconds: float


@dataclass(frozen=True)
class InputOfDay:
    """An input of the day.

    Attributes:
        name: `layer.name` of a table, or a feed.
        days: the days of it that the day needs; "whole" for an input without days.
        version_read: the version that the day was computed from; null of a feed, or where it was never computed.
        version_now: the newest version that changed these days; null of a feed, or where none did.
        files: of a feed: those that the day was computed from; where it was never computed, those that have landed.
        lacks: what is missing, stale or lost in it now; empty where nothing is.
    """

    name: str
    days: str
    version_read: int | None
    version_now: int | None
    files: Sequence[str]
    lacks: Sequence[str]


@dataclass(frozen=True)
class Change:
    """The newest commit that changed the day.

    Attributes:
        version: of the table.
        at: when, UTC.
        by: the run of a refresh, or the stream's generation and micro-batch, or the operation of another program.
    """

    version: int
    at: str
    by: str


@dataclass(frozen=True)
class Explanation:
    """The object that `lakehouse explain TABLE DAY --json` prints.

    Attributes:
        version: of all reports in JSON.
        table: `layer.name`.
        day: null of a table without days.
        state: settled; open, streams own it; missing; stale; archived, its files are gone and bronze holds its rows;
            lost; unreadable; empty, no input holds a row for it.
        why: of that state.
        rows: how many the table holds of it.
        computed: the newest time that batch computed it; null where it never did.
        times_computed: how often, as far as the ledger is kept.
        changed: the newest commit that changed it; null where none did, or its log was cleaned up.
        inputs: what it is computed from.
        rejected: rows of it in quarantine, by the rule that they broke.
        rescued: rows of it with fields that the contract does not know.
        late: what it lacks by the clock; null where it is not due, or is there.
        notes: losses that were accepted, rows that nobody computed, an older code.
        changed_by: what would make it stale.
        makes_stale: the days of its readers that a change of it makes stale.
        next: the next command.
    """

    version: int
    table: str
    day: Day
    state: State
    why: str
    rows: int
    computed: Computation | None
    times_computed: int
    changed: Change | None
    inputs: Sequence[InputOfDay]
    rejected: Sequence[BrokenRule]
    rescued: int
    late: str | None
    notes: Sequence[str]
    changed_by: Sequence[str]
    makes_stale: Sequence[str]
    next: str


def explain_day(look: Look, table: Table, asked: Day) -> Explanation:
    """Explain a day of a table, or the whole of one without days.

    Raises:
        BadDay: the calendar does not have it, or the table has days and none was named.
    """
    day = _own_day(look, table, asked)
    state, why = _state(look, table, day)
    entry, quarantined = _entry(look, table, day), _rejected(look, table, day)
    notes = list(_notes(look, table, day))
    return Explanation(
        VERSION,
        table.full_name,
        day,
        state,
        why,
        _rows(look, table, day, entry),
        _computation(table, entry) if entry else None,
        len(Ledger(look.environment.store).entries(table.full_name, [day])),
        None if state == "unreadable" else _changed(look, table, day),
        [_input(look, read, day, entry) for read in table.reads],
        quarantined,
        0 if state == "unreadable" else count_rescued(table, look.environment.store).get(day, 0),
        _late(look, table, day),
        notes,
        list(_changed_by(table, day)),
        list(_makes_stale(look, table, day)),
        _next(look, table, day, state, quarantined),
    )


def _own_day(look: Look, table: Table, asked: Day) -> Day:
    if table.day is None:
        return None
    if asked is None:
        newest = look.held(table).newest_day
        raise BadDay("", f"{table.full_name} has days; name one, as {newest or look.survey.calendar.start}")
    day = table.days_of(asked).start
    if day not in look.survey.calendar:
        raise BadDay(str(asked), f"the calendar of the tables is {look.survey.calendar}")
    return day


def _entry(look: Look, table: Table, day: Day) -> Entry | None:
    return look.state(table).entries.get(day)


def _state(look: Look, table: Table, day: Day) -> tuple[State, str]:
    state = look.state(table)
    if state.unreadable:
        return "unreadable", str(state.unreadable)
    if look.survey.is_early(table, day):
        first = look.frontier.first_early_day(table) if look.frontier else None
        return "open", f"streams own it, or a day that it is computed from: theirs are all from {first} on"
    found: tuple[tuple[State, Mapping[Day, object]], ...] = (
        ("missing", state.missing),
        ("stale", state.stale),
        ("lost", state.lost),
        ("archived", state.archived),
    )
    for name, days in found:
        if day in days:
            return name, str(days[day])
    if day in state.entries:
        return "settled", "batch has computed it from all that its inputs hold"
    return "empty", "no input holds a row for it"


def _rows(look: Look, table: Table, day: Day, entry: Entry | None) -> int:
    if look.state(table).unreadable or table.day is None or day is None:
        return entry.rows_out if entry else 0
    return look.environment.store.table_log(table).rows_by_day(table.day).get(day, 0)


def _computation(table: Table, entry: Entry) -> Computation:
    counts = (entry.rows_in, entry.rows_out, entry.rejected, entry.duplicates, entry.disagreeing)
    current = table.is_computed_by(entry.code_version)
    said = (entry.recorded_at.isoformat(), entry.outcome, entry.run_id, entry.code_version, current, entry.version)
    return Computation(*said, *counts, entry.seconds)


def _changed(look: Look, table: Table, day: Day) -> Change | None:
    version = look.survey.view.newest_touch(table, day, table.day)
    commit = None if version is None else look.environment.store.table_log(table).commit(version)
    if commit is None:
        return None
    said = commit.metadata
    by = f"{commit.operation} of another program"
    if "refresh" in said:
        by = f"refresh, run {said.get('run_id') or 'outside of Dagster'}"
        by = "the process that runs streams, which computes it early" if "follow" in said else by
    elif "follow" in said:
        by = f"its stream, generation {said.get('generation')}, micro-batch {said.get('batch')}"
    return Change(commit.version, commit.committed_at.isoformat(), by)


def _input(look: Look, read: Read, day: Day, entry: Entry | None) -> InputOfDay:
    source = read.source
    if isinstance(source, Feed):
        files = _files(look, source, day, entry)
        changes = look.survey.view.file_changes(source, day, entry) if entry else None
        gone = [f"{name} is gone" for name in changes.gone] if changes else []
        other = [f"{name} is new, or another than it was" for name in changes.other] if changes else []
        return InputOfDay(source.name, str(day or "whole"), None, None, files, [*gone, *other])
    days = read.needed(Days.of(day)) if day and source.day else None
    if look.state(source).unreadable:
        return InputOfDay(source.full_name, str(days or "whole"), None, None, [], ["its log is damaged"])
    newest = look.survey.view.newest_input(source, read, day)
    seen = entry.version_read(source.full_name) if entry else None
    return InputOfDay(
        source.full_name,
        str(days or "whole"),
        seen,
        None if newest < 0 else newest,
        [],
        list(_lacks(look, source, days)),
    )


def _files(look: Look, feed: Feed, day: Day, entry: Entry | None) -> list[str]:
    recorded = entry.inputs.get(f"feed:{feed.name}") if entry else None
    if isinstance(recorded, Mapping):
        return sorted(map(str, recorded))
    landed = look.survey.view.landed(feed)
    return sorted(landed.get(day, {})) if day else sorted(str(one) for one in landed)


def _lacks(look: Look, source: Table, days: Days | None) -> Iterator[str]:
    """Find what is wrong with the days of an input.

    A day waits for them.
    """
    state = look.state(source)
    for kind, found in (("missing", state.missing), ("stale", state.stale), ("lost", state.lost)):
        for day, reason in found.items():
            if days is None or day is None or day in days:
                yield f"{day or 'it'} is {kind}: {reason}"


def _rejected(look: Look, table: Table, day: Day) -> list[BrokenRule]:
    days = Days.of(day) if day else None
    return list(report_quarantine(look.environment, table, days, 0).rules)


def _late(look: Look, table: Table, day: Day) -> str | None:
    freshness = look.judge.judge(table)
    if not freshness.is_late or freshness.due_day is None:
        return None
    if day is None:
        return str(freshness)
    return look.judge.lack(table, day) if day <= freshness.due_day else None


def _notes(look: Look, table: Table, day: Day) -> Iterator[str]:
    state = look.state(table)
    for loss in AcceptedLosses(look.environment.store).all():
        if (loss.table, loss.day) == (table.full_name, day):
            yield f"a loss was accepted: {loss}"
    if day in state.foreign:
        yield str(state.foreign[day])
    if not state.unreadable and day in look.survey.older_code(table):
        yield f"an older code computed it: lakehouse refresh {table.full_name} --changed-code computes it again"


def _changed_by(table: Table, day: Day) -> Iterator[str]:
    for read in table.reads:
        if isinstance(read.source, Feed):
            yield f"another file of {read.source.name} for {day or 'any day'}, or one that changes"
        else:
            days = read.selected(Days.of(day)) if day and read.source.day else None
            column = f" with {read.source.read_by} in {days}" if days else ""
            yield f"a commit to {read.source.full_name} that changes rows{column}"
    yield f"a write into {table.full_name} without a receipt; other code, with lakehouse refresh --changed-code"


def _makes_stale(look: Look, table: Table, day: Day) -> Iterator[str]:
    for reader in look.environment.tables.values():
        for read in reader.reads:
            if read.source is not table:
                continue
            if not (day and reader.day):
                yield f"{reader.full_name} whole"
            elif table.read_by != table.day:
                yield f"{reader.full_name} of the days that its rows claim, {table.read_by}"
            else:
                yield f"{reader.full_name} {read.affected(day).intersect(look.survey.calendar)}"
    beyond = readers_of([table], look.environment.tables.values())
    if beyond:
        yield f"in all, where rows change, days of {counted(len(beyond), 'table')}"


def _next(look: Look, table: Table, day: Day, state: State, rejected: Sequence[BrokenRule]) -> str:
    name, days = table.full_name, f" --days {day}" if day else ""
    if state == "lost":
        return next(describe_lost(look.state(table)), "")
    steps: Mapping[State, str] = {
        "missing": f"lakehouse refresh {name}",
        "stale": f"lakehouse refresh {name}",
        "open": "lakehouse status --verbose says when it is over; then it is sealed, and lakehouse refresh settles it",
        "unreadable": "mend the log (docs/runbook.md, 'A table's log is damaged')",
        "empty": " or ".join(f"lakehouse describe {feed.name}" for feed in table.feeds) or f"lakehouse describe {name}",
    }
    if state in steps:
        return steps[state]
    if rejected:
        return f"lakehouse quarantine {name}{days}"
    return f"nothing is to be done; lakehouse refresh {name}{days} computes it again"


def print_explanation(out: Console, said: Explanation) -> None:
    """Print the story, a line for each fact."""
    for line in _lines(said):
        out.print(escape(line), soft_wrap=True)


def _lines(said: Explanation) -> Iterator[str]:
    yield f"{said.table} {said.day or 'whole'}: {said.state}: {said.why}"
    yield f"holds        {counted(said.rows, 'row')}"
    if said.computed is not None:
        yield from _of_computation(said.computed, said.times_computed)
    elif said.state != "empty":
        yield "computed     never by batch"
    if said.changed is not None:
        yield f"changed      last in version {said.changed.version}, {_moment(said.changed.at)}, by {said.changed.by}"
    for one in said.inputs:
        yield from _of_input(one)
    for broken in said.rejected:
        yield f"rejected     {counted(broken.rows, 'row')} by {broken.rule}"
    if said.rescued:
        yield f"rescued      {counted(said.rescued, 'row')} with fields that the contract does not know"
    if said.late:
        yield f"late         {said.late}"
    yield from (f"note         {note}" for note in said.notes)
    yield from (f"changed by   {cause}" for cause in said.changed_by)
    yield from (f"makes stale  {reader}" for reader in said.makes_stale)
    yield f"next: {said.next}"


def _moment(at: str) -> str:
    """Spell a moment of the JSON for people."""
    return f"{datetime.fromisoformat(at).astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _of_computation(done: Computation, times: int) -> Iterator[str]:
    code = f"code {done.code_version}" + ("" if done.is_current_code else ", which is an older one")
    run = f"run {done.run_id}" if done.run_id else "no run of Dagster"
    often = f"{counted(times, 'time')} in all"
    yield f"computed     {_moment(done.at)}, {done.outcome}, version {done.version}, {run}, {code}; {often}"
    disagree = f", {done.disagreeing:,} of them disagree with the row that is kept" if done.disagreeing else ""
    yield (
        f"counted      {done.rows_in:,} rows in, {done.rows_out:,} out, {done.rejected:,} rejected, "
        f"{done.duplicates:,} duplicates{disagree}"
    )


def _of_input(one: InputOfDay) -> Iterator[str]:
    shown = ", ".join(one.files[:_FILES_SHOWN])
    more = f" and {len(one.files) - _FILES_SHOWN:,} more" if len(one.files) > _FILES_SHOWN else ""
    files = f", {len(one.files):,} files: {shown}{more}" if one.files else ""
    read = f", version {one.version_read} was read" if one.version_read is not None else ""
    now = f", changed last in version {one.version_now}" if one.version_now is not None else ""
    yield f"from         {one.name} {one.days}{read}{now}{files}"
    yield from (f"  waits for  {one.name} {lack}" for lack in one.lacks)
