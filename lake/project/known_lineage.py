"""Remember the column lineage of each table, because only a session of Spark can find it.

A run finds it, once for each version of the code. What needs no JVM (`describe`, the catalog) reads it here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from pyspark.sql import SparkSession

from lake.declare.column_lineage import ColumnLineage, find_lineage
from lake.declare.feed import Feed
from lake.declare.table import Table
from lake.storage.noted import Noted

__all__ = ["found_lineage", "known_lineage", "known_lineages"]

_FILE = "column_lineage.json"


def known_lineage(home: Path, table: Table) -> ColumnLineage | None:
    """Return the lineage that a run has found for this code.

    None where none has.
    """
    return known_lineages(home, [table]).get(table.full_name)


def known_lineages(home: Path, tables: Iterable[Table]) -> dict[str, ColumnLineage]:
    """Return the lineage of each table of which a run has found it for this code."""
    noted, known = Noted(home / _FILE).read(), dict[str, ColumnLineage]()
    for table in tables:
        said = noted.get(table.full_name)
        with suppress(KeyError, TypeError, ValueError):
            if said is not None and said["code"] == _code(table):
                known[table.full_name] = ColumnLineage.from_json(said)
    return known


def found_lineage(home: Path, table: Table, session: Callable[[], SparkSession]) -> ColumnLineage | None:
    """Return the lineage that is known, or find it now.

    None where the session shows no plans.
    """
    if (known := known_lineage(home, table)) is not None:
        return known
    found = find_lineage(table, session())
    if found is not None:
        Noted(home / _FILE).note({table.full_name: {"code": _code(table), **found.as_json()}})
    return found


def _code(table: Table) -> str:
    """Name what lineage follows from: the code of the table, and the columns that it reads."""
    read = [_columns(one.source) for one in table.reads]
    said = json.dumps([table.code_version, read, table.contract.stored_names])
    return hashlib.sha256(said.encode()).hexdigest()[:12]


def _columns(source: Table | Feed) -> list[str]:
    return [f"{one.name} {one.dataType.simpleString()}" for one in source.schema.fields]
