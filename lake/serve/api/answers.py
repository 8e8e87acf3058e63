"""Put rows into JSON or Arrow, as the caller accepts them.

It knows too when he has them already.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Any, Literal

import pyarrow as pa
from pydantic_core import to_json

from lake.serve.api.problems import ProblemError

__all__ = ["ARROW", "JSON", "MediaType", "accepted", "arrow_bytes", "etag_of", "is_known", "json_bytes"]

MediaType = Literal["application/json", "application/vnd.apache.arrow.stream"]
JSON: MediaType = "application/json"
ARROW: MediaType = "application/vnd.apache.arrow.stream"


def accepted(header: str | None) -> MediaType:
    """Choose between JSON and Arrow by the header Accept.

    JSON where it does not matter.

    Raises:
        ProblemError: it names neither.
    """
    wishes = [_wish(one) for one in (header or "*/*").split(",")]
    best = {kind: max((share for name, share in wishes if _covers(name, kind)), default=0.0) for kind in (JSON, ARROW)}
    if not any(best.values()):
        raise ProblemError(406, f"this API answers with {JSON} or {ARROW}")
    return JSON if best[JSON] >= best[ARROW] else ARROW


def _wish(text: str) -> tuple[str, float]:
    name, *parameters = (part.strip().lower() for part in text.split(";"))
    shares = [part[2:] for part in parameters if part.startswith("q=")]
    try:
        return name, float(shares[0]) if shares else 1.0
    except ValueError:
        return name, 0.0


def _covers(name: str, kind: MediaType) -> bool:
    return name in ("*/*", "application/*", kind)


def json_bytes(rows: Iterable[str], about: Mapping[str, Any]) -> bytes:
    """Put rows, which are texts of JSON, beside what is said about them."""
    head = to_json({**about, "rows": []})
    return b"".join((head[:-2], ",".join(rows).encode(), head[-2:]))


def arrow_bytes(rows: pa.Table) -> bytes:
    """Write rows as a stream of Arrow's IPC format."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_table(rows)
    return bytes(sink.getvalue().to_pybytes())


def etag_of(*facts: object) -> str:
    """Return the tag of an answer.

    It is another one where one of the facts is.
    """
    return f'"{sha256(repr(facts).encode()).hexdigest()[:32]}"'


def is_known(etag: str, header: str | None) -> bool:
    """Tell whether a caller says in If-None-Match that he has the answer."""
    known = {one.strip().removeprefix("W/") for one in (header or "").split(",")}
    return etag in known or "*" in known
