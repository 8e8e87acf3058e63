"""One broken day is one message, whatever stands behind it, and whichever sensor finds it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date
from pathlib import Path

import dagster as dg
import pytest

from lake.declare.days import Days
from lake.declare.graph import readers_of
from lake.declare.table import Table
from lake.orchestration.assets import build_check_evaluation
from lake.orchestration.checks import Verdict
from lake.orchestration.keys import asset_key
from lake.orchestration.sensors import causes
from lake.orchestration.sensors.causes import Causes, Finding, Told
from lake.orchestration.sensors.failing_checks import build_failing_checks
from lake.orchestration.sensors.notify import Memory, Notifier
from lake.orchestration.sensors.verdicts import Teller
from lake.project.opening import open_tables
from lake.project.settings import Settings
from tests.quiet_dagster import QUIET_DAGSTER
from tests.sensors.webhook import QUIET_APPRISE, Webhook, webhook

pytestmark = [QUIET_DAGSTER, QUIET_APPRISE, pytest.mark.slow]

DAY, OTHER = date(2013, 1, 5), date(2013, 1, 20)
TABLES: dict[str, Table] = dict(open_tables(Settings.from_env({}))[0])
BRONZE = TABLES["bronze.departure_events"]


@pytest.fixture
def hook() -> Iterator[Webhook]:
    with webhook() as listening:
        yield listening


@pytest.fixture
def settings(tmp_path: Path, hook: Webhook) -> Settings:
    env = {
        "LAKEHOUSE_HOME": str(tmp_path),
        "LAKEHOUSE_ALERT_URLS": hook.url,
        "LAKEHOUSE_UI_URL": "https://lake.example/",
    }
    return Settings.from_env(env)


def found(names: Iterable[str], *days: date) -> dict[str, Finding]:
    ranges = tuple(Days.ranges(days))
    return {name: Finding(name, "is late", name, ranges, reason="late", next="lakehouse refresh") for name in names}


class Sensor:
    """A sensor that finds what it is told to find."""

    def __init__(self, name: str, settings: Settings) -> None:
        self.teller = Teller(name, settings, Notifier(settings.alert_urls), TABLES, "is fine again")
        self.causes, self.memory = Causes(), Memory()

    def tick(self, findings: dict[str, Finding]) -> None:
        self.causes = Causes.parse(self.causes.dump())  # as its cursor would keep them
        self.teller.tell(findings, self.causes, self.memory)


def test_a_broken_bronze_day_is_one_message_that_names_all_tables_behind_it(
    instance: dg.DagsterInstance, settings: Settings, hook: Webhook
) -> None:
    behind = sorted(table.full_name for table in readers_of([BRONZE], TABLES.values()))
    assert len(behind) >= 5, "the airline's graph"
    sensor, cursor = build_failing_checks(settings, TABLES.values()), None

    def tick(passed: bool, *names: str) -> None:
        nonlocal cursor
        for name in names:
            verdict = Verdict("no row", {} if passed else {DAY: "no row"})
            instance.report_runless_asset_event(build_check_evaluation(asset_key(TABLES[name]), "row_count", verdict))
        with dg.build_sensor_context(instance=instance, cursor=cursor) as context:
            cursor = sensor.evaluate_tick(context).cursor

    tick(False, behind[0], BRONZE.full_name)  # nobody says in which order
    tick(False, *behind)
    (told,) = hook.received
    lines = told["message"].splitlines()
    assert told["title"].endswith(f"{BRONZE.full_name} fails its check row_count, and 1 table behind it")
    assert f"behind it: {behind[0]} {DAY}" in lines
    assert "page: https://lake.example/assets/bronze/departure_events" in lines
    hook.received.clear()

    tick(True, *behind[1:], BRONZE.full_name)
    assert hook.received == [], "one table behind it is still broken"
    tick(True, behind[0])
    tick(True, behind[0])
    (told,) = hook.received
    assert (told["title"].partition(": ")[2], told["type"]) == (
        "bronze.departure_events row_count finds no error any more",
        "success",
    )


def test_nineteen_tables_behind_one_day_are_one_message(settings: Settings, hook: Webhook) -> None:
    behind = [table.full_name for table in readers_of([BRONZE], TABLES.values())]

    Sensor("freshness_alerts", settings).tick(found([*behind, BRONZE.full_name], DAY))

    (title,) = hook.titles()
    assert title.endswith(f"bronze.departure_events is late, and {len(behind)} tables behind it")


def test_tables_with_nothing_in_common_and_other_days_are_told_each_by_itself(
    settings: Settings, hook: Webhook
) -> None:
    sensor = Sensor("failing_checks", settings)
    sensor.tick(found(["bronze.departure_events", "bronze.weather_files"], DAY) | found(["silver.departures"], OTHER))

    assert [title.partition(": ")[2] for title in hook.titles()] == [
        "bronze.departure_events is late",
        "bronze.weather_files is late",
        "silver.departures is late",
    ]


def test_a_day_is_behind_the_days_around_it_that_the_table_reads() -> None:
    landed_later = found(["bronze.departure_events"], date(2013, 1, 6))
    reader = found(["silver.departures"], DAY)
    (read,) = TABLES["silver.departures"].reads
    assert read.after == 1, "a message about a day may land on the next one"

    opened = Causes()
    opened.update(landed_later | reader, TABLES, {})
    assert {root: cause.behind for root, cause in opened.open.items()} == {
        "bronze.departure_events": {"bronze.departure_events", "silver.departures"}
    }


def test_a_table_that_is_late_since_its_run_failed_is_told_by_the_run_alone(settings: Settings, hook: Webhook) -> None:
    runs, late = Sensor("failure_alerts", settings), Sensor("freshness_alerts", settings)
    runs.tick({"run": Finding("run", "was not computed", BRONZE.full_name, tuple(Days.ranges([DAY])))})
    late.tick(found([BRONZE.full_name, "silver.departures"], DAY))
    late.tick(found([BRONZE.full_name, "silver.departures"], DAY))
    assert [title.partition(": ")[2] for title in hook.titles()] == ["bronze.departure_events was not computed"]

    runs.tick({})
    late.tick(found(["silver.departures"], DAY))  # it is still late, for a reason of its own
    assert [title.partition(": ")[2] for title in hook.titles()] == ["run is fine again", "silver.departures is late"]


def test_lateness_hides_nothing_that_other_sensors_find(settings: Settings, hook: Webhook) -> None:
    Sensor("freshness_alerts", settings).tick(found([BRONZE.full_name], DAY))
    Sensor("failing_checks", settings).tick(found([BRONZE.full_name], DAY))

    assert len(hook.titles()) == 2


def test_what_stays_broken_behind_a_root_that_was_mended_is_told_later(
    settings: Settings, hook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    sensor, stays = Sensor("failing_checks", settings), found(["silver.departures"], DAY)
    sensor.tick(found([BRONZE.full_name], DAY) | stays)
    sensor.tick(stays)
    assert len(hook.titles()) == 1

    monkeypatch.setattr(causes, "MENDED_FOR_SECONDS", -1.0)  # an hour has passed
    sensor.tick(stays)
    assert [title.partition(": ")[2] for title in hook.titles()] == [
        "silver.departures is late",
        "bronze.departure_events is fine again",
    ]


def test_what_one_process_left_behind_is_one_cause() -> None:
    dead = {name: Finding(name, "does not move", name, origin="dead: 7") for name in ("bronze.x", "bronze.y")}
    opened = Causes()
    opened.update(dead, TABLES, {})

    assert {root: cause.behind for root, cause in opened.open.items()} == {"bronze.x": {"bronze.x", "bronze.y"}}


def test_a_file_of_alerts_that_is_torn_hides_nothing(settings: Settings, hook: Webhook) -> None:
    settings.home.mkdir(exist_ok=True)
    (settings.home / "alerts.json").write_text("{")
    assert Told(settings.home).elsewhere("failing_checks") == {}

    Sensor("failing_checks", settings).tick(found([BRONZE.full_name], DAY))
    assert len(hook.titles()) == 1
    assert list(Told(settings.home).elsewhere("x")) == [BRONZE.full_name]
