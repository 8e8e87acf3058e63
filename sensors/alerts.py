"""Tell people that a run failed, once, and once more when what it left undone was done.

The sensor watches the runs that finish. A failed run opens an incident: the tables and days that it was to compute and
did not. Days that are in an open incident already are not reported again, so retries that fail stay silent. An incident
closes when other runs, whoever started them, have computed all its days. Runs that Dagster will retry by itself, and
runs that somebody stopped, open none.

The cursor holds the last run-status event looked at and the open incidents:
{"after": 1234, "open": {"<run id>": {"silver.flights": ["2013-01-05..2013-01-07"]}}}. After downtime the sensor goes on
where it stopped; the first tick ever starts from now. A message that could not be delivered is tried again with the
next tick.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import apprise
import dagster as dg
from dagster._core.event_api import EventLogCursor
from dagster._core.events import DagsterEventType
from dagster._core.storage.tags import WILL_RETRY_TAG

from lake.days import Days, parse_day
from resources.settings import Settings

__all__ = ["Notifier", "build_failure_alerts", "tell_changes"]

AT_ONCE = 200
"""Most status events that one tick looks at."""
SHOWN_TABLES = 8

Undone = dict[str, set[str]]
"""`layer.table` -> days; "" is a table without days."""


@dataclass(frozen=True)
class Notifier:
    """Sends messages to Apprise URLs (https://github.com/caronc/apprise/wiki)."""

    urls: Sequence[str]

    def send(self, title: str, body: str, *, good_news: bool = False) -> bool:
        """Send a message to all URLs; returns whether every one of them took it. No URLs: nothing to do."""
        if not self.urls:
            return True
        channel = apprise.Apprise()
        added = [channel.add(url) for url in self.urls]
        kind = apprise.NotifyType.SUCCESS if good_news else apprise.NotifyType.FAILURE
        return all(added) and bool(channel.notify(title=title, body=body, notify_type=kind))


def tell_changes(notifier: Notifier, known: set[str], found: Mapping[str, str], *, became: str, ended: str) -> bool:
    """Say which tables something began or ceased to be true of; False if that could not be delivered.

    Args:
        notifier: where to.
        known: the tables (`layer.name`) that it was true of before.
        found: those that it is true of now, each with a line about it.
        became: what is said of the new ones, after their number.
        ended: likewise of those that it is no longer true of.
    """
    new = [f"  {found[name]}" for name in sorted(found.keys() - known)]
    over = [f"  {name}" for name in sorted(known - found.keys())]
    told = not new or notifier.send(f"Lakehouse: {len(new)} {became}", "\n".join(new))
    if told and over:
        told = notifier.send(f"Lakehouse: {len(over)} {ended}", "\n".join(over), good_news=True)
    return told


@dataclass
class _Incidents:
    """What failed runs left undone, by run."""

    after: int
    open: dict[str, Undone] = field(default_factory=dict)

    @classmethod
    def parse(cls, cursor: str) -> _Incidents:
        said = json.loads(cursor)
        return cls(said["after"], {run: _from_ranges(undone) for run, undone in said["open"].items()})

    def dump(self) -> str:
        return json.dumps({"after": self.after, "open": {run: _to_ranges(undone) for run, undone in self.open.items()}})

    def news(self, planned: Undone, done: Undone) -> Undone:
        """What was planned, not done, and is in no incident yet."""
        known: Undone = {}
        for undone in self.open.values():
            for table, days in undone.items():
                known.setdefault(table, set()).update(days)
        left = {table: days - done.get(table, set()) - known.get(table, set()) for table, days in planned.items()}
        return {table: days for table, days in left.items() if days}

    def without(self, done: Undone) -> dict[str, Undone]:
        """The incidents as they are once these days are done."""
        left = {
            run: {table: days - done.get(table, set()) for table, days in undone.items()}
            for run, undone in self.open.items()
        }
        return {run: {table: days for table, days in undone.items() if days} for run, undone in left.items()}


def build_failure_alerts(settings: Settings) -> dg.SensorDefinition:
    """The sensor `failure_alerts`; it runs where LAKEHOUSE_ALERT_URLS is set."""
    notifier = Notifier(settings.alert_urls)

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
        said = 0
        for record in _finished_runs(instance, incidents.after):
            if not _tell_of(instance, notifier, incidents, record):
                return dg.SensorResult(skip_reason="a message was not delivered; next tick", cursor=incidents.dump())
            incidents.after = record.storage_id
            said += 1
        return dg.SensorResult(
            skip_reason=f"{said} runs finished, {len(incidents.open)} incidents", cursor=incidents.dump()
        )

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


def _tell_of(
    instance: dg.DagsterInstance, notifier: Notifier, incidents: _Incidents, record: dg.EventLogRecord
) -> bool:
    """Update the incidents by one finished run and say what changed; False if that could not be delivered."""
    run_id = record.event_log_entry.run_id
    done = _assets_of(instance, run_id, DagsterEventType.ASSET_MATERIALIZATION)
    left = incidents.without(done)
    for failed_run in [run for run, undone in left.items() if not undone]:
        if not notifier.send(*_resolved(failed_run, incidents.open[failed_run]), good_news=True):
            return False
        del incidents.open[failed_run], left[failed_run]
    incidents.open = left
    run = instance.get_run_by_id(run_id)
    if run is None or run.status != dg.DagsterRunStatus.FAILURE or run.tags.get(WILL_RETRY_TAG) == "true":
        return True
    undone = incidents.news(_assets_of(instance, run_id, DagsterEventType.ASSET_MATERIALIZATION_PLANNED), done)
    if undone and not notifier.send(*_failed(instance, run_id, undone)):
        return False
    if undone:
        incidents.open[run_id] = undone
    return True


def _assets_of(instance: dg.DagsterInstance, run_id: str, kind: DagsterEventType) -> Undone:
    found = instance.get_asset_partitions_for_run(run_id, of_type=kind)
    return {".".join(key.path): {day or "" for day in days} for key, days in found.items()}


def _failed(instance: dg.DagsterInstance, run_id: str, undone: Undone) -> tuple[str, str]:
    reasons = [_reason(entry) for entry in instance.all_logs(run_id, of_type=DagsterEventType.STEP_FAILURE)]
    return f"Lakehouse: run {run_id[:8]} failed", "\n".join([*reasons[:3], "Not computed:", *_spell(undone)])


def _reason(entry: dg.EventLogEntry) -> str:
    event = entry.get_dagster_event()
    data = event.step_failure_data
    if data.user_failure_data is not None and data.user_failure_data.description:
        return data.user_failure_data.description
    error = data.error
    while error is not None and error.cause is not None:
        error = error.cause
    return f"{event.step_key}: {error.message.strip() if error else 'failed'}"


def _resolved(run_id: str, undone: Undone) -> tuple[str, str]:
    return f"Lakehouse: run {run_id[:8]} made good", "\n".join(["Computed since:", *_spell(undone)])


def _spell(undone: Undone) -> Iterator[str]:
    tables = sorted(undone.items())
    for table, ranges in list(_to_ranges(dict(tables[:SHOWN_TABLES])).items()):
        yield f"  {table} {', '.join(ranges)}".rstrip()
    if len(tables) > SHOWN_TABLES:
        yield f"  and {len(tables) - SHOWN_TABLES} more tables"


def _to_ranges(undone: Undone) -> dict[str, list[str]]:
    return {
        table: [str(part) for part in Days.ranges(parse_day(day) for day in days if day)] + ([""] if "" in days else [])
        for table, days in undone.items()
    }


def _from_ranges(undone: dict[str, list[str]]) -> Undone:
    return {table: set(_days(ranges)) for table, ranges in undone.items()}


def _days(ranges: Iterable[str]) -> Iterator[str]:
    for text in ranges:
        yield from (str(day) for day in Days.parse(text)) if text else [""]
