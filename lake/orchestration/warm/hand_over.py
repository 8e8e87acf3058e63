"""Hand a run over to the warm process of `lakehouse up`.

It listens on a port of 127.0.0.1. Which one, and a secret that whoever asks has to say, lie in a file of Dagster's
home that only this user can read. A question and its answer are one line each.
"""

from __future__ import annotations

import hmac
import json
import os
import secrets
import socket
import socketserver
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Thread
from typing import Literal

import psutil

from lake.engine.ports import HOST
from lake.storage.durable import write_whole
from lake.storage.holder import find_process

__all__ = ["IDLE", "RENEW", "STOPPING", "TAKEN", "Question", "ask", "listening"]

TAKEN, STOPPING = "taken", "stopping"
"""Its answers where it does what it is asked for."""

IDLE = "idle"
"""What it does while it waits for runs, and looks for what is due."""

RENEW = 75
"""Its exit code where it asks for a fresh process of itself."""
Question = Literal["take", "stop", "state"]
_FILE = "warm_worker.json"
_ANSWERS_WITHIN_SECONDS = 10.0
_LONGEST = 4096


@dataclass(frozen=True)
class _Post:
    """Name the place at which a warm process listens.

    Attributes:
        pid: the process.
        started: when it began, because numbers of processes are used again.
        port: on 127.0.0.1.
        secret: what to say first.
    """

    pid: int
    started: float
    port: int
    secret: str


def ask(dagster_home: Path, question: Question, run_id: str = "") -> str | None:
    """Ask the warm process of this home.

    Args:
        dagster_home: Dagster's folder of the environment.
        question: take a run, stop it, or say what it does.
        run_id: of the run.

    Returns:
        Its answer; None where no such process runs.

    Raises:
        OSError: it was asked and did not answer in time, so whether it has heard is not known.
    """
    post = _read(dagster_home / _FILE)
    if post is None or find_process(post.pid, post.started) is None:
        return None
    try:
        connection = socket.create_connection((HOST, post.port), _ANSWERS_WITHIN_SECONDS)
    except OSError:
        return None
    with connection, connection.makefile("rw", encoding="utf-8") as line:
        line.write(json.dumps({"secret": post.secret, "question": question, "run_id": run_id}) + "\n")
        line.flush()
        answer = line.readline(_LONGEST).strip()
    if not answer:
        raise ConnectionError(f"the warm process {post.pid} ended before it answered")
    return answer


@contextmanager
def listening(dagster_home: Path, answer: Callable[[str, str], str]) -> Iterator[None]:
    """Answer questions for as long as the block lasts.

    Each is answered in a thread of its own.

    Args:
        dagster_home: Dagster's folder of the environment.
        answer: given the question and the id of a run.
    """
    secret, file = secrets.token_urlsafe(32), dagster_home / _FILE

    class Answering(socketserver.StreamRequestHandler):
        timeout = _ANSWERS_WITHIN_SECONDS

        def handle(self) -> None:
            asked = _understood(self.rfile.readline(_LONGEST), secret)
            if asked is not None:
                self.wfile.write(f"{answer(*asked)}\n".encode())

    with _Server((HOST, 0), Answering) as server:
        Thread(target=server.serve_forever, name="answers", daemon=True).start()
        own = psutil.Process()
        _write(file, _Post(own.pid, own.create_time(), server.server_address[1], secret))
        try:
            yield
        finally:
            file.unlink(missing_ok=True)
            server.shutdown()


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True


def _understood(line: bytes, secret: str) -> tuple[str, str] | None:
    """Return question and run.

    None for whoever does not know the secret.
    """
    try:
        asked = json.loads(line)
        said, question, run_id = str(asked["secret"]), str(asked["question"]), str(asked["run_id"])
    except (ValueError, TypeError, KeyError):
        return None
    return (question, run_id) if hmac.compare_digest(said.encode(), secret.encode()) else None


def _write(file: Path, post: _Post) -> None:
    before = os.umask(0o077)  # the secret must never lie there for others to read
    try:
        write_whole(file, json.dumps(asdict(post)), flush=False)
    finally:
        os.umask(before)


def _read(file: Path) -> _Post | None:
    try:
        return _Post(**json.loads(file.read_text()))
    except (OSError, ValueError, TypeError):
        return None
