"""Link a table in the UI to the files that say what it is."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path

import dagster as dg

from lake.declare.table import Table

__all__ = ["references_of"]

_CATALOG = "docs/tables.md"
"""Where `lakehouse docs` writes the catalog of a project."""


def references_of(table: Table, root: Path) -> dg.CodeReferencesMetadataValue:
    """Return links to a table's declaration and to its section of the catalog.

    A project that keeps no catalog has no second link.
    """
    catalog = root / _CATALOG
    line = _headings(catalog).get(table.full_name)
    page = [] if line is None else [dg.LocalFileCodeReference(file_path=str(catalog), line_number=line, label="docs")]
    return dg.CodeReferencesMetadataValue(code_references=[_declaration(table), *page])


def _declaration(table: Table) -> dg.LocalFileCodeReference:
    """Find where a table is declared.

    The transform of a bronze table may be the framework's own.
    """
    file, code = sys.modules[table.transform.__module__].__file__, getattr(table.transform, "__code__", None)
    line = code.co_firstlineno if code is not None and code.co_filename == file else 1
    return dg.LocalFileCodeReference(file_path=str(file), line_number=line, label="code")


@cache
def _headings(catalog: Path) -> dict[str, int]:
    """Find the line of each table in a catalog; none where it cannot be read."""
    try:
        lines = catalog.read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        return {}
    return {line.removeprefix("## "): number for number, line in enumerate(lines, 1) if line.startswith("## ")}
