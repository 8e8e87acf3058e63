"""Refresh tables in this process and have Dagster record it.

The record is as if its own daemon had run them. Each step is one Dagster run of the implicit job that holds all assets,
over a range of days: one JVM for all of them, checks included, and every day's verdict where the UI and the sensors
look for it.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import dagster as dg
from dagster._core.definitions.events import AssetMaterialization
from dagster._core.errors import DagsterExecutionInterruptedError
from dagster._core.events import DagsterEvent, DagsterEventType
from dagster._core.events.log import EventLogEntry
from dagster._core.execution.plan.objects import ErrorSource, StepFailureData
from dagster_shared.error import SerializableErrorInfo

from lake.batch.ahead import computing_ahead
from lake.batch.plan import Step
from lake.declare.days import Days
from lake.declare.graph import readers_of
from lake.declare.table import Table
from lake.declare.words import counted
from lake.orchestration.assets import (
    DAY_ROW_COUNT,
    PID,
    ROW_COUNT,
    ROWS_READ,
    TAKEN_RUN,
    WORKER,
    checks_step,
    compute_step,
    step_tags,
    this_process,
)
from lake.orchestration.keys import asset_key
from lake.orchestration.results import CheckResult, OnResult, TableResult, skipped_result
from lake.orchestration.signals import hearing_signals
from lake.project.calendar import refuse_outside
from lake.storage.holder import find_process

__all__ = ["as_dagster_asks", "fail_runs_of_dead_processes", "record_refresh"]

_NOT_ENDED = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def record_refresh(
    instance: dg.DagsterInstance,
    definitions: dg.Definitions,
    steps: Sequence[Step],
    on_result: OnResult | None = None,
    *,
    cause: str = "command line",
    not_computed: Collection[Table] = (),
) -> list[TableResult]:
    """Run steps in order in this process, one recorded run each.

    A table that reads one which failed, in this step or an earlier one, is skipped: it would be computed from old rows.
    The others go on.

    Args:
        instance: where the runs are recorded.
        definitions: assets, checks and resources.
        steps: tables, upstream first, and their days.
        on_result: told of each table as soon as it is done and checked.
        cause: recorded with the runs.
        not_computed: tables that failed, or were skipped, before.

    Raises:
        OutsideCalendar: a step names days that the calendar does not have; nothing was run.
        KeyboardInterrupt: stopped by Ctrl-C or SIGTERM; the run under way is recorded as canceled, or as what it is
            where it had only to end.
    """
    _check_calendar(definitions, steps)
    fail_runs_of_dead_processes(instance)
    results: list[TableResult] = []
    broken = set(not_computed)

    def keep(result: TableResult) -> None:
        results.append(result)
        if on_result is not None:
            on_result(result)

    for step in steps:
        skipped = readers_of(broken, step.tables)
        runnable = [table for table in step.tables if table not in skipped]
        broken.update(_tables_that_failed(instance, definitions, step, runnable, keep, cause))
        for table in step.tables:
            if table in skipped:
                keep(skipped_result(table, broken, step.days))
                broken.add(table)
    return results


def _check_calendar(definitions: dg.Definitions, steps: Sequence[Step]) -> None:
    graph = definitions.resolve_asset_graph()
    for step in steps:
        partitions = graph.get(asset_key(step.tables[0])).partitions_def
        if step.days is None or not isinstance(partitions, dg.DailyPartitionsDefinition):
            continue
        calendar = Days.parse(f"{partitions.get_first_partition_key()}..{partitions.get_last_partition_key()}")
        refuse_outside(step.days, calendar)


def _tables_that_failed(
    instance: dg.DagsterInstance,
    definitions: dg.Definitions,
    step: Step,
    tables: Sequence[Table],
    keep: OnResult,
    cause: str,
) -> set[Table]:
    """Run one step and return its tables that were not wholly written."""
    if not tables:
        return set()
    run_id = str(uuid.uuid4())
    watch = _Watch(instance, step.days, run_id, tables, keep)
    instance.add_event_listener(run_id, watch)
    job = definitions.resolve_implicit_global_asset_job_def()
    ahead = computing_ahead(run_id, as_dagster_asks(tables))
    with hearing_signals() as is_stopped, _never_left_open(instance, run_id), ahead:
        job.execute_in_process(
            instance=instance,
            asset_selection=[asset_key(table) for table in tables],
            run_id=run_id,
            # Everything is in the run's log, because the terminal belongs to the command.
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            tags={**step_tags(step, cause), PID: this_process()},
            raise_on_error=False,
        )
        if watch.interrupted:
            raise KeyboardInterrupt
        watch.finish_the_rest()
        _sum_up(instance, run_id, watch.results)
        if is_stopped():
            raise KeyboardInterrupt
    return watch.failed


def as_dagster_asks(tables: Sequence[Table]) -> list[Table]:
    """Return tables in the order of Dagster's steps.

    It goes by how much upstream they have, then by name.
    """
    depths: dict[Table, int] = {}
    for table in tables:
        depths[table] = 1 + max((depths[source] for source in table.inputs if source in depths), default=0)
    return sorted(tables, key=lambda table: (depths[table], compute_step(table)))


def _sum_up(instance: dg.DagsterInstance, run_id: str, results: Sequence[TableResult]) -> None:
    """Say in the last event of a run what it did to each table.

    It is text, because the UI squeezes a table of nine columns into letters below each other.
    """
    rows, rejected = sum(one.rows_out for one in results), sum(one.rejected for one in results)
    whole = f"{counted(len(results), 'table')}: {rows:,} rows written, {rejected:,} rejected"
    width = max((len(one.table) for one in results), default=0)
    said = "\n".join([whole, *(f"{one.table:{width}}  {_outcome(one)}" for one in results)])
    instance.report_engine_event(said, instance.get_run_by_id(run_id))


def _outcome(one: TableResult) -> str:
    days, red = str(one.days or "whole"), ", ".join(check.name for check in one.checks if not check.passed)
    rows = f"{one.rows_in:,} read, {one.rows_out:,} written, {one.rejected:,} rejected, {one.duplicates:,} duplicates"
    return f"{days:22}  {one.status}: {rows}, {one.seconds:.1f} s" + (f"; failed checks: {red}" if red else "")


@contextmanager
def _never_left_open(instance: dg.DagsterInstance, run_id: str) -> Iterator[None]:
    """End the run in any case, because "started" would look alive for ever."""
    try:
        yield
    except DagsterExecutionInterruptedError as error:
        raise KeyboardInterrupt from error
    finally:
        run = instance.get_run_by_id(run_id)
        if run is not None and not run.is_finished:
            instance.report_run_canceled(run, message="the process that executed the run was stopped")


@dataclass
class _Seen:
    """The events of one table so far."""

    days: list[Mapping[str, Any]] = field(default_factory=list)
    checks: list[CheckResult] = field(default_factory=list)
    failure: StepFailureData | None = None


class _Watch:
    """Turns the events of one run into results, table by table.

    Results come as soon as their events do.
    """

    def __init__(
        self, instance: dg.DagsterInstance, days: Days | None, run_id: str, tables: Sequence[Table], keep: OnResult
    ) -> None:
        self.instance, self.days, self.run_id, self.keep = instance, days, run_id, keep
        self.interrupted = False
        self.failed: set[Table] = set()
        self.results: list[TableResult] = []
        self._open = {table: _Seen() for table in tables}
        self._by_key = {asset_key(table): table for table in tables}
        self._computing = {compute_step(table): table for table in tables}
        self._checking = {checks_step(table): table for table in tables}

    def __call__(self, entry: EventLogEntry) -> None:
        event = entry.dagster_event
        if event is None:
            return
        table = self._by_key.get(event.asset_key) if event.asset_key else None
        if table in self._open and event.event_type == DagsterEventType.ASSET_MATERIALIZATION:
            self._open[table].days.append(_values(event.step_materialization_data.materialization))
        elif event.event_type == DagsterEventType.ASSET_CHECK_EVALUATION:
            self._note_check(event)
        elif event.event_type == DagsterEventType.STEP_FAILURE:
            self._note_failure(event)
        elif event.event_type == DagsterEventType.STEP_SUCCESS and event.step_key in self._checking:
            self._finish(self._checking[event.step_key])

    def _note_check(self, event: DagsterEvent) -> None:
        found = event.asset_check_evaluation_data
        table = self._by_key.get(found.asset_key)
        if table in self._open:
            check = CheckResult(found.check_name, found.passed, found.severity.value, found.description or "")
            self._open[table].checks.append(check)

    def _note_failure(self, event: DagsterEvent) -> None:
        failure = event.step_failure_data
        if failure.error_source == ErrorSource.INTERRUPT:
            # Dagster records an interrupted run as canceled only if somebody asked for that, else as crashed.
            self.interrupted = True
            if run := self.instance.get_run_by_id(self.run_id):
                self.instance.report_run_canceling(run)
            return
        key = event.step_key or ""
        table = self._computing.get(key) or self._checking.get(key)
        if table in self._open:
            self._open[table].failure = failure
            self._finish(table, computed=key in self._checking)

    def finish_the_rest(self) -> None:
        """Tables of which nothing more will be heard: something that they read failed."""
        for table in list(self._open):
            self._open.pop(table)
            self._keep(skipped_result(table, self.failed, self.days, self.run_id))
            self.failed.add(table)

    def _keep(self, result: TableResult) -> None:
        self.results.append(result)
        self.keep(result)

    def _finish(self, table: Table, *, computed: bool = True) -> None:
        seen = self._open.pop(table)
        if not computed:
            self.failed.add(table)
        self._keep(self._result(table, seen, computed=computed))

    def _result(self, table: Table, seen: _Seen, *, computed: bool) -> TableResult:
        message, facts = _explain(seen.failure)
        return TableResult(
            table=table.full_name,
            days=self.days if table.day else None,
            run_id=self.run_id,
            status="done" if computed else "failed",
            rows_in=sum(day[ROWS_READ] for day in seen.days),
            rows_out=sum(day[DAY_ROW_COUNT if table.day else ROW_COUNT] for day in seen.days),
            rejected=sum(day["rejected"] for day in seen.days),
            duplicates=sum(day["duplicates"] for day in seen.days),
            disagreeing=sum(day["disagreeing"] for day in seen.days),
            unchanged_days=sum(day["outcome"] == "unchanged" for day in seen.days),
            seconds=max((day["seconds"] for day in seen.days), default=0.0),
            failed_days=() if computed else self._failed_days(table, str(facts.get("failed_days", ""))),
            unreadable_days=tuple(map(date.fromisoformat, str(facts.get("unreadable_days") or "").split())),
            checks=tuple(seen.checks),
            message=message,
            retryable=bool(facts.get("retryable")),
        )

    def _failed_days(self, table: Table, named: str) -> tuple[date | None, ...]:
        if table.day is None or self.days is None:
            return (None,)
        return tuple(date.fromisoformat(day) for day in named.split(", ")) if named else tuple(self.days)


def _values(materialization: AssetMaterialization) -> dict[str, Any]:
    return {name: value.value for name, value in materialization.metadata.items()}


def _explain(failure: StepFailureData | None) -> tuple[str, Mapping[str, Any]]:
    """Why a step failed, and what it says of that in numbers."""
    if failure is None:
        return "", {}
    if failure.user_failure_data is not None:
        said = failure.user_failure_data
        return said.description or "", {name: value.value for name, value in (said.metadata or {}).items()}
    return _root_cause(failure.error), {}


def _root_cause(error: SerializableErrorInfo | None) -> str:
    while error is not None and error.cause is not None:
        error = error.cause
    return error.message.strip() if error is not None else "unknown"


def fail_runs_of_dead_processes(instance: dg.DagsterInstance) -> list[str]:
    """Close runs whose process is gone.

    They say "started", and would hold their slots and queued runs for ever. Dagster notices a killed worker, but not
    where what had started it was killed too. A run that the warm process has only recorded is one of them.

    Returns:
        The ids of the runs that were closed.
    """
    runs = instance.get_runs(dg.RunsFilter(statuses=_NOT_ENDED))
    executed_by = [(run, tag) for run in runs if (tag := _process_of(instance, run))]
    dead = [(run, tag) for run, tag in executed_by if not _is_alive(tag)]
    for run, tag in dead:
        instance.report_run_failed(run, message=f"its process ({tag}) is gone; run the same again")
        instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
    return [run.run_id for run, _ in dead]


def _process_of(instance: dg.DagsterInstance, run: dg.DagsterRun) -> str | None:
    """Return the process that executes a run, as far as it has said.

    A run that is started again begins with the tags of the one before, so these do not count, unless the warm process
    has taken this very run.
    """
    tag = run.tags.get(PID) or run.tags.get(WORKER)
    if run.tags.get(TAKEN_RUN) == run.run_id:
        return tag
    before = instance.get_run_by_id(run.parent_run_id) if run.parent_run_id else None
    return None if before is not None and tag in before.tags.values() else tag


def _is_alive(tag: str) -> bool:
    pid, _, started = tag.partition("@")
    try:
        return find_process(int(pid), float(started)) is not None
    except ValueError:
        return False
