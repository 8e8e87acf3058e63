"""Run the read API under uvicorn."""

from __future__ import annotations

import ipaddress
import os
from typing import TYPE_CHECKING

from rich.console import Console

from lake.engine.packages import require_extra
from lake.engine.ports import free_ports
from lake.project.environment import open_environment
from lake.project.settings import Settings

if TYPE_CHECKING:
    from fastapi import FastAPI

__all__ = ["make_app", "serve_api"]

_MOST_WORKERS = 4
"""Where nobody says how many: each keeps answers of its own in memory."""


def make_app() -> FastAPI:
    """Make the API of the environment of this process.

    Each worker calls it.
    """
    from lake.serve.api.app import build_app

    environment = open_environment()
    settings = environment.settings
    names = settings.ui_hosts
    return build_app(environment.tables.values(), environment.store, tokens=settings.api_tokens, hosts=names)


def serve_api(console: Console, settings: Settings, host: str, port: int | None, workers: int | None) -> None:
    """Serve until somebody stops it.

    Raises:
        BadSetting: others than programs of this machine could read without a token.
        ExtraNotInstalledError: there is no FastAPI, or no uvicorn.
    """
    require_extra("api")
    import uvicorn

    if not settings.api_tokens and not _is_loopback(host):
        raise settings.refuse("api_tokens", "none", f"a token at least, since --host {host} is no loopback address")
    chosen = port or free_ports(1)[0]
    shown = f"[{host}]" if ":" in host else host
    console.print(f"http://{shown}:{chosen}/tables  (described by /openapi.json; Ctrl-C ends it)", markup=False)
    # Requests are not logged.
    uvicorn.run(
        f"{__name__}:make_app",
        factory=True,
        host=host,
        port=chosen,
        workers=workers or min(os.cpu_count() or 1, _MOST_WORKERS),
        access_log=False,
        log_level="warning",
        server_header=False,
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
