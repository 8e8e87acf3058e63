"""Tell how far a topic was read, without a JVM.

Its stream's checkpoint says it, and so do the commits of bronze. What bronze holds does not say it: behind the last
message of a partition may lie marks of transactions and messages of aborted ones, which were read and gave no row.
Before a micro-batch begins, Spark writes down the offsets at which it will end; each commit of bronze repeats them in
its metadata, so that they outlive the checkpoint.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from lake.storage.log import Log
from lake.storage.offsets_files import said_in
from lake.storage.store_path import AnyPath

__all__ = ["READ_TO", "Offsets", "began_at", "furthest", "noted", "planned", "read_by_checkpoint"]

READ_TO = "read_to"
"""Under this name a commit's metadata say it: by topic and partition, the next offset."""
_MOST_COMMITS = 1_000
"""Commits that are looked at, the newest: every one that a stream makes of a topic says it."""
Offsets = dict[int, int]
"""By partition, the next offset to read."""


def planned(checkpoint: AnyPath, batch_id: int) -> dict[str, Offsets]:
    """Tell where a micro-batch ends, by topic.

    Empty where it reads no topic of a broker.
    """
    said = said_in(checkpoint / "offsets" / str(batch_id))
    return {topic: found for one in said for topic in one if (found := _offsets(one[topic])) is not None}


def read_by_checkpoint(folder: AnyPath, topic: str) -> Offsets:
    """Tell how far the finished micro-batches have read a topic.

    `folder` holds the checkpoints of a table's generations.
    """
    return furthest(
        planned(checkpoint, newest).get(topic, {})
        for checkpoint in folder.glob("g*")
        if (newest := _newest_finished(checkpoint)) is not None
    )


def began_at(folder: AnyPath, topic: str) -> Offsets:
    """Tell the first offsets of a topic that a table's newest generation read.

    Spark notes them before its first micro-batch.
    """
    for file in folder.glob("g*/sources/*/0"):
        _, brace, said = file.read_text(errors="replace").partition("{")
        with suppress(ValueError):
            if (found := _offsets(json.loads(brace + said).get(topic))) is not None:
                return found
    return {}


def noted(log: Log, topic: str) -> Offsets:
    """Tell how far the topic was read, as the newest commit says that does."""
    newest = log.version()
    for version in range(-1 if newest is None else newest, max((newest or 0) - _MOST_COMMITS, -1), -1):
        commit = log.commit(version)
        if commit is None:
            return {}
        said = commit.metadata.get(READ_TO)
        if isinstance(said, Mapping) and (found := _offsets(said.get(topic))) is not None:
            return found
    return {}


def furthest(found: Iterable[Mapping[int, int]]) -> Offsets:
    """By partition, the greatest offset that anyone says."""
    most: Offsets = {}
    for offsets in found:
        most |= {part: max(offset, most.get(part, 0)) for part, offset in offsets.items()}
    return most


def _newest_finished(checkpoint: AnyPath) -> int | None:
    return max((int(file.name) for file in (checkpoint / "commits").glob("[0-9]*")), default=None)


def _offsets(said: Any) -> Offsets | None:
    """Read offsets by partition from JSON.

    None where it is something else.
    """
    if not isinstance(said, Mapping) or not said:
        return None
    if not all(isinstance(part, str) and part.isdigit() and isinstance(at, int) for part, at in said.items()):
        return None
    return {int(part): at for part, at in said.items()}
