"""Table files that cannot be imported: the others go on, the broken one is named with file and line."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import dagster as dg
import pytest

from lake.commands.doctor import check_table_files
from lake.declare.broken_files import find_tables
from lake.declare.table import discover
from lake.errors import DeclarationError
from lake.project.settings import Settings
from lakehouse_assets import definitions
from tests.lake.test_table import BRONZE_FILE
from tests.lakehouse_assets.conftest import Lakehouse
from tests.quiet_dagster import QUIET_DAGSTER

pytestmark = QUIET_DAGSTER

NAME = "broken_assets_of_a_test"
READER = BRONZE_FILE.replace("CallFiles", "Callers").replace("def call_files(calls)", "def callers(call_files)")
READER = READER.replace("reads=[calls]", "reads=[call_files]").replace("Append", "Replace")
READER = READER.replace("return calls", "return call_files")
READER = READER.replace("calls = ", f"from {NAME}.bronze.call_files import call_files\nunused = ")


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Two bronze tables, and a silver one that reads the first."""
    root = tmp_path / NAME
    for layer in ("", "bronze", "silver"):
        (root / layer).mkdir(exist_ok=True)
        (root / layer / "__init__.py").write_text('"""Tables."""\n')
    (root / "bronze" / "call_files.py").write_text(BRONZE_FILE)
    notes = BRONZE_FILE.replace("CallFiles", "NoteFiles").replace("call_files", "note_files")
    (root / "bronze" / "note_files.py").write_text(notes)
    (root / "silver" / "callers.py").write_text(READER)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield root
    for name in [name for name in sys.modules if name.split(".")[0] == NAME]:
        del sys.modules[name]


def imported() -> ModuleType:
    return importlib.import_module(NAME)


@pytest.mark.parametrize(
    ("file", "before", "after", "line", "problem"),
    [
        ("bronze/call_files.py", "return calls", "return (", 20, "SyntaxError: '(' was never closed"),
        ("bronze/call_files.py", "team:operations", "somebody", 16, "call_files: has the owner 'somebody'; write "),
        ("bronze/call_files.py", ", owner=", ", owners=", 16, "@table got an unexpected keyword argument 'owners'"),
        ("bronze/call_files.py", "calls = File", "calls = 1 / 0 or File", 9, "ZeroDivisionError: division by zero"),
        (
            "bronze/call_files.py",
            "import pyspark",
            "import no_such\nimport pyspark",
            4,
            "ModuleNotFoundError: No module",
        ),
    ],
)
def test_a_broken_file_is_named_with_its_line_and_so_is_all_that_imports_it(
    package: Path, file: str, before: str, after: str, line: int, problem: str
) -> None:
    broken_file = package / file
    broken_file.write_text(broken_file.read_text().replace(before, after))

    tables, broken = find_tables(imported())

    assert list(tables) == ["bronze.note_files"]
    assert [(one.table, one.file, one.line, one.is_own) for one in broken] == [
        ("bronze.call_files", str(broken_file), line, True),
        ("silver.callers", str(broken_file), line, False),
    ]
    assert all(one.problem.startswith(problem) for one in broken)
    assert f"silver.callers is left out: it imports {broken_file}, line {line}: " in str(broken[1])
    with pytest.raises((DeclarationError, SyntaxError, ZeroDivisionError, ModuleNotFoundError)):
        discover(imported())


def test_a_layer_that_cannot_be_imported_takes_only_itself_along(package: Path) -> None:
    (package / "silver" / "__init__.py").write_text("import no_such_module\n")

    tables, broken = find_tables(imported())

    assert list(tables) == ["bronze.call_files", "bronze.note_files"]
    assert [(one.table, one.file, one.line) for one in broken] == [
        ("silver.*", str(package / "silver" / "__init__.py"), 1)
    ]


def test_nothing_is_broken_in_a_package_that_can_be_imported(package: Path) -> None:
    tables, broken = find_tables(imported())

    assert (list(tables), list(broken)) == (["bronze.call_files", "bronze.note_files", "silver.callers"], [])
    assert check_table_files(Settings.from_env({"LAKEHOUSE_PACKAGE": NAME})).ok


@pytest.fixture
def torn(package: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The package in place of the project's own, with a silver file that is torn in line 18."""
    file = package / "silver" / "callers.py"
    file.write_text(READER.replace('owner="team:operations"', "owner=team"))
    monkeypatch.setenv("LAKEHOUSE_PACKAGE", NAME)
    return file


def test_commands_do_the_rest_name_the_broken_file_and_end_with_1(
    torn: Path, lakehouse: Lakehouse, tmp_path: Path
) -> None:
    named = f"error: silver.callers is left out: {torn}, line "
    page = tmp_path / "tables.md"
    for command in (["status"], ["refresh"], ["docs", "--to", str(page)], ["sql", "select 1"]):
        done = lakehouse(tmp_path, *command)
        assert done.returncode == 1, done
        assert named in done.stderr
        assert "NameError: name 'team' is not defined" in done.stderr
        assert "Traceback" not in done.stderr
    assert "bronze.call_files" in page.read_text()
    assert lakehouse(tmp_path, "kafka", "--help").returncode == 0

    asked = lakehouse(tmp_path, "quarantine", "callers")
    assert asked.returncode == 1
    assert f"error{torn}:line" in "".join(asked.stderr.split())


def test_where_no_table_can_be_followed_that_is_said(torn: Path, lakehouse: Lakehouse, tmp_path: Path) -> None:
    done = lakehouse(tmp_path, "follow")

    assert done.returncode == 1
    assert "no table here can be followed" in done.stderr


def test_dagster_loads_the_rest_and_shows_what_is_broken(
    torn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("LAKEHOUSE_HOME", str(tmp_path))

    loaded = definitions.defs()

    dg.Definitions.validate_loadable(loaded)
    graph = loaded.resolve_asset_graph()
    assert graph.materializable_asset_keys == {dg.AssetKey(["bronze", name]) for name in ("call_files", "note_files")}
    (shown,) = (node for node in graph.asset_nodes if node.group_name == "broken")
    assert shown.key == dg.AssetKey(["silver", "callers"])
    assert str(torn) in (shown.description or "")
    assert "silver.callers is left out" in caplog.text


def test_the_doctor_finds_it_and_what_goes_with_it(torn: Path) -> None:
    (torn.parents[1] / "silver" / "again.py").write_text(f"from {NAME}.silver.callers import callers\n")

    found = check_table_files(Settings.from_env({"LAKEHOUSE_PACKAGE": NAME}))

    assert not found.ok
    assert found.found.startswith(f"silver.callers is left out: {torn}, line ")
    assert found.found.endswith("; with them: silver.again")


def test_a_broken_file_that_declares_no_table_is_named_once_by_the_doctor(package: Path) -> None:
    feeds = package / "feeds.py"
    feeds.write_text("nothing = 1 / 0\n")
    for file in (package / "bronze" / "call_files.py", package / "bronze" / "note_files.py"):
        file.write_text(f"import {NAME}.feeds\n{file.read_text()}")

    found = check_table_files(Settings.from_env({"LAKEHOUSE_PACKAGE": NAME}))

    assert found.found == (
        f"bronze.call_files is left out: it imports {feeds}, line 1: ZeroDivisionError: division by zero; "
        "with them: bronze.note_files, silver.callers"
    )
