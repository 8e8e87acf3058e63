"""What a look remembers of the code of tables for the next process, and when it must not be believed."""

from __future__ import annotations

import ast
import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from lake.declare import code_version as code
from lake.declare.code_version import code_version, text_version
from lake.storage.kept_code import keep_code
from lake.storage.kept_facts import keep_facts_in

PACKAGE = "kept_code_of_a_test"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / PACKAGE
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "used.py").write_text("LEAST = 1\n")
    (folder / "table.py").write_text(f"from {PACKAGE}.used import LEAST\n\n\ndef rows():\n    return LEAST\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.import_module(f"{PACKAGE}.table")
    yield folder
    for name in [name for name in sys.modules if name.partition(".")[0] == PACKAGE]:
        del sys.modules[name]


@pytest.fixture(autouse=True)
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """List the texts that were parsed."""
    found: list[str] = []

    def parse(text: str) -> ast.Module:
        found.append(text)
        return ast.parse(text)

    monkeypatch.setattr(code, "ast", _AstThatTells(parse))
    return found


class _AstThatTells:
    def __init__(self, parse: object) -> None:
        self.parse = parse

    def __getattr__(self, name: str) -> object:
        return getattr(ast, name)


def nothing(_: ModuleType) -> bool:
    return False


def forget() -> None:
    code._read_text.cache_clear()
    code.READ_TEXTS.clear()


def look(package: Path) -> tuple[str, str]:
    """Ask for both versions as a new process does, which remembers only what was written down."""
    forget()
    with keep_facts_in(package.parent / "looks.json"), keep_code():
        return code_version(f"{PACKAGE}.table", nothing), text_version(f"{PACKAGE}.table", nothing)


def versions(package: Path) -> tuple[str, str]:
    """Ask for both without a memory."""
    forget()
    assert not code.KEPT_TEXTS
    return code_version(f"{PACKAGE}.table", nothing), text_version(f"{PACKAGE}.table", nothing)


def test_a_second_process_says_the_same_and_parses_nothing(package: Path, parsed: list[str]) -> None:
    expected = versions(package)
    assert look(package) == expected
    parsed.clear()

    assert look(package) == expected
    assert parsed == []


@pytest.mark.parametrize("file", ["table.py", "used.py"])
def test_changed_code_has_another_version_at_once(package: Path, parsed: list[str], file: str) -> None:
    before = look(package)
    (package / file).write_text((package / file).read_text().replace("LEAST", "MOST"))
    parsed.clear()

    after = look(package)

    assert len(parsed) == 1
    assert not {*before} & {*after}
    assert after == versions(package)
    parsed.clear()
    assert look(package) == after
    assert parsed == []


def test_a_comment_changes_the_text_alone(package: Path) -> None:
    before = look(package)
    (package / "used.py").write_text("LEAST = 1  # the least\n")

    after = look(package)

    assert (after[0] == before[0], after[1] == before[1]) == (True, False)


def test_what_another_release_has_read_is_not_believed(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = look(package)
    file = package.parent / "looks-code.json"
    wrong = {key: [imported, sources, "other"] for key, (imported, sources, _) in json.loads(file.read_text()).items()}
    file.write_text(json.dumps(wrong))
    assert look(package) != expected  # it is believed as long as the release is the same
    monkeypatch.setattr(code, "_reader", lambda: "another release")

    assert look(package) == expected


@pytest.mark.parametrize("content", ["", "{", "[]", "1", "null", '{"x": 1}', '{"x": [1]}', '{"x": [[], 2, 3]}'])
def test_a_torn_memory_is_none(package: Path, content: str) -> None:
    expected = look(package)
    (package.parent / "looks-code.json").write_text(content)

    assert look(package) == expected
