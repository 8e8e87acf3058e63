"""What a receiver of OpenLineage hears of runs."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from pyspark.sql import SparkSession

from lake.batch.plan import Step
from lake.declare.days import Days
from lake.errors import BadSetting
from lake.orchestration.open_lineage import sending
from lake.orchestration.open_lineage.sending import Receiver, Sender, receiver_of, sender_to
from lake.orchestration.runs import record_refresh
from lake.project.settings import Settings
from lake.storage.log import Log
from tests.definitions import definitions_of
from tests.lakehouse_assets.small_lake import DAY, TABLES, by_name, land, settings_for
from tests.open_lineage import assert_specified, receiving
from tests.quiet_dagster import QUIET_DAGSTER

pytestmark = QUIET_DAGSTER

ROOT = Path(__file__).parents[2]
THREE_DAYS = Days.between(DAY, date(2020, 1, 3))


@pytest.fixture(autouse=True)
def only_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """No OpenLineage of whoever runs the tests."""
    for name in ("URL", "CONFIG", "NAMESPACE", "API_KEY", "DISABLED"):
        monkeypatch.delenv(f"OPENLINEAGE_{name}", raising=False)


def refreshed(instance: dg.DagsterInstance, settings: Settings, *names: str) -> list[tuple[str, str]]:
    steps = [Step(tuple(by_name(name) for name in names), THREE_DAYS, unless_equal=False)]
    results = record_refresh(instance, definitions_of(settings, TABLES), steps)
    receiver = receiver_of(settings)
    if receiver is not None:
        sender_to(receiver).flush()
    return [(result.table, result.status) for result in results]


def outline(events: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(one["job"]["name"], one["eventType"]) for one in events]


def of(events: list[dict[str, Any]], job: str, state: str) -> dict[str, Any]:
    (found,) = [one for one in events if (one["job"]["name"], one["eventType"]) == (job, state)]
    return found


@pytest.mark.spark
def test_a_receiver_hears_of_each_table_with_its_columns_versions_and_checks(
    spark: SparkSession, instance: dg.DagsterInstance, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    land(settings, {day: [f"a {day} 1", f"b {day} -1", f"b {day} -2"] for day in THREE_DAYS})
    monkeypatch.setenv("LINEAGE_KEY", "hush")
    with receiving() as heard:
        told = replace(
            settings, openlineage=heard.url, openlineage_namespace="shop", openlineage_key_from="LINEAGE_KEY"
        )
        refreshed(instance, told, "readings", "measurements")

    assert outline(heard.events) == [
        ("bronze.readings", "START"),
        ("bronze.readings", "COMPLETE"),
        ("bronze.readings.checks", "START"),
        ("bronze.readings.checks", "COMPLETE"),
        ("silver.measurements", "START"),
        ("silver.measurements", "COMPLETE"),
        ("silver.measurements.checks", "START"),
        ("silver.measurements.checks", "COMPLETE"),
    ]
    assert {one["path"] for one in heard.events} == {"/api/v1/lineage"}
    assert set(heard.keys) == {"Bearer hush"}
    for one in heard.events:
        assert_specified({name: value for name, value in one.items() if name != "path"})

    done = of(heard.events, "silver.measurements", "COMPLETE")
    assert done["run"]["runId"] == of(heard.events, "silver.measurements", "START")["run"]["runId"]
    (run,) = instance.get_runs()
    facets = done["run"]["facets"]
    assert facets["parent"]["run"]["runId"] == run.run_id
    assert facets["nominalTime"]["nominalStartTime"] == "2020-01-01T00:00:00.000Z"
    assert facets["nominalTime"]["nominalEndTime"] == "2020-01-04T00:00:00.000Z"
    assert done["job"]["namespace"] == "shop"

    (source,), (made,) = done["inputs"], done["outputs"]
    readings, measurements = f"{settings.tables}/bronze/readings", f"{settings.tables}/silver/measurements"
    assert (source["namespace"], source["name"]) == ("file", readings)
    assert (made["namespace"], made["name"]) == ("file", measurements)
    for dataset, place in ((source, readings), (made, measurements)):
        log = Log(place)
        assert dataset["facets"]["version"]["datasetVersion"] == f"{log.table_id()}@{log.version()}"
    assert made["outputFacets"]["outputStatistics"]["rowCount"] == 3
    assert made["facets"]["ownership"]["owners"] == [{"name": "team:tests"}]
    assert [(one["key"], one["value"]) for one in made["facets"]["tags"]["tags"]] == [("domain", "sensors")]
    assert [(one["name"], one["type"], one["description"]) for one in made["facets"]["schema"]["fields"]] == [
        ("sensor", "string", "name of the sensor"),
        ("measured_on", "date", "UTC day"),
        ("value", "int", "a number"),
    ]
    line = {"namespace": "file", "name": readings, "field": "line"}
    computed = [{**line, "transformations": [{"type": "DIRECT", "subtype": "TRANSFORMATION"}]}]
    lineage = made["facets"]["columnLineage"]
    assert {name: one["inputFields"] for name, one in lineage["fields"].items()} == {
        "sensor": computed, "measured_on": computed, "value": computed,
    }  # fmt: skip

    checked = of(heard.events, "silver.measurements.checks", "COMPLETE")["inputs"][0]
    found = checked["inputFacets"]["dataQualityAssertions"]["assertions"]
    assert {one["assertion"]: one["success"] for one in found} == {
        "key_unique": True, "contract": False, "row_count": True, "fresh": False, "range_equals_day": True,
    }  # fmt: skip
    (landed,) = of(heard.events, "bronze.readings", "COMPLETE")["inputs"]
    assert landed["name"] == f"{settings.landing.root}/sensors"


@pytest.mark.spark
def test_a_run_that_fails_says_why_in_a_file(
    spark: SparkSession, instance: dg.DagsterInstance, settings: Settings
) -> None:
    land(settings, {day: [f"a {day} {-1 if day.day == 2 else 1}"] for day in THREE_DAYS})
    file = settings.home / "told" / "lineage.jsonl"

    refreshed(instance, replace(settings, openlineage=str(file)), "readings", "exact_measurements")

    events = [json.loads(line) for line in file.read_text().splitlines()]
    for one in events:
        assert_specified(one)
    failed = of(events, "silver.exact_measurements", "FAIL")
    assert "1 row broke the contract" in failed["run"]["facets"]["errorMessage"]["message"]
    assert failed["outputs"][0]["outputFacets"]["outputStatistics"]["rowCount"] == 2
    assert ("silver.exact_measurements", "COMPLETE") not in outline(events)


@pytest.mark.spark
def test_runs_are_green_where_the_receiver_is_dead_or_hangs(
    spark: SparkSession,
    instance: dg.DagsterInstance,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    land(settings, {day: [f"a {day} 1"] for day in THREE_DAYS})
    monkeypatch.setattr(sending, "ANSWERS_WITHIN_SECONDS", 0.2)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        dead = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        assert refreshed(instance, replace(settings, openlineage=dead), "readings") == [("bronze.readings", "done")]
    with receiving(until=threading.Event()) as slow:
        told = replace(settings, openlineage=slow.url)
        assert refreshed(instance, told, "measurements") == [("silver.measurements", "done")]

    said = [line for line in capsys.readouterr().err.splitlines() if "OpenLineage" in line]
    reason = "does not get all events, and runs go on"
    assert said == [
        f"warning: OpenLineage: {dead} {reason}: ConnectionError",
        f"warning: OpenLineage: {slow.url} {reason}: ConnectionError",
    ]


@pytest.fixture
def sent() -> Iterator[tuple[threading.Event, list[str], Sender]]:
    """A sender whose receiver is stuck, with place for three events that wait, and what it says."""
    go, said = threading.Event(), list[str]()
    yield go, said, Sender(Receiver("http://127.0.0.1:9/?key=hush"), said.append, most_waiting=3)
    go.set()


def test_no_more_events_wait_than_there_is_place_for(sent: tuple[threading.Event, list[str], Sender]) -> None:
    go, said, sender = sent
    began = threading.Event()
    made: list[int] = []

    def note(number: int) -> list[Any]:
        made.append(number)
        return []

    def stuck() -> list[Any]:
        began.set()
        go.wait(60)
        return []

    sender.send(stuck)
    assert began.wait(60)
    for number in range(10):
        sender.send(partial(note, number))
    go.set()
    sender.flush(60)

    assert made == [0, 1, 2]
    assert said == [
        "OpenLineage: http://127.0.0.1:9 does not get all events, and runs go on: "
        "3 events wait for it, so others are dropped"
    ]


def test_an_event_that_cannot_be_made_stops_none_after_it(sent: tuple[threading.Event, list[str], Sender]) -> None:
    _, said, sender = sent
    done = threading.Event()

    def broken() -> list[Any]:
        raise KeyError("a secret")

    def good() -> list[Any]:
        done.set()
        return []

    sender.send(broken)
    sender.send(broken)
    sender.send(good)

    assert done.wait(60)
    assert [line.partition("on: ")[2] for line in said] == ["KeyError"]


def test_a_refusal_is_told_by_its_status(capsys: pytest.CaptureFixture[str]) -> None:
    from openlineage.client.event_v2 import Job, Run, RunEvent

    run = Run("0195d2f0-0000-7000-8000-000000000000")
    with receiving(status=403) as heard:
        sender = Sender(Receiver(heard.url))
        sender.send(lambda: [RunEvent(eventTime="2020-01-01T00:00:00Z", run=run, job=Job("a", "b"))])
        sender.flush(60)

    assert capsys.readouterr().err.endswith("it answered 403\n")


def test_nothing_is_sent_where_nothing_is_set(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(settings.root)
    assert receiver_of(settings) is None

    monkeypatch.setenv("OPENLINEAGE_URL", "http://marquez:5000")
    assert receiver_of(settings) == Receiver("http://marquez:5000", "OPENLINEAGE_API_KEY")

    monkeypatch.setenv("OPENLINEAGE_CONFIG", "/etc/openlineage.yml")
    assert receiver_of(settings) == Receiver()
    assert receiver_of(replace(settings, openlineage="http://mine")) == Receiver("http://mine")

    monkeypatch.setenv("OPENLINEAGE_DISABLED", "true")
    assert receiver_of(replace(settings, openlineage="http://mine")) is None


def test_a_file_of_openlineage_itself_says_where_events_go(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "openlineage.yml").write_text(f"transport: {{type: file, log_file_path: {tmp_path}/own, append: true}}")
    receiver = receiver_of(settings)

    assert receiver is not None
    assert receiver.open().transport.kind == "file"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OPENLINEAGE", "http://me:hush@marquez:5000"),
        ("OPENLINEAGE", "http://marquez:5000/?key=hush"),
        ("OPENLINEAGE", "ftp://marquez"),
        ("OPENLINEAGE_KEY_FROM", "hu-sh"),
    ],
)
def test_a_secret_in_a_setting_is_refused_and_not_shown(tmp_path: Path, name: str, value: str) -> None:
    with pytest.raises(BadSetting) as refused:
        settings_for(tmp_path, **{f"LAKEHOUSE_{name}": value})

    assert "hush" not in str(refused.value)


def test_a_file_lies_in_the_home(tmp_path: Path) -> None:
    assert settings_for(tmp_path, LAKEHOUSE_OPENLINEAGE="lineage.jsonl").openlineage == str(tmp_path / "lineage.jsonl")


RUN_PROCESS = """
import dagster as dg
from openlineage.client.event_v2 import Job, Run, RunEvent
from lake.orchestration.open_lineage.sending import Receiver, sender_to

