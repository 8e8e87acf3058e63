"""Tell which extras of the distribution are installed here.

`pip install lakehouse` brings what tables need in batch and as streams. What serves only some users is an extra.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import NamedTuple

from lake.errors import Message, SetupError

__all__ = ["ExtraNotInstalledError", "has_extra", "require_extra"]


class _Extra(NamedTuple):
    """Name what an extra is for, and the modules that it brings."""

    purpose: str
    modules: tuple[str, ...]


_EXTRAS = {
    "api": _Extra("the read API", ("fastapi", "uvicorn")),
    "dagster": _Extra("Dagster", ("dagster", "dagster_deltalake", "dagster_pyspark", "dagster_webserver", "apprise")),
    "dashboard": _Extra("the dashboard", ("streamlit",)),
    "kafka": _Extra("Kafka", ("confluent_kafka",)),
}


class ExtraNotInstalledError(SetupError, runbook="docs/runbook.md#an-extra-is-not-installed"):
    """The command needs packages that an extra of the distribution brings.

    Attributes:
        extra: the name of the extra, "dagster".
    """

    extra: str

    def message(self) -> Message:
        what = f"the extra {self.extra} is not installed here, and this command needs it"
        return Message(_EXTRAS[self.extra].purpose, what, f"pip install 'lakehouse[{self.extra}]'")


def has_extra(extra: str) -> bool:
    """Tell whether all modules of an extra are installed."""
    return all(find_spec(module) is not None for module in _EXTRAS[extra].modules)


def require_extra(extra: str) -> None:
    """Check that all modules of an extra are installed.

    Raises:
        ExtraNotInstalledError: they are not.
    """
    if not has_extra(extra):
        raise ExtraNotInstalledError(extra)
