"""Tell people once that a run failed, and once when made good.

It is made good when everything that it left undone was done.

The sensor watches the runs that finish. A failed run opens an incident: the tables and days that it was to compute and
did not. Days that are in an open incident already are not reported again, so retries that fail stay silent. An incident
closes when other runs, whoever started them, have computed all its days. Runs that Dagster will retry by itself, and
runs that somebody stopped, open none. A run that failed because another had not computed its inputs is told with that
one (`causes.py`).

The cursor holds the last run-status event looked at, the incidents that are open, those that are over and of which
some address still has to hear, the causes with what stands behind each, and by address those that it was told of:
{"after": 1234, "open": {"<run id>": {"silver.orders": ["2024-01-05..2024-01-07"]}}, "over": {}, "causes": {"<run id>":
{"behind": ["<run id>"], "mended_at": null}}, "told": {"1f0c...": ["<run id>"]}}. After downtime the sensor goes
on where it stopped; the first tick ever starts from now.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import dagster as dg
from dagster._core.event_api import EventLogCursor
from dagster._core.events import DagsterEventType
from dagster._core.storage.tags import WILL_RETRY_TAG

from lake.declare.days import Days, parse_day
from lake.declare.table import Table
from lake.declare.words import more
from lake.orchestration.assets import table_of
from lake.orchestration.sensors.alert_text import split_next
from lake.orchestration.sensors.causes import Causes, Finding, Ranges
from lake.orchestration.sensors.notify import Memory, Notifier
from lake.orchestration.sensors.verdicts import Teller, undelivered
from lake.project.settings import Settings

__all__ = ["build_failure_alerts"]

AT_ONCE = 200
"""Most status events that one tick looks at."""
SHOWN_TABLES = 8
_RUNBOOK = "docs/runbook.md#a-table-failed-and-others-were-skipped"

Undone = dict[str, set[str]]
"""`layer.table` -> days; "" is a table without days."""


@dataclass
class _Incidents:
    """The work that failed runs left undone, by run."""

    after: int
    open: dict[str, Undone] = field(default_factory=dict)
    over: dict[str, Undone] = field(default_factory=dict)
    causes: Causes = field(default_factory=Causes)
    memory: Memory = field(default_factory=Memory)
    failures: dict[str, Sequence[dg.EventLogEntry]] = field(default_factory=dict)

    @classmethod
    def parse(cls, cursor: str) -> _Incidents:
        said = json.loads(cursor)
        memory = Memory.parse(said.get("told", list(said["open"])))  # an older release told all addresses alike
        causes = Causes.parse(said.get("causes"), said["open"])
        return cls(said["after"], _read(said["open"]), _read(said.get("over", {})), causes, memory)

    def dump(self) -> str:
        remembered = {"open": _written(self.open), "over": _written(self.over), "causes": self.causes.dump()}
        return json.dumps({"after": self.after, **remembered, "told": self.memory.dump()})

    def learn(self, instance: dg.DagsterInstance, run: dg.DagsterRun) -> None:
        """Update the incidents by a run that has finished."""
        done = _assets_of(instance, run.run_id, DagsterEventType.ASSET_MATERIALIZATION)
        left = {failed: _minus(undone, done) for failed, undone in self.open.items()}
        self.over |= {failed: self.open[failed] for failed, undone in left.items() if not undone}
        self.open = {failed: undone for failed, undone in left.items() if undone}
        if run.status != dg.DagsterRunStatus.FAILURE or run.tags.get(WILL_RETRY_TAG) == "true":
            return
        planned = _assets_of(instance, run.run_id, DagsterEventType.ASSET_MATERIALIZATION_PLANNED)
        for known in (done, *self.open.values()):
            planned = _minus(planned, known)
        if planned:
            self.open[run.run_id] = planned

    def tell(self, instance: dg.DagsterInstance, teller: Teller, silent: set[str]) -> set[str]:
        """Tell each address of the causes that it does not know.

        Addresses that are silent just now are left out. Returns those that are silent afterwards.
        """
        for run in self.open.keys() - self.failures.keys():
            self.failures[run] = instance.all_logs(run, of_type=DagsterEventType.STEP_FAILURE)
        found = {run: _finding(run, self.failures[run], undone, teller.tables) for run, undone in self.open.items()}
        over = {run: _resolved(run, undone) for run, undone in self.over.items()}
        silent = teller.tell(found, self.causes, self.memory, over, silent)
        self.over = {run: undone for run, undone in self.over.items() if run in self.memory.names}
        return silent


def _minus(undone: Undone, done: Undone) -> Undone:
    left = {table: days - done.get(table, set()) for table, days in undone.items()}
    return {table: days for table, days in left.items() if days}


def build_failure_alerts(settings: Settings, tables: Iterable[Table] = ()) -> dg.SensorDefinition:
    """Build the sensor `failure_alerts`.

    It runs where LAKEHOUSE_ALERT_URLS is set.
    """
    notifier = Notifier(settings.alert_urls)
    by_name = {table.full_name: table for table in tables}
    teller = Teller("failure_alerts", settings, notifier, by_name, "is computed again")

    @dg.sensor(
        name="failure_alerts",
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING if notifier.urls else dg.DefaultSensorStatus.STOPPED,
        description="Sends a message when a run fails, and another when all that it left undone was done.",
    )
    def failure_alerts(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        instance = context.instance
        if not context.cursor:
            return dg.SensorResult(skip_reason="starts from now", cursor=_Incidents(_newest_status(instance)).dump())
        incidents = _Incidents.parse(context.cursor)
        silent = incidents.tell(instance, teller, set())
        finished = _finished_runs(instance, incidents.after)
        for record in finished:
            if run := instance.get_run_by_id(record.event_log_entry.run_id):
                incidents.learn(instance, run)
                silent = incidents.tell(instance, teller, silent)
            incidents.after = record.storage_id
        said = f"{len(finished)} runs finished, {len(incidents.open)} incidents{undelivered(notifier, silent)}"
        return dg.SensorResult(skip_reason=said, cursor=incidents.dump())

    return failure_alerts


def _newest_status(instance: dg.DagsterInstance) -> int:
    kinds = (DagsterEventType.RUN_FAILURE, DagsterEventType.RUN_SUCCESS)
    newest = [record for kind in kinds for record in instance.fetch_run_status_changes(kind, limit=1).records]
    return max((record.storage_id for record in newest), default=-1)


def _finished_runs(instance: dg.DagsterInstance, after: int) -> list[dg.EventLogRecord]:
    """Failures and successes after a status event, in the order in which they happened."""
    cursor = EventLogCursor.from_storage_id(after).to_string()
    pages = [
        instance.fetch_run_status_changes(kind, limit=AT_ONCE, cursor=cursor, ascending=True)
        for kind in (DagsterEventType.RUN_FAILURE, DagsterEventType.RUN_SUCCESS)
    ]
    # Beyond the end of a full page there may be events that belong in between.
    horizon = min((page.records[-1].storage_id for page in pages if page.has_more), default=None)
    found = [record for page in pages for record in page.records if horizon is None or record.storage_id <= horizon]
    return sorted(found, key=lambda record: record.storage_id)


def _assets_of(instance: dg.DagsterInstance, run_id: str, kind: DagsterEventType) -> Undone:
    found = instance.get_asset_partitions_for_run(run_id, of_type=kind)
    return {".".join(key.path): {day or "" for day in days} for key, days in found.items()}


def _finding(run_id: str, failures: Sequence[dg.EventLogEntry], undone: Undone, tables: Mapping[str, Table]) -> Finding:
    """Return what a run left undone, by its first table that failed."""
    first = _failed_table(failures, undone) or next((name for name in tables if name in undone), min(undone))
    days = {name: _as_ranges(said) for name, said in undone.items()}
    reason, step = split_next("\n".join(map(_reason, failures)))
    pages = [page for entry in failures if (page := _runbook(entry))]
    return Finding(
        run_id,
        "was not computed",
        first,
        days.pop(first),
        tables[first].owner if first in tables else "",
        reason,
        step or f"lakehouse refresh {first}",
        pages[0] if pages else _RUNBOOK,
        run_id,
        beside=days,
    )


def _failed_table(failures: Iterable[dg.EventLogEntry], undone: Undone) -> str | None:
    """Return the table of the first step that failed."""
    names = (table_of(entry.get_dagster_event().step_key or "") for entry in failures)
    return next((name for name in names if name in undone), None)


def _as_ranges(days: set[str]) -> Ranges:
    return None if "" in days else tuple(Days.ranges(map(parse_day, days)))


def _runbook(entry: dg.EventLogEntry) -> str:
    said = entry.get_dagster_event().step_failure_data.user_failure_data
    page = said.metadata.get("runbook") if said is not None else None
    return str(page.value) if page is not None else ""


def _reason(entry: dg.EventLogEntry) -> str:
    event = entry.get_dagster_event()
    data = event.step_failure_data
    if data.user_failure_data is not None and data.user_failure_data.description:
        return data.user_failure_data.description
    error = data.error
    while error is not None and error.cause is not None:
        error = error.cause
    return f"{event.step_key}: {error.message.strip() if error else 'failed'}"


def _resolved(run_id: str, undone: Undone) -> str:
    return "\n".join([f"run {run_id[:8]} made good", "computed since:", *_spell(undone)])


def _spell(undone: Undone) -> Iterator[str]:
    tables = sorted(undone.items())
    for table, ranges in list(_to_ranges(dict(tables[:SHOWN_TABLES])).items()):
        yield f"  {table} {', '.join(ranges)}".rstrip()
    if len(tables) > SHOWN_TABLES:
        yield f"  and {more(len(tables) - SHOWN_TABLES, 'table')}"


def _to_ranges(undone: Undone) -> dict[str, list[str]]:
    return {
        table: [str(part) for part in Days.ranges(parse_day(day) for day in days if day)] + ([""] if "" in days else [])
        for table, days in undone.items()
    }


def _read(incidents: dict[str, dict[str, list[str]]]) -> dict[str, Undone]:
    return {run: {table: set(_days(ranges)) for table, ranges in undone.items()} for run, undone in incidents.items()}


def _written(incidents: dict[str, Undone]) -> dict[str, dict[str, list[str]]]:
    return {run: _to_ranges(undone) for run, undone in incidents.items()}


def _days(ranges: Iterable[str]) -> Iterator[str]:
    for text in ranges:
        yield from (str(day) for day in Days.parse(text)) if text else [""]
