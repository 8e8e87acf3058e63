"""Show every commit of a stream as materializations of its table.

There is one for each of its days, and one of a table without days.

The sensor reads the logs of the tables that were ever followed, or depend on days of streams; no Spark. A commit counts
when its metadata say that a stream made it, or batch beside the streams (`lake/stream/early.py`), so what is reported
was committed: at least once, since the events come before the cursor, and never what is not there. Commits that change
no row, compactions and batch runs, which report themselves, are passed over, and so are days that such a run has
computed since.

The cursor holds, by table, the newest commit that was looked at and a hash of its file:
{"silver.orders": [41, "5f3a..."]}. A tick goes on from there, `COMMITS_AT_ONCE` a table, so after
downtime it catches up. Where the log does not continue from there (the cursor or the table is new, the table was made
anew, the log was cleaned), the newest state of each day is reported once instead, one table a tick.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import cached_property
from math import inf
from typing import Any

import dagster as dg

from lake.declare.days import Day, Days, in_order
from lake.declare.table import Table, can_be_early, is_followable
from lake.errors import LogDamaged
from lake.orchestration.assets import DAY_ROW_COUNT, build_check_evaluation
from lake.orchestration.checks import Inspection, checks_of
from lake.orchestration.column_lineage import as_metadata
from lake.orchestration.keys import asset_key
from lake.orchestration.open_lineage.runs import tell_commits
from lake.orchestration.red_checks import RedChecks
from lake.orchestration.resource import Lakehouse
from lake.orchestration.standing import as_errors, verdict_of
from lake.ownership.frontier import FrontierTable
from lake.ownership.ledger import Ledger
from lake.project.known_lineage import known_lineage
from lake.project.settings import Settings
from lake.storage.commits import Commit
from lake.storage.log import Log, Place
from lake.stream.input_events import lag_seconds
from lake.write.store import DeltaStore

__all__ = ["COMMITS_AT_ONCE", "LOOKS_BACK", "build_stream_commits"]

COMMITS_AT_ONCE = 50
"""Most commits of one table that a tick reports; a stream makes about ten between two ticks."""
CHECKED_EVERY_SECONDS = 60.0
LOOKS_BACK = 500
"""Most commits that a full comparison reads; what days older commits wrote is taken from the frontier."""


def build_stream_commits(settings: Settings, tables: Sequence[Table]) -> dg.SensorDefinition:
    """Build the sensor `stream_commits`.

    It is always on, since it looks at nothing where no stream ever ran.
    """
    watched = [table for table in tables if is_followable(table) or can_be_early(table)]
    checks = _Checks(settings, {table.full_name for table in watched})

    @dg.sensor(
        name="stream_commits",
        minimum_interval_seconds=10,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Reports what streams commit: a materialization for each day, with rows, version and lag.",
    )
    def stream_commits(context: dg.SensorEvaluationContext, lakehouse: Lakehouse) -> dg.SensorResult:
        store = lakehouse.store()
        frontier = FrontierTable(store).state()
        if frontier is None:
            return dg.SensorResult(skip_reason="no stream was ever started", cursor=context.cursor)
        places, said, compared = _parse(context.cursor), 0, False
        for table in (one for one in watched if frontier.was_followed(one) or frontier.first_followed_day(one)):
            reports = _Reports(table, store, settings)
            try:
                commits = reports.after(places.get(table.full_name))
                if commits is None and compared:
                    continue  # its turn comes with a later tick
                first_open = frontier.first_open_day(table)
                place, events = reports.compare(first_open) if commits is None else reports.of(commits)
            except LogDamaged as damage:
                context.log.error(str(damage))
                continue
            for event in _with_lineage(settings, table, events):
                context.instance.report_runless_asset_event(event)
            tell_commits(settings, table, store, [one for one in commits or () if _is_streamed(one) and one.touched])
            checks.report(context.instance, table, store, has_news=bool(events))
            said, compared = said + len(events), compared or (commits is None and bool(events))
            if place is not None:
                places[table.full_name] = place
        return dg.SensorResult(skip_reason=f"{said} days of stream commits reported", cursor=json.dumps(places))

    return stream_commits


def _with_lineage(
    settings: Settings, table: Table, events: Sequence[dg.AssetMaterialization]
) -> Iterator[dg.AssetMaterialization]:
    """Say in the newest event of which columns the table is made.

    A run of batch says it so too. Only a run with Spark finds that, so it is said from the first run of the code on.
    """
    yield from events[:-1]
    for newest in events[-1:]:
        yield newest.with_metadata({**newest.metadata, **as_metadata(known_lineage(settings.home, table))})


@dataclass
class _Checks:
    """Report the checks beside the commits of a stream.

    None needs Spark here, because days of a range are computed by themselves after runs only. Dagster shows a check as
    not run once its table has a newer materialization. One look costs more than a tick should, so a table is looked at
    once a minute.

    Attributes:
        settings: of the project.
        waiting: tables with commits since they were last looked at; at first all, because nobody knows.
    """

    settings: Settings
    waiting: set[str]
    _looked_at: dict[str, float] = field(default_factory=dict)

    def report(self, instance: dg.DagsterInstance, table: Table, store: DeltaStore, *, has_news: bool) -> None:
        """Judge a table that has news, unless it was judged a moment ago.

        Then a later tick does.
        """
        name, now = table.full_name, time.monotonic()
        if has_news:
            self.waiting.add(name)
        if name not in self.waiting or now - self._looked_at.get(name, -inf) < CHECKED_EVERY_SECONDS:
            return
        self.waiting.discard(name)
        self._looked_at[name] = now
        inspection = Inspection(table, store, self.settings)
        keys = [dg.AssetCheckKey(asset_key(table), check) for check in checks_of(table)]
        evaluations = [build_check_evaluation(k.asset_key, k.name, verdict_of(inspection, k, instance)) for k in keys]
        for evaluation in evaluations:
            instance.report_runless_asset_event(evaluation)
        RedChecks(self.settings.home).note(as_errors(evaluations))


def _parse(cursor: str | None) -> dict[str, Place]:
    """Read the places in a cursor.

    None are read from a damaged one, and then everything is compared.
    """
    try:
        return {table: (int(place[0]), str(place[1])) for table, place in json.loads(cursor or "{}").items()}
    except (ValueError, TypeError, AttributeError, LookupError):
        return {}


@dataclass(frozen=True)
class _Reports:
    """Makes the events of one table."""

    table: Table
    store: DeltaStore
    settings: Settings

    @cached_property
    def log(self) -> Log:
        """Its log."""
        return self.store.table_log(self.table)

    def after(self, place: Place | None) -> list[Commit] | None:
        """Return the next commits after a place, oldest first.

        None where the log does not continue from it.
        """
        if place is None or self.log.fingerprint(place[0]) != place[1]:
            return None
        found: list[Commit] = []
        while len(found) < COMMITS_AT_ONCE and (commit := self.log.commit(place[0] + len(found) + 1)) is not None:
            found.append(commit)
        return found

    def of(self, commits: Sequence[Commit]) -> tuple[Place | None, list[dg.AssetMaterialization]]:
        """Report the days that streams changed in these commits.

        Returns:
            The new place, and the events.
        """
        events: list[dg.AssetMaterialization] = []
        for commit in filter(_is_streamed, commits):
            facts, rows = self._facts(commit), self._rows(commit)
            for day in in_order(self._days(commit)):
                if not self._is_told_since(day, commit):
                    events += self._event(day, {"rows written": rows.get(day, 0), **facts})
        return (self._place(commits[-1].version) if commits else None), events

    def compare(self, first_open: date | None) -> tuple[Place | None, list[dg.AssetMaterialization]]:
        """Report the newest state of each day that a stream wrote last.

        Where the commits of a day are gone or too many to read, it is a stream's if streams own the day.

        Returns:
            The new place, and the events.
        """
        newest = self.log.version()
        if newest is None:
            return None, []
        day_column = self.table.day
        held: dict[Day, int] = dict(self.log.rows_by_day(day_column).items()) if day_column else {None: self.log.rows()}
        events: list[dg.AssetMaterialization] = []
        commits = self._newest_by_day(newest, set(held))
        for day in in_order(held.keys() | commits.keys()):
            count = {DAY_ROW_COUNT: held.get(day, 0)}
            commit = commits.get(day)
            if commit is not None and self._is_told_since(day, commit):
                continue
            if commit is not None and _is_streamed(commit):
                written = self._rows(commit).get(day, 0)
                events += self._event(day, {**count, "rows written": written, **self._facts(commit)})
            elif commit is None and first_open is not None and (day is None or day >= first_open):
                events += self._event(day, {**count, "version": newest})
        return self._place(newest), events

    def _rows(self, commit: Commit) -> Mapping[Day, int]:
        return dict(commit.rows_by_day(self.table.day).items()) if self.table.day else {None: commit.rows}

    def _days(self, commit: Commit) -> set[Day]:
        """Return the days whose rows a commit changed.

        None is the day of a table without days.
        """
        if self.table.day is None:
            return {None} if commit.touched else set()
        return set(commit.days(self.table.day))

    def _place(self, version: int) -> Place | None:
        found = self.log.fingerprint(version)
        return None if found is None else (version, found)

    def _newest_by_day(self, newest: int, held: set[Day]) -> dict[Day, Commit]:
        """Find the newest commit that changed each day.

        Looks as far back as the log and `LOOKS_BACK` reach.
        """
        found: dict[Day, Commit] = {}
        for version in range(newest, max(newest - LOOKS_BACK, -1), -1):
            if held <= found.keys() or (commit := self.log.commit(version)) is None:
                break
            for day in self._days(commit):
                found.setdefault(day, commit)
        return found

    def _is_told_since(self, day: Day, commit: Commit) -> bool:
        """Tell whether a run of batch has computed a day after a commit.

        It told of the day itself, and what is told last is what the UI shows.
        """
        computed = self._computed_at.get(day)
        return computed is not None and computed > commit.committed_at

    @cached_property
    def _computed_at(self) -> Mapping[Day, datetime]:
        entries = Ledger(self.store).latest(self.table.full_name)
        return {day: one.recorded_at for day, one in entries.items() if one.run_id and one.outcome != "failed"}

    def _event(self, day: Day, facts: Mapping[str, Any]) -> Iterator[dg.AssetMaterialization]:
        if day is None or day in self._calendar:  # Dagster knows no other
            partition = None if day is None else str(day)
            yield dg.AssetMaterialization(asset_key(self.table), partition=partition, metadata=facts)

    @cached_property
    def _calendar(self) -> Days:
        return self.settings.calendar()

    def _facts(self, commit: Commit) -> dict[str, Any]:
        lag = lag_seconds(self.table, commit, self.settings.now())
        return {
            "version": commit.version,
            # As text, because Dagster draws every number.
            "generation": str(commit.metadata.get("generation")),
            "batch": str(commit.metadata.get("batch")),
            "committed at": dg.MetadataValue.timestamp(commit.committed_at),
            "seconds from commit to here": round((datetime.now(UTC) - commit.committed_at).total_seconds(), 1),
            **({} if lag is None else {"lag in seconds": lag}),
        }


def _is_streamed(commit: Commit) -> bool:
    return "follow" in commit.metadata
