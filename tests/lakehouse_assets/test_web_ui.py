"""The web UI does what its own pages ask, and nothing that another web page asks through the browser."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

import pytest
from starlette.datastructures import Headers

from lake.engine.ports import free_ports
from lake.orchestration.web_ui import refusal

LIMIT = "mutation { setConcurrencyLimit(concurrencyKey: %s, limit: 1) }"
LIMITS = "{ instance { concurrencyLimits { concurrencyKey } } }"
JSON = {"Content-Type": "application/json"}


class Server:
    """Dagster's own server, with nothing to serve."""

    def __init__(self, port: int) -> None:
        self.port = port

    def ask(self, method: str, path: str, body: str | None, headers: Mapping[str, str]) -> int:
        """The status of an answer; the address is the server's, whatever host the headers name."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body, {"Host": f"127.0.0.1:{self.port}", **headers})
            response = connection.getresponse()
            self.text = response.read(100_000).decode() if response.status != 101 else ""
            return response.status
        finally:
            connection.close()

    def limits(self) -> set[str]:
        """What mutations have left behind."""
        assert self.ask("POST", "/graphql", json.dumps({"query": LIMITS}), JSON) == 200
        return {one["concurrencyKey"] for one in json.loads(self.text)["data"]["instance"]["concurrencyLimits"]}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home, (port,) = tmp_path_factory.mktemp("dagster"), free_ports(1)
    env = os.environ | {"DAGSTER_HOME": str(home), "LAKEHOUSE_UI_HOSTS": "lake.example"}
    command = [
        sys.executable,
        "-m",
        "lake.orchestration.web_ui",
        "--empty-workspace",
        "-h",
        "127.0.0.1",
        "-p",
        str(port),
    ]
    with (home / "log").open("wb") as log, subprocess.Popen(command, env=env, stdout=log, stderr=log) as process:
        try:
            _await_answer(Server(port), process, home / "log")
            yield Server(port)
        finally:
            process.terminate()


def _await_answer(server: Server, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(600):
        assert process.poll() is None, log.read_text()
        try:
            if server.ask("GET", "/server_info", None, {}) == 200:
                return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(log.read_text())


def _mutation(key: str) -> str:
    return LIMIT % json.dumps(key)


@pytest.mark.slow
def test_no_other_page_can_change_anything_and_the_own_ones_can(server: Server) -> None:
    own, body = f"http://127.0.0.1:{server.port}", {name: json.dumps({"query": _mutation(name)}) for name in "abcdefg"}
    proxied = {"Host": "lake.example", "Origin": "https://lake.example", "Sec-Fetch-Site": "same-origin"}
    refused = [
        ("POST", "/graphql", body["a"], JSON | {"Origin": "http://evil.example"}),
        ("POST", "/graphql", body["a"], JSON | {"Origin": "null"}),
        ("POST", "/graphql", body["a"], JSON | {"Origin": f"http://localhost:{server.port + 1}"}),
        ("POST", "/graphql", body["a"], JSON | {"Host": f"evil.example:{server.port}"}),
        ("POST", "/graphql", body["a"], JSON | {"Host": "evil.example", "Origin": "http://evil.example"}),
        ("POST", "/graphql", body["a"], JSON | {"Sec-Fetch-Site": "cross-site"}),
        ("POST", "/graphql", body["a"], {"Content-Type": "text/plain"}),
        ("POST", "/graphql", body["a"], {"Content-Type": "text/plain; application/json"}),
        ("POST", "/graphql", _mutation("a"), {"Content-Type": "application/graphql"}),
        ("POST", f"/graphql?query={quote(_mutation('a'))}", None, {}),
        ("GET", f"/graphql?query={quote(_mutation('a'))}", None, {"Accept": "*/*"}),
        ("GET", f"/graphql/?query={quote(_mutation('a'))}", None, {"Accept": "image/avif"}),
        ("GET", "/runs", None, {"Host": "evil.example"}),
        ("GET", "/graphql", None, _websocket("http://evil.example")),
        ("GET", "/graphql", None, _websocket(own) | {"Host": "evil.example"}),
    ]  # fmt: skip
    allowed = [
        ("POST", "/graphql", body["b"], JSON | {"Origin": own, "Sec-Fetch-Site": "same-origin"}, 200),
        ("POST", "/graphql", body["c"], JSON, 200),
        ("POST", "/graphql", body["d"], JSON | proxied, 200),
        ("GET", "/runs", None, {"Sec-Fetch-Site": "cross-site"}, 200),
        ("GET", "/graphql", None, {"Accept": "text/html"}, 200),
        ("GET", "/graphql", None, _websocket(own), 101),
    ]  # fmt: skip

    assert [(one, server.ask(*one)) for one in refused] == [(one, 403) for one in refused]
    assert [(one, server.ask(*one[:4])) for one in allowed] == [(one, one[4]) for one in allowed]

    assert server.limits() == {"b", "c", "d"}


def _websocket(origin: str) -> dict[str, str]:
    return {
        "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Origin": origin,
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Protocol": "graphql-ws",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("host", "is_ours"),
    [
        ("localhost", True), ("LOCALHOST:3000", True), ("[::1]:3000", True), ("127.0.0.1", True),
        ("", False), ("127.0.0.1.evil.example", False), ("localhost@evil.example", False), ("[::1", False),
        ("evil.example:3000", False), ("127.0.0.1:3000@evil.example", False),
    ],
)  # fmt: skip
def test_a_host_is_known_by_its_whole_name(host: str, is_ours: bool) -> None:
    assert (refusal("GET", "/", Headers({"host": host})) is None) is is_ours
