"""Run a plan through Dagster in this process.

It brings tables up to date, or computes some days of some tables.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import date
from functools import cached_property
from itertools import count
from typing import TYPE_CHECKING, Self

from lake.batch.amount import work_of
from lake.batch.held_back import held_back
from lake.batch.lake_view import LakeView
from lake.batch.plan import Step, days_for, needed_whole, steps_of, steps_to_date
from lake.batch.survey import Survey
from lake.declare.days import Day, Days
from lake.declare.graph import readers_of, with_upstream
from lake.declare.table import Table
from lake.errors import LakeError, Message
from lake.orchestration.checks import lasting_checks
from lake.orchestration.red_checks import RedChecks
from lake.orchestration.results import TableResult, partly_failed, skipped_result
from lake.project.calendar import refuse_outside
from lake.project.environment import Environment

if TYPE_CHECKING:
    import dagster as dg

__all__ = ["NeverUpToDateError", "Refresher"]


class NeverUpToDateError(LakeError, runbook="docs/runbook.md#days-are-never-done"):
    """Bringing the tables up to date found new work again and again."""

    def message(self) -> Message:
        return Message(
            "lakehouse refresh",
            "after ten rounds some days are still missing or stale; files may be landing faster than they are computed",
            "lakehouse status --verbose shows the days and the reasons; run lakehouse refresh again",
        )


class Refresher:
    """Runs steps in this process and has Dagster record them.

    One instance and one JVM serve all of them. Both are there from the first step on, and Dagster is not imported
    before it, so that a call which finds nothing to do is quick. Leave it as a context.
    """

    def __init__(self, environment: Environment, on_result: Callable[[TableResult], None]) -> None:
        self.environment = environment
        self.on_result = on_result
        self.survey: Survey | None = None  # the newest
        self._opened = ExitStack()
        self._built: tuple[Days, dg.Definitions] | None = None
        self._expected: dict[Table, set[Day]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    @cached_property
    def instance(self) -> dg.DagsterInstance:
        """Dagster's record of the runs."""
        from lake.orchestration.dagster_home import open_instance

        return self._opened.enter_context(open_instance(self.environment.settings))

    @property
    def definitions(self) -> dg.Definitions:
        """Assets, checks and resources, built anew where the lake's clock has reached another day."""
        from lake.orchestration.definitions import build_definitions

        settings = self.environment.settings
        calendar = settings.calendar()
        if self._built is None or self._built[0] != calendar:
            self._built = calendar, build_definitions(settings, self.environment.tables.values())
            # They stay: looking through them for garbage, again and again, takes a tenth of the time between tables.
            gc.freeze()
        return self._built[1]

    def run(self, steps: Sequence[Step], not_computed: Collection[Table] = ()) -> list[TableResult]:
        """Run these steps in order, without what reads a failed table.

        The tables that were not computed before count as failed. The JVM starts meanwhile.
        """
        if not steps:
            return []
        for step in steps:
            self._expect(dict.fromkeys(step.tables, step.days or [None]))
        view = self.survey.view if self.survey else LakeView(self.environment.store)
        self.environment.start_spark_beside(lambda: work_of(view, self._expected))
        from lake.orchestration.runs import record_refresh

        return record_refresh(self.instance, self.definitions, steps, self.on_result, not_computed=not_computed)

    def _expect(self, due: Mapping[Table, Iterable[Day]]) -> None:
        """Note what is to be computed, also what has to wait for other tables."""
        for table, days in due.items():
            self._expected.setdefault(table, set()).update(days)

    def days(self, tables: Sequence[Table], days: Days) -> list[TableResult]:
        """Compute these days of some tables, after the upstream days that they need.

        Where only some days of a table cannot be computed, the days that read them are left out, and no others.

        Raises:
            OutsideCalendar: the tables do not have all of these days; nothing was run.
        """
        refuse_outside(days, self.environment.settings.calendar())
        self._expect({table: days for table in with_upstream(tables) if table.day or table in tables})
        results = self.to_date([table for table in needed_whole(tables) if table not in tables])
        broken = self._not_computed(results)
        survey = self._look()
        needed = days_for(survey, tables, days)
        failed: dict[Table, set[date | None]] = {}
        for wave in _waves(needed):
            back = held_back(needed, failed)
            done = self.run(steps_of(survey, {t: needed[t] - back.get(t, set()) for t in wave}), broken)
            failed |= {self.environment.tables[name]: days for name, days in partly_failed(done).items()}
            broken |= self._not_computed(done) - failed.keys()
            results += done
        back = held_back(needed, failed)
        held = {t: (needed[t] & back[t]) - failed.get(t, set()) for t in needed if t in back and t not in broken}
        return [*results, *self._held_back(held, back)]

    def _held_back(self, days: Mapping[Table, set[date | None]], sources: Collection[Table]) -> list[TableResult]:
        """Tell of days that were left out."""
        ranges = [(table, part) for table in days for part in Days.ranges(day for day in days[table] if day)]
        told = [skipped_result(table, sources, part) for table, part in ranges]
        for result in told:
            self.on_result(result)
        return told

    def to_date(self, tables: Sequence[Table], *, changed_code: bool = False) -> list[TableResult]:
        """Compute whatever is missing or stale, until nothing is.

        What reads a table that failed is left out. With `changed_code` what an older code computed is due too.
        """
        results: list[TableResult] = []
        broken: set[Table] = set()
        for turn in count():
            left_out = broken | readers_of(broken, self.environment.tables.values())
            given_up = {result.table: result.unreadable_days for result in results if result.unreadable_days}
            chosen, survey = [table for table in tables if table not in left_out], self._look()
            states = [(table, survey.states[table.full_name]) for table in with_upstream(chosen)]
            self._expect({table: due for table, state in states if (due := [*state.missing, *state.stale])})
            steps = steps_to_date(survey, chosen, given_up, changed_code=changed_code)
            if not steps:
                return [*results, *self._left_out(tables, broken)]
            if turn == 10:
                raise NeverUpToDateError
            results += self.run(steps)
            broken = self._not_computed(results)
        raise AssertionError("unreachable")

    def standing(self, tables: Iterable[Table], results: Iterable[TableResult]) -> list[str]:
        """Tell of checks that an earlier run left red.

        They are those of tables that had nothing to compute now. What is wrong upstream of a table is wrong with it.
        """
        computed, wanted = {result.table for result in results}, with_upstream(tables)
        others = (table for table in self.environment.tables.values() if table in wanted)
        checks = lasting_checks(table for table in others if table.full_name not in computed)
        errors = RedChecks(self.environment.settings.home).errors(checks, self._recorded_errors)
        return [f"{name}: {_first_and_last(said)}" for name, said in errors.items()]

    def _recorded_errors(self, names: Iterable[str]) -> dict[str, str]:
        """Ask Dagster's log which checks found an error last, and what."""
        from lake.orchestration.keys import check_key, name_of
        from lake.orchestration.standing import standing_errors

        found = standing_errors(self.instance, [check_key(name) for name in names])
        return {name_of(key.asset_key, key.name): error.description for key, error in found.items()}

    def _not_computed(self, results: Iterable[TableResult]) -> set[Table]:
        """Return the tables that failed for more than landing files that cannot be read."""
        failed = (result for result in results if not result.ok)
        broken = (one.table for one in failed if not one.failed_days or set(one.failed_days) - set(one.unreadable_days))
        return {self.environment.tables[name] for name in broken}

    def _left_out(self, tables: Sequence[Table], broken: set[Table]) -> list[TableResult]:
        """Tell of tables that no step was made for.

        Bronze could not say which of their days are due.
        """
        not_computed = broken.copy()
        told = []
        for table in self.environment.tables.values():
            if table in readers_of(not_computed, [table]) and table in with_upstream(tables) - broken:
                told.append(skipped_result(table, not_computed, None))
                not_computed.add(table)
        for result in told:
            self.on_result(result)
        return told

    def _look(self) -> Survey:
        self.survey = self.environment.survey()
        return self.survey


def _waves(needed: Mapping[Table, set[date | None]]) -> Iterator[list[Table]]:
    """Split tables into parts, upstream first.

    Days of bronze, and of tables that refuse days, can fail and leave others whole.
    """
    bronze = [table for table in needed if table.layer == "bronze"]
    yield bronze
    wave: list[Table] = []
    for table in needed:
        if table not in bronze:
            wave.append(table)
            if table.policy == "fail" and readers_of([table], needed):
                yield wave
                wave = []
    yield wave


def _first_and_last(description: str) -> str:
    """Return what is wrong, and the next step."""
    lines = description.splitlines() or [""]
    return "\n    ".join(dict.fromkeys([*lines[:2], lines[-1]]))
