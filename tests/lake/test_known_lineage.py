"""What a run has found of columns is known later without Spark, and no longer where the code is another."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from lake.commands.column_text import made_of, rows_decided_by
from lake.declare.column_lineage import ColumnLineage
from lake.declare.column_origins import InputColumn
from lake.declare.contract import compile_contract
from lake.project import known_lineage as known
from tests.served import GrownFacts, facts

PRICE, DAY = InputColumn("silver.sales", "price"), InputColumn("silver.sales", "day")
FOUND = ColumnLineage(
    {"price": {PRICE: frozenset({"same"})}, "total": {PRICE: frozenset({"aggregated"}), DAY: frozenset({"window"})},
     "number": {}, "guess": None},
    {DAY: frozenset({"group", "filter"})},
)  # fmt: skip


def no_session() -> SparkSession:
    raise AssertionError("it starts Spark")


def test_it_is_found_once_for_a_version_of_the_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known, "find_lineage", lambda *_: FOUND)
    assert known.known_lineage(tmp_path, facts) is None
    assert known.found_lineage(tmp_path, facts, lambda: None) == FOUND  # type: ignore[arg-type, return-value]

    assert known.found_lineage(tmp_path, facts, no_session) == FOUND
    assert known.known_lineage(tmp_path, facts) == FOUND
    assert known.known_lineage(tmp_path, replace(facts, contract=compile_contract(GrownFacts))) is None


@pytest.mark.parametrize("damaged", ["{", "[]", '{"gold.facts": {"code": 1}}', '{"gold.facts": 3}'])
def test_a_damaged_note_is_none(tmp_path: Path, damaged: str) -> None:
    (tmp_path / "column_lineage.json").write_text(damaged)

    assert known.known_lineage(tmp_path, facts) is None


def test_a_session_that_shows_no_plans_notes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known, "find_lineage", lambda *_: None)

    assert known.found_lineage(tmp_path, facts, lambda: None) is None  # type: ignore[arg-type, return-value]
    assert list(tmp_path.iterdir()) == []


def test_people_read_how_a_column_is_made() -> None:
    assert made_of(FOUND, "price") == "silver.sales.price"
    assert made_of(FOUND, "total") == "silver.sales.day (window), silver.sales.price (aggregated)"
    assert (made_of(FOUND, "number"), made_of(FOUND, "guess")) == ("", "not exact")
    assert rows_decided_by(FOUND) == "silver.sales.day (filter, group)"
    assert rows_decided_by(replace(FOUND, decided_by=None)) == "not exact"
