"""Refuse callers that may not ask.

Holders of a token may, or, where none is set, programs of this machine by its own name.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Coroutine, Sequence
from hashlib import sha256
from typing import Any

from fastapi import Request

from lake.serve.api.problems import ProblemError

__all__ = ["guard"]

_OF_THIS_MACHINE = ("127.0.0.1", "localhost", "[::1]")


def guard(tokens: Sequence[str], hosts: Sequence[str]) -> Callable[[Request], Coroutine[Any, Any, None]]:
    """Make the dependency that refuses who may not ask.

    Args:
        tokens: any of them is good; none: nobody is asked for one.
        hosts: further names under which the API may be addressed where it asks for no token. Any page that is open in
            a browser could otherwise read it, by a name that it lets point to this machine.
    """
    known = [_digest(token.encode()) for token in tokens]
    names = {*_OF_THIS_MACHINE, *hosts}

    async def check(request: Request) -> None:
        if known:
            header = request.headers.get("authorization", "")
            given = _digest(_bearer(header).encode("latin-1"))  # as the bytes were that came
            # All are compared, so that the time tells nothing of which is near.
            if not sum(hmac.compare_digest(given, one) for one in known):
                raise ProblemError(401, "send Authorization: Bearer <token>", {"WWW-Authenticate": "Bearer"})
        elif _name(request.headers.get("host", "")) not in names:
            raise ProblemError(403, "address the API as 127.0.0.1, or name the host in LAKEHOUSE_UI_HOSTS")

    return check


def _digest(token: bytes) -> bytes:
    return sha256(token).digest()


def _bearer(header: str) -> str:
    scheme, _, token = header.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _name(host: str) -> str:
    name, _, port = host.rpartition(":")
    return (name if name and port.isdigit() else host).lower()
