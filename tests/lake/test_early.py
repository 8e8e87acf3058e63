"""Which days are computed early beside streams, when, and what becomes of an error. Needs no JVM."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from lake.batch.survey import Survey
from lake.commands.catalog import runs_as
from lake.commands.refreshing import notes_of
from lake.declare.days import Days
from lake.declare.graph import early_of, streams_of
from lake.declare.table import Table, can_be_early
from lake.errors import TableLocked
from lake.orchestration.checks import checks_of, judge_streaming
from lake.orchestration.dagster_home import open_instance
from lake.orchestration.keys import asset_key
from lake.orchestration.resource import LakehouseResource
from lake.orchestration.sensors.stream_commits import build_stream_commits
from lake.ownership.frontier import Frontier, FrontierTable
from lake.project.settings import Settings
from lake.storage.lease import Driver
from lake.stream.early import Early, EarlyTables
from lake.stream.progress import MicroBatch, StreamStatus, read_statuses, write_status
from lake.stream.reports import Reports
from lake.stream.stalled import Evidence, StreamWatch, judge_stream
from lake.write.enforce import Counts
from lake.write.store import DeltaStore
from tests.lakes import steps_for, without_spark
from tests.quiet_dagster import QUIET_DAGSTER
from tests.recorded import D1, D2, D3, commit, follow, hold, record
from tests.tiny_early import answers, totals
from tests.tiny_topics import answers as undeclared
from tests.tiny_topics import call_events, calls, hourly_calls, people

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
D0 = date(2012, 12, 31)


# Which tables


def test_what_cannot_stream_and_reads_days_of_streams_can_be_early() -> None:
    assert [can_be_early(one) for one in (answers, totals, undeclared)] == [True, True, True]
    assert [can_be_early(one) for one in (call_events, calls, hourly_calls)] == [False, False, False], "they stream"
    assert not can_be_early(replace(answers, day=None)), "it has no days"
    assert not can_be_early(replace(answers, reads=people.reads)), "batch reads bronze whoever writes it"


def test_tables_that_are_followed_early_bring_what_they_are_computed_from() -> None:
    assert early_of([totals]) == [answers, totals]
    assert streams_of([totals]) == [call_events, calls]
    assert early_of([calls, people]) == []


def test_a_table_says_how_it_follows() -> None:
    assert runs_as(calls) == "batch and stream"
    assert runs_as(people) == "batch"
    assert runs_as(undeclared) == "batch; lakehouse follow silver.answers computes its open days early"
    assert runs_as(answers) == "batch; beside streams its open days early, at most every 0.2 s"


# Which days


def early_due(store: DeltaStore, calendar: Days) -> dict[date, str]:
    return Survey([answers], store, calendar).early_due(answers)


@pytest.fixture
def store(tmp_path: Path) -> DeltaStore:
    """A lake in which streams own 2 January and later, so that 31 December and later of the answers depend on them."""
    store = without_spark(tmp_path)
    follow(store, call_events, calls)
    hold(store, calls, [D1, D3])
    return store


def compute(store: DeltaStore, *days: date, **facts: Any) -> None:
    """Let these days of the answers have been computed from what the calls are now."""
    if store.version(answers) is None:
        store.create(answers)
    version = commit(store, answers, dict.fromkeys(days, 1), streamed=False)
    ids = {one.full_name: name for one in (calls, answers) if (name := store.table_log(one).table_id())}
    known: dict[str, Any] = {"inputs": {calls.full_name: store.version(calls)}, "table_ids": ids, "version": version}
    record(store, answers, days, **{**known, **facts})


def test_an_early_day_is_due_until_it_is_computed_and_again_once_an_input_changes(store: DeltaStore) -> None:
    calendar = Days.between(D1, D3)
    assert early_due(store, calendar) == dict.fromkeys([D1, D2, D3], "never computed")

    compute(store, D1, D2, D3)
    assert early_due(store, calendar) == {}

    version = commit(store, calls, {D3: 1})
    assert early_due(store, calendar) == dict.fromkeys([D1, D2, D3], f"silver.calls changed in version {version}")
    compute(store, D1, D2, D3)
    version = commit(store, calls, {D1: 1})
    assert early_due(store, calendar) == {D1: f"silver.calls changed in version {version}"}


def test_a_day_that_was_committed_and_not_recorded_is_due(store: DeltaStore) -> None:
    compute(store, D1, D2, D3)
    version = commit(store, answers, {D2: 2}, metadata={"follow": answers.full_name})

    assert early_due(store, Days.between(D1, D3)) == {D2: f"version {version} was written without a receipt"}


def test_days_that_have_not_come_and_days_that_batch_owns_are_none_of_them(store: DeltaStore) -> None:
    compute(store, D3)
    commit(store, calls, {D3: 1})
    assert set(early_due(store, Days.between(D1, D2))) == {D1, D2}

    FrontierTable(store).change(lambda now: replace(now or Frontier(D1, D1), first_open=date(2013, 1, 5)), "sealed")
    assert set(early_due(store, Days.between(D0, D3))) == {D3}, "a later day may still add to it"
    FrontierTable(store).change(lambda now: replace(now or Frontier(D1, D1), claimed=frozenset()), "released")
    assert early_due(store, Days.between(D0, D3)) == {}


def test_a_day_that_broke_the_contract_is_not_computed_again_before_an_input_changes(store: DeltaStore) -> None:
    compute(store, D1, D2)
    record(store, answers, [D3], outcome="failed", inputs={calls.full_name: store.version(calls)}, rows=0, version=-1)
    assert early_due(store, Days.between(D1, D3)) == {}

    commit(store, calls, {D3: 1})
    assert set(early_due(store, Days.between(D1, D3))) == {D1, D2, D3}


def test_a_refresh_of_an_early_day_leaves_what_streams_write_to_them(store: DeltaStore) -> None:
    hold(store, call_events, [D1, D3])
    survey = Survey([call_events, calls, answers, totals], store, Days.between(D0, D3))

    steps = steps_for(survey, [totals], Days.of(D3))
    assert [(one.full_name, step.days) for step in steps for one in step.tables] == [
        ("silver.answers", Days.between(D2, D3)),
        ("gold.answer_totals", Days.of(D3)),
    ]
    assert notes_of(survey, [totals], [totals], Days.of(D3)) == [
        "gold.answer_totals 2013-01-03: early, of what streams have written so far; batch computes it again once sealed"
    ]
    assert notes_of(survey, [totals, calls], [totals, calls], Days.of(date(2012, 12, 29))) == []

    named = [one.full_name for step in steps_for(survey, [calls, totals], Days.of(D3)) for one in step.tables]
    assert "silver.calls" in named, "who names it is told that streams own the day"
    assert "bronze.call_events" not in named

    FrontierTable(store).change(lambda now: replace(now or Frontier(D1, D1), claimed=frozenset()), "released")
    survey = Survey([call_events, calls, answers, totals], store, Days.between(D0, D3))
    assert {table for step in steps_for(survey, [totals], Days.of(D3)) for table in step.tables} == set(survey.tables)


# The thread beside the streams


class Session:
    """Nothing to interrupt."""

    def interruptAll(self) -> None: ...  # noqa: N802  # Spark's name


@dataclass(frozen=True)
class Done:
    total: Counts = field(default_factory=lambda: Counts(3, 2, 1))
    version: int | None = 7
    seconds: float = 0.1


@dataclass
class Beside:
    """Early tables whose computations do as they are told."""

    store: DeltaStore
    home: Path
    told: list[MicroBatch] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    outcomes: dict[Table, BaseException | Callable[[], None]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.reports = Reports(self.store, self.home, lambda: NOW, self.told.append)
        self.tables = EarlyTables(
            Early([answers, totals], self.compute),
            Session,  # type: ignore[arg-type]  # only what is asked of it
            self.reports,
            lambda: None,
            threading.Event(),
        )

    def compute(self, table: Table, _patience: float | None) -> Iterator[Done]:
        self.asked.append(table.full_name)
        outcome = self.outcomes.get(table, lambda: None)
        if isinstance(outcome, BaseException):
            raise outcome
        outcome()
        yield Done()

    def once(self) -> dict[str, StreamStatus]:
        self.tables.start(once=True)
        self.joined()
        self.tables.write_statuses()
        return read_statuses(self.home)

    def joined(self) -> None:
        while self.tables.is_running:
            threading.Event().wait(0.01)


@pytest.fixture
def beside(store: DeltaStore, tmp_path: Path) -> Beside:
    return Beside(store, tmp_path / "streams")


def test_a_computation_is_counted_and_told_like_a_micro_batch(beside: Beside) -> None:
    said = beside.once()

    assert [(one.table, one.counts, one.version) for one in beside.told] == [
        ("silver.answers", Counts(3, 2, 1), 7),
        ("gold.answer_totals", Counts(3, 2, 1), 7),
    ]
    assert beside.reports.counts == {"silver.answers": Counts(3, 2, 1), "gold.answer_totals": Counts(3, 2, 1)}
    assert [(one.state, one.batches, one.rows_out) for one in said.values()] == [("running", 1, 2)] * 2
    beside.tables.check()


def test_an_error_is_told_and_what_reads_the_table_waits(beside: Beside) -> None:
    beside.outcomes[answers] = RuntimeError("no")

    said = beside.once()

    assert beside.asked == ["silver.answers"]
    assert (said["silver.answers"].state, said["silver.answers"].last_error) == ("failed", "RuntimeError: no")
    waits = said["gold.answer_totals"]
    assert (waits.state, waits.last_error) == ("running", "waits for silver.answers")
    with pytest.raises(RuntimeError, match="no"):
        beside.tables.check()


def test_a_table_that_another_process_writes_has_not_failed(beside: Beside) -> None:
    beside.outcomes[answers] = TableLocked("silver.answers", 5.0, "process 7")

    said = beside.once()["silver.answers"]

    assert said.state == "running"
    assert (said.last_error or "").startswith("TableLocked")


def test_tables_are_looked_at_again_and_an_error_that_has_gone_is_forgotten(beside: Beside) -> None:
    again = threading.Event()
    beside.outcomes = {answers: RuntimeError("no"), totals: again.set}
    beside.tables.start()
    while "silver.answers" not in beside.asked:
        threading.Event().wait(0.01)
    beside.outcomes.pop(answers)

    assert again.wait(60)
    beside.tables.stop()

    said = read_statuses(beside.home)["silver.answers"]
    assert (said.state, said.last_error) == ("stopped", None)


def test_stopping_ends_the_computation_under_way_and_begins_no_other(beside: Beside) -> None:
    begun, interrupted = threading.Event(), threading.Event()

    def is_interrupted() -> None:
        begun.set()
        interrupted.wait(60)
        raise RuntimeError("cancelled")

    beside.outcomes[answers] = is_interrupted
    beside.tables.spark = lambda: _Interrupted(interrupted)  # type: ignore[return-value,assignment]
    beside.tables.start()
    begun.wait(60)
    beside.tables.stop()

    assert beside.asked == ["silver.answers"]
    assert not beside.tables.is_running
    said = read_statuses(beside.home)["silver.answers"]
    assert (said.state, said.last_error) == ("stopped", None)


class _Interrupted(Session):
    def __init__(self, told: threading.Event) -> None:
        self.told = told

    def interruptAll(self) -> None:  # noqa: N802  # Spark's name
        self.told.set()


# What others are told


def judged(said: StreamStatus | None, driver: Driver | None = None, *, released: bool = False) -> str | None:
    frontier = Frontier(D1, D2, claimed=frozenset() if released else frozenset({calls.full_name}))
    found = Evidence(said, driver or Driver(7, NOW - timedelta(hours=1), is_alive=True))
    stall = judge_stream(answers, frontier, found, now=NOW, clock=NOW)
    return str(stall) if stall else None


def test_a_table_that_is_not_computed_early_as_it_was_is_stalled() -> None:
    moving = StreamStatus(answers.full_name, pid=7, batches=5, seen_at=NOW.isoformat())
    failed = replace(moving, state="failed", last_error="RuntimeError: no\nat java")
    gone = Driver(7, NOW - timedelta(hours=1), is_alive=False)

    assert judged(moving) is None
    assert judged(failed) == "failed: RuntimeError: no"
    assert judged(replace(moving, seen_at=str(NOW - timedelta(minutes=3))), gone) == (
        "dead: its process 7 has gone without ending it"
    )
    assert judged(replace(moving, busy_since=str(NOW - timedelta(minutes=6)))) == (
        "stuck: a micro-batch has not ended for 6 min"
    )


def test_nobody_has_to_compute_a_table_early() -> None:
    failed = StreamStatus(answers.full_name, state="failed", pid=6, last_error="no")

    assert judged(None) is None
    assert judged(replace(failed, state="stopped", pid=7)) is None
    assert judged(failed) is None, "the streams were started again, without it"
    assert judged(replace(failed, pid=7), released=True) is None


@QUIET_DAGSTER
def test_dagster_is_told_of_days_that_were_computed_early_and_of_no_other_refresh(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", "")
    monkeypatch.setenv("LAKEHOUSE_HOME", "")
    settings = Settings.from_env({"LAKEHOUSE_HOME": str(tmp_path), "LAKEHOUSE_NOW": "2013-01-04T00:00:00Z"})
    store = LakehouseResource.from_settings(settings).store()
    follow(store, call_events, calls)
    store.create(answers)
    commit(store, answers, {D1: 1}, streamed=False)
    early = commit(store, answers, {D2: 1, D3: 2}, streamed=False, metadata={"follow": answers.full_name})

    with open_instance(settings) as instance:
        sensor = build_stream_commits(settings, [answers])
        resources = {"lakehouse": LakehouseResource.from_settings(settings)}
        with dg.build_sensor_context(instance=instance, resources=resources) as context:
            sensor.evaluate_tick(context)
        told = instance.fetch_materializations(asset_key(answers), limit=9).records

    seen = {one.partition_key: one.asset_materialization for one in told}
    assert set(seen) == {str(D2), str(D3)}
    assert {one.metadata["version"].value for one in seen.values() if one} == {early}


def test_the_check_of_a_table_says_what_keeps_it_from_being_early(store: DeltaStore, tmp_path: Path) -> None:
    settings = Settings.from_env({"LAKEHOUSE_HOME": str(tmp_path)})
    failed = StreamStatus(answers.full_name, state="failed", last_error="RuntimeError: no")
    watch = StreamWatch(store, tmp_path, from_files=True)
    assert judge_streaming(answers, watch, settings).summary == "nobody computes its open days early"

    write_status(tmp_path / "streams", failed)
    verdict = judge_streaming(answers, StreamWatch(store, tmp_path, from_files=True), settings)

    assert verdict.failing == {date(2012, 12, 31): "failed: RuntimeError: no"}
    assert "streaming" in checks_of(answers)
    assert "streaming" not in checks_of(undeclared)
