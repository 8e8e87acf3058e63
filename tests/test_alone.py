"""The framework's own tests need nothing of its example."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

pytestmark = pytest.mark.packaging

ROOT = Path(__file__).parents[1]
NEEDED = ("lake", "benchmarks", "docs", "tests", "pyproject.toml", "requirements.lock")
OF_THE_EXAMPLE = ("airline", "lakehouse_assets", "resources", "sensors")
LANE = "not spark and not slow and not faults and not packaging and not streams and not soak"


@pytest.fixture
def without_the_example(tmp_path: Path) -> Path:
    """A copy of the repository without the packages of the example and the tests of these."""
    ignored = shutil.ignore_patterns("__pycache__", "images", *OF_THE_EXAMPLE)
    for name in NEEDED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
        else:
            shutil.copy(ROOT / name, tmp_path / name)
    # Of the framework some folders have the names of the example's.
    for folder in (Path("lake", "orchestration", "sensors"), Path("lake", "templates")):
        shutil.copytree(ROOT / folder, tmp_path / folder, dirs_exist_ok=True)
    return tmp_path


def test_the_tests_of_the_framework_pass_where_the_example_is_removed(without_the_example: Path) -> None:
    """Those with Spark are imported, and not run a second time."""
    assert not [name for name in OF_THE_EXAMPLE if (without_the_example / name).exists()]
    # Without `site`, Python reads no file that would lead to this checkout.
    command = [sys.executable, "-S", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", LANE, "tests/lake"]
    env = {name: value for name, value in os.environ.items() if not name.startswith(("LAKEHOUSE_", "PYTEST_"))}
    env["PYTHONPATH"] = sysconfig.get_path("purelib")

    done = subprocess.run(command, cwd=without_the_example, env=env, capture_output=True, text=True)

    assert done.returncode == 0, done.stdout[-5000:]
    look = f"import importlib.util as u; print([u.find_spec(name) for name in {OF_THE_EXAMPLE}])"
    found = subprocess.run([sys.executable, "-S", "-c", look], cwd=without_the_example, env=env, stdout=subprocess.PIPE)
    assert found.stdout == b"[None, None, None, None]\n"
