"""Decide how long a table keeps what it no longer needs.

Table properties say so to every engine.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from lake.declare.table import Table, is_followable

__all__ = ["HISTORY", "RECENT", "Promise", "kept_for", "properties_of"]

HISTORY = timedelta(days=30)
"""How far back the versions of a table can be read."""
RECENT = timedelta(days=2)
"""The same of a table that can be followed: a commit a second makes 86,400 files of its log a day.

A table that is computed early beside streams has thousands.
"""


@dataclass(frozen=True)
class Promise:
    """Say what somebody outside of the lake still needs of a table.

    Attributes:
        by: the sink that promised it.
        since: when the version was committed that it needs, with its files and its log.
    """

    by: str
    since: datetime


def kept_for(table: Table | None) -> timedelta:
    """Return how far back versions of a table and its quarantine are kept.

    So far they can be read. Without a table (None), those of one of the lake's own tables.
    """
    is_calm = table is not None and not is_followable(table) and table.early_every is None
    return HISTORY if is_calm else RECENT


def properties_of(table: Table | None) -> dict[str, str]:
    """Return the Delta properties of a table, and of its quarantine, by `kept_for`."""
    interval = f"interval {kept_for(table).days} days"
    return {
        "delta.logRetentionDuration": interval,
        "delta.deletedFileRetentionDuration": interval,
        # `lake.batch.maintain` removes commits, because it first writes down which days they changed.
        "delta.enableExpiredLogCleanup": "false",
        # A checkpoint costs as much as ten small commits, and by default it is written after every ten.
        "delta.checkpointInterval": "100",
    }
