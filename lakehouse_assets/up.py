"""Serve the web UI and the daemon that runs schedules, sensors and backfills, on this machine only."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import psutil

from lake.errors import LakeError, Message
from lakehouse_assets.doctor import PROJECT
from resources.dagster_home import prepare_dagster_home
from resources.ports import HOST, free_ports, is_free
from resources.settings import Settings

__all__ = ["DEFAULT_PORT", "PortTakenError", "choose_port", "serve"]

DEFAULT_PORT = 3000
STOPPING_TAKES_AT_MOST_SECONDS = 45


@dataclass(eq=False)
class PortTakenError(LakeError):
    """Something else listens on the port that was asked for."""

    port: int

    def message(self) -> Message:
        return Message(
            f"port {self.port}", "something else listens there", "stop it, or leave --port out: one is chosen"
        )


def serve(settings: Settings, port: int | None = None) -> int:
    """Serve until Ctrl-C or SIGTERM; prints the address when it answers, and leaves no process behind.

    Args:
        settings: the environment to show and to run.
        port: on 127.0.0.1; None for 3000, or any free one where that is taken.

    Returns:
        The exit code: 0 where somebody stopped it, 1 where it stopped by itself.

    Raises:
        PortTakenError: the port is not free.
        FolderNotWritable: the home folder cannot be written.
    """
    chosen = choose_port(port)
    home = prepare_dagster_home(settings)
    log = home / "services.log"
    with _signals_as_interrupt(), log.open("w") as output:
        services = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "dagster",
                "dev",
                "-w",
                str(PROJECT / "workspace.yaml"),
                "-h",
                HOST,
                "-p",
                str(chosen),
            ],
            env=_environment(),
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C reaches us alone, so that we stop it in order
        )
        try:
            return _watch(services, f"http://{HOST}:{chosen}", log)
        except KeyboardInterrupt:
            print("stopping", flush=True)
            return 0
        finally:
            _stop(services)


def choose_port(wanted: int | None) -> int:
    """A free port on 127.0.0.1: the one wanted, else 3000, else any.

    Raises:
        PortTakenError: the one wanted is not free.
    """
    if wanted is not None and not is_free(wanted):
        raise PortTakenError(wanted)
    if wanted is not None or is_free(DEFAULT_PORT):
        return wanted or DEFAULT_PORT
    return free_ports(1)[0]


def _environment() -> dict[str, str]:
    """The project's own packages come first, whatever else is installed."""
    paths = [str(PROJECT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


@contextmanager
def _signals_as_interrupt() -> Iterator[None]:
    """SIGINT and SIGTERM raise KeyboardInterrupt, also where a shell started us in the background, deaf to SIGINT."""

    def interrupt(_signum: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _watch(services: subprocess.Popen[bytes], url: str, log: Path) -> int:
    print(f"starting Dagster, its log is {log}", flush=True)
    announced = False
    while True:
        try:
            services.wait(timeout=5.0 if announced else 0.3)
        except subprocess.TimeoutExpired:
            if not announced and _answers(url):
                announced = True
                print(f"{url} is ready; Ctrl-C stops it", flush=True)
            continue
        print(f"Dagster has stopped by itself (exit code {services.returncode}); the reason is in {log}", flush=True)
        return 1


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/server_info", timeout=2) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _stop(services: subprocess.Popen[bytes]) -> None:
    """Stop the services and whatever they started: runs under way end as interrupted, and their Java with them."""
    family = _family(services)
    if services.poll() is None:
        services.send_signal(signal.SIGINT)
    _, alive = psutil.wait_procs(family, timeout=STOPPING_TAKES_AT_MOST_SECONDS)
    for kill in (psutil.Process.terminate, psutil.Process.kill):
        for process in _alive([*alive, *_family(services)]):
            kill(process)
        _, alive = psutil.wait_procs(alive, timeout=5)


def _family(services: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """The processes of the session that the services lead, also those whose parent has gone."""
    return [process for process in psutil.process_iter() if _session(process.pid) == services.pid]


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except OSError:
        return None


def _alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    return [process for process in processes if process.is_running()]
