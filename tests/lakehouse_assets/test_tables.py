"""The airline's tables as the framework finds them."""

from __future__ import annotations

from pathlib import Path

import lakehouse_assets
from lake.declare.table import LAYERS, Table
from tests.airline_lakes import TABLES


def test_upstream_comes_first() -> None:
    place = {name: number for number, name in enumerate(TABLES)}

    for name, declared in TABLES.items():
        for read in declared.reads:
            if isinstance(read.source, Table):
                assert place[read.source.full_name] < place[name]


def test_every_table_is_found_and_lies_in_its_layer() -> None:
    root = Path(lakehouse_assets.__file__).parent
    declaring = {
        f"{layer}.{file.stem}"
        for layer in LAYERS
        for file in (root / layer).glob("*.py")
        if "\n@table(" in file.read_text() or "\n@received(" in file.read_text()
    }

    assert set(TABLES) == declaring


def test_a_bronze_table_is_declared_in_at_most_15_lines() -> None:
    files = (Path(lakehouse_assets.__file__).parent / "bronze").glob("*.py")
    lines = {file.name: len(file.read_text().splitlines()) for file in files}

    assert len(lines) == 9
    assert max(lines.values()) <= 15
