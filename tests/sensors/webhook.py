"""A web server on this machine that remembers what was posted to it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

__all__ = ["QUIET_APPRISE", "Webhook", "webhook"]

QUIET_APPRISE = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")
"""Apprise loads all its plugins, and some of them import modules that a later Python will not have."""


class Webhook(ThreadingHTTPServer):
    """Takes JSON posts while `is_up`, and answers 503 otherwise."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.received: list[dict[str, Any]] = []
        self.is_up = True

    @property
    def url(self) -> str:
        """Its address, as Apprise writes it."""
        return f"json://127.0.0.1:{self.server_port}/hook"

    def titles(self) -> list[str]:
        """The titles received since the last call."""
        titles = [message["title"] for message in self.received]
        self.received.clear()
        return titles


class _Handler(BaseHTTPRequestHandler):
    server: Webhook

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.server.is_up:
            self.server.received.append(json.loads(body))
        self.send_response(200 if self.server.is_up else 503)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass


@contextmanager
def webhook() -> Iterator[Webhook]:
    """A webhook that listens."""
    server = Webhook()
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
