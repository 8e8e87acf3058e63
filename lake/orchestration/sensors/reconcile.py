"""Ask for a run of every day that batch owns and is due.

A day is due that is missing or stale: newly sealed, late, or changed upstream.

The evidence is that of `lakehouse status`: landing folders, table logs, ledger and frontier, compared in full on each
tick at which anything has changed; no Spark. A run covers a contiguous range of days of tables that can share it. While
any run is under way, whoever started it, nothing more is asked for: it may do the same, or make other days stale. A
day that was computed rests for ten seconds too. So late messages that come meanwhile share the day's next run; that
goes on down to gold. Compactions and refreshes that change nothing leave no evidence and start nothing.

A run that failed, or that somebody stopped, is asked for again after 1, 2, 4, ... minutes, from then on every hour, and
at once where its cause has changed: what its days are computed from, not other days of the same tables. Asked twice for
the same cause, Dagster launches it once.

The cursor says how everything looked when there was nothing to do: the newest version of each table, with the hash of
its commit file, and a hash of the landing folders: {"tables": {"silver.orders": [41, "5f3a"]}, "landed": "09cd"}.
Without it, or after downtime, the next tick simply compares everything.

Where the warm process of `lakehouse up` waits for runs, it looks by itself, twice a second, and starts what is due
(`lake.orchestration.warm.settle`). The sensor then asks for nothing, and still fails where the lake cannot be read.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import dagster as dg

from lake.batch.plan import Step, steps_to_date
from lake.batch.survey import Survey
from lake.declare.days import Day
from lake.declare.graph import feeds_of
from lake.declare.table import Table
from lake.errors import LogDamaged
from lake.orchestration.assets import PID, WORKER, step_tags
from lake.orchestration.keys import asset_key
from lake.orchestration.resource import Lakehouse
from lake.orchestration.runs import fail_runs_of_dead_processes
from lake.orchestration.sensors.automatic import default_sensor_status
from lake.orchestration.warm.hand_over import IDLE, ask
from lake.ownership.ledger import Entry
from lake.project.settings import Settings
from lake.storage.log import Log, Place
from lake.write.store import DeltaStore

__all__ = ["EVIDENCE", "JOB", "Due", "build_reconcile", "due_requests", "is_under_way", "looked_at"]

JOB = "reconcile"
"""The sensor's name, that of its job, and the cause of its runs."""
EVIDENCE = "lakehouse/evidence"
"""The tag that names what a run was asked for: a hash of its tables, days and reasons."""

_UNDER_WAY = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
_OWN_TABLES = ("lake.ledger", "lake.frontier")
_PAUSES_SECONDS = (60.0, 120.0, 240.0, 480.0, 960.0, 1920.0, 3600.0)
"""After the first, second, ... failure for one cause; after all others the last."""
RESTS = timedelta(seconds=10)
"""A day that was computed is not asked for again before: a burst of late messages costs two runs, not one each."""
_TAGGED_WITHIN = timedelta(minutes=10)
"""A run that has not said by then which process executes it was killed before its first step."""


def build_reconcile(settings: Settings, tables: Sequence[Table]) -> dg.SensorDefinition:
    """Build the sensor `reconcile`.

    It is off until somebody switches it on, here or by `lakehouse up --auto`.
    """
    job = dg.define_asset_job(JOB, selection=dg.AssetSelection.all(), description="What `reconcile` asks for.")

    @dg.sensor(
        name=JOB,
        job=job,
        minimum_interval_seconds=2,  # the daemon looks every 5 s, and would skip every other look that came early
        default_status=default_sensor_status(settings),
        description="Runs the days that batch owns and that are missing, or stale because their inputs changed.",
    )
    def reconcile(context: dg.SensorEvaluationContext, lakehouse: Lakehouse) -> dg.SensorResult:
        store = lakehouse.store()
        seen = looked_at(tables, store, context.cursor)
        if context.cursor == seen:
            return dg.SensorResult(skip_reason="nothing has changed", cursor=seen)
        warm = _warm_process(settings)
        if is_under_way(context.instance) or warm not in (None, IDLE):
            return dg.SensorResult(skip_reason="a run is under way", cursor=context.cursor)
        due = due_requests(context.instance, store, tables, settings)
        if due.steps and warm == IDLE:
            return dg.SensorResult(skip_reason=f"the warm process starts {due.steps} runs", cursor=context.cursor)
        # Days that wait for another attempt must be found again.
        return dg.SensorResult(
            run_requests=due.requests,
            cursor=context.cursor if due.steps else seen,
            skip_reason=None if due.requests else f"{due.steps} runs wait after others" if due.steps else "up to date",
        )

    return reconcile


@dataclass(frozen=True)
class Due:
    """Hold the runs that are due.

    Attributes:
        requests: runs to start now.
        steps: how many runs are due, those that have to wait included.
    """

    requests: Sequence[dg.RunRequest]
    steps: int


def due_requests(instance: dg.DagsterInstance, store: DeltaStore, tables: Sequence[Table], settings: Settings) -> Due:
    """Find the runs that are due.

    Everything that has landed is compared with what was computed. Each run is for tables that no other of them changes.
    """
    survey = Survey(tables, store, settings.calendar())
    steps = list(_first(steps_to_date(survey, tables)))
    found = (_request(instance, survey, step) for step in steps)
    return Due([request for request in found if request is not None], len(steps))