@dg.op
def tell() -> None:
    run = Run("0195d2f0-0000-7000-8000-000000000000")
    for number in range(5):
        event = RunEvent(eventTime="2020-01-01T00:00:00Z", run=run, job=Job("lake", f"table {number}"))
        sender_to(Receiver(URL)).send(lambda event=event: [event])

@dg.job(executor_def=dg.in_process_executor)
def telling() -> None:
    tell()
"""


AT_ONCE = "run_coordinator: {module: dagster._core.run_coordinator, class: DefaultRunCoordinator}"


@pytest.mark.slow
@pytest.mark.streams
def test_a_process_that_dagster_starts_for_a_run_sends_what_waits_before_it_ends(tmp_path: Path) -> None:
    """The receiver is slow, so that events still wait when the run is over."""
    file = tmp_path / "run_process.py"
    (tmp_path / "dagster.yaml").write_text(AT_ONCE)
    env = {**os.environ, "DAGSTER_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "dagster", "job", "launch", "-f", str(file), "-j", "telling"]
    with receiving(pause=0.1) as heard:
        file.write_text(RUN_PROCESS.replace("URL", repr(heard.url)))
        subprocess.run(command, env=env, cwd=tmp_path, check=True, capture_output=True)
        with dg.DagsterInstance.from_config(str(tmp_path)) as own:
            assert [run.status for run in own.get_runs()] == [dg.DagsterRunStatus.SUCCESS]
        deadline = time.monotonic() + 60
        while len(heard.events) < 5 and time.monotonic() < deadline:
            time.sleep(0.05)

    assert [one["job"]["name"] for one in heard.events] == [f"table {number}" for number in range(5)]


WARM_PROCESS = """
from openlineage.client.event_v2 import Job, Run, RunEvent
from lake.orchestration.open_lineage.sending import Receiver, sender_to
from lake.orchestration.warm import worker

def stopped_after_a_run() -> int:
    run = Run("0195d2f0-0000-7000-8000-000000000000")
    for number in range(5):
        event = RunEvent(eventTime="2020-01-01T00:00:00Z", run=run, job=Job("lake", f"table {number}"))
        sender_to(Receiver(URL)).send(lambda event=event: [event])
    raise KeyboardInterrupt

worker.main = stopped_after_a_run
worker.run_and_leave()
"""


def test_the_warm_process_sends_what_waits_before_it_ends(tmp_path: Path) -> None:
    with receiving(pause=0.1) as heard:
        command = [sys.executable, "-c", WARM_PROCESS.replace("URL", repr(heard.url))]
        ended = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, cwd=tmp_path, check=False)

    assert ended.returncode == 0
    assert [one["job"]["name"] for one in heard.events] == [f"table {number}" for number in range(5)]
