"""Run the services of `lakehouse up`, on this machine only.

They are the web UI and the daemon, and on request Kafka and the streams.
"""

from __future__ import annotations

import os
import signal
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from rich.console import Console

from lake.commands.brokers import create_topics, topics_of
from lake.commands.kafka_broker import LocalBroker
from lake.commands.log_view import LogView
from lake.commands.only_one import only_one
from lake.commands.supervisor import Child, Service, end_left_behind, supervise
from lake.declare.graph import early_of
from lake.declare.table import is_followable
from lake.engine.jars import fetch
from lake.engine.ports import HOST, free_ports, is_free
from lake.errors import LakeError, Message
from lake.project.automation import describe_automation, switch_automation
from lake.project.environment import open_environment
from lake.project.settings import Settings
from lake.storage.noted import Noted
from lake.stream.kafka import KafkaCluster
from lake.stream.progress import read_statuses

__all__ = ["DEFAULT_PORT", "PortTakenError", "choose_port", "serve"]

DEFAULT_PORT = 3000
DAGSTER_STOPS_WITHIN_SECONDS = 45.0
MICRO_BATCH_ENDS_WITHIN_SECONDS = 120.0
_MATTERS = r"\b(WARNING|ERROR|CRITICAL)\b|\w(Error|Exception)\b|cannot be imported|is left out"
"""What is shown of Dagster's log: the rest is in `services.log`."""
RESTART_AFTER_SECONDS = (1.0, 5.0, 15.0, 60.0, 60.0)


class PortTakenError(LakeError, runbook="docs/runbook.md#a-day-or-a-name-is-refused"):
    """Something else listens on the port that was asked for."""

    port: int

    def message(self) -> Message:
        return Message(
            f"port {self.port}", "something else listens there", "stop it, or leave --port out: one is chosen"
        )


def serve(
    console: Console,
    settings: Settings,
    port: int | None = None,
    *,
    kafka: bool = False,
    streams: bool = False,
    since: date | None = None,
    auto: bool | None = None,
    cold: bool = False,
    verbose: bool = False,
) -> int:
    """Serve until Ctrl-C or SIGTERM.

    Says what is ready and what goes wrong, and leaves no process behind.

    Args:
        console: where the log view goes.
        settings: the environment to show and to run.
        port: on 127.0.0.1; None for 3000, or any free one where that is taken.
        kafka: run the local broker too, and let streams read from it. One that runs already is used and left running.
        streams: follow every table that can be followed.
        since: when streams start for the first time, the first landing day that they follow.
        auto: whether schedules and sensors are on from now on; None for what was asked for before.
        cold: give each run a process and a JVM of its own, instead of one process that keeps warm.
        verbose: show all that Dagster says, not only what goes wrong.

    Returns:
        The exit code: 0 where somebody stopped it, 1 where a service ended it or was given up.

    Raises:
        PortTakenError: the port is not free.
        AlreadyUpError: another process serves this lake.
        FolderNotWritable: the home folder cannot be written.
        BrokerNotReadyError: Kafka did not start; nothing is left running.
        Offline, JarDamaged: the jars that Kafka needs could not be fetched.
        ExtraNotInstalledError: there is no Dagster.
    """
    from lake.orchestration.dagster_home import open_instance, prepare_dagster_home
    from lake.orchestration.runs import fail_runs_of_dead_processes

    settings.make_folders()
    if kafka and settings.kafka is None:
        fetch("kafka-broker", console.print)  # may take minutes, the first time
    home = prepare_dagster_home(settings)
    record = Noted(home / "services.json")
    with only_one(home) as tell_address:
        end_left_behind(record, MICRO_BATCH_ENDS_WITHIN_SECONDS, console.print)
        chosen = choose_port(port)
        tell_address(_address(settings, chosen))
        with open_instance(settings) as instance:
            fail_runs_of_dead_processes(instance)
        if auto is not None:
            switch_automation(settings, on=auto)
        console.print(describe_automation(settings), soft_wrap=True)
        shown = "" if verbose else _MATTERS
        services: list[Service] = [] if cold else [_warm_worker(settings, home, chosen, shown, record)]
        services.append(_dagster(settings, home, chosen, shown, record))
        if kafka and settings.kafka is None:
            topics = topics_of(open_environment(settings).tables.values(), settings)
            services.insert(0, _Kafka(LocalBroker(settings.kafka_folder), topics, settings.kafka_folder / "broker.log"))
        if streams:
            services.append(_streams(settings, home, "kafka" if kafka else settings.feed, since, record))
        return supervise(services, LogView(console, [service.name for service in services]))


