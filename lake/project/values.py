"""Read the value of a setting.

A reader takes what was written: text where it comes from a variable, whatever TOML has where it comes from the
project's file. It raises `ValueError` with what was expected.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, date, datetime
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from lake.declare.days import parse_day
from lake.errors import BadDay
from lake.storage.location import is_local

__all__ = ["READERS", "read_text"]


def read_text(said: object) -> str:
    """Return a text."""
    if isinstance(said, str):
        return said
    raise ValueError("text")


def _day(said: object) -> date:
    try:
        if isinstance(said, date) and not isinstance(said, datetime):
            return said
        return parse_day(read_text(said))
    except (BadDay, ValueError):
        raise ValueError("a day like 2024-01-31") from None


def _last_day(said: object) -> date | None:
    return None if said == "open" else _day(said)


def _moment(said: object) -> datetime:
    try:
        text = str(said) if isinstance(said, date) else read_text(said)  # a time of TOML is a date too
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("a UTC time like 2024-02-03T00:00:00Z") from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def _seconds(said: object) -> float:
    if isinstance(said, str | int | float) and not isinstance(said, bool):
        with suppress(ValueError, OverflowError):
            if 0 <= (seconds := float(said)) < math.inf:
                return seconds
    raise ValueError("a number of seconds, 0 or more")


def _feed(said: object) -> str:
    if said in ("files", "kafka"):
        return str(said)
    raise ValueError("'files' or 'kafka'")


def _list(said: object) -> tuple[str, ...]:
    if isinstance(said, str):
        return tuple(part.strip() for part in said.split(",") if part.strip())
    if isinstance(said, list) and all(isinstance(one, str) for one in said):
        return tuple(said)
    raise ValueError("a list of texts; in a variable, texts with commas between them")


def _lower(said: object) -> tuple[str, ...]:
    return tuple(name.lower() for name in _list(said))


def _url(said: object) -> str:
    if isinstance(said, str) and urlsplit(said).scheme in ("http", "https") and urlsplit(said).netloc:
        return said.rstrip("/")
    raise ValueError("an address like https://dagster.example.org")


def _receiver(said: object) -> str:
    if is_local(text := read_text(said)):
        return text
    url = urlsplit(address := _url(text))
    if url.username or url.password or url.query:
        raise ValueError("an address without a password or key; openlineage_key_from names the variable that holds it")
    return address


def _variable(said: object) -> str:
    if isinstance(said, str) and said.isidentifier():
        return said
    raise ValueError("the name of a variable")


def _package(said: object) -> str:
    if isinstance(said, str) and all(part.isidentifier() for part in said.split(".")):
        return said
    raise ValueError("the name of a Python package")


def _pairs(said: object) -> Mapping[str, str]:
    if isinstance(said, dict) and all(isinstance(topic, str) for topic in said.values()):
        return said
    if not isinstance(said, str):
        raise ValueError("a table of texts; in a variable, feed=topic, or several with commas")
    pairs = [[part.strip() for part in pair.split("=")] for pair in said.split(",") if pair.strip()]
    if not all(len(pair) == 2 and all(pair) for pair in pairs):
        raise ValueError("feed=topic, or several with commas")
    return {pair[0]: pair[1] for pair in pairs}


def _texts(said: object) -> Mapping[str, str]:
    """Read a table of the file, or a JSON object, as texts.

    Booleans are written as Java writes them.
    """
    try:
        found: Any = json.loads(said) if isinstance(said, str) else said
        return {str(key): str(v).lower() if isinstance(v, bool) else str(v) for key, v in found.items()}
    except (ValueError, AttributeError) as error:
        raise ValueError(f"a JSON object of strings ({error})") from None


def _spark(said: object) -> Mapping[str, str]:
    found = _texts(said)
    if all(key.startswith("spark.") for key in found):
        return found
    raise ValueError('settings of Spark, each with its whole name in quotes, as "spark.driver.memory"')


READERS: Mapping[str, Callable[[object], object]] = MappingProxyType(
    {
        "first_day": _day,
        "package": _package,
        "last_day": _last_day,
        "spark": _spark,
        "alert_urls": _list,
        "ui_url": _url,
        "ui_hosts": _lower,
        "api_tokens": _list,
        "lock_timeout": _seconds,
        "storage_options": _texts,
        "feed": _feed,
        "kafka_topics": _pairs,
        "openlineage": _receiver,
        "openlineage_key_from": _variable,
        "now": _moment,
    }
)
"""The readers of settings, by name; every other setting is a text."""
