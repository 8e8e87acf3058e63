"""Find when each message was in a committed row of each layer.

The tables' logs and files tell it of bronze, of silver and of gold.

A row is committed when the file of its commit in the Delta log was written. Bronze has the message itself; silver its
key, which no two messages of a topic share. Gold counts messages: it holds everything up to a commit of silver from its
first version on whose counts add up to the rows that silver held then. All of that is read from what a side wrote, so
it is the same for every side.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable

__all__ = ["Added", "Layers", "added_rows", "first_reached", "latencies_by_layer", "percentile", "waits"]

TOPICS = {"departures": "departure_events", "arrivals": "arrival_events"}
"""Topic (and silver table) -> bronze table."""

FLIGHT_KEY = ("flight_date", "carrier", "flight", "origin")
GOLD = "gold/hourly_airport_performance"

Layers = Mapping[str, Sequence[float]]
"""Seconds from producer to committed row, of every message, by layer."""


@dataclass(frozen=True)
class Added:
    """A commit that added rows.

    Attributes:
        version: of the table.
        at: when it was committed, seconds since 1970.
        keys: of the rows that it added.
    """

    version: int
    at: float
    keys: Sequence[str]


def percentile(values: Iterable[float], share: float) -> float:
    """Return the smallest value that a share of all values does not exceed.

    At least this share does not.

    Raises:
        ValueError: there is no value.
    """
    ordered = sorted(values)
    if not ordered:
        raise ValueError("no value, so no percentile")
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)]


def waits(sent: Mapping[str, float], commits: Iterable[Added]) -> dict[str, float]:
    """Return the seconds from sending each key to its first commit.

    Raises:
        KeyError: a key was committed that was not sent.
    """
    found: dict[str, float] = {}
    for commit in commits:
        for key in commit.keys:
            found.setdefault(key, commit.at - sent[key])
    return found


def first_reached(held: Sequence[int], reached: Iterable[tuple[float, int]]) -> list[float | None]:
    """Return when a downstream count first reached each upstream count.

    None where it never did.

    Args:
        held: rows upstream after each of its commits; never falls.
        reached: moment and count downstream, after each of its commits.
    """
    moments: list[float | None] = []
    steps = iter(reached)
    at, count = next(steps, (0.0, -1))
    for rows in held:
        while 0 <= count < rows:
            at, count = next(steps, (0.0, -1))
        moments.append(at if count >= rows else None)
    return moments


def added_rows(table: Path, key: Sequence[str]) -> list[Added]:
    """Return the commits of a table that added rows, oldest first.

    Files that were only rewritten count for nothing.
    """
    commits = []
    for version, at, actions in _log(table):
        names = [unquote(add["path"]) for add in (a["add"] for a in actions if "add" in a) if add["dataChange"]]
        if names:
            commits.append(Added(version, at, [text for name in names for text in _keys(table / name, key)]))
    return commits


def latencies_by_layer(tables: Path, sent_from: float, sent_before: float) -> Layers:
    """Return the seconds from producer to committed row, by layer.

    Of the messages of both topics that were sent in this time.

    Raises:
        ValueError: gold never came to count a message.
    """
    layers: dict[str, list[float]] = {"bronze": [], "silver": [], "gold": []}
    for silver, bronze in TOPICS.items():
        sent = _sent(tables / "bronze" / bronze)
        events = added_rows(tables / "bronze" / bronze, ["key"])
        rows = added_rows(tables / "silver" / silver, FLIGHT_KEY)
        chosen = {key for key, at in sent.items() if sent_from <= at < sent_before}
        found = (waits(sent, events), waits(sent, rows), waits(sent, _in_gold(rows, tables / GOLD, silver)))
        for layer, seconds in zip(layers.values(), found, strict=True):
            layer.extend(seconds[key] for key in chosen)
    return layers


def _in_gold(silver: Sequence[Added], gold: Path, column: str) -> list[Added]:
    """Return the commits of silver, with the moments at which gold had counted them."""
    held = list(accumulate(len(commit.keys) for commit in silver))
    moments = first_reached(held, _totals(gold, column))
    if None in moments:
        raise ValueError(f"{gold} never counted all of {column}")
    return [Added(commit.version, at, commit.keys) for commit, at in zip(silver, moments, strict=True) if at]


def _totals(gold: Path, column: str) -> list[tuple[float, int]]:
    """Return when each version of gold was committed, and a column's sum."""
    totals = []
    stored = DeltaTable(str(gold))
    for version, at, actions in _log(gold):
        if any(a["add"]["dataChange"] for a in actions if "add" in a):
            stored.load_as_version(version)
            totals.append((at, sum(stored.to_pyarrow_table(columns=[column]).column(0).to_pylist())))
    return totals


def _log(table: Path) -> list[tuple[int, float, list[dict[str, dict[str, Any]]]]]:
    files = sorted((table / "_delta_log").glob("[0-9]*.json"))
    return [
        (int(file.stem), file.stat().st_mtime, [json.loads(line) for line in file.read_text().splitlines()])
        for file in files
    ]


def _keys(file: Path, columns: Sequence[str]) -> list[str]:
    rows = pq.ParquetFile(file).read(columns=list(columns))
    parts = [rows.column(name).cast(pa.string()).to_pylist() for name in columns]
    return parts[0] if len(parts) == 1 else ["|".join(row) for row in zip(*parts, strict=True)]


def _sent(bronze: Path) -> dict[str, float]:
    """When each key was sent, as the messages say."""
    rows = DeltaTable(str(bronze)).to_pyarrow_table(columns=["key", "timestamp"])
    micros = rows.column("timestamp").cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()).to_pylist()
    return dict(zip(rows.column("key").to_pylist(), (value / 1e6 for value in micros), strict=True))
