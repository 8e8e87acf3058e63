"""Show in Dagster what a person asks first.

That is some rows of a table, and what has landed in a feed.
"""

from __future__ import annotations

from datetime import date

import dagster as dg

from lake.declare.feed import Feed
from lake.declare.table import Table
from lake.declare.words import breakable
from lake.orchestration.keys import asset_key
from lake.write.store import DeltaStore

__all__ = ["observe_feed", "sample_of"]

_ROWS = 3
_LONGEST = 80


def observe_feed(store: DeltaStore, feed: Feed) -> dg.AssetObservation:
    """Say what has landed in a feed: days, files, and the newest day."""
    landed = store.landing.landed(feed)
    newest = max(landed, default=None)
    files = landed[newest] if newest is not None else {}
    return dg.AssetObservation(
        asset_key(feed),
        metadata={
            "landing days": len(landed),
            "files": sum(map(len, landed.values())),
            "newest landing day": str(newest or "none"),
            "files of the newest day": len(files),
            "bytes of the newest day": sum(file.size for file in files.values()),
        },
    )


def sample_of(table: Table, store: DeltaStore, day: date | None) -> dict[str, dg.TableMetadataValue]:
    """Give a few rows of a day, or of a table without days.

    Nothing where there are none.
    """
    within = f" WHERE \"{table.day}\" = DATE '{day}'" if day is not None else ""
    rows = store.table_log(table).query(f"SELECT * FROM stored{within} LIMIT {_ROWS}")
    if not rows:
        return {}
    records = [dg.TableRecord({name: _text(value) for name, value in row.items()}) for row in rows]
    return {"sample": dg.MetadataValue.table(records)}


def _text(value: object) -> str:
    text = "" if value is None else str(value)
    return breakable(text if len(text) <= _LONGEST else f"{text[:_LONGEST]}...")
