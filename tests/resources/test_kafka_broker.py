"""Which process is taken for the broker of a folder: the one that was started there, whoever listens on its port."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import psutil
import pytest

from lake.commands.kafka_broker import LocalBroker, RunningBroker
from lake.engine.ports import HOST

pytestmark = pytest.mark.slow


@pytest.fixture
def port_of_another() -> Iterator[int]:
    """A port on which a process listens that is no broker."""
    with socket.create_server((HOST, 0)) as server:
        yield int(server.getsockname()[1])


@contextmanager
def somebody() -> Iterator[psutil.Process]:
    """A process that lives and is no broker."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield psutil.Process(process.pid)
        process.kill()


def record(home: Path, pid: int, started: float, port: int) -> LocalBroker:
    """The folder as a broker leaves it that was killed, with what it knew of itself."""
    folder = home / "kafka"
    folder.mkdir()
    broker = RunningBroker(pid, started, port, None, "its cluster")
    (folder / "broker.json").write_text(json.dumps(asdict(broker)))
    return LocalBroker(folder)


def test_who_listens_on_the_port_of_a_broker_that_has_ended_is_not_taken_for_it(
    tmp_path: Path, port_of_another: int
) -> None:
    with somebody() as ended:
        pid, started = ended.pid, ended.create_time()
    local = record(tmp_path, pid, started, port_of_another)

    env = {**os.environ, "LAKEHOUSE_HOME": str(tmp_path)}
    command = [sys.executable, "-m", "lake.commands.cli", "kafka", "status"]
    said = subprocess.run(command, env=env, capture_output=True, text=True)

    assert (said.returncode, said.stdout) == (1, "not running: lakehouse kafka up\n"), said.stderr
    assert not local.down()


def test_a_process_that_got_the_number_of_the_broker_is_not_taken_for_it_and_not_stopped(tmp_path: Path) -> None:
    with somebody() as other:
        local = record(tmp_path, other.pid, other.create_time() - 60, 9092)

        assert local.status() is None
        assert not local.down()
        assert other.is_running()
        assert other.status() != psutil.STATUS_ZOMBIE


@pytest.mark.parametrize("text", ["", "{half", "[]", '{"pid": 1}'])
def test_a_record_that_cannot_be_read_is_of_no_broker(tmp_path: Path, text: str) -> None:
    (tmp_path / "broker.json").write_text(text)

    assert LocalBroker(tmp_path).status() is None
