"""Where the web UI listens, and that it starts and stops with Kafka and the streams; alone, it is for the browser."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import psutil
import pytest
from rich.console import Console

from lake.commands.kafka_broker import LocalBroker
from lake.commands.only_one import AlreadyUpError
from lake.commands.supervisor import Child
from lake.commands.up import DEFAULT_PORT, PortTakenError, choose_port, serve
from lake.orchestration.web_ui import _start_guarded
from lake.project.settings import Settings
from lake.storage.lease import is_followed
from lake.write.store import LOCKS

LOOPBACK = {"127.0.0.1", "::1", "::ffff:127.0.0.1"}
"""No other machine reaches these, the last being how a JVM names the first."""


def test_a_port_that_is_taken_is_refused_by_name() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]

        with pytest.raises(PortTakenError, match=f"port {port}: something else listens there"):
            choose_port(port)


def test_another_port_is_chosen_where_the_usual_one_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lake.commands.up.is_free", lambda port: port != DEFAULT_PORT)

    chosen = choose_port(None)

    assert chosen not in (DEFAULT_PORT, 0)


def test_the_port_asked_for_is_taken_if_it_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lake.commands.up.is_free", lambda _: True)

    assert (choose_port(3456), choose_port(None)) == (3456, DEFAULT_PORT)


def test_the_web_ui_is_started_behind_the_check_of_who_asks(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[list[Child]] = []
    monkeypatch.setattr("lake.commands.up.supervise", lambda services, _: started.append(services))

    serve(Console(), settings)
    serve(Console(), settings, cold=True)

    ((runs, ui), (alone,)) = started
    assert runs.command[-1] == "lake.orchestration.warm.worker"
    assert alone.command[:-1] == ui.command[:-1], "with --cold nothing keeps warm"
    assert ui.command[: ui.command.index("dev") + 1][-3:] == ["-m", "lake.orchestration.web_ui", "dev"]
    servers: list[list[str]] = []
    monkeypatch.setattr("lake.orchestration.web_ui.open_ipc_subprocess", servers.append)
    _start_guarded([sys.executable, "-m", "dagster_webserver", "--port", "3000"])
    assert servers == [[sys.executable, "-m", "lake.orchestration.web_ui", "--port", "3000"]]


def test_a_second_one_of_the_same_lake_is_refused_with_the_address_of_the_first(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused: list[AlreadyUpError] = []

    def serve_another(_services: object, _view: object) -> int:
        with pytest.raises(AlreadyUpError) as caught:
            serve(Console(), settings)
        refused.append(caught.value)
        return 0

    monkeypatch.setattr("lake.commands.up.supervise", serve_another)

    serve(Console(), settings, 3456)
    serve(Console(), settings, 3457)

    assert [(one.pid, one.address) for one in refused] == [
        (os.getpid(), "http://127.0.0.1:3456"),
        (os.getpid(), "http://127.0.0.1:3457"),
    ]


@pytest.mark.streams
@pytest.mark.slow
@pytest.mark.spark
def test_all_come_up_for_this_machine_only_killed_streams_come_back_and_one_signal_stops_all(
    tmp_path: Path,
) -> None:
    env = {**os.environ, "LAKEHOUSE_HOME": str(tmp_path), "LAKEHOUSE_SPARK_MASTER": "local[2]"}
    command = [sys.executable, "-m", "lake.commands.cli", "up", "--kafka", "--streams", "--since", "2013-01-01"]
    command.append("--verbose")
    ready = ("Kafka is at 127.0.0.1:", " is ready; Ctrl-C stops everything", "streams follow 10 tables from kafka")
    with subprocess.Popen(command, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as up:
        try:
            shown = _read_until_all_are_shown(up, ready)
            addresses = _listened_on(psutil.Process(up.pid))
            answers = _ask_the_ui(next(line for line in shown if ready[1] in line))
            _streams_of(up).kill()
            shown += _read_until_all_are_shown(up, ["streams ended by itself (exit code -9); attempt 1 of 5", ready[2]])
            family = psutil.Process(up.pid).children(recursive=True)
            up.send_signal(signal.SIGTERM)
            left = up.communicate(timeout=240)[0].splitlines()
        finally:
            up.kill()

    assert up.returncode == 0, shown + left
    assert {"127.0.0.1"} <= addresses <= LOOPBACK
    assert answers == {"its own": 200, "a foreign host": 403, "a foreign origin": 403}
    (streams_end,) = (place for place, line in enumerate(left) if line.startswith("streams | open from 2013-01-01 on"))
    (dagster_ends,) = (place for place, line in enumerate(left) if "Dagster services shut down." in line)
    assert streams_end < dagster_ends
    assert len(family) >= 5, "a broker, two JVMs and Dagster's processes were expected"
    assert [process for process in family if _runs(process)] == []
    assert LocalBroker(tmp_path / "kafka").status() is None
    assert not is_followed(tmp_path / "tables" / LOCKS)


SWITCHED = """{ repositoriesOrError { ... on RepositoryConnection { nodes {
    sensors { name sensorState { status } } schedules { name scheduleState { status } } } } } }"""


@pytest.mark.streams
@pytest.mark.slow
def test_it_is_quiet_and_runs_by_itself_once_asked_until_that_is_taken_back(tmp_path: Path) -> None:
    env = {**os.environ, "LAKEHOUSE_HOME": str(tmp_path), "LAKEHOUSE_ALERT_URLS": ""}
    acting = {"daily", "maintain", "reconcile"}

    first, on = _come_up(env, "--auto")
    again, still = _come_up(env)
    back, off = _come_up(env, "--no-auto")

    assert first[0].startswith("runs by itself with lakehouse up: daily, reconcile, maintain, no alerts")
    assert first[0].endswith("lakehouse up --no-auto takes it back")
    assert again[0] == first[0]
    assert back[0].startswith("nothing runs by itself")
    assert back[0].endswith("lakehouse up --auto switches on daily, reconcile and maintain")
    for lines in (first, again, back):
        (ready,) = lines[1:]
        assert ready.startswith("up      | http://127.0.0.1:")
    assert acting <= on
    assert on == still
    assert not acting & off


def _come_up(env: dict[str, str], *options: str) -> tuple[list[str], set[str]]:
    """What `up` says until it is ready, and which schedules and sensors are on then."""
    command = [sys.executable, "-m", "lake.commands.cli", "up", *options]
    with subprocess.Popen(command, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as up:
        try:
            shown = _read_until_all_are_shown(up, [" is ready; Ctrl-C stops everything"])
            switched = _switched_on(shown[-1].partition("http://")[2].partition(" ")[0])
            up.send_signal(signal.SIGTERM)
            up.communicate(timeout=120)
        finally:
            up.kill()
    assert up.returncode == 0
    return shown, switched


def _switched_on(address: str) -> set[str]:
    connection = http.client.HTTPConnection(address, timeout=120)
    asked = json.dumps({"query": SWITCHED})
    connection.request("POST", "/graphql", asked, {"Content-Type": "application/json"})
    (found,) = json.loads(connection.getresponse().read())["data"]["repositoriesOrError"]["nodes"]
    connection.close()
    states = {one["name"]: one["sensorState"]["status"] for one in found["sensors"]}
    states |= {one["name"]: one["scheduleState"]["status"] for one in found["schedules"]}
    return {name for name, status in states.items() if status == "RUNNING"}


def _runs(process: psutil.Process) -> bool:
    """Whether it still does something: one that has ended stays in the list until its parent, or init, has asked."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _listened_on(process: psutil.Process) -> set[str]:
    """The addresses at which it and what it started take connections."""
    family = [process, *process.children(recursive=True)]
    found = [connection for member in family for connection in member.net_connections(kind="inet")]
    return {connection.laddr.ip for connection in found if connection.status == psutil.CONN_LISTEN}


