"""Messages about late tables, and what the UI then shows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from lake.declare.broken_files import BrokenFile
from lake.orchestration.dagster_home import open_instance
from lake.orchestration.resource import LakehouseResource
from lake.orchestration.sensors.freshness import build_freshness_alerts
from lake.ownership.ledger import Entry, Ledger
from lake.project.settings import Settings
from tests.definitions import definitions_of
from tests.lakehouse_assets.small_lake import by_name, settings_for
from tests.quiet_dagster import QUIET_DAGSTER
from tests.sensors.streamed import commit
from tests.sensors.webhook import QUIET_APPRISE, Webhook, webhook

pytestmark = [QUIET_DAGSTER, QUIET_APPRISE, pytest.mark.slow]

TABLES = (by_name("readings"), by_name("measurements"))
CHECK = dg.AssetCheckKey(dg.AssetKey(["silver", "measurements"]), "fresh")


@pytest.fixture
def hook() -> Iterator[Webhook]:
    with webhook() as listening:
        yield listening


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    monkeypatch.setenv("DAGSTER_HOME", "")
    monkeypatch.setenv("LAKEHOUSE_HOME", "")
    with open_instance(settings_for(tmp_path)) as opened:
        yield opened


def compute(settings: Settings, day: date) -> None:
    """Record a day of both tables as computed from a delivery, and of the day after as computed from nothing."""
    facts: dict[str, Any] = {"rows_in": 1, "rows_out": 1, "rejected": 0, "duplicates": 0}
    store = LakehouseResource.from_settings(settings).store()
    if store.version(TABLES[0]) is None:
        store.create(TABLES[0])
    commit(store, TABLES[0], {day: 1})
    ledger = Ledger(store)
    ledger.record(
        Entry(table.full_name, day + timedelta(days=1), "written", 0, 0, 0, 0, {}, 0, "x", 0.0) for table in TABLES
    )
    ledger.record(
        Entry(table.full_name, day, "written", inputs={}, version=0, code_version="x", seconds=0.0, run_id="", **facts)
        for table in TABLES
    )


def tick(
    instance: dg.DagsterInstance, settings: Settings, cursor: str | None, broken: Sequence[BrokenFile] = ()
) -> str | None:
    sensor = build_freshness_alerts(settings, TABLES, broken)
    resources = {"lakehouse": LakehouseResource.from_settings(settings)}
    with dg.build_sensor_context(
        instance=instance, cursor=cursor, resources=resources, definitions=definitions_of(settings, TABLES)
    ) as context:
        return sensor.evaluate_tick(context).cursor


def shown(instance: dg.DagsterInstance) -> list[str]:
    found = instance.event_log_storage.get_latest_asset_check_execution_by_key([CHECK])
    return [record.status.value for record in found.values()]


def lake(settings: Settings) -> str:
    return f"Lakehouse {settings.root.name} (dev)"


def at(tmp_path: Path, hook: Webhook, now: str) -> Settings:
    return settings_for(tmp_path, LAKEHOUSE_NOW=now, LAKEHOUSE_ALERT_URLS=hook.url)


def test_a_late_table_is_told_once_and_once_more_when_it_is_fresh(
    instance: dg.DagsterInstance, tmp_path: Path, hook: Webhook
) -> None:
    compute(at(tmp_path, hook, "2020-01-03T01:00:00Z"), date(2020, 1, 1))
    cursor = tick(instance, at(tmp_path, hook, "2020-01-03T01:00:00Z"), None)
    assert hook.titles() == []

    late = at(tmp_path, hook, "2020-01-04T03:00:00Z")
    cursor = tick(instance, late, cursor)
    (told,) = hook.received
    assert told["title"] == f"{lake(late)}: bronze.readings is late, and 1 table behind it"
    assert told["message"].strip().splitlines()[1:] == [
        "table: bronze.readings (owner team:tests)",
        "days: 2020-01-02",
        "reason: late: 2020-01-02 is missing for 1 h: sensors missed 2020-01-02",
        "behind it: silver.measurements 2020-01-01..2020-01-02",
        "next: lakehouse refresh bronze.readings computes what has landed; lakehouse status --verbose says what is "
        "missing",
        "runbook: docs/runbook.md#a-table-is-late",
        "page: http://127.0.0.1:3000/assets/bronze/readings",
    ]
    assert shown(instance) == ["FAILED"]
    hook.received.clear()

    cursor = tick(instance, late, cursor)
    compute(late, date(2020, 1, 1))  # an old day, again
    cursor = tick(instance, late, cursor)
    assert hook.titles() == []

    compute(late, date(2020, 1, 2))
    cursor = tick(instance, late, cursor)
    assert hook.titles() == [f"{lake(late)}: bronze.readings is fresh again"]
    assert shown(instance) == ["SUCCEEDED"]
    tick(instance, late, cursor)
    assert hook.titles() == []


def test_a_message_that_nobody_took_is_sent_again(instance: dg.DagsterInstance, tmp_path: Path, hook: Webhook) -> None:
    late = at(tmp_path, hook, "2020-01-04T03:00:00Z")
    compute(late, date(2020, 1, 1))
    hook.is_up = False
    cursor = tick(instance, late, "[]")

    hook.is_up = True
    tick(instance, late, cursor)
    assert hook.titles() == [f"{lake(late)}: bronze.readings is late, and 1 table behind it"]


def test_a_table_that_is_left_out_since_its_file_is_broken_is_told_like_a_late_one(
    instance: dg.DagsterInstance, tmp_path: Path, hook: Webhook
) -> None:
    now = at(tmp_path, hook, "2020-01-03T01:00:00Z")
    compute(now, date(2020, 1, 1))
    broken = [BrokenFile("gold.totals", "/p/gold/totals.py", 7, "NameError: x", is_own=True)]

    cursor = tick(instance, now, None, broken)
    (told,) = hook.received
    assert told["title"] == f"{lake(now)}: gold.totals is left out"
    assert "reason: gold.totals is left out: /p/gold/totals.py, line 7: NameError: x" in told["message"].splitlines()
    hook.received.clear()
    cursor = tick(instance, now, cursor, broken)
    assert hook.titles() == []

    tick(instance, now, cursor)
    assert hook.titles() == [f"{lake(now)}: gold.totals is fresh again"]


def test_an_empty_lake_is_not_late(instance: dg.DagsterInstance, tmp_path: Path, hook: Webhook) -> None:
    tick(instance, at(tmp_path, hook, "2020-01-20T00:00:00Z"), None)

    assert hook.titles() == []


def test_without_an_address_the_sensor_is_off(tmp_path: Path) -> None:
    assert build_freshness_alerts(settings_for(tmp_path), TABLES).default_status == dg.DefaultSensorStatus.STOPPED
