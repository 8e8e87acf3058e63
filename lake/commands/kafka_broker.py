"""Run a real Kafka of one node on this machine.

It comes from pinned jars and has its own folder, and is for tests, demos and laptops.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

import psutil

from lake.engine.jars import fetch
from lake.engine.java import find_java
from lake.engine.ports import HOST, free_ports, is_free
from lake.errors import LakeError, Message
from lake.storage.durable import write_whole
from lake.storage.holder import find_process
from lake.stream.kafka import KafkaCluster, plain_login

__all__ = ["BrokerNotReadyError", "Listener", "LocalBroker", "RunningBroker"]

_PORTS = 3
_READY_WITHIN_SECONDS = 60.0
_STOPS_WITHIN_SECONDS = 30.0
_children: dict[int, subprocess.Popen[bytes]] = {}
"""Brokers that this process started. They may outlive it."""


class BrokerNotReadyError(LakeError, runbook="docs/runbook-streams.md#the-broker-does-not-answer"):
    """The local broker did not start.

    Attributes:
        folder: its folder.
        reason: what is known.
    """

    folder: Path
    reason: str

    def message(self) -> Message:
        return Message(
            f"Kafka in {self.folder}", self.reason, f"read {self.folder / 'broker.log'}; then lakehouse kafka up again"
        )


@dataclass(frozen=True)
class Listener:
    """A second listener with SASL_SSL and PLAIN, as hosted clusters have.

    Attributes:
        keystore: PKCS12 file with the private key and the certificate for 127.0.0.1.
        keystore_password: opens it.
        username: the one user that may log in.
        password: and the secret.
    """

    keystore: Path
    keystore_password: str = field(repr=False)
    username: str
    password: str = field(repr=False)


@dataclass(frozen=True)
class RunningBroker:
    """A broker that was started: its process, ports and cluster.

    `started` is when the process began, because ids of processes are used again.
    """

    pid: int
    started: float
    port: int
    secure_port: int | None
    cluster_id: str

    @property
    def address(self) -> str:
        """`host:port` of the open listener."""
        return f"{HOST}:{self.port}"

    @property
    def process(self) -> psutil.Process | None:
        """The process, if it is still the one that was started."""
        return find_process(self.pid, self.started)


@dataclass(frozen=True)
class LocalBroker:
    """The broker of one folder.

    It keeps messages for ever, since a replay's are years old.
    """

    folder: Path

    def status(self) -> RunningBroker | None:
        """Return the broker if it runs."""
        try:
            found = RunningBroker(**json.loads((self.folder / "broker.json").read_text()))
        except (OSError, ValueError, TypeError):
            return None
        return found if found.process is not None else None

    def up(self, secure: Listener | None = None) -> RunningBroker:
        """Start the broker, unless it runs, and wait until it answers.

        It has to answer as itself.

        Raises:
            BrokerNotReadyError: it ended, or does not answer; its log says why.
            Offline, JarDamaged: its jars could not be fetched.
        """
        if (running := self.status()) is not None:
            return running
        self.folder.mkdir(parents=True, exist_ok=True)
        classpath = os.pathsep.join(map(str, fetch("kafka-broker")))
        ports = self._ports()
        self._write_properties(ports, secure)
        self._format(classpath)
        process = self._start(classpath)
        started = psutil.Process(process.pid).create_time()
        broker = RunningBroker(process.pid, started, ports[0], ports[2] if secure else None, self._cluster_id())
        write_whole(self.folder / "broker.json", json.dumps(asdict(broker)), flush=False)
        try:
            self._await_ready(process, broker)
        except BaseException:
            self.down()
            raise
        return broker

    def down(self) -> bool:
        """Stop the broker and tell whether one ran.

        Its messages stay.
        """
        running = self.status()
        process = running.process if running else None
        if process is not None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(_STOPS_WITHIN_SECONDS)
            except psutil.TimeoutExpired:
                process.kill()
                process.wait(5)
            if (child := _children.pop(process.pid, None)) is not None:
                child.poll()
        (self.folder / "broker.json").unlink(missing_ok=True)
        return process is not None

    @property
    def _properties(self) -> Path:
        return self.folder / "server.properties"

    def _ports(self) -> list[int]:
        """Return the ports of the last time, so that clients find it again.

        Others where somebody has taken one.
        """
        with suppress(OSError):
            lines = self._properties.read_text().splitlines()
            before = [int(line.rpartition("=")[2]) for line in lines if line.startswith("# port=")]
            if len(before) == _PORTS and all(map(is_free, before)):
                return before
        return free_ports(_PORTS)

    def _write_properties(self, ports: list[int], secure: Listener | None) -> None:
        listeners = [f"PLAINTEXT://{HOST}:{ports[0]}", f"CONTROLLER://{HOST}:{ports[1]}"]
        lines = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.listener.names": "CONTROLLER",
            "controller.quorum.bootstrap.servers": f"{HOST}:{ports[1]}",
            "log.dirs": str(self.folder / "data"),
            "offsets.topic.replication.factor": "1",
            # Producers with transactions need their log, which by default wants three brokers.
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "group.initial.rebalance.delay.ms": "0",
            "auto.create.topics.enable": "false",
            # The default of 128 MB, and as much again while settings change, is more than the heap has. The cleaner
            # would run out of memory and never compact a topic again.
            "log.cleaner.dedupe.buffer.size": str(8 * 2**20),
            # Retention goes by the messages' own timestamps.
            "log.retention.ms": "-1",
        }
        if secure is not None:
            listeners.append(f"SASL_SSL://{HOST}:{ports[2]}")
            users = {"username": secure.username, f"user_{secure.username}": secure.password}
            lines |= {
                "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL",
                "sasl.enabled.mechanisms": "PLAIN",
                "ssl.keystore.type": "PKCS12",
                "ssl.keystore.password": secure.keystore_password,
                "ssl.keystore.location": str(secure.keystore),
                "listener.name.sasl_ssl.plain.sasl.jaas.config": plain_login(password=secure.password, **users),
            }
        lines["listeners"] = ",".join(listeners)
        descriptor = os.open(self._properties, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.writelines(f"# port={port}\n" for port in ports)
            file.writelines(f"{key}={_escaped(value)}\n" for key, value in lines.items())

    def _format(self, classpath: str) -> None:
        """Prepare the data folder, once.

        The id of the cluster is made then.
        """
        if (self.folder / "data" / "meta.properties").exists():
            return
        tool = [_java(), "-Xmx256m", "-cp", classpath, "kafka.tools.StorageTool"]
        made = subprocess.run([*tool, "random-uuid"], capture_output=True, text=True, check=False)
        uuid = made.stdout.strip().splitlines()[-1] if made.returncode == 0 else ""
        formatted = subprocess.run(
            [*tool, "format", "--standalone", "-t", uuid, "-c", str(self._properties)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if formatted.returncode:
            (self.folder / "broker.log").write_text(made.stderr + formatted.stdout + formatted.stderr)
            raise BrokerNotReadyError(self.folder, "its data folder could not be prepared")

    def _start(self, classpath: str) -> subprocess.Popen[bytes]:
        with (self.folder / "broker.log").open("wb") as log:
            process = subprocess.Popen(
                [_java(), "-Xmx384m", "-cp", classpath, "kafka.Kafka", str(self._properties)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        _children[process.pid] = process
        return process

    def _cluster_id(self) -> str:
        lines = (self.folder / "data" / "meta.properties").read_text().splitlines()
        return next(line.partition("=")[2] for line in lines if line.startswith("cluster.id="))

    def _await_ready(self, process: subprocess.Popen[bytes], broker: RunningBroker) -> None:
        """Wait until the broker is ready.

        Then our child lives, and what answers on the port says that it is our cluster.
        """
        from confluent_kafka import KafkaException
        from confluent_kafka.admin import AdminClient

        admin = AdminClient({**KafkaCluster(broker.address).for_librdkafka(), "log_level": 0})
        deadline = time.monotonic() + _READY_WITHIN_SECONDS
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise BrokerNotReadyError(self.folder, f"it ended with exit code {process.returncode}")
            with suppress(KafkaException):
                if str(admin.list_topics(timeout=1).cluster_id) == broker.cluster_id:
                    return
        raise BrokerNotReadyError(self.folder, f"it does not answer on {broker.address} after 60 s")


def _escaped(value: str) -> str:
    """Escape a value for a Java properties file."""
    return value.replace("\\", "\\\\")


def _java() -> str:
    return str(find_java().home / "bin" / "java")
