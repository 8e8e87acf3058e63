"""Receivers of OpenLineage on 127.0.0.1, and what its specification says of events.

`openlineage_spec/` holds schemas of the OpenLineage project as they are published (Apache License 2.0).
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker
from referencing import Registry, Resource

__all__ = ["Heard", "assert_specified", "receiving"]


@dataclass
class Heard:
    """What a receiver got: its address, the events, and the keys that came with them."""

    url: str
    events: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)


@contextmanager
def receiving(status: int = 200, until: threading.Event | None = None, pause: float = 0.0) -> Iterator[Heard]:
    """A receiver that gives this answer, where it is told to only after a pause or once an event is set."""

    class Receiving(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            said = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if until is not None:
                until.wait(60)
            time.sleep(pause)
            heard.events.append({"path": self.path, **said})
            heard.keys.append(self.headers["Authorization"])
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 as the base names it
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Receiving) as server:
        server.daemon_threads = True
        heard = Heard(f"http://127.0.0.1:{server.server_port}")
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield heard
        finally:
            if until is not None:
                until.set()
            server.shutdown()


def assert_specified(event: dict[str, Any]) -> None:
    """Assert that an event, and each of its facets, is as OpenLineage's schemas say."""
    _validator("https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent").validate(event)
    for name, facet in _facets(event):
        _validator(facet["_schemaURL"].partition("#")[0]).validate({name: facet})


def _facets(event: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for part in (event["run"], event["job"], *event["inputs"], *event["outputs"]):
        for kind in ("facets", "inputFacets", "outputFacets"):
            yield from part.get(kind, {}).items()


@cache
def _validator(reference: str) -> Draft202012Validator:
    said = [json.loads(file.read_text()) for file in (Path(__file__).parent / "openlineage_spec").glob("*.json")]
    known: Registry[Any] = Registry().with_resources((one["$id"], Resource.from_contents(one)) for one in said)
    return Draft202012Validator({"$ref": reference}, registry=known, format_checker=FormatChecker())
