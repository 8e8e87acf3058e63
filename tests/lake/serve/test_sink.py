"""A sink is declared in a few lines, and a malformed one is refused at import."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lake.declare.broken_files import find_sinks
from lake.declare.destinations import ByDay, DuckDb, EachNewRow, ParquetFolders, Postgres, Whole
from lake.declare.sink import discover_sinks, sink
from lake.errors import DeclarationError
from tests.served import facts, lookup

HEAD = """
from lake.declare.destinations import *
from lake.declare.sink import sink
from tests.served import facts, lookup
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "shop_of_sinks" / "serving"
    folder.mkdir(parents=True)
    (folder / "__init__.py").touch()
    (folder.parent / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    yield folder
    for name in [name for name in sys.modules if name.startswith("shop_of_sinks")]:
        del sys.modules[name]


def test_a_sink_is_found_by_its_file(package: Path) -> None:
    (package / "board.py").write_text(f'"""The board."""\n{HEAD}\nanything = sink(reads=facts, to=DuckDb())\n')
    (package / "names.py").write_text(
        f"{HEAD}\nfrom shop_of_sinks.serving.board import anything\nx = sink(reads=lookup, to=DuckDb())\n"
    )

    sinks = discover_sinks(importlib.import_module("shop_of_sinks"))

    assert list(sinks) == ["serving.board", "serving.names"]
    board, names = sinks.values()
    assert (board.reads, board.to, board.how, board.settled_only) == (facts, DuckDb("warehouse.duckdb"), ByDay(), True)
    assert board.description == "The board."
    assert names.how == Whole()


def test_two_sinks_of_one_name_are_refused_and_the_others_go_on(package: Path) -> None:
    (package / "board.py").write_text(f"{HEAD}\nx = sink(reads=facts, to=DuckDb())\n")
    (package / "other.py").write_text(f"{HEAD}\nx = sink(reads=facts, to=DuckDb(), name='board')\n")

    with pytest.raises(DeclarationError, match="another sink or table has this name"):
        discover_sinks(importlib.import_module("shop_of_sinks"))
    sinks, broken = find_sinks(importlib.import_module("shop_of_sinks"))
    assert (list(sinks), [one.table for one in broken]) == (["serving.board"], ["serving.other"])


def test_a_fact_that_is_missing_is_told_with_its_line(package: Path) -> None:
    (package / "board.py").write_text(f"{HEAD}\nx = sink(reads=facts)\n")

    with pytest.raises(
        DeclarationError, match=r"line 6: sink missing 1 required keyword-only argument: 'to'"
    ) as refused:
        discover_sinks(importlib.import_module("shop_of_sinks"))
    assert refused.value.remedy == "state reads, to; and where needed how, settled_only, pii, pii_key_from, name"


@pytest.mark.parametrize(
    ("declare", "problem"),
    [
        (lambda: sink(reads="gold.facts", to=DuckDb()), "which is no table"),  # type: ignore[arg-type]
        (lambda: sink(reads=facts, to="warehouse"), "which is no destination"),  # type: ignore[arg-type]
        (lambda: sink(reads=facts, to=DuckDb(), name="Board"), "not the name of a sink"),
        (lambda: sink(reads=facts, to=DuckDb(), how=EachNewRow()), "DuckDb does not do"),
        (lambda: sink(reads=lookup, to=DuckDb(), how=ByDay()), "has no days"),
        (lambda: sink(reads=facts, to=DuckDb("s3://bucket/file")), "names the file 's3://bucket/file'"),
        (lambda: sink(reads=facts, to=ParquetFolders("")), "names the folder ''"),
        (lambda: sink(reads=facts, to=Postgres("WAREHOUSE", schema="a.b")), "has the schema 'a.b'"),
    ],
)
def test_a_declaration_that_cannot_work_is_refused(declare: object, problem: str) -> None:
    assert callable(declare)
    with pytest.raises(DeclarationError, match=problem) as refused:
        declare()
    assert Path(refused.value.file) == Path(__file__)


def test_a_secret_that_is_written_down_is_refused_without_being_repeated() -> None:
    with pytest.raises(DeclarationError, match="no name of an environment variable") as refused:
        sink(reads=facts, to=Postgres("postgresql://me:topsecret@host/db"), name="board")
    assert "topsecret" not in str(refused.value)
