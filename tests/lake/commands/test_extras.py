"""Commands that a project, or another distribution, adds to `lakehouse`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lake.commands.extras import extras

ROOT = Path(__file__).parents[3]
COMMAND = '''
"""A command of a shop."""

def greet(name: str) -> None:
    """Say hello to somebody."""
    print(f"hello {name}")
'''


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A project that is not installed, with a module of its own."""
    (tmp_path / "shop_commands.py").write_text(COMMAND)
    return tmp_path


def project(folder: Path, text: str) -> None:
    (folder / "pyproject.toml").write_text(f"[tool.lakehouse]\nfirst_day = 2024-01-01\n{text}")


def lakehouse(folder: Path, *arguments: str, path: str = "") -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith("LAKEHOUSE_")}
    env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), path]))
    command = [sys.executable, "-m", "lake.commands.cli", *arguments]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)


def test_a_project_adds_a_command_in_its_file(shop: Path) -> None:
    project(shop, '[tool.lakehouse.commands]\ngreet = "shop_commands:greet"\n')

    assert "Say hello to somebody." in lakehouse(shop, "--help").stdout
    assert lakehouse(shop, "greet", "Ann").stdout == "hello Ann\n"


def test_extras_of_a_project_come_in_the_order_in_which_it_names_them(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project(shop, '[tool.lakehouse.pages]\nzoo = "builtins:len"\nant = "builtins:repr"\n')
    monkeypatch.setenv("LAKEHOUSE_PROJECT", str(shop))

    assert [name for name, _ in extras("pages")] == ["zoo", "ant"]


def test_an_installed_distribution_adds_a_command_by_an_entry_point(shop: Path) -> None:
    installed = shop / "shop-1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: shop\nVersion: 1.0\n")
    (installed / "entry_points.txt").write_text("[lakehouse.commands]\ngreet = shop_commands:greet\n")
    project(shop, "")

    assert lakehouse(shop, "greet", "Bob", path=str(shop)).stdout == "hello Bob\n"


def test_a_command_that_cannot_be_loaded_is_named_and_takes_no_other_along(shop: Path) -> None:
    project(shop, '[tool.lakehouse.commands]\ngreet = "shop_commands:greet"\nlost = "not_there:lost"\n')

    done = lakehouse(shop, "greet", "Eve")

    assert (done.returncode, done.stdout) == (0, "hello Eve\n")
    assert done.stderr == "error: lost (not_there:lost) is left out: No module named 'not_there'\n"


@pytest.mark.parametrize("value", ['"shop_commands"', "3", '"os:system(1)"'])
def test_what_names_no_function_is_refused(shop: Path, value: str) -> None:
    project(shop, f"[tool.lakehouse.commands]\ngreet = {value}\n")

    done = lakehouse(shop, "--help")

    assert done.returncode == 2
    assert f"in [tool.lakehouse.commands] of {shop}" in done.stderr.replace("\n", "")
    assert "expected a function, as module:function" in done.stderr


def test_the_example_is_not_among_the_commands_of_another_project(shop: Path) -> None:
    project(shop, "")
    shown = lakehouse(shop, "--help").stdout

    assert "refresh" in shown
    assert "replay" not in shown
    assert "demo" not in shown
