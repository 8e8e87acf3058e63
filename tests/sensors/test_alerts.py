"""Messages about failed runs, read from a web server that receives them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest

from lake.orchestration.sensors.alerts import build_failure_alerts
from lake.orchestration.sensors.notify import Memory, Message, Notifier, Spell
from lake.project.settings import Settings
from tests.resources.recorded_assets import defs
from tests.sensors.webhook import QUIET_APPRISE, Webhook, webhook

pytestmark = [QUIET_APPRISE, pytest.mark.slow]


@pytest.fixture
def hook() -> Iterator[Webhook]:
    with webhook() as listening:
        yield listening


@dataclass
class Watch:
    """The sensor, with the cursor that Dagster would keep for it."""

    instance: dg.DagsterInstance
    sensor: dg.SensorDefinition
    cursor: str | None = None

    def tick(self) -> str:
        with dg.build_sensor_context(instance=self.instance, cursor=self.cursor) as context:
            found = self.sensor.evaluate_tick(context)
        self.cursor = found.cursor
        assert not found.run_requests
        return found.skip_message or ""


@pytest.fixture
def watch(tmp_path: Path, hook: Webhook) -> Iterator[Watch]:
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}")
    settings = Settings.from_env({"LAKEHOUSE_HOME": str(tmp_path), "LAKEHOUSE_ALERT_URLS": hook.url})
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        yield Watch(instance, build_failure_alerts(settings))


def run(watch: Watch, first: str, last: str, **tags: str) -> dg.DagsterRun:
    job = defs.resolve_implicit_global_asset_job_def()
    days = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}
    keys = [dg.AssetKey("readings"), dg.AssetKey("totals")]
    result = job.execute_in_process(
        instance=watch.instance, asset_selection=keys, tags={**days, **tags}, raise_on_error=False
    )
    return result.dagster_run


def test_an_incident_is_told_once_and_once_more_when_it_is_over(watch: Watch, hook: Webhook) -> None:
    watch.tick()
    failed = run(watch, "2020-01-01", "2020-01-05", fail="1")
    watch.tick()

    (told,) = hook.received
    assert told["title"].endswith("(dev): readings was not computed, and 1 table behind it")
    assert told["message"].splitlines()[1:] == [
        "table: readings",
        "days: 2020-01-03",
        "reason: the third day is broken",
        "behind it: totals 2020-01-01..2020-01-05",
        "next: lakehouse refresh readings",
        "runbook: docs/runbook.md#a-table-failed-and-others-were-skipped",
        f"run: http://127.0.0.1:3000/runs/{failed.run_id}",
    ]
    assert told["type"] == "failure"
    hook.received.clear()

    run(watch, "2020-01-01", "2020-01-05", fail="1")
    watch.tick()
    run(watch, "2020-01-03", "2020-01-04")
    watch.tick()
    assert hook.titles() == []

    run(watch, "2020-01-01", "2020-01-05")
    watch.tick()
    (told,) = hook.received
    assert told["title"].endswith(f"(dev): run {failed.run_id[:8]} made good")
    assert told["type"] == "success"
    hook.received.clear()

    watch.tick()
    assert hook.titles() == []


def test_a_failure_of_other_days_is_another_incident(watch: Watch, hook: Webhook) -> None:
    watch.tick()
    run(watch, "2020-01-01", "2020-01-05", fail="1")
    run(watch, "2020-01-03", "2020-01-08", fail="1")
    watch.tick()

    first, second = hook.received
    assert "days: 2020-01-03" in first["message"]
    assert "days: 2020-01-05" in second["message"]
    assert "totals 2020-01-06..2020-01-08" in second["message"]


def test_failures_before_the_sensor_was_switched_on_are_old_news(watch: Watch, hook: Webhook) -> None:
    run(watch, "2020-01-01", "2020-01-05", fail="1")
    watch.tick()
    watch.tick()

    assert hook.titles() == []


def test_what_happened_while_nobody_ticked_is_told_afterwards(watch: Watch, hook: Webhook) -> None:
    watch.tick()
    run(watch, "2020-01-01", "2020-01-05", fail="1")
    run(watch, "2020-01-01", "2020-01-05")
    watch.tick()

    assert [began(title) for title in hook.titles()] == [True, False]


def test_a_message_that_nobody_took_is_sent_again(watch: Watch, hook: Webhook) -> None:
    watch.tick()
    hook.is_up = False
    run(watch, "2020-01-01", "2020-01-05", fail="1")
    assert "not delivered" in watch.tick()

    hook.is_up = True
    watch.tick()
    assert len(hook.titles()) == 1


def test_a_run_that_dagster_will_retry_is_not_an_incident_yet(watch: Watch, hook: Webhook) -> None:
    watch.tick()
    failed = run(watch, "2020-01-01", "2020-01-05", fail="1")
    watch.instance.add_run_tags(failed.run_id, {"dagster/will_retry": "true"})
    watch.tick()

    assert hook.titles() == []


def test_without_an_address_nothing_is_sent_and_the_sensor_is_off(tmp_path: Path) -> None:
    off = build_failure_alerts(Settings.from_env({"LAKEHOUSE_HOME": str(tmp_path)}))

    assert off.default_status == dg.DefaultSensorStatus.STOPPED
    assert tell(Notifier(()), Memory(), "a") == set()


def began(title: str) -> bool:
    """Whether a message is of a failure, not of its end."""
    assert title.endswith("behind it") != title.endswith("made good")
    return title.endswith("behind it")


def tell(notifier: Notifier, memory: Memory, *holds: str) -> set[str]:
    def spell(said: str) -> Spell:
        return lambda names: [Message(f"{name} is {said}", "-", {name}) for name in sorted(names)]

    return notifier.tell(memory, set(holds), spell("bad"), spell("good again"))


def test_an_address_that_makes_no_sense_is_a_failed_delivery() -> None:
    assert tell(Notifier(("nonsense",)), Memory(), "a") == {"nonsense"}


def test_an_address_that_is_dead_neither_holds_up_the_others_nor_repeats_to_them(hook: Webhook) -> None:
    with webhook() as dead:
        notifier, memory = Notifier((dead.url, hook.url)), Memory()
        dead.is_up = False
        for holds in ("a", "ab", "ab", "b"):
            assert tell(notifier, memory, *holds) == {dead.url}
            memory = Memory.parse(memory.dump())
        assert hook.titles() == ["a is bad", "b is bad", "a is good again"]

        dead.is_up = True
        assert tell(notifier, memory, "b") == set()
        assert dead.titles() == ["b is bad"], "how things stand"
        tell(notifier, memory)
        assert dead.titles() == hook.titles() == ["b is good again"]


def test_what_an_older_release_told_all_addresses_is_not_told_again_and_no_address_is_written_down(
    hook: Webhook,
) -> None:
    memory = Memory.parse(["a"])

    tell(Notifier((hook.url,)), memory, "a")

    assert hook.titles() == []
    assert list(memory.dump().values()) == [["a"]]
    assert str(hook.server_port) not in str(memory.dump())


def test_failed_runs_are_told_to_each_address_by_itself(watch: Watch, hook: Webhook, tmp_path: Path) -> None:
    with webhook() as dead:
        env = {"LAKEHOUSE_HOME": str(tmp_path), "LAKEHOUSE_ALERT_URLS": f"{dead.url},{hook.url}"}
        watch.sensor = build_failure_alerts(Settings.from_env(env))
        watch.tick()
        dead.is_up = False
        run(watch, "2020-01-01", "2020-01-05", fail="1")
        assert "not delivered to 1 of 2 addresses" in watch.tick()
        watch.tick()
        assert [began(title) for title in hook.titles()] == [True]

        dead.is_up = True
        watch.tick()
        dead.is_up = False
        run(watch, "2020-01-01", "2020-01-05")
        watch.tick()
        watch.tick()
        assert [began(title) for title in hook.titles()] == [False]
        dead.is_up = True
        watch.tick()
        watch.tick()
        assert [began(title) for title in dead.titles()] == [True, False]
        assert hook.titles() == []