def _ask_the_ui(ready: str) -> dict[str, int]:
    """The status of what the web UI answers to its own host, to another one, and to a page of another site."""
    address = ready.partition("http://")[2].partition(" ")[0]
    asked = {"its own": {}, "a foreign host": {"Host": "evil.example"}, "a foreign origin": {"Origin": "http://evil"}}
    found = {}
    for who, headers in asked.items():
        connection = http.client.HTTPConnection(address, timeout=30)
        connection.request("GET", "/server_info", headers=headers)
        found[who] = connection.getresponse().status
        connection.close()
    return found


def _streams_of(up: subprocess.Popen[str]) -> psutil.Process:
    (found,) = (child for child in psutil.Process(up.pid).children() if "follow" in child.cmdline())
    return found


def _read_until_all_are_shown(up: subprocess.Popen[str], wanted: Iterable[str]) -> list[str]:
    """What it prints, up to the line that completes what is waited for; the test's own limit is the deadline."""
    assert up.stdout is not None
    lines: list[str] = []
    for line in up.stdout:
        lines.append(line.rstrip())
        if all(any(one in shown for shown in lines) for one in wanted):
            return lines
    raise AssertionError("\n".join(["it ended before it was ready:", *lines]))


def test_a_first_day_without_streams_is_refused() -> None:
    asked = [sys.executable, "-m", "lake.commands.cli", "up", "--since", "2013-01-01"]

    refused = subprocess.run(asked, capture_output=True, text=True)

    assert refused.returncode == 2
    assert "add --streams" in refused.stderr
