"""Define what a destination does.

It says what it holds of a sink, and replaces days of it so that no reader sees half of one.
"""

from __future__ import annotations

import importlib
import inspect
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from lake.declare.days import Day, in_order
from lake.declare.sink import Sink
from lake.errors import DeclarationError, ExtraMissing, SecretMissing
from lake.serve.source import Source
from lake.storage.retention import Promise
from lake.stream.kafka import KafkaCluster

__all__ = [
    "EPOCH",
    "Follower",
    "Load",
    "Place",
    "Target",
    "describe_differences",
    "import_for",
    "load_of",
    "open_follower",
    "open_target",
]


EPOCH = datetime.fromtimestamp(0, UTC)
"""Since then everything is kept."""


@dataclass(frozen=True)
class Load:
    """The facts that a destination keeps about one day that it holds.

    It is stored with the rows and in the same transaction, so that it says the truth of a destination that was lost or
    restored.

    Attributes:
        table_id: of the table that was read.
        version: of that table.
        commit: hash of that version's commit file, and how what is personal is hidden.
        rows: how many.
        checksum: of them, as `lake.serve.sums` computes it.
    """

    table_id: str
    version: int
    commit: str
    rows: int
    checksum: str

    def as_dict(self) -> dict[str, Any]:
        """Give its values by name."""
        return dict(vars(self))


def load_of(source: Source, rows: int, checksum: int) -> Load:
    """Say what was loaded of a day."""
    return Load(source.table_id, source.version, source.stamp, rows, str(checksum))


@dataclass(frozen=True)
class Place:
    """The place of destinations, and the listener for people.

    Attributes:
        home: relative paths begin here.
        secrets: value by name of a variable.
        lock_timeout_seconds: how long to wait for another process that loads the same destination.
        tell: told of each step, for people.
        kafka: the cluster of the lake; None where there is none.
        iceberg: properties by which PyIceberg reads files of the lake's tables; they may hold keys.
    """

    home: Path
    secrets: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)
    lock_timeout_seconds: float = 1800.0
    tell: Callable[[str], None] = lambda _: None
    kafka: KafkaCluster | None = None
    iceberg: Mapping[str, str] = field(default_factory=dict, repr=False)

    def secret(self, sink: Sink, variable: str) -> str:
        """Look up a secret.

        Raises:
            SecretMissing: it is not set.
        """
        if not (value := self.secrets.get(variable)):
            raise SecretMissing(sink.full_name, variable)
        return value


class Target(Protocol):
    """The rows of one sink at one destination.

    One that is opened `anew` says that it holds nothing, and first removes what it holds when days are replaced.
    """

    def loads(self) -> Mapping[Day, Load]:
        """Return what it holds of each day.

        Nothing where it was never loaded, or is lost.
        """

    def replace(self, source: Source, days: Sequence[Day], *, whole: bool) -> Mapping[Day, Load]:
        """Replace some days by the rows of a source, wholly or not at all.

        With `whole` every other day is removed too.

        Raises:
            DestinationDiffers: it does not hold what was loaded.
            DestinationDrift: it has other columns than the contract.
        """

    def rows(self, days: Collection[Day] | None = None) -> pa.Table:
        """Read the rows of some days, or of all, as the contract has them."""


class Follower(Protocol):
    """The rows of one sink at one destination that follows the log.

    The log is that of the table.
    """

    def due(self, source: Source, allowed: Collection[Day] | None) -> Mapping[Day, str]:
        """Say which days it does not hold as the source does, and why.

        Args:
            source: the table at a version.
            allowed: the days that it may hold; None for all.
        """

    def load(self, source: Source, allowed: Collection[Day] | None) -> Mapping[Day, Load]:
        """Bring it up to the source, wholly or not at all for readers.

        Returns:
            The days that changed.

        Raises:
            PublishError: it holds what it held before.
        """

    def left_out(self) -> str:
        """Say which rows it could not take.

        Empty where it took all.
        """

    def promise(self, source: Source) -> Promise | None:
        """Return the older version of the table that is still needed.

        Its readers need it, or it itself does. None where none is needed.
        """


def open_target(sink: Sink, place: Place, *, anew: bool = False) -> Target:
    """Open what the destination of a sink holds of it, or begin it anew.

    Raises:
        DeclarationError: the destination names no class that can be imported.
        ExtraMissing: a package is not installed that this kind of destination needs.
    """
    target: Target = _open(sink, place, anew)
    return target


def open_follower(sink: Sink, place: Place, *, anew: bool = False) -> Follower:
    """Open the destination of a sink that follows the log. Errors as `open_target`."""
    follower: Follower = _open(sink, place, anew)
    return follower


def _open(sink: Sink, place: Place, anew: bool) -> Any:
    return import_for(sink, sink.to.opened_by)(sink, place, anew)


def import_for(sink: Sink, named: str) -> Any:
    """Import a class that the destination of a sink needs.

    Not before it is used, because it may need packages of its own, or ones that take long.

    Args:
        sink: whose destination it is.
        named: module:Class.

    Raises:
        DeclarationError: there is no such class.
        ExtraMissing: a package is not installed.
    """
    kind = type(sink.to)
    module, _, name = named.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        if not f"{module}.".startswith(f"{error.name}."):
            raise ExtraMissing(sink.full_name, kind.__name__, str(error.name), kind.extra) from error
        reason = str(error)
    except AttributeError as error:
        reason = str(error)
    problem = f"{kind.__name__}: opened_by names {named!r}: {reason}"
    raise DeclarationError(inspect.getfile(kind), problem, "name a class that can be imported, as module:Class")


def describe_differences(expected: Mapping[Day, object], found: Mapping[Day, object]) -> dict[Day, str]:
    """Say of which days two ends do not say the same."""
    return {
        day: f"{expected.get(day, 'no rows')} loaded, {found.get(day, 'no rows')} there"
        for day in in_order({*expected, *found})
        if expected.get(day) != found.get(day)
    }
