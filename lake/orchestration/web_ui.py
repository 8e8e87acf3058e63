"""Guard Dagster's web UI: check where a request comes from.

Dagster itself does what any web page in a browser tells it to. A page of another site can send requests to 127.0.0.1,
under that name or under its own (DNS rebinding). So a request must name a host that is ours, must come from a page of
the UI or from no page at all, and may change something only in a form that a browser sends to another site after
asking. Beside that the web server sees to it that the calendar follows the lake's clock, and that plots find its newest
days.

`python -m lake.orchestration.web_ui` is `dagster-webserver`, and with `dev` it is `dagster dev`, with the same options.
The latter leans on private parts of the pinned Dagster; tests ask the real server.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import dagster_webserver.app
from dagster._cli import dev
from dagster._core.workspace.context import IWorkspaceProcessContext
from dagster_shared.ipc import open_ipc_subprocess
from dagster_webserver.cli import dagster_webserver as serve_ui
from dagster_webserver.webserver import DagsterWebserver
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from lake.orchestration.calendar_watch import CalendarWatch
from lake.orchestration.newest_days import find_newest_days
from lake.project.settings import Settings

__all__ = ["OwnPagesOnly", "refusal"]

OWN_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})
_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_REFUSED = 403
_SELF = "lake.orchestration.web_ui"


@dataclass
class OwnPagesOnly:
    """Answers what the UI's own pages and programs ask, and refuses the rest.

    Attributes:
        app: answers.
        hosts: names under which a proxy serves the UI, beside those of this machine.
    """

    app: ASGIApp
    hosts: Collection[str] = ()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it before anything reads it."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        reason = refusal(scope.get("method"), scope["path"], Headers(scope=scope), self.hosts)
        if reason is None:
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": reason})
        else:
            await PlainTextResponse(f"{reason}\n", _REFUSED)(scope, receive, send)


def refusal(method: str | None, path: str, headers: Headers, hosts: Collection[str] = ()) -> str | None:
    """Return why a request is refused, or None where it is not.

    Args:
        method: None for a websocket.
        path: what is asked for.
        headers: of the request.
        hosts: names that are ours beside those of this machine.
    """
    host, origin = headers.get("host", ""), headers.get("origin")
    if _name(f"//{host}") not in {*OWN_HOSTS, *hosts}:
        return "refused: this host is not ours; behind a proxy, name it in LAKEHOUSE_UI_HOSTS"
    if origin is not None and urlsplit(origin).netloc != host and _name(origin) not in hosts:
        return "refused: a page of another site asks"
    asks_graphql = path.rstrip("/").endswith("/graphql")
    if method is None or (method in _READING and not asks_graphql):
        return None
    if method in _READING:
        return None if "text/html" in headers.get("accept", "") else "refused: GraphQL by POST only"
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return "refused: a page of another site asks"
    has_body = asks_graphql or headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    return "refused: send application/json" if has_body and kind != "application/json" else None


def _name(url: str) -> str | None:
    """Return the host that a URL names, without its port."""
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


class _Webserver(DagsterWebserver[Any, Any]):
    def __init__(self, process_context: IWorkspaceProcessContext[Any], *options: Any) -> None:
        super().__init__(process_context, *options)
        CalendarWatch(process_context).start()

    def build_middleware(self) -> list[Middleware]:
        return [Middleware(OwnPagesOnly, hosts=Settings.from_env().ui_hosts), *super().build_middleware()]


def _start_guarded(command: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
    """Start a service of `dagster dev`, its web server by this module."""
    return open_ipc_subprocess([_SELF if part == "dagster_webserver" else part for part in command], **options)


def main() -> None:
    """Run the web server, or with `dev` all services of Dagster."""
    if sys.argv[1:2] == ["dev"]:
        vars(dev)["open_ipc_subprocess"] = _start_guarded
        dev.dev_command(sys.argv[2:])
    else:
        vars(dagster_webserver.app)["DagsterWebserver"] = _Webserver
        find_newest_days()
        serve_ui(auto_envvar_prefix="DAGSTER_WEBSERVER")


if __name__ == "__main__":
    main()
