"""Messages about streams that do not move, and what the UI then shows."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from lake.orchestration.dagster_home import open_instance
from lake.orchestration.resource import LakehouseResource
from lake.orchestration.sensors.stalled_streams import build_stalled_streams
from lake.ownership.frontier import Frontier, FrontierTable
from lake.project.settings import Settings
from lake.storage.lease import lease
from lake.stream.progress import StreamStatus
from lake.write.store import DeltaStore
from tests.definitions import definitions_of
from tests.quiet_dagster import QUIET_DAGSTER
from tests.sensors.webhook import QUIET_APPRISE, Webhook, webhook
from tests.streaming import FOLLOWED

pytestmark = [QUIET_DAGSTER, QUIET_APPRISE, pytest.mark.slow]

TABLES = [table for table in FOLLOWED if table.name in ("departure_events", "departures")]
NAMES = frozenset(table.full_name for table in TABLES)
CHECK = dg.AssetCheckKey(dg.AssetKey(["silver", "departures"]), "streaming")
OPEN = Frontier(date(2013, 1, 1), date(2013, 1, 2), claimed=NAMES, generations=dict.fromkeys(NAMES, 1))


@pytest.fixture
def hook() -> Iterator[Webhook]:
    with webhook() as listening:
        yield listening


class Watch:
    """The sensor, with the cursor that Dagster would keep for it, and a lake of two streams."""

    def __init__(self, instance: dg.DagsterInstance, settings: Settings) -> None:
        self.instance, self.settings = instance, settings
        self.cursor: str | None = None

    @property
    def store(self) -> DeltaStore:
        return LakehouseResource.from_settings(self.settings).store()

    def frontier(self, state: Frontier) -> None:
        FrontierTable(self.store).change(lambda _: state, "test")

    def say(self, seen: timedelta = timedelta(0), *names: str, **said: Any) -> None:
        """Write the status of these streams (all, if none is named), as it was written a while ago."""
        folder = self.settings.home / "streams"
        folder.mkdir(exist_ok=True)
        for name in names or NAMES:
            status = StreamStatus(name, pid=os.getpid(), seen_at=(datetime.now(UTC) - seen).isoformat(), **said)
            (folder / f"{name}.json").write_text(json.dumps(asdict(status)))

    def tick(self) -> str:
        sensor = build_stalled_streams(self.settings, TABLES)
        resources = {"lakehouse": LakehouseResource.from_settings(self.settings)}
        definitions = definitions_of(self.settings, TABLES)
        with dg.build_sensor_context(
            instance=self.instance, cursor=self.cursor, resources=resources, definitions=definitions
        ) as context:
            found = sensor.evaluate_tick(context)
        self.cursor = found.cursor
        return found.skip_message or ""

    def shown(self) -> list[tuple[bool, str]]:
        """What the check of `silver.departures` has shown so far, the newest first."""
        storage = self.instance.event_log_storage
        records = storage.get_asset_check_execution_history(CHECK, limit=20)
        found = [record.event.dagster_event for record in records if record.event]
        verdicts = [event.asset_check_evaluation_data for event in found if event]
        return [(verdict.passed, verdict.description or "") for verdict in verdicts]


@pytest.fixture
def watch(tmp_path: Path, hook: Webhook, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watch]:
    monkeypatch.setenv("DAGSTER_HOME", "")
    monkeypatch.setenv("LAKEHOUSE_HOME", "")
    env = {"LAKEHOUSE_HOME": str(tmp_path), "LAKEHOUSE_ALERT_URLS": hook.url, "LAKEHOUSE_NOW": "2013-01-04T00:00:00Z"}
    settings = Settings.from_env(env)
    with open_instance(settings) as instance:
        yield Watch(instance, settings)


def test_where_no_stream_ever_ran_nothing_is_looked_at(watch: Watch, hook: Webhook) -> None:
    watch.say(timedelta(days=1), state="failed")

    assert watch.tick() == "no stream was ever started"
    assert (hook.titles(), watch.shown()) == ([], [])


def test_a_dead_stream_is_told_and_shown_once_and_once_more_when_it_moves(watch: Watch, hook: Webhook) -> None:
    watch.frontier(OPEN)
    watch.say(last_batch_at=datetime.now(UTC).isoformat())
    with lease(watch.store.locks):
        watch.tick()
    assert (hook.titles(), watch.shown()) == ([], [])

    watch.say(timedelta(minutes=3))  # and nobody holds the lease
    watch.tick()
    (told,) = hook.received
    assert told["title"].endswith("(dev): bronze.departure_events does not move, and 1 table behind it")
    assert told["type"] == "failure"
    what = f"dead: its process {os.getpid()} has gone without ending it"
    lines = told["message"].strip().splitlines()
    assert "table: bronze.departure_events (owner team:operations)" in lines
    assert f"reason: {what}" in lines
    assert "behind it: silver.departures 2013-01-02..2013-01-04" in lines
    next_step = "next: lakehouse status says which stream; docs/runbook.md, 'Streams: stalled, dead, behind'"
    assert watch.shown() == [(False, f"{what}\n2013-01-02: {what}\n{next_step}")]
    hook.received.clear()

    watch.tick()
    watch.say(timedelta(minutes=9))
    watch.tick()
    assert (hook.titles(), len(watch.shown())) == ([], 1)

    with lease(watch.store.locks):
        watch.say()
        watch.tick()
        watch.tick()
    (told,) = hook.received
    assert told["title"].endswith("bronze.departure_events moves again")
    assert told["type"] == "success"
    assert [passed for passed, _ in watch.shown()] == [True, False]


def test_a_second_stream_that_stalls_later_is_told_by_itself(watch: Watch, hook: Webhook) -> None:
    watch.frontier(OPEN)
    with lease(watch.store.locks):
        watch.say()
        watch.say(timedelta(0), "silver.departures", state="failed", last_error="StreamBroken: a file is gone")
        watch.tick()
        (told,) = hook.received
        assert "reason: failed: StreamBroken: a file is gone" in told["message"]
        hook.received.clear()

        watch.say(timedelta(0), "bronze.departure_events", state="failed")
        watch.tick()
    (told,) = hook.received
    assert "bronze.departure_events" in told["message"]
    assert "silver.departures" not in told["message"]


def test_a_release_ends_the_incident(watch: Watch, hook: Webhook) -> None:
    watch.frontier(OPEN)
    watch.say(timedelta(minutes=9))
    watch.tick()
    watch.frontier(replace(OPEN, claimed=frozenset()))
    watch.tick()

    began, ended = hook.titles()
    assert began.endswith("bronze.departure_events does not move, and 1 table behind it")
    assert ended.endswith("bronze.departure_events moves again")
    assert watch.shown()[0][0] is True


def test_streams_that_were_drained_are_left_alone(watch: Watch, hook: Webhook) -> None:
    watch.frontier(OPEN)
    watch.say(timedelta(days=9), state="stopped")
    watch.tick()

    assert (hook.titles(), watch.shown()) == ([], [])


def test_a_message_that_nobody_took_is_sent_again_and_the_ui_does_not_wait_for_it(watch: Watch, hook: Webhook) -> None:
    watch.frontier(OPEN)
    watch.say(timedelta(minutes=9))
    hook.is_up = False
    assert "not delivered" in watch.tick()
    assert [passed for passed, _ in watch.shown()] == [False]

    hook.is_up = True
    watch.tick()
    watch.tick()
    assert len(hook.titles()) == 1


def test_it_is_on_whether_or_not_there_is_an_address(tmp_path: Path) -> None:
    settings = Settings.from_env({"LAKEHOUSE_HOME": str(tmp_path)})

    assert build_stalled_streams(settings, TABLES).default_status == dg.DefaultSensorStatus.RUNNING
