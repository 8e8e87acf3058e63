"""A project's own kind of destination, as docs/serving.md shows it, is loaded like any other and obeys the same law."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, ClassVar

import pyarrow as pa
import pytest

from lake.declare.destinations import Destination, DuckDb, Iceberg, KafkaTopic, ParquetFolders, Postgres, Whole
from lake.errors import DeclarationError, ExtraMissing
from lake.serve.compare import find_differing
from lake.serve.publish import publish
from lake.serve.source import Source
from lake.serve.target import Place, open_target
from lake.testing.laws import a_sink_holds_its_table_at_the_versions_it_names
from lake.write.store import DeltaStore
from tests.lakes import without_spark
from tests.served import D1, D2, D3, add, delta_rows, facts, grown, lookup, refill, row, sink_of, some_rows, survey_of

pytestmark = pytest.mark.slow

PAGE = Path(__file__).parents[3] / "docs" / "serving.md"
MODULES = ("arrow_file", "arrow_file_target")


@pytest.fixture(scope="module")
def arrow_file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The class of the page, in a package of its own."""
    section = PAGE.read_text().partition("## A destination of your own")[2].partition("\n## ")[0]
    snippets = re.findall(r"^```python\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    folder = tmp_path_factory.mktemp("project")
    (folder / "shop").mkdir()
    for name, text in zip(MODULES, snippets, strict=True):
        (folder / "shop" / f"{name}.py").write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        yield importlib.import_module("shop.arrow_file").ArrowFile
        for name in [name for name in sys.modules if name.partition(".")[0] == "shop"]:
            del sys.modules[name]


@pytest.fixture
def store(tmp_path: Path) -> DeltaStore:
    return without_spark(tmp_path / "lake")


def in_file(place: Place) -> list[dict[str, Any]]:
    """The rows of the file, read by Arrow alone."""
    with pa.OSFile(str(place.home / "arrow" / "board.arrow")) as file:
        return sorted(pa.ipc.open_file(file).read_all().to_pylist(), key=repr)


def test_the_declaration_imports_no_target(arrow_file: Any) -> None:
    sink_of(facts, arrow_file())

    assert "shop.arrow_file_target" not in sys.modules


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.soak) for seed in (1, 2, 3))])
def test_it_obeys_the_law_whatever_happened_before(
    arrow_file: Any, store: DeltaStore, place: Place, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = Random(seed)
    board = sink_of(facts, arrow_file(), random.choice([None, Whole()]))
    refill(store, facts, [D1, D2], [row("a", D1), row("b", D2)])

    def die() -> None:
        with monkeypatch.context() as patch, suppress(KeyboardInterrupt):
            patch.setattr(Path, "replace", _raise)
            publish(board, survey_of(store, facts), place)

    for _ in range(6):
        days = random.sample([D1, D2, D3], 2)
        changed = [one for day in days for one in some_rows(random, day, 3)]
        step = random.choice(["refill", "add", "lose", "die"])
        if step == "refill":
            refill(store, facts, days, changed[: random.randrange(7)])
        elif step == "add":
            add(store, facts, changed)
        elif step == "lose":
            (place.home / "arrow" / "board.arrow").unlink(missing_ok=True)
        else:
            die()
        if random.random() < 0.6:
            publish(board, survey_of(store, facts), place, anew=random.random() < 0.2)
        a_sink_holds_its_table_at_the_versions_it_names(board, store, place)

    publish(board, survey_of(store, facts), place)
    assert publish(board, survey_of(store, facts), place).days == {}
    assert repr(in_file(place)) == repr(delta_rows(store, facts))
    assert find_differing(board, survey_of(store, facts), place)[1] == {}


def _raise(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_table_without_days_and_one_that_grows(arrow_file: Any, store: DeltaStore, place: Place) -> None:
    names = sink_of(lookup, arrow_file())
    refill(store, lookup, None, [{"name": "a", "meaning": None}, {"name": "b", "meaning": "x"}])
    publish(names, survey_of(store, lookup), place)
    a_sink_holds_its_table_at_the_versions_it_names(names, store, place)
    (place.home / "arrow" / "board.arrow").unlink()

    refill(store, facts, [D1, D2], [row("a", D1), row("b", D2)])
    publish(sink_of(facts, arrow_file()), survey_of(store, facts), place)
    refill(store, grown, [D2], [row("b", D2, note="n")])
    publish(sink_of(grown, arrow_file()), survey_of(store, grown), place)

    assert [one["note"] for one in in_file(place)] == [None, "n"]
    a_sink_holds_its_table_at_the_versions_it_names(sink_of(grown, arrow_file()), store, place)


def test_the_law_sees_a_row_that_is_missing(
    arrow_file: Any, store: DeltaStore, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    board, whole = sink_of(facts, arrow_file()), Source.rows
    refill(store, facts, [D1], [row("a", D1), row("b", D1)])
    monkeypatch.setattr(Source, "rows", lambda source, days: whole(source, days).slice(1))
    publish(board, survey_of(store, facts), place)

    with pytest.raises(AssertionError):
        a_sink_holds_its_table_at_the_versions_it_names(board, store, place)


def test_a_destination_without_a_target_is_refused() -> None:
    @dataclass(frozen=True)
    class Nowhere(Destination):
        """It forgets who opens it."""

    with pytest.raises(DeclarationError, match="board: is loaded to Nowhere, which is opened by ''") as refused:
        sink_of(facts, Nowhere())
    assert refused.value.remedy == 'name its target there: opened_by: ClassVar[str] = "module:Class"'


@pytest.mark.parametrize("named", ["nowhere.at_all:Target", "lake.serve.nowhere:Target", "lake.serve.target:Nowhere"])
def test_a_target_that_is_not_there_is_told_with_the_file(named: str, place: Place) -> None:
    @dataclass(frozen=True)
    class Misspelt(Destination):
        """It names a class that is not there."""

        opened_by: ClassVar[str] = named

    with pytest.raises(DeclarationError, match=f"Misspelt: opened_by names '{named}'") as refused:
        open_target(sink_of(facts, Misspelt()), place)
    assert Path(refused.value.file) == Path(__file__)


def test_a_driver_that_is_not_installed_is_told(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "target_of_ours.py").write_text("import driver_that_is_not_installed\n")
    monkeypatch.syspath_prepend(str(tmp_path))

    @dataclass(frozen=True)
    class Ours(Destination):
        """It needs a driver."""

        opened_by: ClassVar[str] = "target_of_ours:Target"

    with pytest.raises(ExtraMissing, match="driver_that_is_not_installed is not installed, which Ours needs") as told:
        open_target(sink_of(facts, Ours()), place)
    assert "lakehouse[" not in str(told.value)


@pytest.mark.parametrize("kind", [DuckDb, Iceberg, KafkaTopic, ParquetFolders, Postgres])
def test_an_extra_that_is_named_is_one_of_the_distribution(kind: type[Destination]) -> None:
    text = (PAGE.parents[1] / "pyproject.toml").read_text()

    assert kind.extra is None or re.search(rf"^{kind.extra} = \[", text, re.MULTILINE)
