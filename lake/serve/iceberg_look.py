"""Look what an Iceberg table of a local catalog shows, without PyIceberg.

PyIceberg and SQLAlchemy take most of a second to import, and the answer is nearly always that nothing has changed.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

__all__ = ["CATALOG", "FINGERPRINT", "NOTHING", "shown_in"]

CATALOG = "lake"
"""Name of the catalog in its database."""
FINGERPRINT = "delta.fingerprint"
"""In the summary of a snapshot: what it shows, as `lake.serve.file_facts.fingerprint` sums it up."""
NOTHING = ""
"""Stands for the fingerprint of a table that does not exist."""
_WHERE_IT_LIES = (
    "SELECT metadata_location FROM iceberg_tables "
    "WHERE catalog_name = ? AND table_namespace = ? AND table_name = ? AND iceberg_type = 'TABLE'"
)


def shown_in(database: Path, namespace: str, name: str) -> str | None:
    """Return the fingerprint of what readers of a table see.

    Args:
        database: of the catalog, which another process may be writing.
        namespace: of the table.
        name: of the table.

    Returns:
        `NOTHING` where the catalog has no such table. None where only PyIceberg can tell, as where another program
        made the newest snapshot, or something is lost.
    """
    if not database.exists():
        return NOTHING
    try:
        with closing(sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            found = connection.execute(_WHERE_IT_LIES, (CATALOG, namespace, name)).fetchone()
        if found is None:
            return NOTHING
        metadata = json.loads(_path(found[0]).read_bytes())
        snapshots = {one["snapshot-id"]: one for one in metadata["snapshots"]}
        newest = snapshots[metadata["current-snapshot-id"]]
        said = newest["summary"][FINGERPRINT]
        is_whole = _path(newest["manifest-list"]).exists()
    except (sqlite3.Error, OSError, ValueError, LookupError, TypeError, AttributeError):
        return None
    return said if is_whole and isinstance(said, str) else None


def _path(url: str) -> Path:
    return Path(url.removeprefix("file://"))
