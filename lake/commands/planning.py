"""Print the plan of `lakehouse refresh --plan`: what would run, and why.

Runs nothing, starts no JVM.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from rich.console import Console
from rich.markup import escape

from lake.batch.plan import Step, days_for, needed_whole, steps_of, steps_to_date
from lake.batch.survey import Survey
from lake.commands.json_output import VERSION, print_json
from lake.commands.problems import by_reason, spell_days
from lake.commands.status_report import DayRange, DueDays, as_ranges
from lake.declare.days import Days
from lake.declare.graph import readers_of, with_upstream
from lake.declare.table import Table
from lake.declare.words import counted
from lake.project.calendar import refuse_outside
from lake.project.environment import Environment, open_environment

__all__ = ["PlannedRun", "PlannedTable", "RefreshPlan", "plan_from_command_line", "plan_refresh", "print_plan"]

_OLDER = "computed by older code"
_ASKED = "asked for, or read by what is asked for"
_BESIDE = "an input is computed before it, or it lies between days that are due"


@dataclass(frozen=True)
class PlannedTable:
    """A table in a run, and why its days are computed."""

    table: str
    reasons: Sequence[DueDays]


@dataclass(frozen=True)
class PlannedRun:
    """One run: these tables, upstream first, for these days.

    Attributes:
        days: from the first to the last; null of tables without days.
        days_count: how many they are.
        tables: with the reasons.
    """

    days: DayRange | None
    days_count: int
    tables: Sequence[PlannedTable]


@dataclass(frozen=True)
class RefreshPlan:
    """The object that `lakehouse refresh --plan --json` prints.

    Attributes:
        version: of all reports in JSON.
        runs: in their order.
        waiting: tables whose days are known once bronze holds what has landed; `refresh` runs these after the others.
    """

    version: int
    runs: Sequence[PlannedRun]
    waiting: Sequence[str]


def plan_from_command_line(
    out: Console, names: Sequence[str], days: Days | None, *, changed_code: bool, as_json: bool
) -> None:
    """Print what a refresh would do."""
    environment = open_environment()
    if days is not None:
        refuse_outside(days, environment.settings.calendar())
    plan = plan_refresh(environment, environment.choose(names), days, changed_code=changed_code)
    if as_json:
        print_json(out, plan)
    else:
        print_plan(out, plan)


def plan_refresh(
    environment: Environment, tables: Sequence[Table], days: Days | None, *, changed_code: bool = False
) -> RefreshPlan:
    """Plan what a refresh of these tables would do now."""
    survey = environment.survey()
    if days is None:
        steps = steps_to_date(survey, tables, changed_code=changed_code)
    else:
        whole = [table for table in needed_whole(tables) if table not in tables]
        steps = [*steps_to_date(survey, whole), *steps_of(survey, days_for(survey, tables, days))]
    planned = {table for step in steps for table in step.tables}
    bronze = [table for table in planned if table.layer == "bronze"]
    behind = (
        readers_of(bronze, environment.tables.values()) & with_upstream(tables) - planned if days is None else set()
    )
    runs = [_run(survey, step, _ASKED if days else _BESIDE) for step in steps]
    return RefreshPlan(VERSION, runs, [name for name, table in environment.tables.items() if table in behind])


def _run(survey: Survey, step: Step, otherwise: str) -> PlannedRun:
    days: list[date | None] = [None] if step.days is None else list(step.days)
    shown = None if step.days is None else DayRange(step.days.start, step.days.last)
    tables = []
    for table in step.tables:
        own = days if table.day else [None]
        reasons = _reasons(survey, table)
        said = by_reason({day: reasons.get(day, otherwise) for day in own})
        tables.append(PlannedTable(table.full_name, [DueDays(why, as_ranges(some)) for why, some in said.items()]))
    return PlannedRun(shown, 0 if step.days is None else len(days), tables)


def _reasons(survey: Survey, table: Table) -> Mapping[date | None, str]:
    state = survey.states[table.full_name]
    missing = {day: f"missing: {reason}" for day, reason in state.missing.items()}
    stale = {day: f"stale: {reason}" for day, reason in state.stale.items()}
    return {**dict.fromkeys(survey.older_code(table), _OLDER), **stale, **missing}


def print_plan(console: Console, plan: RefreshPlan) -> None:
    """Print a line per run and reason."""
    for line in _describe(plan):
        console.print(escape(line), soft_wrap=True)


def _describe(plan: RefreshPlan) -> Iterator[str]:
    if not plan.runs:
        yield "nothing to do: no day is missing or stale"
    for number, run in enumerate(plan.runs, start=1):
        days = f"{run.days.first}..{run.days.last}, {counted(run.days_count, 'day')}" if run.days else "whole tables"
        yield f"run {number}: {days}"
        for table in run.tables:
            for due in table.reasons:
                spelt = spell_days(day for part in due.days for day in Days.between(part.first, part.last))
                yield f"  {table.table:<32} {spelt}: {due.reason}"
    if plan.waiting:
        yield f"then, once bronze says which of their days are due: {', '.join(plan.waiting)}"
    if plan.runs:
        yield "next: lakehouse refresh runs this; nothing was run"