def looked_at(tables: Sequence[Table], store: DeltaStore, cursor: str | None) -> str:
    """Return a cursor that changes whenever the lake does.

    It stands for each table, the ledger, the frontier and a `glance` at what landed.
    """
    before = _places(cursor)
    logs = {table.full_name: store.table_log(table) for table in tables}
    logs |= {name: store.log(f"{store.tables}/lake/{name.removeprefix('lake.')}") for name in _OWN_TABLES}
    places = {name: _place(log, before.get(name)) for name, log in logs.items()}
    feeds = feeds_of(tables)
    landed = sorted((feed.name, store.landing.glance(feed)) for feed in feeds)
    return json.dumps({"tables": places, "landed": _digest(repr(landed))})


def _place(log: Log, before: Place | None) -> Place | None:
    """Return the newest place of a log.

    None where it cannot be read, so that no other table has to wait.
    """
    try:
        return log.place(before)
    except LogDamaged:
        return None


def _places(cursor: str | None) -> dict[str, Place]:
    try:
        return {name: (place[0], place[1]) for name, place in json.loads(cursor or "{}")["tables"].items() if place}
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        return {}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def is_under_way(instance: dg.DagsterInstance) -> bool:
    """Tell whether any run is under way, whoever started it.

    A run whose process was killed says so for ever, and is closed.
    """
    if not _under_way(instance):
        return False
    fail_runs_of_dead_processes(instance)
    return bool(_under_way(instance))


def _warm_process(settings: Settings) -> str | None:
    """Say what the warm process does, None where there is none that answers.

    It is busy between two runs of a cascade, too.
    """
    try:
        return ask(settings.dagster_home, "state")
    except OSError:
        return None


def _under_way(instance: dg.DagsterInstance) -> list[dg.DagsterRun]:
    """Find the runs of anybody that wait or run.

    Of runs that are only created, the sensor's own count, because Dagster will launch them.
    """
    records = instance.get_run_records(dg.RunsFilter(statuses=_UNDER_WAY))
    runs = [record.dagster_run for record in records if not _was_killed_at_once(record)]
    return [run for run in runs if run.job_name == JOB or run.status != dg.DagsterRunStatus.NOT_STARTED]


def _was_killed_at_once(record: dg.RunRecord) -> bool:
    """Tell whether a run was killed before it named its process.

    It began a while ago and never said which process executes it, so nobody can close it.
    """
    run, since = record.dagster_run, datetime.now(UTC) - record.update_timestamp.astimezone(UTC)
    is_past = abs(since) > _TAGGED_WITHIN  # or far ahead, by a clock that was wrong when it began
    return run.status == dg.DagsterRunStatus.STARTED and not {PID, WORKER} & run.tags.keys() and is_past


def _first(steps: Sequence[Step]) -> Iterator[Step]:
    """Give the steps whose inputs no earlier step changes.

    The others are asked for when those are done.
    """
    asked: set[Table] = set()
    for step in steps:
        if not any(read.source in asked for table in step.tables for read in table.reads):
            yield step
        asked.update(step.tables)


def _request(instance: dg.DagsterInstance, survey: Survey, step: Step) -> dg.RunRequest | None:
    """Return the run of a step, unless it has to wait.

    It waits for some time after a run for the same cause that did not end well, and while a day of it rests.
    """
    if _rests(survey, step):
        return None
    evidence = _evidence(survey, step)
    # Dagster never launches a run key twice: a run that was stopped has to count as well, or it would be the last.
    before = dg.RunsFilter(
        tags={EVIDENCE: evidence}, statuses=[dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
    )
    failures = instance.get_runs_count(before)
    if failures:
        (last,) = instance.get_run_records(before, limit=1)
        since = time.time() - (last.end_time or last.create_timestamp.timestamp())
        if 0 <= since < _PAUSES_SECONDS[min(failures, len(_PAUSES_SECONDS)) - 1]:
            return None
    tags = {**step_tags(step, JOB), EVIDENCE: evidence}
    keys = [asset_key(table) for table in step.tables]
    return dg.RunRequest(run_key=f"{evidence}#{failures}", asset_selection=keys, tags=tags)


def _rests(survey: Survey, step: Step) -> bool:
    """Tell whether a stale day of the step was computed just now.

    One that was computed in the future does not count: the clock was wrong then.
    """
    states = [survey.states[table.full_name] for table in step.tables]
    computed_at = [state.entries[day].recorded_at for state in states for day in _due(step, state.stale)]
    now = datetime.now(UTC)
    return any(timedelta(0) <= now - at < RESTS for at in computed_at)


def _due(step: Step, reasons: Mapping[Day, str]) -> list[Day]:
    """Return those days with a reason that a step is for."""
    wanted = None if step.days is None else set(step.days)
    return [day for day in reasons if day is None or wanted is None or day in wanted]


def _evidence(survey: Survey, step: Step) -> str:
    """Return a hash of why this step is due.

    It is another one once a run has changed the ledger, or once there is another reason.
    """
    facts: list[object] = [str(step.days)]
    for table in step.tables:
        state = survey.states[table.full_name]
        reasons = {**state.missing, **state.stale}
        due = _due(step, reasons)
        why = [(str(d), survey.reasons.inputs_of(table, d), _computed(state.entries.get(d), reasons[d])) for d in due]
        facts.append((table.full_name, table.code_version, why))
    return _digest(repr(facts))


def _computed(entry: Entry | None, reason: str) -> object:
    """Return why a computed day is due, and what it was computed from.

    None for a day that was not computed, or failed. A failed attempt leaves an entry too, with the versions of that
    moment: it is no news.
    """
    if entry is None or entry.outcome == "failed":
        return None
    return reason, sorted(entry.inputs.items()), entry.version, sorted(entry.table_ids.items())