def choose_port(wanted: int | None) -> int:
    """Return a free port on 127.0.0.1.

    It is the one wanted, else 3000, else any.

    Raises:
        PortTakenError: the one wanted is not free.
    """
    if wanted is not None and not is_free(wanted):
        raise PortTakenError(wanted)
    if wanted is not None or is_free(DEFAULT_PORT):
        return wanted or DEFAULT_PORT
    return free_ports(1)[0]


def _dagster(settings: Settings, logs: Path, port: int, shown: str, record: Noted) -> Child:
    quiet = ["-W", "ignore:Function `dev_command` is superseded"]
    command = [
        *quiet,
        "-m",
        "lake.orchestration.web_ui",
        "dev",
        "-w",
        str(settings.root / "workspace.yaml"),
        "-h",
        HOST,
        "-p",
        str(port),
    ]
    return Child(
        "dagster",
        [sys.executable, *command],
        logs / "services.log",
        announce=lambda _: _ready_at(f"http://{HOST}:{port}"),
        env=_environment_of_runs(settings, port),
        stop_signal=signal.SIGINT,
        shown=shown,
        stops_within_seconds=DAGSTER_STOPS_WITHIN_SECONDS,
        record=record,
    )


def _warm_worker(settings: Settings, logs: Path, port: int, shown: str, record: Noted) -> Child:
    from lake.orchestration.warm.hand_over import RENEW

    return Child(
        "runs",
        [sys.executable, "-m", "lake.orchestration.warm.worker"],
        logs / "warm_worker.log",
        env=_environment_of_runs(settings, port),
        restart_after=RESTART_AFTER_SECONDS,
        renewed_by=RENEW,
        shown=shown,
        record=record,
    )


def _environment_of_runs(settings: Settings, port: int) -> dict[str, str]:
    return {**_environment(settings), "LAKEHOUSE_UI_URL": _address(settings, port)}


def _address(settings: Settings, port: int) -> str:
    return settings.ui_url if "ui_url" in settings.given else f"http://{HOST}:{port}"


def _streams(settings: Settings, logs: Path, feed: str, since: date | None, record: Noted) -> Child:
    known = open_environment(settings).tables.values()
    early = early_of(table for table in known if table.early_every)
    tables = {table.full_name for table in known if is_followable(table) or table in early}
    first = ["--since", str(since)] if since else []
    return Child(
        "streams",
        [sys.executable, "-m", "lake.commands.cli", "follow", "--feed", feed, *first],
        logs / "streams.log",
        announce=lambda pid: _following(tables, settings.home / "streams", feed, pid),
        env=_environment(settings),
        stops_within_seconds=MICRO_BATCH_ENDS_WITHIN_SECONDS,
        restart_after=RESTART_AFTER_SECONDS,
        record=record,
    )


@dataclass
class _Kafka:
    """The local broker as a service.

    Started by somebody else, it is watched and left alone.
    """

    broker: LocalBroker
    topics: Sequence[str]
    log: Path
    name: str = "kafka"
    shown: str = r"\] (WARN|ERROR|FATAL) "  # Kafka writes a thousand lines at its start
    restart_after: Sequence[float] = ()
    is_ours: bool = field(default=False, init=False)

    def start(self) -> int:
        """Start it where it does not run, and wait until it answers.

        The topics of the feeds are made.
        """
        self.is_ours = self.broker.status() is None
        position = 0 if self.is_ours or not self.log.is_file() else self.log.stat().st_size
        create_topics(KafkaCluster(self.broker.up().address), self.topics)
        return position

    def announcement(self) -> str | None:
        running = self.broker.status()
        if running is None:
            return None
        return f"Kafka is at {running.address}" + ("" if self.is_ours else ", and was running before")

    def ended(self) -> str | None:
        return "its process is gone" if self.broker.status() is None else None

    def stop(self) -> None:
        if self.is_ours:
            self.broker.down()


def _environment(settings: Settings) -> dict[str, str]:
    """Return the environment of a service.

    The project's own packages come first, whatever else is installed; what is printed is in the log at once.
    """
    paths = [str(settings.root), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"}


def _ready_at(url: str) -> str | None:
    try:
        with urllib.request.urlopen(f"{url}/server_info", timeout=2) as response:
            return f"{url} is ready; Ctrl-C stops everything" if response.status == 200 else None
    except (urllib.error.URLError, OSError):
        return None


def _following(tables: set[str], statuses: Path, feed: str, pid: int) -> str | None:
    """Return what to say once this process follows every table.

    It has then caught up with what there was. None before.
    """
    running = {name for name, status in read_statuses(statuses).items() if status.pid == pid}
    return f"streams follow {len(tables)} tables from {feed}" if running >= tables else None
