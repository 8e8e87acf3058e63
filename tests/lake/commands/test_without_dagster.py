"""An environment without the extra `dagster`: what needs no orchestrator works, and the rest says what to install."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.shop import FIRST_DAY as DAY
from tests.shop import messages_of, write_shop

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
CHILD = '''
"""Run commands in one process that has no Dagster, and print what each said."""

import contextlib, importlib, importlib.util, io, json, pkgutil, sys
from importlib.machinery import PathFinder

OF_THE_EXTRA = ("dagster", "apprise")


class Without(PathFinder):
    @classmethod
    def find_spec(cls, fullname, path=None, target=None):
        return None if fullname.startswith(OF_THE_EXTRA) else super().find_spec(fullname, path, target)


sys.meta_path[sys.meta_path.index(PathFinder)] = Without
assert importlib.util.find_spec("dagster") is None

import lake.commands
from lake.commands import cli

said = {}
for line in json.load(sys.stdin):
    out, sys.argv = io.StringIO(), ["lakehouse", *line]
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        try:
            cli.app()
            code = 0
        except SystemExit as end:
            code = end.code or 0
    said[" ".join(line)] = code, out.getvalue()
for module in pkgutil.iter_modules(lake.commands.__path__, "lake.commands."):
    importlib.import_module(module.name)
json.dump({"said": said, "came": sorted(name for name in sys.modules if name.startswith(OF_THE_EXTRA))}, sys.__stdout__)
'''
COMMANDS = [
    ["--help"],
    ["refresh", "--help"],
    ["up", "--help"],
    ["land", "order_messages", "more.jsonl", "--day", str(DAY)],
    ["doctor"],
    ["status"],
    ["describe", "silver.orders"],
    ["explain", "silver.orders", str(DAY)],
    ["quarantine", "silver.orders"],
    ["sql", "--csv", "select 6 * 7 as found"],
    ["docs", "--json"],
    ["publish"],
    ["refresh", "--plan"],
    ["refresh", "bronze", "--days", str(DAY), "--accept-loss", "nobody kept them"],
    ["follow", "--reopen", "1999-01-01"],
    ["follow", "--release"],
]
MISSING = "the extra dagster is not installed here"


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("shop")
    write_shop(folder)
    (folder / "more.jsonl").write_bytes(messages_of(DAY, first_offset=4))
    env = {name: value for name, value in os.environ.items() if not name.startswith(("LAKEHOUSE_", "DAGSTER_"))}
    env |= {"PYTHONPATH": str(ROOT)}
    asked = json.dumps([*COMMANDS, ["refresh"], ["refresh", "--json"], ["up"]])

    done = subprocess.run(
        [sys.executable, "-c", CHILD], cwd=folder, env=env, input=asked, capture_output=True, text=True
    )

    assert done.returncode == 0, done.stderr[-3000:]
    answers: dict[str, Any] = json.loads(done.stdout)
    return answers


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_command_that_needs_no_orchestrator_works(answers: dict[str, Any], command: list[str]) -> None:
    code, said = answers["said"][" ".join(command)]

    refused = {"refresh bronze": 1, "follow --reopen": 2}  # nothing is lost, and the calendar lacks the day
    assert code == refused.get(" ".join(command[:2]), 0), said
    assert MISSING not in said or command == ["doctor"]


def test_they_say_what_they_say_with_it(answers: dict[str, Any]) -> None:
    said = {command: text for command, (_, text) in answers["said"].items()}

    assert "silver.orders" in said["status"]
    assert "number of the order" in said["describe silver.orders"]
    assert said["sql --csv select 6 * 7 as found"] == "found\n42\n"
    assert f"{DAY}..{DAY}" in said["refresh --plan"]
    assert "1999-01-01" in said["follow --reopen 1999-01-01"]


def test_the_doctor_tells_what_dagster_is_for_and_how_to_get_it(answers: dict[str, Any]) -> None:
    (line,) = (line for line in answers["said"]["doctor"][1].splitlines() if "dagster" in line.lower())

    assert line.split()[:2] == ["ok", "Dagster"]
    assert "refresh" in line
    assert "pip install 'lakehouse[dagster]'" in line


@pytest.mark.parametrize("command", ["refresh", "refresh --json", "up"])
def test_what_needs_it_says_so_in_the_same_words(answers: dict[str, Any], command: str) -> None:
    code, said = answers["said"][command]

    assert code == 3, said
    assert MISSING in said
    assert "pip install 'lakehouse[dagster]'" in said
    assert said == answers["said"]["refresh"][1]
    assert "Traceback" not in said


def test_none_of_them_has_imported_it(answers: dict[str, Any]) -> None:
    assert answers["came"] == []
