"""The UI links a table to the line that declares it, and to its section of the project's catalog."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from lake.commands.catalog import render_catalog
from lake.declare.table import Table
from lake.orchestration.code_references import references_of
from tests.tiny import mark_files, marks

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning")  # Dagster's version is pinned


def links(table: Table, root: Path) -> dict[str | None, str]:
    """The line that each link leads to, by its label."""
    found = references_of(table, root).code_references
    assert all(isinstance(one, dg.LocalFileCodeReference) for one in found)
    return {
        one.label: Path(one.file_path).read_text().splitlines()[(one.line_number or 0) - 1]
        for one in found
        if isinstance(one, dg.LocalFileCodeReference)
    }


def test_a_table_leads_to_its_declaration_and_its_section_of_the_catalog(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "tables.md").write_text(render_catalog([mark_files, marks]))

    found = links(marks, tmp_path)

    assert found["docs"] == "## silver.marks"
    assert "table(" in found["code"] or "def marks" in found["code"]
    assert set(found) == {"code", "docs"}


def test_without_a_catalog_there_is_no_link_to_it(tmp_path: Path) -> None:
    assert set(links(marks, tmp_path)) == {"code"}
